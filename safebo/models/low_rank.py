"""A covariance over many points as inner products of few features, `k(a, b) ~ phi(a) . phi(b)`.

The features are those of a partial Cholesky factorization with greedy pivots P (Harbrecht, Peters and Schneider
2012): `phi(x) = L^-1 k(P, x)` with `k(P, P) = L L^T`. What they miss, `k(x, x) - |phi(x)|^2`, is never negative; the
next pivot is where it is largest. They exist at any point, so that nothing is stored per point.

Cells of points between which a kernel hardly distinguishes make many points few, weighted ones. A cell is an
axis-aligned box across whose every side the prior correlation stays near 1. Sums over a cell's points are its count
times the value at their centroid up to second order in the cell's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from safebo.models.kernels import Kernel
from safebo.models.posterior import Posterior

TOLERANCE = 1e-10
"""No more features once none of the points lacks more than this fraction of the largest prior variance. It is the
jitter with which targets are taken as known: what the features miss is then below what that jitter blurs."""

MAXIMAL_RANK = 1000
"""So many features at most: about what a squared exponential needs on a square of 13 x 13 lengthscales."""

MAX_PIVOT_CANDIDATES = 16_384

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


@dataclass(frozen=True)
class KernelFeatures:
    """Features of one kernel over a region of points.

    Args:
        kernel: the prior covariance.
        pivots: `r x D`.
        inverse_factor: the inverse of the lower Cholesky factor of `k(P, P)`, `r x r`.
        missing: largest variance that the first 0, 1, ..., r features miss at any candidate for a pivot, `r + 1`.
        widths: sides of the kernel's cells, `D`; see `cell_widths`.
    """

    kernel: Kernel
    pivots: Float[Tensor, "r D"]
    inverse_factor: Float[Tensor, "r r"]
    missing: Float[Tensor, " r1"]
    widths: Float[Tensor, " D"]

    @property
    def rank(self) -> int:
        """Number of features."""
        return len(self.pivots)

    @property
    def relative_missing(self) -> float:
        """Largest variance that all features miss, as a fraction of the largest prior variance."""
        return float(self.missing[-1] / self.missing[0])

    def truncated(self, missing: float) -> KernelFeatures:
        """The first features that miss at most this variance; all where none do."""
        enough = torch.nonzero(self.missing <= missing).squeeze(-1)
        rank = int(enough[0]) if len(enough) else self.rank
        return KernelFeatures(
            self.kernel,
            self.pivots[:rank],
            self.inverse_factor[:rank, :rank],
            self.missing[: rank + 1],
            self.widths,
        )

    def __call__(self, X: Float[Tensor, "n D"]) -> Float[Tensor, "n r"]:
        """The features of points."""
        return self.kernel(X, self.pivots) @ self.inverse_factor.T

    def posterior_root(self, posterior: Posterior) -> Float[Tensor, "r r"]:
        """The symmetric matrix T with posterior covariances `phi(a) . T T phi(b)`.

        `T T = I - V^T V` with `V = L_n^-1 k(X, P) L^-T` for the n observations: their exact covariances are
        used, also far from the region or of other tasks, where the features of X itself would miss some.
        """
        seen = posterior.whiten(self(posterior.inputs).T).T
        # V = U S D gives I - V^T V = I - D^T S^2 D, whose root is I - D^T (1 - sqrt(1 - S^2)) D.
        _, singular, directions = torch.linalg.svd(seen, full_matrices=False)
        shrink = 1.0 - (1.0 - singular.square()).clamp_min(0.0).sqrt()
        return (
            torch.eye(self.rank, dtype=seen.dtype, device=seen.device) - (directions.T * shrink) @ directions
        )


def kernel_features(
    kernel: Kernel,
    points: Float[Tensor, "N D"],
    tolerance: float = TOLERANCE,
    maximal_rank: int = MAXIMAL_RANK,
) -> KernelFeatures:
    """Features of a kernel over points; once per kernel and points, `O(min(N, 16384) r^2)`.

    Pivots are points, or centroids of their cells where points are many (spread rows of them where cells are
    many too). Past `maximal_rank` the features stop short of the tolerance: `relative_missing` says by how much.

    Args:
        kernel: the prior covariance.
        points: `N x D`.
        tolerance: see `TOLERANCE`.
        maximal_rank: see `MAXIMAL_RANK`.
    """
    widths = cell_widths(kernel, points)
    pool = points
    if len(pool) > MAX_PIVOT_CANDIDATES:
        pool = Cells.of(points, [widths]).centroids(torch.arange(len(points), device=points.device))[0]
    if len(pool) > MAX_PIVOT_CANDIDATES:
        generator = torch.Generator().manual_seed(0)  # which rows is immaterial, but must not vary
        pool = pool[torch.randperm(len(pool), generator=generator)[:MAX_PIVOT_CANDIDATES]]
    found = pivoted_cholesky(kernel, pool, maximal_rank, tolerance)
    chosen, rows = found.pivots, found.rows
    # k(P, P) = L L^T with L[j, i] = phi_i(p_j), which is 0 for i > j.
    factor = rows[:, chosen].T.tril()
    eye = torch.eye(len(chosen), dtype=pool.dtype, device=pool.device)
    inverse = torch.linalg.solve_triangular(factor, eye, upper=False)
    return KernelFeatures(kernel, pool[chosen], inverse, pool.new_tensor(found.missing), widths)


@dataclass(frozen=True)
class PivotedCholesky:
    """Pivots among points, each the one of which those before it tell the least.

    Args:
        pivots: rows of the points.
        rows: features of all points, `r x N`: the covariance of two points is nearly their inner product.
        missing: the largest variance that the first 0, 1, ..., r features miss.
        left: the variance that all of them miss at every point.
    """

    pivots: Int[Tensor, " r"]
    rows: Float[Tensor, "r N"]
    missing: tuple[float, ...]
    left: Float[Tensor, " N"]


def pivoted_cholesky(
    kernel: Kernel, points: Float[Tensor, "N D"], rank: int, tolerance: float
) -> PivotedCholesky:
    """The pivoted Cholesky factor of a kernel at points, `O(N r^2)`.

    Args:
        kernel: the prior covariance.
        points: `N x D`.
        rank: so many pivots at most.
        tolerance: no more are taken once no point misses more than this fraction of the largest variance.
    """
    left = kernel.diagonal(points).clone()
    rank = min(rank, len(points))
    rows = points.new_empty(rank, len(points))
    pivots: list[int] = []
    missing = [float(left.max())]
    while len(pivots) < rank and missing[-1] > tolerance * missing[0]:
        # Row j: phi_j(x) = (k(p_j, x) - sum over i < j of phi_i(p_j) phi_i(x)) / sqrt(left(p_j)), with
        # left(x) = k(x, x) - sum over i < j of phi_i(x)^2; the pivot p_j is where left is largest.
        j, best = len(pivots), int(left.argmax())
        covariance = kernel(points[best : best + 1], points)[0] - rows[:j, best] @ rows[:j]
        rows[j] = covariance / left[best].sqrt()
        left = (left - rows[j].square()).clamp_min_(0.0)
        left[best] = 0.0
        pivots.append(best)
        missing.append(float(left.max()))
    chosen = torch.tensor(pivots, dtype=torch.long, device=points.device)
    return PivotedCholesky(chosen, rows[: len(pivots)], tuple(missing), left)


def with_last_pivots(
    kernel: Kernel, points: Float[Tensor, "N D"], found: PivotedCholesky, tolerance: float
) -> PivotedCholesky:
    """The factor of the first points as one of all, in which each of the others is a pivot too.

    Args:
        kernel: the prior covariance.
        points: `N x D`.
        found: pivots among the first of them.
        tolerance: points that miss no more than this fraction of the largest variance are left out.
    """
    first = len(found.left)
    factor = found.rows[:, found.pivots].T.tril()
    more = torch.linalg.solve_triangular(factor, kernel(points[found.pivots], points[first:]), upper=False)
    rows = torch.cat([found.rows, more], -1)
    left = torch.cat([found.left, kernel.diagonal(points[first:]) - more.square().sum(0)]).clamp_min(0.0)
    pivots = found.pivots.tolist()
    for i in range(first, len(points)):
        if float(left[i]) > tolerance * found.missing[0]:
            row = (kernel(points[i : i + 1], points)[0] - rows[:, i] @ rows) / left[i].sqrt()
            rows = torch.cat([rows, row.unsqueeze(0)])
            left = (left - row.square()).clamp_min(0.0)
            left[i] = 0.0
            pivots.append(i)
    return PivotedCholesky(torch.tensor(pivots, device=points.device), rows, found.missing, left)
