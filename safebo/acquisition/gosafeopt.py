"""GoSafeOpt's global phases: three rules that say where outside the safe and the failed set to go next.

None of them certifies its proposals or carries a guarantee; what protects a global trial is the boundary condition
that watches it (`safebo.boundary.rules`, which says of every condition whether it guarantees anything).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.safety.safe_set import PointBounds

COVARIANCE_DECAY = 5.0
"""How fast `uncertainty_covariance` falls with the largest correlation; the published code's number."""


class OutsideSafeSet(SafeAcquisition):
    r"""A rule that searches `Theta \ S_n(z)`.

    In a continuous box the failed set E has no volume; failed parameters are in `ctx.told.visited` and, as
    observed points, in `ctx.fantasized`, and keep every rule away in its own way.
    """

    certified_only = False

    def admits(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Bool[Tensor, " n"]:
        """Points outside the certified safe set."""
        return ~self.ctx.certified(bounds)

    @property
    def tried(self) -> Float[Tensor, "v d"]:
        """Parameters of the context that were measured, are pending or have failed."""
        told = self.ctx.told
        parts = [part for part in (told.points, told.visited) if len(part)]
        return torch.cat(parts) if parts else torch.zeros(0, self.ctx.dimension, dtype=torch.float64)


@register("widest_outside")
class WidestOutside(OutsideSafeSet):
    r"""`argmax over Theta \ (S_n(z) union E(z)) of max_i w_n(theta, z, i) / s_i`, s_i prior standard deviations.

    Source: equation 10 of Widmer et al. 2023 (GoSafeOpt, Sukhija et al. 2023). Guarantee: none from the
    bounds, the proposal is not certified; what protects the trial is the boundary condition that watches it.

    The interval is narrow around failed parameters, so the search goes elsewhere. Points that cannot be safe, or
    cannot beat the incumbent, are passed over while others remain: their width counts a tenth.
    """

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Largest width in prior standard deviations, a tenth of it where nothing is to be gained."""
        width = self.ctx.scaled_width(bounds)
        hopeful = (bounds.possible >= 0) & (bounds.certain.upper[..., 0] >= self.ctx.incumbent)
        return torch.where(hopeful, width, 0.1 * width)


@register("maximin_distance")
class MaximinDistance(OutsideSafeSet):
    r"""`argmax over Theta \ S_n(z) of min over tried and failed theta' of ||theta - theta'||`, in the unit cube.

    Source: what the published code of Widmer et al. 2023 does in its global phase, where the paper has
    `widest_outside`. A pure space-filling rule: no posterior and no lengthscale enters, only the safe set does.
    Guarantee: none; what protects the trial is the boundary condition that watches it.
    """

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Distance to the nearest tried point; that across the cube where nothing was tried."""
        tried = self.tried
        if len(tried) == 0:
            return torch.full((len(X),), X.shape[-1] ** 0.5, dtype=torch.float64)
        return torch.cdist(X, tried, compute_mode="donot_use_mm_for_euclid_dist").amin(-1)


@register("uncertainty_covariance")
class UncertaintyCovariance(OutsideSafeSet):
    r"""`argmax over Theta \ S_n(z) of max_i sigma_i / s_i * exp(-5 max over i and theta' of rho_i(theta, theta'))`.

    `theta'` runs over the context's tried and failed parameters, `s_i` is the prior standard deviation and `rho_i`
    the prior correlation of function i at the context, `k_i(v, v') / sqrt(k_i(v, v) k_i(v', v'))`: the covariance
    normalised by the prior variance, so that it is 1 at a tried point and the exponent lies in [-5, 0]. sigma_i is
    half the interval over beta_i, pending and failed trials counted.

    Source: the global phase of the practical GoSafeOpt of Sukhija et al. 2023, as its authors published it; there
    theta' runs over a list of safe points too, which here are those tried, and the product has a constant factor.
    Guarantee: none; what protects the trial is the boundary condition that watches it.
    """

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Largest standard deviation in units of the prior's, damped near what was tried."""
        ctx = self.ctx
        scale = 2.0 * ctx.beta * ctx.surrogate.prior_std
        deviation = (bounds.fantasized.width / scale).amax(-1)
        tried = self.tried
        if len(tried) == 0:
            return deviation
        a, b = ctx.inputs(X), ctx.inputs(tried)
        correlation = torch.zeros(len(X), dtype=torch.float64)
        for posterior in ctx.surrogate.posteriors:
            kernel = posterior.kernel
            norm = kernel.diagonal(a).unsqueeze(-1) * kernel.diagonal(b)
            correlation = torch.maximum(correlation, (kernel(a, b) / norm.sqrt()).amax(-1))
        return deviation * torch.exp(-COVARIANCE_DECAY * correlation)
