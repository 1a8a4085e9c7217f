"""Random search, unsafe and safe, written as acquisitions so that the same search serves them."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.safety.safe_set import PointBounds


@register("random")
class Random(SafeAcquisition):
    """The point drawn uniformly from the box for this trial. Guarantee: none; a baseline."""

    certified_only = False

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Minus the squared distance to the point drawn."""
        return -(X - self.ctx.draw).square().sum(-1)


@register("random_safe")
class RandomSafe(Random):
    """The certified point nearest to one drawn uniformly from the box.

    Guarantee: every proposal satisfies its constraints with the probability with which the bounds hold. Draws
    outside the safe set land on its border, so it expands in all directions.
    """

    certified_only = True
