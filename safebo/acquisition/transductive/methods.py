"""Transductive rules as methods of studies: certified points that teach most about a target space.

Rules and sources: `safebo.acquisition.transductive`; target spaces: `safebo.acquisition.transductive.targets`.
Scores are summed over all functions, each with its own posterior and noise.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.joint import JointMoments
from safebo.acquisition.registry import register
from safebo.acquisition.transductive import JITTER, rule_named, undirected
from safebo.acquisition.transductive.scores import TransductiveGrid
from safebo.acquisition.transductive.targets import named_space, target_bounds_of
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import FixedPoints
from safebo.safety.safe_set import PointBounds


class TransductiveMethod(SafeAcquisition):
    """`argmax over S_n(z) of sum_i score_i(x; A)`, with A a target space over the pool.

    The targets are those of the pool: of the whole grid, or of a sample of the continuous box, thinned to
    `tuner.transductive.count`. Guarantee: every proposal satisfies its constraints with the probability with
    which the confidence bounds hold; see each rule for more.
    """

    pool_kind = "wide"
    rule: ClassVar[str]
    """Its name in `safebo.acquisition.transductive.RULES`."""

    @cached_property
    def targets(self) -> Float[Tensor, "k d"]:
        """What the trial should teach about."""
        s = self.ctx
        points = s.pool[self._target_rows]
        if s.domain is None and len(points) > s.transductive.count:
            chosen = torch.randperm(len(points), generator=s.generator())[: s.transductive.count]
            points = points[chosen.sort().values]
        return points

    @cached_property
    def _target_rows(self) -> Tensor:
        """Mask over the pool."""
        s = self.ctx
        with torch.no_grad():
            bounds = target_bounds_of(s)
            mask = named_space(s)(bounds)
            if not bool(mask.any()):
                # No draw had a feasible maximum, or a fixed region holds no point: every point that may be safe.
                mask = bounds.possibly_safe
        return mask

    @cached_property
    def _fixed(self) -> list[tuple[FixedPoints, Tensor]]:
        """The targets as every function sees them, with their covariance."""
        inputs = self.ctx.inputs(self.targets)
        with torch.no_grad():
            return [(p.fixed(inputs), p.joint(inputs)[1]) for p in self.ctx.fantasized.posteriors]

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The rule's score, summed over the functions."""
        s = self.ctx
        inputs = s.inputs(X)
        total = X.new_zeros(len(X))
        for i, (p, (fixed, covariance)) in enumerate(zip(s.fantasized.posteriors, self._fixed, strict=True)):
            mean, variance, cross = p.against(inputs, fixed)
            # Rounding of a posterior covariance is that of the prior it is subtracted from.
            largest = float(covariance.diagonal().max().clamp_min(1e-300))
            jitter = JITTER * max(1.0, float(s.surrogate.prior_std[i]) ** 2 / largest)
            noise = torch.full_like(variance, p.noise_variance)
            moments = JointMoments(mean, variance, noise, fixed.mean, covariance, cross)
            total = total + rule_named(self.rule)(moments, jitter)
        return total

    def grid_scores(self) -> Float[Tensor, " p"]:
        """Scores of the certified rows: exact, or of low rank where there are thousands of targets."""
        s = self.ctx
        candidates = s.certified(s.pool_bounds)
        if s.domain is None or any(isinstance(p, MixturePosterior) for p in s.fantasized.posteriors):
            return super().grid_scores()
        if not bool(candidates.any()):
            return s.pool.new_full((len(s.pool),), -torch.inf)
        scorer = s.domain.kept(s.context, TransductiveGrid)
        variances = s.pool_prediction.std.square()
        return scorer.scores(
            self.rule, s.fantasized.posteriors, variances, candidates, self._target_rows
        ).values


@register("itl")
class SafeITL(TransductiveMethod):
    """ITL over the certified set, `argmax I(f_A; y_x)`: equations 5 and 43 of Huebotter et al. 2024.

    Guarantee: theirs (theorem 5.1): with A the potential maximizers, the best reachable point up to any epsilon,
    safely, without Lipschitz constants.
    """

    rule = "itl"


@register("vtl")
class SafeVTL(TransductiveMethod):
    """VTL over the certified set, `argmin tr Var[f_A | y_x]` (Huebotter et al. 2024, which prove convergence)."""

    rule = "vtl"


@register("ctl")
class SafeCTL(TransductiveMethod):
    """CTL over the certified set: correlations with the targets, equation 41; no convergence guarantee."""

    rule = "ctl"


@register("ctl_squared")
class SafeSquaredCTL(TransductiveMethod):
    """CTL with squared correlations of the observation, as its public code has it; no convergence guarantee."""

    rule = "ctl_squared"


@register("mm_itl")
class SafeMMITL(TransductiveMethod):
    """MM-ITL over the certified set: information about every target alone, summed; no convergence guarantee."""

    rule = "mm_itl"


@register("undirected")
class SafeUndirected(SafeAcquisition):
    """Uncertainty sampling in the certified set: `argmax sum_i 1/2 log(1 + var_i(x) / noise_i)`, without a target."""

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Information about the values where one observes, summed over the functions."""
        s = self.ctx
        total = X.new_zeros(len(X))
        for p in s.fantasized.posteriors:
            _, variance = p.mean_variance(s.inputs(X))
            total = total + undirected(variance, torch.full_like(variance, p.noise_variance))
        return total
