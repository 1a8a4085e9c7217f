"""LITE: the probability that each of many candidates is the maximum, from marginals alone, in near-linear time.

Menet, Huebotter, Kassraie and Krause, "LITE: Efficiently Estimating Gaussian Probability of Maximality",
AISTATS 2025. Both estimates take the values as independent Gaussians `N(mean_x, std_x^2)`:

- F-LITE: `p_x = Phi((mean_x - kappa) / std_x)` with the one kappa at which the p_x sum to 1; `O(n log(1/e))`
- A-LITE: the maximum is taken for a Gaussian with the quartiles of `prod_x Phi((t - mean_x) / std_x)`;
  `p_x` is the probability that x exceeds it (their first estimate)

Both are approximations: neither has an error bound for dependent values. A candidate may be feasible only with a
probability `w_x`, independently: it then counts as a competitor with that probability (ours; `w_x` of 0
and 1 is a mask). `p_x` then estimates the probability that x is feasible and the best feasible one.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.joint import Noise, marginal_moments, one_point_each
from safebo.errors import InputError

BISECTIONS = 60
"""Halvings of a bracket: they take any bracket below its rounding error."""

MINIMAL_STD = 1e-12
"""Deviations are kept at or above this fraction of the largest one (or of 1 when all are 0)."""


def _checked(
    mean: Tensor, std: Tensor, feasibility: Tensor | None
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Inputs of one length, finite, with deviations above 0 and probabilities in [0, 1]."""
    if mean.dim() != 1 or mean.shape != std.shape or len(mean) == 0:
        raise InputError(
            f"means and standard deviations have the shapes {tuple(mean.shape)} and {tuple(std.shape)}: "
            "allowed are two vectors of one length"
        )
    if not bool(torch.isfinite(mean).all() & torch.isfinite(std).all() & (std >= 0).all()):
        raise InputError("means must be finite, and standard deviations finite and at least 0")
    weight = torch.ones_like(mean) if feasibility is None else feasibility.to(mean)
    if weight.shape != mean.shape or not bool(((weight >= 0) & (weight <= 1)).all()):
        raise InputError(f"feasibility must be {len(mean)} probabilities (or a mask of that length)")
    if not bool((weight > 0).any()):
        raise InputError("no candidate is feasible: every probability of feasibility is 0")
    largest = float(std.max()) or 1.0
    return mean, std.clamp_min(MINIMAL_STD * largest), weight


def probability_of_feasibility(
    mean: Float[Tensor, "n c"], std: Float[Tensor, "n c"], thresholds: Float[Tensor, " c"]
) -> Float[Tensor, " n"]:
    """Probability that every margin reaches its threshold, margins taken as independent."""
    return torch.special.ndtr((mean - thresholds) / std.clamp_min(torch.finfo(std.dtype).tiny)).prod(-1)


def f_lite_level(
    mean: Float[Tensor, " n"],
    std: Float[Tensor, " n"],
    feasibility: Float[Tensor, " n"] | Bool[Tensor, " n"] | None = None,
) -> float:
    """The kappa of F-LITE, by bisection; -inf when the feasibilities sum to 1 or less."""
    mean, std, weight = _checked(mean, std, feasibility)
    counted = weight > 0
    mean, std, weight = mean[counted], std[counted], weight[counted]
    total = float(weight.sum())
    if total <= 1.0:
        return -math.inf
    # Phi(-q) = 1 / total: at kappa = mean_x + q std_x candidate x adds w_x / total to the sum.
    # At the lower end every Phi is at least 1 / total, at the upper end at most: the sum brackets 1.
    quantile = -float(torch.special.ndtri(torch.tensor(1.0 / total, dtype=torch.float64)))
    low, high = float((mean + quantile * std).min()), float((mean + quantile * std).max())
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        total = float((weight * torch.special.ndtr((mean - middle) / std)).sum())
        low, high = (middle, high) if total > 1.0 else (low, middle)
    return 0.5 * (low + high)


