"""SCBO: constrained Thompson sampling in a trust region. A baseline: it violates constraints."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor
from torch.quasirandom import SobolEngine

from safebo.acquisition.base import UNCERTIFIED_PENALTY, AcquisitionContext
from safebo.acquisition.baselines.baseline import Baseline
from safebo.acquisition.baselines.trust_region import merits, replayed, total_violation
from safebo.acquisition.registry import register

PERTURBED = 20
"""Expected number of coordinates in which a candidate differs from the centre, where there are more."""


JITTER = 1e-8
"""Share of the prior variance added to a draw's covariance, which is singular to round-off without it."""


def candidate_count(dimension: int) -> int:
    """How many candidates are drawn, `min(5000, max(2000, 200 d))`."""
    return min(5000, max(2000, 200 * dimension))


@register("scbo")
class ScalableConstrained(Baseline):
    """The best feasible candidate of one joint posterior draw, else the one that violates least in total.

    One function each is drawn for the objective f and the constraints c_i over candidates in a trust region
    around the best trial; proposed is `argmax {f(x) : c_i(x) >= h_i for all i}`, or without such an x
    `argmin sum_i (h_i - c_i(x))_+` in prior standard deviations. Candidates are Sobol points of the region;
    each coordinate stays at the centre's with probability `1 - min(20 / d, 1)`. On a grid they are its
    points in the region, so many of them at most. The region
    (`safebo.acquisition.baselines.trust_region`) is a function of what was told alone, measured values and not
    posterior means. A region begins with uniform points until it has `2 d` trials, seeds among them.

    Ours against the publication: the study's warps and priors stand in for its Gaussian copula and bilog
    transformations and its fit; the posterior keeps what was measured in earlier regions. A pending trial
    changes nothing but the numbers drawn.

    Source: Eriksson & Poloczek, AISTATS 2021 (arXiv 2002.08526). Guarantee: none about safety.

    Args:
        ctx: what to look at; `told` gives the trials in order.
    """

    def __init__(self, ctx: AcquisitionContext) -> None:
        super().__init__(ctx)
        told, scale = ctx.told, ctx.surrogate.prior_std
        values = told.values / scale if len(told.points) else told.values.new_zeros(0, len(scale))
        history = merits(values[:, 0], self.violation(values))
        self.region = replayed(history, ctx.dimension)

    def violation(self, values: Float[Tensor, "n m"]) -> Float[Tensor, " n"]:
        """Total violation of functions' values, both in prior standard deviations."""
        ctx = self.ctx
        return total_violation(values[:, ctx.constrained], ctx.thresholds / ctx.constraint_scale)

    def value(self, X: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """The drawn objective in prior standard deviations where the drawn margins hold, far less elsewhere.

        The draw is joint over the rows of X and the same in every call with the same X: values of one call can
        be compared with each other, not with those of another.
        """
        ctx = self.ctx
        inputs = ctx.inputs(X)
        normals = torch.randn(
            ctx.surrogate.functions,
            len(X),
            generator=torch.Generator().manual_seed(ctx.seed),
            dtype=torch.float64,
        )
        scale = ctx.surrogate.prior_std
        drawn = []
        for posterior, normal, std in zip(ctx.surrogate.posteriors, normals, scale, strict=True):
            mean, covariance = posterior.joint(inputs)
            covariance.diagonal().add_(JITTER * std * std)
            drawn.append((mean + psd_safe_cholesky(covariance) @ normal) / std)
        violation = self.violation(torch.stack(drawn, -1))
        return torch.where(violation == 0, drawn[0], -UNCERTIFIED_PENALTY - violation)

    def values(self, X: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """The value; never in parts, as the draw is joint."""
        return self.value(X)

    def grid_scores(self) -> Float[Tensor, " p"]:
        """The value in the region or at the design's point; -inf elsewhere. Lengths are shares of the grid's extent."""
        grid, region = self.ctx.pool, self.region
        lowest = grid.amin(0)
        extent = (grid.amax(0) - lowest).clamp_min(torch.finfo(grid.dtype).tiny)
        if region.centre is None or region.designing(self.ctx.dimension):
            rows = _nearest(grid, lowest + extent * self.ctx.draw)
        else:
            centre = self.ctx.told.points[region.centre[0]]
            inside = ((grid - centre).abs() <= 0.5 * region.length * extent).all(-1)
            rows = torch.nonzero(inside).squeeze(-1)
            if len(rows) == 0:
                rows = _nearest(grid, centre)
            rng = np.random.default_rng(self.ctx.seed)
            rows = rows[torch.tensor(rng.permutation(len(rows))[: candidate_count(grid.shape[1])])]
        scores = grid.new_full((len(grid),), -torch.inf)
        scores[rows] = self.value(grid[rows])
        return scores

    def candidates(
        self, rng: np.random.Generator, grid: Float[Tensor, "n d"] | None
    ) -> Float[Tensor, "k d"] | None:
        """A uniform point while the region's design is incomplete, then points of the region; None on a grid."""
        if grid is not None:
            return None
        ctx = self.ctx
        if self.region.centre is None or self.region.designing(ctx.dimension):
            return ctx.draw.unsqueeze(0)
        return trust_region_candidates(ctx.told.points[self.region.centre[0]], self.region.length, rng)


def _nearest(grid: Float[Tensor, "n d"], point: Float[Tensor, " d"]) -> Tensor:
    """Row of the grid's point that is nearest to another one."""
    return torch.argmin((grid - point).square().sum(-1)).reshape(1)


def trust_region_candidates(
    centre: Float[Tensor, " d"], length: float, rng: np.random.Generator
) -> Float[Tensor, "k d"]:
    """Sobol points of a cube cut at the unit cube; coordinates are partly the centre's, at least one is moved.

    Args:
        centre: of the cube, in the unit cube.
        length: of its sides.
        rng: of scrambling and of the coordinates that stay.
    """
    lower, upper = (centre - 0.5 * length).clamp_min(0.0), (centre + 0.5 * length).clamp_max(1.0)
    d = len(centre)
    count = candidate_count(d)
    sobol = SobolEngine(d, scramble=True, seed=int(rng.integers(2**31)))
    points = lower + (upper - lower) * sobol.draw(count, dtype=torch.float64)
    moved = rng.random((count, d)) < min(PERTURBED / d, 1.0)
    still = ~moved.any(-1)
    moved[still, rng.integers(d, size=int(still.sum()))] = True
    return torch.where(torch.tensor(moved), points, centre)
