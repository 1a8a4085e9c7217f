"""Search of a finite grid of the unit cube."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.errors import StudyError
from safebo.search.swarm import Candidates

CHUNK = 4096
LARGEST_GRID = 4_000_000
ADMISSION_BATCH = 64


def unit_grid(dimension: int, points: int) -> Float[Tensor, "n d"]:
    """All combinations of `points` equally spaced values per axis."""
    if points < 2:
        raise StudyError("tuner.search.grid_points must be at least 2 for domain: grid")
    if points**dimension > LARGEST_GRID:
        raise StudyError(
            f"tuner.search.grid_points = {points} in {dimension} dimensions is {points**dimension:,} points; "
            f"at most {LARGEST_GRID:,} are allowed: use fewer, or domain: continuous"
        )
    axis = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension)


def search_grid(
    acquisition: SafeAcquisition, grid: Float[Tensor, "n d"], rng: np.random.Generator, wanted: int = 16
) -> Candidates:
    """The best feasible grid points, best first; among equal scores the order is random.

    Scores are computed for all points, the admitted set only as far down the order as needed.
    """
    with torch.no_grad():
        parts = [acquisition.evaluate(part, admission=False) for part in grid.split(CHUNK)]
        scores = torch.cat([score for score, _ in parts])
        slack = torch.cat([slack for _, slack in parts])
        shuffle = torch.tensor(rng.permutation(len(grid)))
        ranked = Candidates.ordered(grid[shuffle], scores[shuffle], slack[shuffle])
        points: list[Tensor] = []
        values: list[Tensor] = []
        count = 0
        for start in range(0, len(ranked.points), ADMISSION_BATCH):
            batch = ranked.points[start : start + ADMISSION_BATCH]
            admitted = acquisition.admits(batch, acquisition.situation.view(batch))
            points.append(batch[admitted])
            values.append(ranked.scores[start : start + ADMISSION_BATCH][admitted])
            count += int(admitted.sum())
            if count >= wanted:
                break
    if not points:
        return Candidates(grid[:0], scores[:0])
    return Candidates(torch.cat(points), torch.cat(values))
