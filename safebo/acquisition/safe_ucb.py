"""Safe GP-UCB: the largest upper bound of the objective inside the certified safe set."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.safety.safe_set import PointBounds


@register("safe_ucb")
class SafeUpperConfidenceBound(SafeAcquisition):
    """`argmax over S_n(z) of mean_n(theta, z, 0) + optimism * std_n(theta, z, 0)`.

    Source: GP-UCB (Srinivas et al. 2010) restricted to the safe set of SafeOpt (Sui et al. 2015); the rule
    that the probe of the walking problem used. Guarantee: every proposal satisfies its constraints with the
    probability with which the confidence bounds hold. It expands the safe set only where the objective's
    upper bound asks for it, so it has no guarantee of reaching the reachable optimum.
    """

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The objective's upper bound."""
        return self.ctx.optimistic(bounds)
