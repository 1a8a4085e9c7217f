"""Transductive rules as methods of studies: certified points that teach most about a target space.

Rules and sources: `safebo.acquisition.transductive`; target spaces: `safebo.acquisition.targets`. Scores are
summed over all functions, each with its own posterior and noise.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition, View
from safebo.acquisition.registry import register
from safebo.acquisition.targets import named_space, view_of_situation
from safebo.acquisition.transductive import JITTER, ctl, itl, mm_itl, undirected, vtl
from safebo.mixture import MixturePosterior

CHUNK_ELEMENTS = 2**22
"""Candidates times targets that are looked at together on a grid."""


class Directed(SafeAcquisition):
    """`argmax over S_n(z) of sum_i score_i(x; A)`, with A a target space over the pool.

    The targets are those of the pool: of the whole grid, or of a sample of the continuous box, thinned to
    `tuner.transductive.count`. Guarantee: every proposal satisfies its constraints with the probability with
    which the confidence bounds hold; see each rule for more.
    """

    pool_kind = "wide"
    low_rank: ClassVar[str] = ""
    """The rule's name in `safebo.transductive_scores`, which scores grids with thousands of targets."""

    def information(
        self,
        variance: Float[Tensor, " n"],
        cross: Float[Tensor, "n k"],
        targets: Float[Tensor, "k k"],
        noise: Float[Tensor, " n"],
        jitter: float,
    ) -> Float[Tensor, " n"]:
        """The rule for one function.

        Args:
            variance: of the candidates.
            cross: covariances of candidates and targets.
            targets: covariance of the targets.
            noise: noise variances at the candidates.
            jitter: relative to the largest variance of a target.
        """
        raise NotImplementedError

    @cached_property
    def targets(self) -> Float[Tensor, "k d"]:
        """What the trial should teach about."""
        s = self.situation
        points = s.pool[self._target_rows]
        if s.domain is None and len(points) > s.transductive.count:
            chosen = torch.randperm(len(points), generator=s.generator())[: s.transductive.count]
            points = points[chosen.sort().values]
        return points

    @cached_property
    def _target_rows(self) -> Tensor:
        """Mask over the pool."""
        s = self.situation
        with torch.no_grad():
            view = view_of_situation(s)
            mask = named_space(s)(view)
            if not bool(mask.any()):
                # No draw had a feasible maximum, or a fixed region holds no point: every point that may be safe.
                mask = view.possibly_safe
        return mask

    @cached_property
    def _white_targets(self) -> list[tuple[Tensor, Tensor]]:
        """Of every function: whitened targets (empty for a posterior without a factor) and their covariance."""
        inputs = self.situation.inputs(self.targets)
        result = []
        with torch.no_grad():
            for p in self.situation.imagined.posteriors:
                if not isinstance(p, MixturePosterior):
                    white = p.whiten(p.kernel(inputs, p.inputs))
                    result.append((white, p.kernel(inputs, inputs) - white @ white.T))
                else:
                    result.append((inputs[:0], p.joint(inputs)[1]))
        return result

    def score(self, X: Float[Tensor, "n d"], view: View) -> Float[Tensor, " n"]:
        """The rule's score, summed over the functions."""
        s = self.situation
        inputs, targets = s.inputs(X), s.inputs(self.targets)
        total = X.new_zeros(len(X))
        for i, p in enumerate(s.imagined.posteriors):
            white_targets, covariance = self._white_targets[i]
            prior = float(s.surrogate.prior_std[i]) ** 2
            if not isinstance(p, MixturePosterior):
                white = p.whiten(p.kernel(inputs, p.inputs))
                cross = p.kernel(inputs, targets) - white @ white_targets.T
                variance = (p.kernel.diagonal(inputs) - white.square().sum(-1)).clamp_min(0.0)
            else:
                cross = p.cross_covariance(inputs, targets)
                variance = p.mean_variance(inputs)[1]
            # Rounding of a posterior covariance is that of the prior it is subtracted from.
            largest = float(covariance.diagonal().max().clamp_min(1e-300))
            jitter = JITTER * max(1.0, prior / largest)
            noise = torch.full_like(variance, p.noise_variance)
            total = total + self.information(variance, cross, covariance, noise, jitter)
        return total

    def grid_scores(self) -> Float[Tensor, " p"]:
        """Scores of the certified rows, some at a time."""
        s = self.situation
        view = s.pool_view
        result = s.pool.new_full((len(s.pool),), -torch.inf)
        rows = torch.nonzero(s.certified(view)).squeeze(-1)
        for part in rows.split(max(1, CHUNK_ELEMENTS // max(1, len(self.targets)))):
            result[part] = self.score(s.pool[part], view)
        return result


@register("itl")
class SafeITL(Directed):
    """ITL over the certified set, `argmax I(f_A; y_x)`: equations 5 and 43 of Huebotter et al. 2024.

    Guarantee: theirs (theorem 5.1): with A the potential maximizers, the best reachable point up to any epsilon,
    safely, without Lipschitz constants.
    """

    low_rank = "itl"

    def information(
        self, variance: Tensor, cross: Tensor, targets: Tensor, noise: Tensor, jitter: float
    ) -> Tensor:
        """See `safebo.acquisition.transductive`."""
        return itl(variance, cross, targets, noise, jitter)


@register("vtl")
class SafeVTL(Directed):
    """VTL over the certified set, `argmin tr Var[f_A | y_x]` (Huebotter et al. 2024, which prove convergence)."""

    low_rank = "vtl"

    def information(
        self, variance: Tensor, cross: Tensor, targets: Tensor, noise: Tensor, jitter: float
    ) -> Tensor:
        """See `safebo.acquisition.transductive`."""
        return vtl(variance, cross, noise)


@register("ctl")
class SafeCTL(Directed):
    """CTL over the certified set: correlations with the targets, equation 41; no convergence guarantee."""

    def information(
        self, variance: Tensor, cross: Tensor, targets: Tensor, noise: Tensor, jitter: float
    ) -> Tensor:
        """See `safebo.acquisition.transductive`."""
        return ctl(variance, cross, targets.diagonal(), noise)


@register("ctl_squared")
class SafeSquaredCTL(Directed):
    """CTL with squared correlations of the observation, as its public code has it; no convergence guarantee."""

    def information(
        self, variance: Tensor, cross: Tensor, targets: Tensor, noise: Tensor, jitter: float
    ) -> Tensor:
        """See `safebo.acquisition.transductive`."""
        return ctl(variance, cross, targets.diagonal(), noise, squared=True)


@register("mm_itl")
class SafeMMITL(Directed):
    """MM-ITL over the certified set: information about every target alone, summed; no convergence guarantee."""

    def information(
        self, variance: Tensor, cross: Tensor, targets: Tensor, noise: Tensor, jitter: float
    ) -> Tensor:
        """See `safebo.acquisition.transductive`."""
        return mm_itl(variance, cross, targets.diagonal(), noise)


@register("undirected")
class SafeUndirected(SafeAcquisition):
    """Uncertainty sampling in the certified set: `argmax sum_i 1/2 log(1 + var_i(x) / noise_i)`, without a target."""

    def score(self, X: Float[Tensor, "n d"], view: View) -> Float[Tensor, " n"]:
        """Information about the values where one observes, summed over the functions."""
        s = self.situation
        total = X.new_zeros(len(X))
        for p in s.imagined.posteriors:
            _, variance = p.mean_variance(s.inputs(X))
            total = total + undirected(variance, torch.full_like(variance, p.noise_variance))
        return total
