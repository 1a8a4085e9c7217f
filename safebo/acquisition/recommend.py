"""What to recommend rather than to try: lower bounds and means."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.safety.safe_set import PointBounds


@register("best_lower_bound")
class BestLowerBound(SafeAcquisition):
    """`argmax over S_n(z) of l_n(theta, z, 0)`: the recommendation of Widmer et al. 2023 (section 4.2.1)."""

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The objective's lower bound from told data alone."""
        return bounds.certain.lower[..., 0]


@register("posterior_mean")
class PosteriorMean(SafeAcquisition):
    """The largest posterior mean of the objective where every margin's posterior mean is at least 0.

    For contexts that were never tried. Guarantee: none. Where no mean margin reaches 0, points with the
    largest smallest mean margin come first.
    """

    certified_only = False

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The objective's mean; minus a large multiple of the worst mean margin's deficit."""
        mean = 0.5 * (bounds.certain.lower + bounds.certain.upper)
        deficit = ((self.ctx.thresholds - mean[..., 1:]) / self.ctx.surrogate.prior_std[1:]).amax(-1)
        return mean[..., 0] - 1e3 * self.ctx.surrogate.prior_std[0] * deficit.clamp_min(0.0)
