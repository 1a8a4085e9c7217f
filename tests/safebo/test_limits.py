"""What limits a run is said once, however many rules see it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safebo.report.data import Finding, RunView
from safebo.report.limits import limits
from safebo.study import Study
from safebo.study.reading import load_study, resolve_study
from safebo.types import Measurement, Phase, Trial, TrialRecord

STUDY = load_study(resolve_study("go1-trot")).study
FAILED = Measurement("failed", message="the motion capture lost the robot")
GOOD = Measurement("completed", objective=-1.0, margins={c.name: 1.0 for c in STUDY.constraints})


def failures(trials: Sequence[tuple[Phase, str, Measurement]], study: Study = STUDY) -> list[Finding]:
    """What is said of failures in a run of these phases, contexts and measurements, in which nothing is certified."""
    gains = study.seeds[0].parameters
    records = [
        TrialRecord(Trial(number, gains, {}, context, phase, seed=0, certified=False), measurement)
        for number, (phase, context, measurement) in enumerate(trials, 1)
    ]
    best = {record.trial.context_name: None for record in records}
    run = RunView(Path("run"), "go1-trot", study, tuple(records), (), best, len(records))
    return [one for one in limits(run) if one.kind == "failures"]


def test_a_seed_that_always_failed_is_said_once() -> None:
    [said] = failures([("seed", "trot", FAILED)] * 3)
    assert said.text == "No trial of the seed was measured: the motion capture lost the robot."


def test_failures_of_other_trials_are_said_beside_a_seed_that_was_not_measured() -> None:
    said = failures([("seed", "trot", FAILED), ("seed", "crawl", GOOD), ("local", "crawl", FAILED)])
    assert [one.text.split(";")[0] for one in said] == [
        "2 of 3 trials failed and said nothing about their gains",
        "trot: No trial of the seed was measured: the motion capture lost the robot.",
    ]


def test_of_a_study_that_promises_nothing_failed_seeds_are_counted() -> None:
    [said] = failures([("seed", "trot", FAILED)] * 3, STUDY.model_copy(update={"constraints": []}))
    assert said.text.startswith("3 of 3 trials failed")
