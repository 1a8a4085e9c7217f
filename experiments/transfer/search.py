"""The best gains of a simulation in which nothing can break: a search that may try everything.

A tuner that certifies every trial does not leave the seed's part of the box in a few dozen of them, and in simulation
it need not stay there: a third of the gains are drawn from the whole box, the others about the best one, ever closer
while no better one is found. Of several scenarios no further one is walked once gains are unsafe, or worse than the
best are in any of theirs: robots that are drawn from one posterior are much alike, and a bad walk in one of them is
enough to go on to other gains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from safebo.evaluators.outcome import negative_margins
from safebo.experiments.evidence.truth import truth
from safebo.study import Study
from safebo.study.scenarios import scenario_names
from safebo.study.space import Space
from safebo.types import FloatArray, Measurement

ROUND, SPREAD, SHRINKS = 10, 0.2, 0.75
"""Gains of a round about the best, its standard deviation in the unit cube, and its factor after a round in vain."""


def searched(
    study: Study,
    context: str,
    start: Mapping[str, Any],
    count: int,
    seed: int,
    tell: Callable[[str], None] = lambda words: None,
) -> tuple[dict[str, Any], Measurement] | None:
    """The gains with the largest objective of those that are safe in every scenario, and what they showed.

    Sensors have their noise, as the robot's have: without it gains win that amplify it. The noise is the same for all.

    Args:
        study: in simulation.
        context: name of the context.
        start: gains to begin about.
        count: how many to try, a third of them drawn from the whole box.
        seed: of the draws and of the sensors' noise.
        tell: is told of better gains.

    Returns:
        None where no gains were safe, `start` included.
    """
    random, space = np.random.default_rng([19, seed]), Space.of_parameters(study)
    first = space.to_unit(space.vector(start, within=False))[None]
    best: Measurement | None = None
    at = space.proposals(first)[0]

    def improves(points: FloatArray) -> bool:
        nonlocal best, at
        before, rows = best, space.proposals(np.clip(points, 0.0, 1.0))
        rows = rows[space.keep(rows)]
        walked = truth(study, context, [space.named(row) for row in rows], least=_least(best), seed=seed)
        for row, measurement in zip(rows, walked, strict=True):
            if _better(study, measurement, best):
                best, at = measurement, row
                tell(f"  {study.objective.name} {measurement.objective:.4g} {study.objective.unit}".rstrip())
        return best is not before

    improves(first)
    left, spread = count - count // 3, SPREAD
    if count // 3:
        improves(random.random((count // 3, space.dimension)))
    while left > 0:
        about = random.normal(space.to_unit(at), spread, size=(min(ROUND, left), space.dimension))
        spread *= 1.0 if improves(about) else SHRINKS
        left -= len(about)
    return None if best is None else (space.named(at), best)


def _least(best: Measurement | None) -> float:
    """The objective of the best gains in their worst scenario."""
    values = [] if best is None else [m.objective for m in best.scenarios.values()]
    return min((v for v in values if v is not None), default=-math.inf)


def _better(study: Study, new: Measurement, old: Measurement | None) -> bool:
    """Whether gains are safe in every scenario, and better than the best so far."""
    whole = len(new.scenarios) == len(scenario_names(study))
    if new.outcome != "completed" or new.objective is None or not whole or negative_margins(new, study):
        return False
    return old is None or old.objective is None or new.objective > old.objective
