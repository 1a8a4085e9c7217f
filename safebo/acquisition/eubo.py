"""EUBO: the pair whose better one is expected to be best, a new certified point beside the best tried one."""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.safety.safe_set import PointBounds

TINY = 1e-12
"""Deviations of a difference at or below which two values are the same."""


def expected_best(
    mean: Float[Tensor, " n"], other: Float[Tensor, "*n"], variance: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """`E max(a, b)` of jointly Gaussian a and b: `mu_a Phi(d / s) + mu_b Phi(-d / s) + s phi(d / s)`.

    Args:
        mean: of every a.
        other: mean of b, or of every b.
        variance: of every `a - b`, s^2; d = mu_a - mu_b.
    """
    s = variance.clamp_min(TINY**2).sqrt()
    z = (mean - other) / s
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2.0 * math.pi)
    return mean * torch.special.ndtr(z) + other * torch.special.ndtr(-z) + s * density


@register("eubo")
class ExpectedUtilityOfBestOption(SafeAcquisition):
    """`argmax over S_n(z) of E max(u(x), u(best))`, best the certified tried point of the largest mean.

    Source: Lin, Astudillo, Frazier and Bakshy, "Preference exploration for efficient Bayesian optimization with
    multiple outcomes", AISTATS 2022, with one of the two held, as a walk is shown beside the best one so far. Of a
    measured objective it is the expected improvement over that point's value, its uncertainty counted. Guarantee:
    every proposal satisfies its constraints with the probability with which the bounds hold. Where no tried point is
    certified the value is the objective's upper bound.
    """

    needs_told: ClassVar[bool] = True

    @cached_property
    def best(self) -> Float[Tensor, "1 d"] | None:
        """The certified tried point of the largest mean of the objective, the first of equal ones; None without any."""
        ctx = self.ctx
        points = ctx.told.points if len(ctx.told.points) else ctx.pool
        if len(points) == 0:
            return None
        with torch.no_grad():
            bounds = ctx.bounds_at(points)
            mean = ctx.fantasized.posteriors[0].mean(ctx.inputs(points))
            mean = torch.where(ctx.certified(bounds), mean, -torch.inf)
        row = int(mean.argmax())
        return points[row : row + 1] if bool(torch.isfinite(mean[row])) else None

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The expected value of the better one."""
        if self.best is None:
            return self.ctx.optimistic(bounds)
        utility, here = self.ctx.fantasized.posteriors[0], self.ctx.inputs(self.best)
        inputs = self.ctx.inputs(X)
        mean, variance = utility.mean_variance(inputs)
        other, other_variance = utility.mean_variance(here)
        shared = utility.cross_covariance(inputs, here)[:, 0]
        return expected_best(mean, other[0], variance + other_variance[0] - 2.0 * shared)
