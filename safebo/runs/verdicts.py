"""What a person says of a trial, as a measurement: of one that was measured, and of one of which nobody knows more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from safebo.evaluators.scenarios import combined
from safebo.runs.operators import Account, Verdict
from safebo.storage.journal import Journal
from safebo.storage.records import Event
from safebo.storage.trial_log import KIND
from safebo.study import FunctionSpec, Study, quantity_of
from safebo.study.space import WarpMap
from safebo.types import Measurement, Trial


def judged(measurement: Measurement, study: Study, verdict: Verdict) -> Measurement:
    """A measurement as it counts after a verdict."""
    if verdict.judgement == "contaminated":
        words = f"contaminated: {verdict.words}".rstrip(": ")
        return replace(measurement, outcome="failed", objective=None, message=words)
    return unsafe(measurement, study, verdict.words) if verdict.judgement == "unsafe" else measurement


def unsafe(measurement: Measurement, study: Study, words: str) -> Measurement:
    """A measurement that a person calls unsafe: no margin of the study may speak for it any more.

    Args:
        measurement: what was measured; margins that it lacks are as far under their limits as the study lets them vary.
        study: the study.
        words: what was seen.
    """
    parts = {name: _below(part, study) for name, part in measurement.scenarios.items()}
    said = f"unsafe, says the operator: {words}".rstrip(": ")
    return replace(combined(parts, study) if parts else _below(measurement, study), message=said)


def accounted(trial: Trial, study: Study, account: Account) -> Measurement:
    """The measurement of a trial whose result is not known, from a person's account of it.

    Args:
        trial: the trial.
        study: its study.
        account: `fell`, `unsafe` or `failed`.
    """
    if account.answer == "failed":
        words = f"resolved by a person as failed: {account.words}".rstrip(": ")
        return Measurement(outcome="failed", message=words)
    nothing = Measurement(outcome="aborted", fell=account.answer == "fell")
    if study.scenarios is not None:
        walks = trial.scenarios or tuple(study.scenarios.values)
        nothing = replace(nothing, scenarios=dict.fromkeys(walks, nothing))
    return unsafe(nothing, study, account.words)


def keep_account(journal: Journal, trial: Trial, study: Study, account: Account) -> Measurement | None:
    """Keep what a person says of a trial whose result is not known.

    Returns:
        The measurement that is recorded; None for `completed`, which only the raw file can show: the trial waits to be
        scored and judged when the run goes on.
    """
    data = {"as": account.answer, "words": account.words}
    measurement = None
    if account.answer == "completed":
        journal.reopen(trial.id, "to be scored from its raw file")
    else:
        measurement = accounted(trial, study, account)
        journal.tell(trial.id, measurement)
    journal.note("resolved", f"by a person, as {account.answer}", trial.id, data)
    return measurement


def raw_record(events: Sequence[Event], trial_id: int) -> Mapping[str, object]:
    """What a journal kept when a trial on a robot ended, its raw file among it; empty where it is not known to have
    ended.
    """
    for event in reversed(events):
        if event.kind == KIND and event.trial == trial_id and event.data["state"] == "ENDED":
            return event.data
    return {}


def _below(measurement: Measurement, study: Study) -> Measurement:
    """A measurement with every margin of the study below its limit, and without an objective."""
    margins = dict(measurement.margins)
    for constraint in study.constraints:
        measured = [name for name in (constraint.name, quantity_of(constraint)) if name in margins]
        for name in measured:
            # as far under the limit as it was above it, and at least the noise's share of it
            margins[name] = min(margins[name], -abs(margins[name]), -1e-3)
        if not measured:
            margins[quantity_of(constraint)] = _unmeasured(constraint)
    return replace(measurement, outcome="aborted", objective=None, margins=margins)


def _unmeasured(constraint: FunctionSpec) -> float:
    """A margin that nobody measured: one prior standard deviation under its limit, in the constraint's unit."""
    warp = WarpMap(constraint.warp, constraint.name)
    return float(warp.inverse(warp.threshold() - constraint.prior_std))
