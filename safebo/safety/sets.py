"""Maximizers and expanders over finite candidates, as masks.

Each function is a pure one of confidence bounds (warped scale). `lower` and `upper` of the constraints are
`n x c`, their thresholds (where the margin 0 lies) `c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.models.posterior import MINIMAL_VARIANCE, FixedPoints, Posterior

ExpanderRule = Literal["all", "any"]


def maximizers(
    lower: Float[Tensor, " n"], upper: Float[Tensor, " n"], safe: Bool[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Equation 18: safe candidates whose objective's upper bound reaches the best lower bound in S."""
    return safe & (upper >= lower[safe].max()) if bool(safe.any()) else torch.zeros_like(safe)


def lipschitz_expanders(
    upper: Float[Tensor, "n c"],
    thresholds: Float[Tensor, " c"],
    distances: Float[Tensor, "n t"],
    lipschitz: Float[Tensor, " c"],
    rule: ExpanderRule = "all",
) -> Bool[Tensor, " n"]:
    """Candidates that could certify one of t uncertified points: `u_i(x) - L_i ||x - x'|| >= 0`, equations 16-17.

    `any` asks it of one constraint, as equation 17 is printed; `all` of every constraint at the same x'.

    Args:
        upper: upper bounds at the candidates.
        thresholds: where the margins are 0.
        distances: from candidates to uncertified points.
        lipschitz: Lipschitz constant of every constraint, per unit of that distance.
        rule: see above.
    """
    # u_i(x) - L_i ||x - x'|| >= h_i, as `n x t x c`.
    reach = upper.unsqueeze(1) - lipschitz * distances.unsqueeze(-1) >= thresholds
    return (reach.all(-1) if rule == "all" else reach.any(-1)).any(-1)


def hallucinated_lower(
    mean: Float[Tensor, " t"],
    variance: Float[Tensor, " t"],
    covariance: Float[Tensor, "n t"],
    candidate_variance: Float[Tensor, " n"],
    noise_variance: float,
    beta: float,
) -> Float[Tensor, "n t"]:
    """Lower bounds at targets after each candidate's own upper bound was observed there, one at a time.

    A rank-one update in closed form: with `v` a candidate's variance and `k` its covariance with a target,
    the mean moves by `k beta sqrt(v) / (v + noise)` and the variance falls by `k^2 / (v + noise)`.

    Args:
        mean: posterior means at the targets.
        variance: posterior variances at the targets.
        covariance: posterior covariances of candidates and targets.
        candidate_variance: posterior variances at the candidates.
        noise_variance: of the hypothetical observation.
        beta: confidence multiplier.
    """
    gain = covariance / (candidate_variance + noise_variance).unsqueeze(-1)
    # mean' = mean + g (u - mean(x)) and variance' = variance - g k, with the gain g = k / (v + noise).
    # The upper bound lies beta standard deviations above the mean.
    moved = mean + gain * (beta * candidate_variance.sqrt()).unsqueeze(-1)
    left = torch.clamp_min(variance - gain * covariance, 0.0)
    left = torch.maximum(left, MINIMAL_VARIANCE * variance)
    return moved - beta * left.sqrt()


def hallucinated_expanders(
    posteriors: Sequence[Posterior],
    X: Float[Tensor, "n D"],
    targets: Sequence[FixedPoints],
    thresholds: Float[Tensor, " c"],
    beta: float | Float[Tensor, " c"],
    rule: ExpanderRule = "all",
) -> Bool[Tensor, " n"]:
    """Candidates at which observing the upper bound of every constraint would certify some uncertified
    target.

    The hypothetical observation carries the observation noise; each test is a rank-one update of the cached
    posterior, all of them in one matrix product. `all`: one and the same target satisfies every constraint.
    `any`: some constraint that does not hold at a target now would hold there.

    Args:
        posteriors: of the constraints.
        X: candidates, context included.
        targets: uncertified points, context included, the same ones for every posterior.
        thresholds: where the margins are 0.
        beta: confidence multiplier, one or one per constraint.
        rule: see above.
    """
    count = len(targets[0].points) if targets else 0
    if count == 0 or len(X) == 0:
        return X.new_zeros(len(X), dtype=torch.bool)
    betas = beta.tolist() if isinstance(beta, Tensor) else [beta] * len(thresholds)
    joint = X.new_ones(len(X), count, dtype=torch.bool)
    single = X.new_zeros(len(X), count, dtype=torch.bool)
    for posterior, fixed, threshold, b in zip(posteriors, targets, thresholds, betas, strict=True):
        _, variance, covariance = posterior.against(X, fixed)
        noise = posterior.noise_variance
        lower = hallucinated_lower(fixed.mean, fixed.variance, covariance, variance, noise, b)
        holds = lower >= threshold
        joint &= holds
        single |= holds & (fixed.mean - b * fixed.variance.sqrt() < threshold)
    return (joint if rule == "all" else single).any(-1)
