"""Cells of points between which a kernel hardly distinguishes: many points become few, weighted ones.

A cell is an axis-aligned box across whose every side the prior correlation stays near 1. Sums over a cell's points
are its count times the value at their centroid up to second order in the cell's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from safebo.models.kernels import Kernel

CORRELATION_LOSS = 0.005
"""Prior correlation that may be lost across a cell's side: a tenth of a squared-exponential lengthscale."""

_PROBES = 32
_FRACTIONS = tuple(2.0 ** (-step / 8) for step in range(160, -1, -1))
"""Side lengths that are tried, as fractions of the range of the points."""


def cell_widths(
    kernel: Kernel, points: Float[Tensor, "N D"], loss: float = CORRELATION_LOSS
) -> Float[Tensor, " D"]:
    """The longest sides over which any kernel's correlation stays at `1 - loss` or above.

    Probed along each axis at a few of the points, from short to long; a column that does not vary has no side
    (infinity).

    Args:
        kernel: the prior covariance.
        points: what the cells are for, `N x D`.
        loss: see `CORRELATION_LOSS`.
    """
    low, high = points.amin(0), points.amax(0)
    probes = points[
        torch.linspace(0, len(points) - 1, min(_PROBES, len(points)), device=points.device).long()
    ]
    widths = torch.full_like(low, torch.inf)
    for j in torch.nonzero(high > low).squeeze(-1).tolist():
        span = float(high[j] - low[j])
        # From a probe to the farther end, so that what is tried lies among the points.
        inwards = torch.where(probes[:, j] > low[j] + 0.5 * span, -span, span)
        widths[j] = span * _FRACTIONS[0]
        for fraction in _FRACTIONS:
            moved = probes.clone()
            moved[:, j] += fraction * inwards
            # k(x, x') / sqrt(k(x, x) k(x', x')) >= 1 - loss at every probe, or the side is too long.
            scale = (kernel.diagonal(probes) * kernel.diagonal(moved)).sqrt()
            if bool((kernel(probes, moved).diagonal() < (1.0 - loss) * scale).any()):
                break
            widths[j] = span * fraction
    return widths


@dataclass(frozen=True)
class Cells:
    """Which cell every point is in.

    Args:
        points: `N x D`.
        index: the cell of every point, 0 to count - 1, `N`.
        count: number of cells that hold a point.
    """

    points: Float[Tensor, "N D"]
    index: Int[Tensor, " N"]
    count: int

    @classmethod
    def of(cls, points: Float[Tensor, "N D"], widths: Sequence[Float[Tensor, " D"]]) -> Cells:
        """Cells whose sides are short enough for every one of several kernels."""
        width = torch.stack(list(widths)).amin(0)
        low, high = points.amin(0), points.amax(0)
        index = points.new_zeros(len(points), dtype=torch.long)
        for j in torch.nonzero(high > low).squeeze(-1).tolist():
            # Sides that divide the range evenly, so that no sliver is left at its end.
            parts = max(1, int(torch.ceil((high[j] - low[j]) / width[j])))
            place = ((points[:, j] - low[j]) * (parts / (high[j] - low[j]))).long().clamp_(0, parts - 1)
            # Mixed radix: the number so far, without gaps, times the parts of this axis, plus the place on it.
            index = torch.unique(index, return_inverse=True)[1] * parts + place
        kept, index = torch.unique(index, return_inverse=True)
        return cls(points, index, len(kept))

    def centroids(
        self, members: Int[Tensor, " s"]
    ) -> tuple[Float[Tensor, "c D"], Float[Tensor, " c"], Int[Tensor, " s"]]:
        """Centroids and counts of some of the points, and the position of each point's cell among them.

        Args:
            members: rows of `points`.
        """
        cell = self.index[members]
        counts = torch.bincount(cell, minlength=self.count)
        occupied = torch.nonzero(counts).squeeze(-1)
        position = occupied.new_zeros(self.count)
        position[occupied] = torch.arange(len(occupied), device=occupied.device)
        place = position[cell]
        # Centroid of cell c: (1 / n_c) sum of its points.
        sums = self.points.new_zeros(len(occupied), self.points.shape[1])
        sums.index_add_(0, place, self.points[members])
        weight = counts[occupied].to(self.points.dtype)
        return sums / weight.unsqueeze(-1), weight, place
