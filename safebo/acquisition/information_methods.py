"""ISE, ISE-BO and MES as methods of studies, over the certified set; see `safebo.acquisition.information`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.information import ise, mes, sample_optima
from safebo.acquisition.registry import register
from safebo.acquisition.transductive.scores import TransductiveGrid
from safebo.acquisition.transductive.targets import MAX_JOINT_POINTS
from safebo.errors import InputError
from safebo.models.botorch_model import SurrogateModel
from safebo.models.low_rank import TOLERANCE, KernelFeatures
from safebo.models.mixture import MixturePosterior
from safebo.safety.safe_set import PointBounds

MAX_PLACES = 2500
"""ISE asks about safety at most at so many places of the pool: those whose safety is least known."""


MANY_POINTS = 300
"""On a grid of more points the samples are drawn in the features of the kernels, where these miss nothing."""

SAMPLED_JOINTLY = 400
"""Points of a sampled box over which the maximum's samples are drawn."""


class InformationMethod(SafeAcquisition):
    """What ISE and MES need: places whose safety is asked about, and sampled optima."""

    pool_kind = "wide"

    @cached_property
    def places(self) -> Float[Tensor, "k d"]:
        """Points of the pool, those with the least known sign of a margin where there are too many."""
        s = self.ctx
        most = MAX_PLACES if s.domain is not None else s.transductive.count
        if len(s.pool) <= most:
            return s.pool
        bounds = s.pool_bounds.fantasized
        mean = 0.5 * (bounds.lower + bounds.upper)[:, s.constrained]
        ratio = ((mean - s.thresholds).abs() / bounds.width[:, s.constrained].clamp_min(1e-300)).amin(-1)
        return s.pool[torch.topk(ratio, most, largest=False).indices.sort().values]

    @cached_property
    def optima(self) -> Float[Tensor, " s"]:
        """Feasible maxima of joint posterior samples over the pool's possibly safe points of the largest upper bounds.

        Where no sample has a feasible point, the maxima without constraints.
        """
        s = self.ctx
        bounds = s.pool_bounds
        rows = torch.nonzero(bounds.possible >= 0).squeeze(-1)
        most = MAX_JOINT_POINTS if s.domain is not None else SAMPLED_JOINTLY
        if len(rows) > most:
            rows = rows[torch.topk(bounds.certain.upper[rows, 0], most).indices]
        features = self._features()
        if features is not None:
            return self._sampled_by_features(features, rows)
        model = SurrogateModel(s.fantasized, s.context)
        # `sample_optima` wants one threshold for every function after the first.
        thresholds = s.pool.new_full((s.surrogate.functions - 1,), -torch.inf)
        for i, t in zip(s.constrained, s.thresholds, strict=True):
            if i > 0:
                thresholds[i - 1] = t
        count = s.transductive.samples
        try:
            return sample_optima(model, s.pool[rows], count, s.generator(), thresholds)
        except InputError:
            return sample_optima(model, s.pool[rows], count, s.generator())

    def _features(self) -> list[KernelFeatures] | None:
        """Features of the functions' kernels over a grid, where they miss nothing; None elsewhere."""
        s = self.ctx
        if s.domain is None or len(s.pool) < MANY_POINTS:
            return None
        if any(isinstance(p, MixturePosterior) for p in s.fantasized.posteriors):
            return None
        known = s.domain.kept(s.context, TransductiveGrid)
        found = [known.features(p.kernel) for p in s.fantasized.posteriors]
        return found if all(f.relative_missing <= TOLERANCE for f in found) else None

    def _sampled_by_features(
        self, features: Sequence[KernelFeatures], rows: Int[Tensor, " k"]
    ) -> Float[Tensor, " s"]:
        """The same samples' maxima in `O(n r)`: posterior covariances are `phi(a) . T T phi(b)`."""
        s = self.ctx
        count, generator = s.transductive.samples, s.generator()
        inputs, mean = s.inputs(s.pool[rows]), s.pool_prediction.mean[rows]
        samples = []
        for i, (posterior, own) in enumerate(zip(s.fantasized.posteriors, features, strict=True)):
            draws = torch.randn(own.rank, count, dtype=mean.dtype, generator=generator, device="cpu")
            samples.append(
                mean[:, i, None] + own(inputs) @ (own.posterior_root(posterior) @ draws.to(mean.device))
            )
        feasible = torch.ones_like(samples[0], dtype=torch.bool)
        for i, t in zip(s.constrained, s.thresholds, strict=True):
            if i > 0:
                feasible &= samples[i] >= t
        if not bool(feasible.any()):
            return samples[0].amax(0)
        return torch.where(feasible, samples[0], -torch.inf).amax(0)[feasible.any(0)]

    def about_safety(self, X: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """`max_z max_i I(1{g_i(z) >= threshold_i}; y_i(x))`."""
        s = self.ctx
        inputs, places = s.inputs(X), s.inputs(self.places)
        information = []
        for i, t in zip(s.constrained, s.thresholds, strict=True):
            p = s.fantasized.posteriors[i]
            mean, target_variance = p.mean_variance(places)
            _, variance = p.mean_variance(inputs)
            cross = p.cross_covariance(inputs, places)
            noise = torch.full_like(variance, p.noise_variance)
            information.append(ise(mean - t, target_variance, variance, cross, noise).amax(-1))
        if not information:
            raise InputError("ise and ise_bo ask what is safe: they need at least one constraint")
        return reduce(torch.maximum, information)

    def about_the_maximum(self, X: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """MES of the objective."""
        s = self.ctx
        return mes(*s.fantasized.posteriors[0].mean_variance(s.inputs(X)), self.optima)

    def grid_scores(self) -> Float[Tensor, " p"]:
        """Scores of the certified rows, some at a time."""
        s = self.ctx
        bounds = s.pool_bounds
        result = s.pool.new_full((len(s.pool),), -torch.inf)
        for part in torch.nonzero(s.certified(bounds)).squeeze(-1).split(1024):
            result[part] = self.score(s.pool[part], bounds)
        return result


@register("ise")
class SafeISE(InformationMethod):
    """`argmax over S_n(z) of max_z' I(1{g_z' >= 0}; y_x)`: information about safety anywhere.

    Source: Bottero et al., NeurIPS 2022. Guarantee: every proposal satisfies its constraints with the probability
    with which the confidence bounds hold, and the safe set grows; the objective is not looked at.
    """

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The information in nats."""
        return self.about_safety(X)


@register("mes")
class SafeMES(InformationMethod):
    """Max-value entropy search over the certified set (Wang and Jegelka 2017); it does not expand on purpose."""

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The information in nats."""
        return self.about_the_maximum(X)


@register("ise_bo")
class SafeISEBO(InformationMethod):
    """The larger of ISE and MES over the certified set (Bottero et al. 2024); guarantee as ISE's."""

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The larger information in nats."""
        return torch.maximum(self.about_safety(X), self.about_the_maximum(X))
