"""Search of the continuous box: a swarm from known points, then gradients from its best and from those points."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.optim.gradient import refine
from safebo.optim.swarm import Candidates, swarm
from safebo.study import SearchSpec

REFINEMENT_STEPS = 40
SEPARATION = 0.02
"""Two starts of the refinement are at least so far apart in the unit cube."""


def distinct(candidates: Candidates, count: int) -> Float[Tensor, "k d"]:
    """The best `count` points that are at least `SEPARATION` apart."""
    chosen: list[Tensor] = []
    for point in candidates.points:
        if len(chosen) == count:
            break
        if all(float((point - other).norm()) >= SEPARATION for other in chosen):
            chosen.append(point)
    return torch.stack(chosen) if chosen else candidates.points[:0]


def search_box(
    acquisition: SafeAcquisition,
    starts: Float[Tensor, "k d"],
    rng: np.random.Generator,
    spec: SearchSpec,
) -> Candidates:
    """Feasible candidates, best first: refined points, the swarm's, and both at other values of discrete parameters.

    Args:
        acquisition: what to maximise.
        starts: known feasible points, the most promising first.
        rng: of this search.
        spec: sizes.
    """
    found = swarm(acquisition, starts, rng, spec.swarm_size, spec.swarm_iterations)
    # In many dimensions the swarm settles in one place, while gradients from known points still find others.
    first = torch.cat([distinct(found, spec.restarts), starts[: (spec.restarts + 1) // 2]])
    refined = refine(acquisition, first, REFINEMENT_STEPS)
    points = torch.cat([refined.points, found.points])
    scores = torch.cat([refined.scores, found.scores])
    best = Candidates.ordered(points, scores, torch.ones_like(scores))
    beside = acquisition.ctx.allowed.neighbours(best.points)
    if len(beside) == 0:
        return best
    with torch.no_grad():
        moved = Candidates.ordered(beside, *acquisition.evaluate(beside))
    better = refine(acquisition, moved.points[: spec.restarts], REFINEMENT_STEPS)
    points = torch.cat([better.points, moved.points, best.points])
    scores = torch.cat([better.scores, moved.scores, best.scores])
    return Candidates.ordered(points, scores, torch.ones_like(scores))
