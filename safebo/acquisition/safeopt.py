"""SafeOpt: the widest interval among maximizers and expanders, per context."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition, View
from safebo.acquisition.registry import register
from safebo.sets import hallucinated_expanders


@register("safeopt")
class SafeOpt(SafeAcquisition):
    """`argmax over G_n(z) union M_n(z) of max_i w_n(theta, z, i) / s_i`, with s_i the prior's standard
    deviation.

    Source: Sui et al. 2015; several constraints Berkenkamp et al. 2016 (MLJ 2021); contexts and equations 9
    and 16 to 18 Widmer et al. 2023. Guarantee: every proposal satisfies its constraints with the
    probability with which the confidence bounds hold; on finite domains the reachable optimum is found up
    to epsilon.

    `M`: certified points whose objective's upper bound reaches the incumbent, the best lower bound known in
    S. `G`: certified points that could certify one of `situation.targets`. On a grid the targets are all
    uncertified points that can still be safe and the test is SafeOpt's own. In a continuous box they are a
    finite sample of such points just outside the safe set, each short of certification by at least epsilon
    (without which every point of the border would be an expander for ever). The test is sound: a point that
    it calls an expander is one. It may miss some.
    """

    def score(self, X: Float[Tensor, "n d"], view: View) -> Float[Tensor, " n"]:
        """Largest width over the functions, in prior standard deviations."""
        return (view.imagined.width / self.situation.surrogate.prior_std).amax(-1)

    def admits(self, X: Float[Tensor, "n d"], view: View) -> Bool[Tensor, " n"]:
        """Maximizers and expanders; certification is left to the caller."""
        result = view.certain.upper[..., 0] >= self.situation.incumbent
        open_ = torch.nonzero(~result & (self.situation.slack(view.certain) >= 0)).squeeze(-1)
        if len(open_) and len(self.situation.targets):
            result = result.clone()
            result[open_] = self.expands(X[open_], view.certain.upper[open_, 1:])
        return result

    def expands(self, X: Float[Tensor, "n d"], upper: Float[Tensor, "n c"]) -> Bool[Tensor, " n"]:
        """Whether points could certify one of the targets."""
        s = self.situation
        with torch.no_grad():
            if s.lipschitz is None:
                return hallucinated_expanders(
                    s.surrogate, s.inputs(X), s.inputs(s.targets), s.thresholds, s.beta, s.rule
                )
            distance = torch.cdist(X, s.targets).unsqueeze(-1)
            reach = upper.unsqueeze(1) - s.lipschitz * distance >= s.thresholds
            return (reach.all(-1) if s.rule == "all" else reach.any(-1)).any(-1)
