"""One function's posterior over a fixed set of points, brought up to date by one row per observation.

With `K + noise I = L L^T` the rows of `W = L^-1 k(inputs, points)` never change when observations are added.
They are kept, so that one more observation costs `O(n N)` for N points instead of `O(n^2 N)`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from safebo.models.posterior import MINIMAL_VARIANCE, Posterior

BLOCK_ELEMENTS = 2**22
"""Whitened rows are stored in blocks of about this many numbers (32 MiB), so that none is ever copied."""

MAX_BLOCK_ROWS = 256


class GridPosterior:
    """Posterior means and variances at `points`, for observations that are only ever added.

    Args:
        points: `N x D`, context included.
    """

    def __init__(self, points: Float[Tensor, "N D"]) -> None:
        self.points = points
        self._block_rows = min(MAX_BLOCK_ROWS, max(8, BLOCK_ELEMENTS // max(1, len(points))))
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.mean = self.points.new_zeros(0)
        self.prior_variance = self.mean
        self._variance = self.mean
        self._blocks: list[Tensor] = []
        self._known: Posterior | None = None

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

    def update(self, posterior: Posterior) -> None:
        """Catch up with `posterior`, from the last observation that it shares with the known one."""
        if self._known is not None and posterior is not self._known:
            self._keep(self._shared(posterior))
        if len(self.mean) == 0:
            self.prior_variance = posterior.kernel.diagonal(self.points).clone()
            self._variance = self.prior_variance.clone()
            self.mean = torch.full_like(self._variance, posterior.prior_mean)
        self._known = posterior
        old, new = self.count, posterior.count
        if new == old:
            return
        while len(self._blocks) * self._block_rows < new:
            self._blocks.append(self.points.new_empty(self._block_rows, len(self.points)))
        residual = posterior.whitened_residual()[old:]
        for part, whitened in self._new_rows(posterior):
            for row in range(new - old):
                index, offset = divmod(old + row, self._block_rows)
                self._blocks[index][offset, part] = whitened[row]
            # With w_j the rows of W and r = L^-1 (y - prior mean): variance = k(x, x) - sum of w_j(x)^2 and
            # mean = prior mean + sum of r_j w_j(x).
            self._variance[part] -= whitened.square().sum(0)
            self.mean[part] += residual @ whitened
        self.count = new

    def beyond(self, posterior: Posterior) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Means and variances of a posterior that has a few rows more than the known one; none are kept."""
        mean, variance = self.mean.clone(), self._variance.clone()
        if posterior.count > self.count:
            residual = posterior.whitened_residual()[self.count :]
            for part, whitened in self._new_rows(posterior):
                variance[part] -= whitened.square().sum(0)
                mean[part] += residual @ whitened
        return mean, torch.maximum(variance, MINIMAL_VARIANCE * self.prior_variance)

    def _shared(self, posterior: Posterior) -> int:
        """How many of the known rows a posterior begins with; its factor may be blocked differently from there on."""
        known, n = self._known, min(self.count, posterior.count)
        if (
            known is None
            or posterior.kernel is not known.kernel
            or posterior.prior_mean != known.prior_mean
            or posterior.noise_variance != known.noise_variance
        ):
            return 0
        same = (posterior.inputs[:n] == known.inputs[:n]).all(1)
        same &= (posterior.inverse_factor[:n, :n] == known.inverse_factor[:n, :n]).all(1)
        residual = posterior.whitened_residual()[:n], known.whitened_residual()[:n]
        same &= torch.isclose(*residual, 1e-9, 1e-9)
        return int(same.int().cumprod(0).sum())

    def _keep(self, count: int) -> None:
        """Forget all but the first `count` rows; all where there are none, as the prior may be another one."""
        if count == self.count > 0:
            return
        known, rows = self._known, [block for _, block in self._stored(count)]
        if count == 0 or known is None:
            self._forget()
            return
        residual = known.whitened_residual()[:count].split([len(block) for block in rows])
        self.count = count
        self._variance = self.prior_variance - sum(block.square().sum(0) for block in rows)
        self.mean = known.prior_mean + sum(r @ block for r, block in zip(residual, rows, strict=True))

    def _new_rows(self, posterior: Posterior) -> Iterator[tuple[slice, Float[Tensor, "r p"]]]:
        """Whitened rows of the observations past the known ones, a stretch of points at a time."""
        old, rows = self.count, posterior.count - self.count
        factor, inputs = posterior.inverse_factor, posterior.inputs
        # The lower left block of L, and the inverse of its lower right one.
        lower = (factor[:old, :old] @ posterior.kernel(inputs[:old], inputs[old:])).T
        inverse = factor[old:, old:]
        chunk = min(2**17, max(2**11, 2**20 // rows))
        for start in range(0, len(self.points), chunk):
            part = slice(start, start + chunk)
            # W_new = L_22^-1 (k(new, points) - L_21 W_old), with L_21 = (L_11^-1 k(old, new))^T.
            covariance = posterior.kernel(inputs[old:], self.points[part])
            for first, block in self._stored(old):
                covariance = covariance - lower[:, first : first + len(block)] @ block[:, part]
            yield part, inverse @ covariance

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
        return torch.cat(parts) if parts else self.points.new_zeros(0, len(index))

    def cross_covariance(
        self,
        posterior: Posterior,
        index: Int[Tensor, " b"],
        whitened: Float[Tensor, "n b"],
        columns: slice | Int[Tensor, " t"],
    ) -> Float[Tensor, "b t"]:
        """Posterior covariance of the points `index`, whose columns of W are `whitened`, with `columns`."""
        # k(a, b) - w(a)^T w(b), a block of W's rows at a time.
        covariance = posterior.kernel(self.points[index], self.points[columns])
        for first, block in self._stored(self.count):
            covariance = covariance - whitened[first : first + len(block)].T @ block[:, columns]
        return covariance
