"""Search of a finite grid of the unit cube."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.optim.swarm import Candidates


def unit_grid(dimension: int, points: int) -> Float[Tensor, "n d"]:
    """All combinations of `points` equally spaced values per axis."""
    axis = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension)


def search_grid(acquisition: SafeAcquisition, wanted: int = 64) -> Candidates:
    """The best points of the acquisition's grid (its context's pool), best first; ties go to the lowest row."""
    with torch.no_grad():
        scores = acquisition.grid_scores()
    rows = torch.nonzero(torch.isfinite(scores)).squeeze(-1)
    if len(rows) > wanted:
        least = torch.topk(scores[rows], wanted).values[-1]
        rows = rows[scores[rows] >= least]
    order = rows[torch.argsort(scores[rows], descending=True, stable=True)[:wanted]]
    return Candidates(acquisition.ctx.pool[order], scores[order])
