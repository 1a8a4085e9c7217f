"""SafeOpt and StageOpt: the widest interval among maximizers and expanders, per context."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext, PoolKind, SafeAcquisition
from safebo.acquisition.registry import register
from safebo.acquisition.ties import falling, within
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import FixedPoints
from safebo.safety.expander_search import Constrained, HallucinatedSearch, LipschitzSearch
from safebo.safety.safe_set import PointBounds
from safebo.safety.sets import hallucinated_expanders, lipschitz_expanders, maximizers

TARGETS = 128
"""Uncertified points of a sampled pool against which an expander is tested."""


class ExpanderAcquisition(SafeAcquisition):
    """What SafeOpt, StageOpt and GoOSE share: the test whether a point could certify another one.

    On a grid the targets are all uncertified points that can still be safe. In a continuous box they are those
    of the pool nearest to certification, each short of it by at least `epsilon` (without which every point of
    the border would be an expander for ever). The test is sound: a point that it calls an expander is one. It
    may miss some.
    """

    pool_kind: ClassVar[PoolKind] = "near"

    def __init__(self, ctx: AcquisitionContext) -> None:
        super().__init__(ctx)
        self.tests = 0
        self._kept: tuple[Tensor, list[FixedPoints]] | None = None

    @cached_property
    def targets(self) -> Float[Tensor, "t d"]:
        """Uncertified points of the pool that can still be safe, nearest to certification first."""
        s = self.ctx
        if len(s.pool) == 0:
            return s.pool
        bounds = s.pool_bounds
        short = -s.epsilon if s.domain is None else 0.0
        keep = torch.nonzero(~s.certified(bounds) & (bounds.slack <= short) & (bounds.possible >= 0)).squeeze(
            -1
        )
        order = torch.argsort(bounds.slack[keep], descending=True, stable=True)
        return s.pool[keep][order[:TARGETS] if s.domain is None else order]

    def constraint_width(self, bounds: PointBounds) -> Float[Tensor, " n"]:
        """Largest width of a constraint's interval, in prior standard deviations, pending trials counted."""
        s = self.ctx
        return (bounds.fantasized.width[:, s.constrained] / s.constraint_scale).amax(-1)

    def expanders(
        self,
        X: Float[Tensor, "n d"],
        bounds: PointBounds,
        among: Bool[Tensor, " n"],
        targets: Float[Tensor, "t d"],
    ) -> Bool[Tensor, " n"]:
        """Which of the points `among` X could certify one of some targets."""
        result = torch.zeros_like(among)
        rows = torch.nonzero(among).squeeze(-1)
        result[rows] = self.lifts(X[rows], bounds.certain.upper[rows], targets)
        return result

    def lifts(
        self, X: Float[Tensor, "n d"], upper: Float[Tensor, "n m"], targets: Float[Tensor, "t d"]
    ) -> Bool[Tensor, " n"]:
        """Whether points could certify one of some targets: by a hallucinated observation, or by Lipschitz
        constants where they are given.
        """
        s = self.ctx
        if len(X) == 0 or len(targets) == 0:
            return X.new_zeros(len(X), dtype=torch.bool)
        with torch.no_grad():
            if s.lipschitz is None:
                beta = s.beta[s.constrained]
                posteriors = [s.surrogate.posteriors[i] for i in s.constrained]
                fixed = self._fixed(targets)
                return hallucinated_expanders(posteriors, s.inputs(X), fixed, s.thresholds, beta, s.rule)
            distances = torch.cdist(X, targets)
            return lipschitz_expanders(upper[:, s.constrained], s.thresholds, distances, s.lipschitz, s.rule)

    def _fixed(self, targets: Float[Tensor, "t d"]) -> list[FixedPoints]:
        """The targets as every constraint sees them; the last ones are kept, as a search asks again and again."""
        if self._kept is None or self._kept[0] is not targets:
            s = self.ctx
            inputs = s.inputs(targets)
            self._kept = (targets, [s.surrogate.posteriors[i].fixed(inputs) for i in s.constrained])
        return self._kept[1]

    def widest_expander(self, rows: Int[Tensor, " b"], width: Float[Tensor, " p"]) -> int | None:
        """The first of some rows of the pool, by falling width, that is a true expander; None where there is none.

        With the rule `all` and Lipschitz constants every constraint is reached separately, at possibly different
        points, as published implementations have it.
        """
        s = self.ctx
        order = rows[falling(width[rows], s.pool[rows], s.ties)]
        safe, certain = s.certified(s.pool_bounds), s.pool_bounds.certain
        chosen = s.constrained
        lower, upper = certain.lower[:, chosen], certain.upper[:, chosen]
        posteriors = [s.surrogate.posteriors[i] for i in chosen]
        if len(order) == 0 or not chosen:
            return None
        if s.domain is None or s.rule == "any" or any(isinstance(p, MixturePosterior) for p in posteriors):
            found = self.lifts(s.pool[order], certain.upper[order], self.targets)
            self.tests += len(order)
            return int(order[found.int().argmax()]) if bool(found.any()) else None
        search: HallucinatedSearch | LipschitzSearch
        if s.lipschitz is None:
            grids = s.domain.grids(s.context, s.surrogate)
            constraints = [
                Constrained(s.surrogate.posteriors[i], grids[i], float(t), float(s.beta[i]))
                for i, t in zip(chosen, s.thresholds, strict=True)
            ]
            search = HallucinatedSearch(constraints, safe, lower, upper)
        else:
            search = LipschitzSearch(s.pool, safe, upper, s.thresholds, s.lipschitz)
        position = search.first(order)
        self.tests += search.tests
        return None if position is None else int(order[position])


