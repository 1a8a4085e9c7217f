"""Whether a run reached the gains that its study wanted to go to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from safebo.report.data import RunView
from safebo.study.axis import brief
from safebo.study.space import Space
from safebo.types import Trial

REACHED = 0.995
"""Share of the way from the seed from which on a goal counts as reached."""

REMEDY = "Further trials go on towards it, unless nothing nearer is certified or the objective cannot be better there."


def not_reached(run: RunView) -> Iterator[str]:
    """A sentence on each goal of a context that was tuned which no trial reached."""
    space = Space.of_parameters(run.study)
    for goal in run.study.goals:
        tried = [e.trial for e in run.of_context(goal.context) if e.measurement is not None]
        seeds = [trial for trial in tried if trial.phase == "seed"]
        if not seeds:
            continue
        there = space.to_unit(space.vector(goal.parameters))
        whole, left = (_distance(space, there, trials) for trials in (seeds, tried))
        gone = 1.0 if whole == 0.0 else 1.0 - left / whole
        if gone < REACHED:
            words = ", ".join(f"{p.name} {brief(goal.parameters[p.name], p)}" for p in run.study.parameters)
            yield f"{run.where(goal.context)}Trials went {100 * gone:.0f} % of the way to the goal ({words})."


def _distance(space: Space, there: NDArray[np.float64], trials: Sequence[Trial]) -> float:
    """From a point of the unit cube to the nearest of some trials."""
    rows = [space.to_unit(space.vector(trial.parameters, within=False)) for trial in trials]
    return float(np.linalg.norm(np.stack(rows) - there, axis=1).min())
