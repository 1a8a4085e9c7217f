"""GoSafeOpt's global phases: the widest interval outside the safe and the failed set."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition, View
from safebo.acquisition.registry import register


@register("widest_outside")
class WidestOutside(SafeAcquisition):
    r"""`argmax over Theta \ (S_n(z) union E(z)) of max_i w_n(theta, z, i) / s_i`.

    Source: equation 10 of Widmer et al. 2023 (GoSafeOpt, Sukhija et al. 2023). Guarantee: none from the
    bounds, the proposal is not certified; what protects the trial is the boundary condition that watches it.

    In a continuous box E has no volume, so failed parameters enter `situation.imagined` as observed points:
    the interval is narrow around them and the search goes elsewhere. Points that cannot be safe, or cannot
    beat the incumbent, are passed over while others remain: their width counts a tenth.
    """

    certified_only = False

    def score(self, X: Float[Tensor, "n d"], view: View) -> Float[Tensor, " n"]:
        """Largest width in prior standard deviations, a tenth of it where nothing is to be gained."""
        width = (view.imagined.width / self.situation.surrogate.prior_std).amax(-1)
        upper = view.certain.upper
        hopeful = (upper[..., 1:] >= self.situation.thresholds).all(-1) & (
            upper[..., 0] >= self.situation.incumbent
        )
        return torch.where(hopeful, width, 0.1 * width)

    def admits(self, X: Float[Tensor, "n d"], view: View) -> Bool[Tensor, " n"]:
        """Points outside the certified safe set."""
        return self.situation.slack(view.certain) < 0