def f_lite(
    mean: Float[Tensor, " n"],
    std: Float[Tensor, " n"],
    feasibility: Float[Tensor, " n"] | Bool[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """F-LITE's probabilities of maximality; they sum to 1.

    Args:
        mean: of the values.
        std: their standard deviations.
        feasibility: probabilities of being feasible, or a mask; None when all are.

    Raises:
        InputError: when shapes differ, numbers are not finite, or nothing is feasible.
    """
    level = f_lite_level(mean, std, feasibility)
    mean, std, weight = _checked(mean, std, feasibility)
    p = weight * torch.special.ndtr((mean - level) / std)
    return p / p.sum()


def maximum_moments(
    mean: Float[Tensor, " n"],
    std: Float[Tensor, " n"],
    feasibility: Float[Tensor, " n"] | Bool[Tensor, " n"] | None = None,
) -> tuple[float, float]:
    """Mean and standard deviation of A-LITE's Gaussian for the largest feasible value.

    Its quartiles are those of the maximum of independent values, given that one is feasible.
    """
    mean, std, weight = _checked(mean, std, feasibility)
    counted = weight > 0
    mean, std, weight = mean[counted], std[counted], weight[counted]
    # P(max <= t | one is feasible) = (prod of (1 - w_x Phi((mean_x - t) / std_x)) - nothing) / (1 - nothing).
    nothing = float(torch.exp(torch.log1p(-weight).sum()))
    # By the union bound the maximum exceeds mean + reach std with a probability under 1/8.
    reach = 1.0 + math.sqrt(2.0 * math.log(4.0 * len(mean) + 4.0))
    quartiles = []
    for q in (0.25, 0.75):
        level = math.log(nothing + q * (1.0 - nothing))
        low, high = float((mean - 40.0 * std).min()), float((mean + reach * std).max())
        for _ in range(BISECTIONS + 20):
            middle = 0.5 * (low + high)
            # The logarithm of the probability that each candidate is infeasible or below the middle.
            each = torch.log1p(-weight * torch.special.ndtr((mean - middle) / std))
            low, high = (middle, high) if float(each.sum()) < level else (low, middle)
        quartiles.append(0.5 * (low + high))
    first, third = quartiles
    # Quartiles of a Gaussian lie at m -/+ 0.6745 s, as Phi(0.6745) = 3/4.
    return 0.5 * (first + third), (third - first) / (2.0 * 0.6744897501960817)


class ProbabilityOfMaximality(AcquisitionFunction):
    """F-LITE's or A-LITE's probability, before normalisation, that a point exceeds what given points reach.

    `Phi((mean(x) - kappa) / std(x))`, or `Phi((mean(x) - m) / sqrt(std(x)^2 + s^2))` with A-LITE's Gaussian
    `N(m, s^2)` for the maximum; times the probability of feasibility where thresholds are given. At the given
    points F-LITE's values sum to 1. Without guarantee, and it certifies nothing.

    Args:
        model: any BoTorch model; output 0 is the objective, the others are margins.
        points: the candidates that the maximum is taken over, `n x d`.
        estimate: `f_lite` or `a_lite`.
        thresholds: of the margins, one per output after the first; None to look at the objective alone.
        mask: which points may be the maximum, `n`; all when None.
        noise: of the pending observations; see `safebo.acquisition.joint.Noise`.
        X_pending: points being observed now, `p x d`: variances shrink there and the maximum is estimated anew.
    """

    def __init__(
        self,
        model: Any,
        points: Float[Tensor, "n d"],
        estimate: Literal["f_lite", "a_lite"] = "f_lite",
        thresholds: Float[Tensor, " c"] | None = None,
        mask: Bool[Tensor, " n"] | None = None,
        noise: Noise = None,
        X_pending: Tensor | None = None,
    ) -> None:
        super().__init__(model=model)
        if estimate not in ("f_lite", "a_lite"):
            raise InputError(f"estimate {estimate!r} is unknown: allowed are f_lite and a_lite")
        self.register_buffer("points", points.detach())
        self.register_buffer("mask", mask)
        self.register_buffer("thresholds", thresholds)
        self.estimate = estimate
        self.noise: Noise = noise
        self.set_X_pending(X_pending)

    def set_X_pending(self, X_pending: Float[Tensor, "p d"] | None = None) -> None:
        """Points being observed now; the level that the maximum reaches follows from them."""
        super().set_X_pending(X_pending)
        with torch.no_grad():
            mean, std, feasibility = self._marginals(self.points)
            counted = feasibility if self.mask is None else feasibility * self.mask.to(feasibility)
            self.level, self.spread = (
                (f_lite_level(mean, std, counted), 0.0)
                if self.estimate == "f_lite"
                else maximum_moments(mean, std, counted)
            )

    def _marginals(self, X: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Objective's means and deviations, and probabilities of feasibility."""
        mean, variance = marginal_moments(self.model, X, self.noise, self.X_pending)
        std = variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()
        feasibility = torch.ones_like(mean[0])
        if self.thresholds is not None:
            if len(self.thresholds) != len(mean) - 1:
                raise InputError(
                    f"{len(self.thresholds)} thresholds for a model with {len(mean)} outputs: allowed "
                    "is one for each output after the first"
                )
            feasibility = probability_of_feasibility(mean[1:].T, std[1:].T, self.thresholds)
        return mean[0], std[0], feasibility

    def forward(self, X: Float[Tensor, "b 1 d"]) -> Float[Tensor, " b"]:
        """The probability at every point."""
        mean, std, feasibility = self._marginals(one_point_each(self, X))
        deviation = (std.square() + self.spread**2).sqrt()
        return (feasibility * torch.special.ndtr((mean - self.level) / deviation)).reshape(X.shape[:-2])
