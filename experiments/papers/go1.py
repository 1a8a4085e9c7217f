"""The simulated Go1 of Widmer et al. 2023 as studies."""

from __future__ import annotations

from typing import Any

from experiments.bench.study_problem import scheduled
from safebo.study import SchedulePhase, Study
from safebo.study_file import load_study

TRIALS, ALONE = 120, 40
"""Of a run of both gaits, two thirds of them in trot (the paper: 500 and 250), and of crawl alone."""

NO_COST = {"trot": 0.0, "crawl": 0.0}
SOURCE = "no error at all, which no gains reach: regret is the cost"

LIPSCHITZ = 1.0
"""Of the margin, on its warped scale, per unit of scaled state distance. In earlier runs of ours no global trial was
unsafe with 1; with 0.3 some were, with 0.15 robots fell."""

INTER_SAMPLE = 0.0
"""Of the scaled state. A walk moves farther within one control period, so the boundary condition promises nothing here:
what protects is the constant above."""

LOCAL_STEPS, GLOBAL_STEPS, PATIENCE = 10, 5, 5
"""As published (appendix F)."""


def trot_then_crawl() -> Study:
    """Trot, then crawl."""
    return _study({"trot": TRIALS - ALONE, "crawl": ALONE})


def crawl_alone() -> Study:
    """Crawl from the start."""
    return _study({"crawl": ALONE})


def phases(trials: int) -> dict[str, int]:
    """Trials of each gait in a run of both of another length."""
    return {phase.context: phase.trials for phase in scheduled(trot_then_crawl(), trials).context.schedule}


def _study(lengths: dict[str, int]) -> Study:
    """The shipped study `go1-gaits` with another schedule, GoSafeOpt's settings, and without recorded trajectories."""
    study = load_study("go1-gaits").study
    schedule = [SchedulePhase(context=name, trials=trials) for name, trials in lengths.items()]
    context = study.context.model_copy(update={"schedule": schedule, "predict": []})
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
            "seeds": [s for s in study.seeds if s.context in lengths],
            "tuner": tuner,
            "trials": sum(lengths.values()),
        }
    )
