"""One function's posterior over a fixed set of points, brought up to date by one row per observation.

With `K + noise I = L L^T` the rows of `W = L^-1 k(inputs, points)` never change when observations are added.
They are kept, so that one more observation costs `O(n N)` for N points instead of `O(n^2 N)`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from safebo.posterior import MINIMAL_VARIANCE, Posterior

BLOCK_ELEMENTS = 2**22
"""Whitened rows are stored in blocks of about this many numbers (32 MiB), so that none is ever copied."""

MOST_BLOCK_ROWS = 256


class GridPosterior:
    """Posterior means and variances at `points`, for observations that are only ever added.

    Args:
        points: `N x D`, context included.
    """

    def __init__(self, points: Float[Tensor, "N D"]) -> None:
        self.points = points
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.prior_variance = self.mean
        self._variance = self.mean
        self._block_rows = min(MOST_BLOCK_ROWS, max(8, BLOCK_ELEMENTS // max(1, len(points))))
        self._blocks: list[Tensor] = []

    @property
    def variance(self) -> Float[Tensor, " N"]:
        """Posterior variances, positive."""
        return torch.maximum(self._variance, MINIMAL_VARIANCE * self.prior_variance)

    def variance_at(self, index: slice | Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Posterior variances at some points."""
        return torch.maximum(self._variance[index], MINIMAL_VARIANCE * self.prior_variance[index])

    @property
    def nbytes(self) -> int:
        """Memory of the stored rows."""
        return 8 * sum(block.numel() for block in self._blocks)

    def update(self, posterior: Posterior, values: Float[Tensor, " n"]) -> None:
        """Catch up with `posterior`, whose first `count` observations are the ones already known.

        Args:
            posterior: the posterior of all observations so far.
            values: what was observed, `n`.
        """
        if len(self.mean) == 0:
            self.prior_variance = posterior.kernel.diagonal(self.points).clone()
            self._variance = self.prior_variance.clone()
            self.mean = torch.full((len(self.points),), posterior.prior_mean, dtype=torch.float64)
        old, new = self.count, posterior.count
        rows = new - old
        if rows == 0:
            return
        factor, inputs = posterior.inverse_factor, posterior.inputs
        # The lower left block of L, and the inverse of its lower right one.
        lower = (factor[:old, :old] @ posterior.kernel(inputs[:old], inputs[old:])).T
        inverse = factor[old:, old:]
        whitened_values = factor[old:] @ (values - posterior.prior_mean)
        while len(self._blocks) * self._block_rows < new:
            self._blocks.append(torch.empty(self._block_rows, len(self.points), dtype=torch.float64))
        chunk = min(2**17, max(2**11, 2**20 // rows))
        for start in range(0, len(self.points), chunk):
            part = slice(start, start + chunk)
            covariance = posterior.kernel(inputs[old:], self.points[part])
            for first, block in self._stored(old):
                covariance = covariance - lower[:, first : first + len(block)] @ block[:, part]
            whitened = inverse @ covariance
            for row in range(rows):
                index, offset = divmod(old + row, self._block_rows)
                self._blocks[index][offset, part] = whitened[row]
            self._variance[part] -= whitened.square().sum(0)
            self.mean[part] += whitened_values @ whitened
        self.count = new

    def _stored(self, rows: int) -> Iterator[tuple[int, Tensor]]:
        """The first `rows` whitened rows, block by block, each with the number of its first row."""
        for i, block in enumerate(self._blocks):
            first = i * self._block_rows
            if first >= rows:
                return
            yield first, block[: rows - first]

    def whitened(self, index: Int[Tensor, " b"]) -> Float[Tensor, "n b"]:
        """The columns of W at some points."""
        parts = [block[:, index] for _, block in self._stored(self.count)]
        return torch.cat(parts) if parts else torch.zeros(0, len(index), dtype=torch.float64)

    def cross_covariance(
        self,
        posterior: Posterior,
        index: Int[Tensor, " b"],
        whitened: Float[Tensor, "n b"],
        columns: slice | Int[Tensor, " t"],
    ) -> Float[Tensor, "b t"]:
        """Posterior covariance of the points `index`, whose columns of W are `whitened`, with `columns`."""
        covariance = posterior.kernel(self.points[index], self.points[columns])
        for first, block in self._stored(self.count):
            covariance = covariance - whitened[first : first + len(block)].T @ block[:, columns]
        return covariance