@register("safeopt")
class SafeOpt(ExpanderAcquisition):
    """`argmax over G_n(z) union M_n(z) of max_i w_n(theta, z, i) / s_i`, with s_i the prior's standard
    deviation.

    Source: Sui et al. 2015; several constraints Berkenkamp et al. 2016 (MLJ 2021); contexts and equations 9
    and 16 to 18 Widmer et al. 2023. Guarantee: every proposal satisfies its constraints with the
    probability with which the confidence bounds hold; on finite domains the reachable optimum is found up
    to epsilon.

    `M`: certified points whose objective's upper bound reaches the incumbent, the best lower bound known in
    S. `G`: certified points that could certify another one. On a grid only points wider than the widest
    maximizer are tried, by falling width, until one expands: the rest could not be chosen.
    """

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Largest width over the functions, in prior standard deviations."""
        return self.ctx.scaled_width(bounds)

    def admits(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Bool[Tensor, " n"]:
        """Maximizers and expanders; certification is left to the caller."""
        best = bounds.certain.upper[..., 0] >= self.ctx.incumbent
        return best | self.expanders(X, bounds, ~best & self.ctx.certified(bounds), self.targets)

    def grid_sets(self) -> tuple[Bool[Tensor, " p"], Bool[Tensor, " p"], int | None]:
        """Safe set, maximizers and the first true expander of the grid (its row; None where there is none)."""
        s = self.ctx
        bounds = s.pool_bounds
        safe = s.certified(bounds)
        best = maximizers(bounds.certain.lower[:, 0], bounds.certain.upper[:, 0], safe)
        if not bool(safe.any()):
            return safe, best, None
        width = self.score(s.pool, bounds)
        widest = (bounds.fantasized.width[:, 0] / s.prior_scale(s.pool)[..., 0])[best].max()
        wider = width > widest if s.ties is None else within(width, widest)
        possible = torch.nonzero(safe & ~best & wider).squeeze(-1)
        if s.minimal_width > 0 and len(possible):
            std = bounds.fantasized.width[possible] / (2.0 * s.beta)
            possible = possible[(std > 0.5 * s.minimal_width).any(-1)]
        return safe, best, self.widest_expander(possible, width)

    def grid_scores(self) -> Float[Tensor, " p"]:
        """Widths of maximizers and of the first true expander."""
        _, wanted, expander = self.grid_sets()
        if expander is not None:
            wanted = wanted.clone()
            wanted[expander] = True
        return torch.where(wanted, self.score(self.ctx.pool, self.ctx.pool_bounds), -torch.inf)


@register("stageopt")
class StageOpt(ExpanderAcquisition):
    """First the widest expander, `argmax over G_n of max_i w_n(theta, z, i) / s_i`; then Safe-UCB.

    Source: Sui, Zhuang, Burdick and Yue, "Stagewise Safe Bayesian Optimization with Gaussian Processes", ICML
    2018. Constraints alone decide about width in the expanding stage. It ends after `tuner.stage_trials` trials
    of the context, or, where that is not given, as soon as no expander is wider than `epsilon`. Guarantee: as
    SafeOpt's; the reachable safe set is found before the objective is looked at.
    """

    @cached_property
    def expanding(self) -> bool:
        """Whether the expanding stage goes on: some certified point of the pool is an expander worth a trial."""
        s = self.ctx
        possible = s.expanding and len(s.pool) > 0 and len(s.constrained) > 0
        return possible and self._widest_expander() is not None

    def _widest_expander(self) -> int | None:
        """Row of the pool of the widest expander whose width exceeds epsilon."""
        s = self.ctx
        bounds = s.pool_bounds
        width = self.constraint_width(bounds)
        worth = torch.nonzero(s.certified(bounds) & (width > s.epsilon)).squeeze(-1)
        return self.widest_expander(worth, width)

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Width of the constraints' intervals while expanding, then the objective's upper bound."""
        return self.constraint_width(bounds) if self.expanding else self.ctx.optimistic(bounds)

    def admits(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Bool[Tensor, " n"]:
        """Expanders while expanding; then every point."""
        if not self.expanding:
            return X.new_ones(len(X), dtype=torch.bool)
        return self.expanders(X, bounds, self.ctx.certified(bounds), self.targets)

    def grid_scores(self) -> Float[Tensor, " p"]:
        """The widest expander alone while expanding; upper bounds of the safe set then."""
        if not self.expanding:
            return super().grid_scores()
        best = self._widest_expander()
        scores = self.ctx.pool.new_full((len(self.ctx.pool),), -torch.inf)
        if best is not None:
            scores[best] = self.constraint_width(self.ctx.pool_bounds)[best]
        return scores
