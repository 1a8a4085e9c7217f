"""The simulated Go1 of Widmer et al. 2023 as studies of any length."""

from __future__ import annotations

from typing import Any

from safebo.errors import InputError
from safebo.study import SchedulePhase, Study
from safebo.study_file import load_study

LIPSCHITZ = 1.0
"""Of the margin, on its warped scale, per unit of scaled state distance. In earlier runs of ours no global trial was
unsafe with 1; with 0.3 some were, with 0.15 robots fell."""

INTER_SAMPLE = 0.0
"""Of the scaled state. A walk moves farther within one control period, so the boundary condition promises nothing here:
what protects is the constant above."""

LOCAL_STEPS, GLOBAL_STEPS, PATIENCE = 10, 5, 5
"""As published (appendix F)."""


def phases(trials: int) -> list[tuple[str, int]]:
    """Two thirds of the trials in trot, the rest in crawl (the paper: 500 and 250).

    Raises:
        InputError: fewer than two trials.
    """
    if trials < 2:
        raise InputError(f"trot and crawl need two trials or more, got {trials}")
    first = min(trials - 1, round(trials * 2 / 3))
    return [("trot", first), ("crawl", trials - first)]


def trot_then_crawl(trials: int) -> Study:
    """Trot, then crawl."""
    return _study(phases(trials), trials)


def crawl_alone(trials: int) -> Study:
    """Crawl from the start."""
    return _study([("crawl", trials)], trials)


def _study(phases: list[tuple[str, int]], trials: int) -> Study:
    """The shipped study `go1-gaits` with another schedule, GoSafeOpt's settings, and without recorded trajectories."""
    study = load_study("go1-gaits").study
    names = [name for name, _ in phases]
    context = study.context.model_copy(
        update={"schedule": [SchedulePhase(context=n, trials=t) for n, t in phases], "predict": []}
    )
    backup = study.tuner.backup.model_copy(
        update={"rule": "lipschitz", "lipschitz": LIPSCHITZ, "inter_sample": INTER_SAMPLE}
    )
    exploration = study.tuner.exploration.model_copy(
        update={"local_steps": LOCAL_STEPS, "global_steps": GLOBAL_STEPS, "patience": PATIENCE}
    )
    tuner = study.tuner.model_copy(update={"backup": backup, "exploration": exploration})
    options: dict[str, Any] = {**study.evaluator.options, "telemetry": False}
    return study.model_copy(
        update={
            "evaluator": study.evaluator.model_copy(update={"options": options}),
            "context": context,
            "seeds": [s for s in study.seeds if s.context in names],
            "tuner": tuner,
            "trials": trials,
        }
    )
