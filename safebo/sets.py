"""Safe set, maximizers and expanders over finite candidates, as masks.

Each function is a pure one of confidence bounds (warped scale). `lower` and `upper` of the constraints are
`n x c`, their thresholds (where the margin 0 lies) `c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.posterior import MINIMAL_VARIANCE

ExpanderRule = Literal["all", "any"]


class FunctionPosterior(Protocol):
    """What the expander test needs of one function's posterior; see `safebo.posterior.Posterior`."""

    @property
    def noise_variance(self) -> float: ...  # noqa: D102

    def mean_variance(self, X: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102

    def cross_covariance(self, a: Tensor, b: Tensor) -> Tensor: ...  # noqa: D102


def safe_set(
    lower: Float[Tensor, "n c"], thresholds: Float[Tensor, " c"], strict: bool = False
) -> Bool[Tensor, " n"]:
    """Candidates whose every margin is at least 0 at its lower bound: the kernel alone certifies.

    `strict` asks for lower bounds above the thresholds, as published implementations on grids do.
    """
    return (lower > thresholds).all(-1) if strict else (lower >= thresholds).all(-1)


def lipschitz_safe_set(
    lower: Float[Tensor, "n c"],
    thresholds: Float[Tensor, " c"],
    distances: Float[Tensor, "n n"],
    lipschitz: Float[Tensor, " c"],
    previous: Bool[Tensor, " n"],
) -> Bool[Tensor, " n"]:
    """Equation 15 of Widmer et al. 2023: `intersect_i union_{x' in S} {x : l_i(x') - L_i ||x - x'|| >= 0}`.

    Args:
        lower: lower bounds.
        thresholds: where the margins are 0.
        distances: between all candidates, in the unit cube.
        lipschitz: Lipschitz constant of every constraint, per unit of that distance.
        previous: the safe set before.
    """
    if not bool(previous.any()):
        return torch.zeros_like(previous)
    reach = lower[previous].unsqueeze(1) - lipschitz * distances[previous].unsqueeze(-1) - thresholds
    return (reach >= 0).any(0).all(-1)


def maximizers(
    lower: Float[Tensor, " n"], upper: Float[Tensor, " n"], safe: Bool[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Equation 18: safe candidates whose objective's upper bound reaches the best lower bound in S."""
    if not bool(safe.any()):
        return torch.zeros_like(safe)
    return safe & (upper >= lower[safe].max())


def lipschitz_expanders(
    upper: Float[Tensor, "n c"],
    thresholds: Float[Tensor, " c"],
    distances: Float[Tensor, "n n"],
    lipschitz: Float[Tensor, " c"],
    safe: Bool[Tensor, " n"],
    rule: ExpanderRule = "all",
) -> Bool[Tensor, " n"]:
    """Safe candidates that could certify an uncertified one: `u_i(x) - L_i ||x - x'|| >= 0`, equations 16-17.

    `any` asks it of one constraint, as equation 17 is printed; `all` of every constraint at the same x'.
    """
    if not bool(safe.any()) or bool(safe.all()):
        return torch.zeros_like(safe)
    reach = upper[safe].unsqueeze(1) - lipschitz * distances[safe][:, ~safe].unsqueeze(-1) - thresholds
    reached = (reach >= 0).all(-1) if rule == "all" else (reach >= 0).any(-1)
    result = torch.zeros_like(safe)
    result[safe] = reached.any(-1)
    return result


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
    # The upper bound lies beta standard deviations above the mean.
    moved = mean + gain * (beta * candidate_variance.sqrt()).unsqueeze(-1)
    left = torch.clamp_min(variance - gain * covariance, 0.0)
    left = torch.maximum(left, MINIMAL_VARIANCE * variance)
    return moved - beta * left.sqrt()


def hallucinated_expanders(
    posteriors: Sequence[FunctionPosterior],
    X: Float[Tensor, "n D"],
    targets: Float[Tensor, "p D"],
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
        targets: uncertified points, context included.
        thresholds: where the margins are 0.
        beta: confidence multiplier, one or one per constraint.
        rule: see above.
    """
    if len(targets) == 0 or len(X) == 0:
        return torch.zeros(len(X), dtype=torch.bool)
    betas = torch.as_tensor(beta, dtype=torch.float64).expand(len(thresholds)).tolist()
    joint = torch.ones(len(X), len(targets), dtype=torch.bool)
    single = torch.zeros(len(X), len(targets), dtype=torch.bool)
    for posterior, threshold, b in zip(posteriors, thresholds, betas, strict=True):
        _, variance = posterior.mean_variance(X)
        mean_t, variance_t = posterior.mean_variance(targets)
        covariance = posterior.cross_covariance(X, targets)
        lower = hallucinated_lower(mean_t, variance_t, covariance, variance, posterior.noise_variance, b)
        holds = lower >= threshold
        joint &= holds
        single |= holds & (mean_t - b * variance_t.sqrt() < threshold)
    return (joint if rule == "all" else single).any(-1)
