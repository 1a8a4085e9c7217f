"""Shipped studies as benchmark tasks: their length, what is changed of them, and the best that is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safebo.experiments.bench.study_problem import StudyProblem
from safebo.experiments.evidence.truth import with_evaluator_options
from safebo.experiments.studies import gosafeopt_toy
from safebo.experiments.studies.cautious import cautious
from safebo.study import SchedulePhase, Study
from safebo.study.reading import load_study


@dataclass(frozen=True)
class StudyTask:
    """A study as it takes part in a suite.

    Args:
        study: name of a shipped study, or the file of one.
        trials: length of a run.
        optimum: noise-free objective of the best safe parameters known, by context.
        source: where the optimum comes from.
        schedule: trials by context in place of the study's own; empty for that.
        options: of the evaluator, in place of the study's.
    """

    study: str
    trials: int
    optimum: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    schedule: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


STUDIES: dict[str, StudyTask] = {
    "pendulum": StudyTask(
        "pendulum",
        150,
        {"default": -0.027},
        "every gain on a grid: safebo.experiments.evidence.pendulum_landscape",
    ),
    "gosafeopt-toy": StudyTask(
        str(gosafeopt_toy),
        91,
        {"default": -72.83},
        "at k = -6, the end of the box nearest to the fixed point 0",
    ),
    "go1-trot": StudyTask(
        "go1-trot", 50, {"trot": -0.8875}, "best of 2,000 random gains: safebo.experiments.evidence.landscape"
    ),
    "go1-paper": StudyTask(
        "go1-gaits",
        750,
        {"trot": -0.8875, "crawl": -1.408},
        "best of 2,000 (trot) and 800 (crawl) random gains: safebo.experiments.evidence.landscape",
        schedule={"trot": 500, "crawl": 250},
    ),
    "go1-mpc": StudyTask(
        "go1-mpc",
        60,
        {"trot": -0.5397},
        "best of two runs of 60 trials; of 150 random gains -0.738: safebo.experiments.evidence.landscape",
    ),
    "go2-mpc": StudyTask(
        "go2-mpc", 60, {"trot": -0.875}, "best of 150 random gains: safebo.experiments.evidence.landscape"
    ),
    "go1-trot-heavy": StudyTask(
        "go1-trot",
        50,
        {"trot": -0.6037},
        "best of 250 random gains: safebo.experiments.evidence.landscape",
        options={"disturbance": "heavy_and_weak"},
    ),
}
"""By the task's name."""


def shipped_problem(name: str) -> StudyProblem:
    """The task of that name in `STUDIES`."""
    task = STUDIES[name]
    loaded = load_study(task.study)
    return StudyProblem(
        name, _changed(loaded.study, task), task.trials, task.optimum, task.source, loaded.folder
    )


def problem_of_file(path: Path) -> StudyProblem:
    """A user's own study as a task; nobody knows its optimum, so regret is NaN.

    Raises:
        StudyError: the file is no study that can run.
    """
    loaded = load_study(str(path))
    return StudyProblem(loaded.study.name, loaded.study, loaded.study.trials, folder=loaded.folder)


def _changed(study: Study, task: StudyTask) -> Study:
    schedule = [SchedulePhase(context=c, trials=n) for c, n in task.schedule.items()]
    context = study.context.model_copy(update={"schedule": schedule or study.context.schedule})
    earned = task.study in ("go1-trot", "go1-mpc", "go2-mpc")  # they declare what has to be earned
    study = cautious(study) if earned else study
    return with_evaluator_options(study.model_copy(update={"context": context}), task.options)
