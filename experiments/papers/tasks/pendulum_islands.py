"""The shipped study `pendulum`: two islands of safe gains, the better one without the seed."""

from __future__ import annotations

from functools import lru_cache

from experiments.papers.study_task import StudyTask
from experiments.pendulum_landscape import brute_force
from safebo.study import Study
from safebo.study_file import load_study

POINTS = 201
"""Per gain, of the grid that tells the best safe gains."""


def study(trials: int) -> Study:
    """The shipped study with so many trials."""
    return load_study("pendulum").study.model_copy(update={"trials": trials})


@lru_cache(maxsize=1)
def best_safe() -> float:
    """Largest objective of safe gains on a grid."""
    return float(brute_force(POINTS).best_region.best_objective)


task = StudyTask("pendulum-islands", study, 150, {"default": best_safe()})
