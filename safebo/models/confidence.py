"""Confidence bounds: `mean -/+ beta * std`. Beta multiplies the standard deviation everywhere in safebo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.posterior import MINIMAL_VARIANCE, Posterior


@dataclass(frozen=True)
class Prediction:
    """Marginal posterior of all functions at the same points, on the warped scale, each `n x m`."""

    mean: Float[Tensor, "n m"]
    std: Float[Tensor, "n m"]


@dataclass(frozen=True)
class ConfidenceBounds:
    """Lower and upper confidence bounds of all functions, on the warped scale, each `n x m`."""

    lower: Float[Tensor, "n m"]
    upper: Float[Tensor, "n m"]

    @property
    def width(self) -> Float[Tensor, "n m"]:
        """`upper - lower`: `2 beta std` where intervals are not intersected."""
        return self.upper - self.lower


def confidence_bounds(prediction: Prediction, beta: float | Float[Tensor, " m"]) -> ConfidenceBounds:
    """`mean -/+ beta * std`, equation 5 of Widmer et al. 2023 (their 16 multiplies the variance: 4 here).

    Args:
        prediction: means and standard deviations.
        beta: one number, or one per function.
    """
    reach = beta * prediction.std
    return ConfidenceBounds(prediction.mean - reach, prediction.mean + reach)


def prefix_moments(
    posterior: Posterior, X: Float[Tensor, "n D"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Means and variances at X after the first 0, 1, ... observations, `n x (count + 1)` each.

    The Cholesky factor of the first rows is the first rows of the factor, so that all prefixes together cost
    what the last one does.
    """
    residual = posterior.whitened_residual()
    white = posterior.whiten(posterior.kernel(X, posterior.inputs))
    prior = posterior.kernel.diagonal(X).unsqueeze(-1)
    start = torch.zeros_like(prior)
    mean = posterior.prior_mean + torch.cat([start, (white * residual).cumsum(-1)], -1)
    variance = prior - torch.cat([start, white.square().cumsum(-1)], -1)
    return mean, torch.maximum(variance, MINIMAL_VARIANCE * prior)


def disjoint(posterior: Posterior, betas: Float[Tensor, " k"], rows: int) -> bool:
    """Whether intervals of different times have nothing in common at one of the first observations: one was wrong.

    Args:
        posterior: with fixed hyperparameters.
        betas: after 0, 1, ... of its observations.
        rows: so many observations are looked at.
    """
    mean, variance = prefix_moments(posterior, posterior.inputs[:rows])
    reach = betas * variance.sqrt()
    return bool(((mean - reach).amax(-1) > (mean + reach).amin(-1)).any())


def intersected_bounds(
    posteriors: Sequence[Posterior], X: Float[Tensor, "n D"], betas: Sequence[Float[Tensor, " k"]]
) -> ConfidenceBounds:
    """`C_n = C_(n-1) intersect [mean_n -/+ beta_n std_n]`, equations 7 and 8 of Widmer et al. 2023.

    Where the intersection is empty some interval was wrong; the present interval then counts alone (ours: the
    literature leaves it open).

    Args:
        posteriors: of every function, with fixed hyperparameters.
        X: inputs, context included.
        betas: one vector per function: its beta after 0, 1, ... of its observations.
    """
    lower, upper = [], []
    for posterior, beta in zip(posteriors, betas, strict=True):
        mean, variance = prefix_moments(posterior, X)
        reach = beta * variance.sqrt()
        low, high = (mean - reach).amax(-1), (mean + reach).amin(-1)
        empty = low > high
        lower.append(torch.where(empty, (mean - reach)[:, -1], low))
        upper.append(torch.where(empty, (mean + reach)[:, -1], high))
    return ConfidenceBounds(torch.stack(lower, -1), torch.stack(upper, -1))
