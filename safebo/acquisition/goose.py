"""GoOSE: expand the safe set only towards where an oracle wants to evaluate."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.registry import register
from safebo.acquisition.safeopt import ExpanderAcquisition
from safebo.acquisition.ties import falling, first
from safebo.safety.safe_set import PointBounds

TARGETS_TOGETHER = 64
MAX_UNCERTAIN = 2000
"""Uncertain certified points of a pool that are tried as expanders, the widest."""


@register("goose")
class GoOSE(ExpanderAcquisition):
    """Evaluate the GP-UCB oracle's point when it is certified, else the widest expander nearest to certifying it.

    The oracle maximises the objective's upper bound over the optimistic set, the points whose margins can all
    hold. When its point x* is not certified, uncertified optimistic points z are tried by their priority
    `-||z - x*||_1`; the first that some certified point with an interval wider than epsilon could certify (by a
    hallucinated observation, or by Lipschitz constants where they are given) is what the trial works towards,
    and the widest such point is chosen. Where nothing can be expanded, Safe-UCB.

    Source: Turchetta, Berkenkamp and Krause, NeurIPS 2019; GoOSE-UCB as in appendix K of Huebotter et al. 2024.
    Guarantee: every proposal satisfies its constraints with the probability with which the bounds hold.
    """

    pool_kind = "wide"

    @cached_property
    def goal(self) -> Float[Tensor, "1 d"] | None:
        """The uncertified point to be certified; None when the oracle's own point is certified or none can be."""
        s = self.ctx
        bounds = s.pool_bounds
        optimistic = bounds.possible >= 0
        if not bool(optimistic.any()):
            return None
        upper = torch.where(optimistic, s.optimistic(bounds), -torch.inf)
        best = first(upper, s.pool, s.ties)
        safe = s.certified(bounds)
        if bool(safe[best]):
            return None
        uncertain = torch.nonzero(safe & (self.constraint_width(bounds) > s.epsilon)).squeeze(-1)
        if len(uncertain) > MAX_UNCERTAIN:
            width = s.scaled_width(bounds)[uncertain]
            uncertain = uncertain[torch.topk(width, MAX_UNCERTAIN).indices]
        if len(uncertain) == 0:
            return None
        targets = torch.nonzero(optimistic & ~safe).squeeze(-1)
        distance = (s.pool[targets] - s.pool[best]).abs().sum(-1)
        for part in targets[falling(-distance, s.pool[targets], s.ties)].split(TARGETS_TOGETHER):
            if not bool(self.lifts(s.pool[uncertain], bounds.certain.upper[uncertain], s.pool[part]).any()):
                continue
            for row in part:
                goal = s.pool[row : row + 1]
                if bool(self.lifts(s.pool[uncertain], bounds.certain.upper[uncertain], goal).any()):
                    return goal
        return None

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The objective's upper bound, or the width of points that could certify the goal."""
        s = self.ctx
        return s.optimistic(bounds) if self.goal is None else s.scaled_width(bounds)

    def admits(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Bool[Tensor, " n"]:
        """Every point, or the uncertain ones that could certify the goal."""
        if self.goal is None:
            return X.new_ones(len(X), dtype=torch.bool)
        uncertain = self.ctx.certified(bounds) & (self.constraint_width(bounds) > self.ctx.epsilon)
        return self.expanders(X, bounds, uncertain, self.goal)
