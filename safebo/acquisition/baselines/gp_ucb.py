"""GP-UCB: the unconstrained baseline. It violates constraints."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.safety.safe_set import PointBounds


@register("gp_ucb")
class UpperConfidenceBound(SafeAcquisition):
    """`argmax over Theta of mean_n(theta, z, 0) + beta * std_n(theta, z, 0)`, constraints or not.

    Source: Srinivas et al., ICML 2010. Guarantee: none about safety; it is the baseline of Widmer et al.
    2023. A trial without an objective (a fall) counts as the worst objective seen.
    """

    certified_only = False
    falls_are_worst = True

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The objective's upper bound."""
        return bounds.fantasized.upper[..., 0]
