"""Confidence bounds: `mean -/+ beta * std`. Beta multiplies the standard deviation everywhere in safebo."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


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
        """`upper - lower`, that is `2 beta std`."""
        return self.upper - self.lower


def confidence_bounds(prediction: Prediction, beta: float) -> ConfidenceBounds:
    """`mean -/+ beta * std`, equation 5 of Widmer et al. 2023 (their 16 multiplies the variance: 4 here)."""
    return ConfidenceBounds(prediction.mean - beta * prediction.std, prediction.mean + beta * prediction.std)
