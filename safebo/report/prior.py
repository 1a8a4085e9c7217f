"""What a report says of the run's prior."""

from __future__ import annotations

from safebo.models.prior_models import PriorReport
from safebo.report.data import Agreement, PriorStory, functions
from safebo.runs.prior_events import correlation_words, kept_words, opening
from safebo.storage.journal import Journal
from safebo.tuner import Tuner


def prior_story(journal: Journal, tuner: Tuner) -> PriorStory | None:
    """The story of a run's prior; None for a run without one.

    Args:
        journal: of the run.
        tuner: that was given the prior and told the run's trials.
    """
    kept, report = journal.prior(), tuner.prior_report()
    if kept is None or report is None:
        return None
    words = correlation_words(report.pairings)
    agreements = []
    for spec, warp in zip(functions(journal.run.study), tuner.encoding.warps, strict=True):
        pairing = report.pairings[spec.name]
        agreements.append(
            Agreement(
                function=spec.name,
                trials=tuple(report.observed[row] for row in pairing.rows),
                expected=tuple(float(warp.inverse(value)) for value in pairing.simulation),
                measured=tuple(float(warp.inverse(value)) for value in pairing.robot),
                correlation=words[spec.name],
            )
        )
    return PriorStory(
        opening(kept, journal.run.study, journal.run.declared),
        _verdict(report, journal),
        report.contradiction is not None,
        tuple(agreements),
    )


def _verdict(report: PriorReport, journal: Journal) -> str:
    if report.contradiction is not None:
        return (
            f"Dropped at trial {report.dropped_by}: {report.contradiction}. Trials before it were certified with its "
            "help; from there on only this run's trials count."
        )
    if report.correlations:
        return f"{kept_words(report.correlations)}. What is not refuted by its own measurements bounds a constraint."
    spec = journal.run.study.surrogate.prior_data
    checked = 0 if spec is None else spec.checked
    if len(report.observed) < checked:
        return f"Kept so far: {len(report.observed)} of the {checked} trials that test it have not contradicted it."
    return f"Kept: the first {checked} trials did not contradict it. Later ones are not tested against it."
