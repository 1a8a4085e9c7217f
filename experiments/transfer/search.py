"""The best gains of a simulation in which nothing can break: a search that may try everything.

A tuner that certifies every trial does not leave the seed's part of the box in a few dozen of them, and in simulation
it need not stay there: half of the gains are drawn from the whole box, the others about the best one, ever closer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from safebo.evaluators.outcome import negative_margins
from safebo.experiments.evidence.truth import truth
from safebo.study import Study
from safebo.study.scenarios import scenario_names
from safebo.study.space import Space
from safebo.types import Measurement

ROUND, SPREAD, SHRINKS = 20, 0.2, 0.85
"""Gains of a round about the best, its standard deviation in the unit cube, and the factor from round to round."""


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
        count: how many to try, half of them drawn from the whole box.
        seed: of the draws and of the sensors' noise.
        tell: is told of better gains.

    Returns:
        None where no gains were safe, `start` included.
    """
    random, space = np.random.default_rng([19, seed]), Space.of_parameters(study)
    first = space.to_unit(space.vector(start, within=False))
    rows = space.proposals(np.vstack([first, random.random((count // 2, space.dimension))]))
    best, at, spread, left = None, rows[0], SPREAD, count + 1
    while left > 0:
        tried = rows[space.keep(rows)]
        walked = truth(study, context, [space.named(row) for row in tried], until_unsafe=True, seed=seed)
        for row, measurement in zip(tried, walked, strict=True):
            if _better(study, measurement, best):
                best, at = measurement, row
                tell(f"  {study.objective.name} {measurement.objective:.4g} {study.objective.unit}".rstrip())
        left -= len(rows)
        about = random.normal(space.to_unit(at), spread, size=(min(ROUND, max(left, 1)), space.dimension))
        rows, spread = space.proposals(np.clip(about, 0.0, 1.0)), spread * SHRINKS
    return None if best is None else (space.named(at), best)


def _better(study: Study, new: Measurement, old: Measurement | None) -> bool:
    """Whether gains are safe in every scenario, and better than the best so far."""
    whole = len(new.scenarios) == len(scenario_names(study))
    if new.outcome != "completed" or new.objective is None or not whole or negative_margins(new, study):
        return False
    return old is None or old.objective is None or new.objective > old.objective
