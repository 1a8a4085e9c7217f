"""What speaks against a run's declared priors: unsafe trials that were certified, impossible values, refutations."""

from __future__ import annotations

from collections.abc import Iterator

from safebo.evaluators.outcome import was_unsafe
from safebo.evaluators.seeds import impossible_values
from safebo.report import far_off
from safebo.report.data import Finding, RunView
from safebo.report.sentences import trials_listed
from safebo.runs.evidence_events import KINDS, remedy, times
from safebo.runs.norm_events import REFUTED, norm_words
from safebo.types import Evidence


def broken_promises(run: RunView) -> Iterator[Finding]:
    """Certified trials that were not safe: priors promise too much."""
    broken = [
        e.trial.id
        for e in run.records
        if e.trial.certified
        and e.measurement is not None
        and e.trial.phase != "seed"
        and was_unsafe(e.measurement, run.study)
    ]
    if broken:
        many = (
            f"{len(broken)} trials ({trials_listed(broken)}) were"
            if len(broken) > 1
            else f"Trial {broken[0]} was"
        )
        yield Finding(
            "limits",
            "unsafe",
            f"{many} certified and measured unsafe: the study's priors promise too much, so do not rely on its "
            "certificates.",
            "Find out which prior is wrong: lengthscales too long, prior_std or noise_std too small.",
            run.command("check"),
        )


def impossible_seed(run: RunView) -> Iterator[Finding]:
    """A seed whose measurement the declared priors call impossible."""
    for e in run.records:
        if said := impossible_values(e.trial, e.measurement, run.study):
            yield Finding(
                "limits",
                "prior",
                f"The study's priors cannot be right: the seed of trial {e.trial.id} measured {'; '.join(said)}.",
                "Is the unit the one you mean? Correct the study and begin anew.",
                run.command("check"),
            )
            return


def far_off_objective(run: RunView) -> Iterator[Finding]:
    """Trials whose objective a right prior calls impossible, bad or good."""
    if next(impossible_seed(run), None) is not None:
        return
    for said in (far_off.sentences(run), far_off.far_above(run)):
        if said is not None:
            yield Finding("limits", "prior", *said, run.command("check"))


def refuted_priors(run: RunView) -> Iterator[Finding]:
    """Declared priors that the measurements speak against."""
    for name, now in latest_evidence(run).items():
        if now.alarm and now.drifts:
            yield Finding(
                "limits",
                "drift",
                f"The robot changes with time (alarm): no prior that stays as it is fits the measurements of {name}, "
                "so what early trials showed does not hold any more.",
                "Declare how fast it changes with surrogate.time, so that certificates expire, and begin anew."
                if now.log_drift is None
                else "Declare a shorter memory in surrogate.time and begin anew.",
                run.command("new"),
            )
        elif now.alarm:
            yield Finding(
                "limits",
                "prior",
                f"The measurements of {name} fit neither the declared prior nor the cautious one (alarm): {now.alarm} "
                "fits better.",
                f"Look at its unit. {remedy(now.alarm, now.log_drift)}, and begin anew.",
                run.command("check"),
            )
        elif now.refuted_by:
            yield Finding(
                "limits",
                "prior",
                f"The declared prior of {name} is wrong: the measurements refute it ({times(now.log_refutation)} for "
                f"{now.refuted_by}).",
                f"{remedy(now.refuted_by, now.log_drift)}, and begin anew.",
                run.command("check"),
            )
        if now.disjoint:
            yield Finding(
                "limits",
                "prior",
                f"Intervals of {name} from different trials have nothing in common, so one of them was wrong.",
                "Is the noise larger than declared, does the robot change?",
                run.command("check"),
            )
    for event in reversed(run.events):
        if event.kind == REFUTED:
            text = f"The declared norm is refuted ({norm_words(event.data)})."
            yield Finding(
                "limits", "prior", text, "Declare a larger tuner.confidence.norm.", run.command("check")
            )
            break


def latest_evidence(run: RunView) -> dict[str, Evidence]:
    """What was last said of every constraint's prior, by trials and by the run's own news."""
    found: dict[str, Evidence] = {}
    for record in run.records:
        found |= record.trial.evidence
    for event in run.events:
        if event.kind in KINDS:
            found[event.data["function"]] = Evidence(**event.data["evidence"])
    return found
