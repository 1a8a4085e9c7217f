"""The trust region of SCBO, replayed from what was measured: no state beside the records.

Source: Eriksson & Poloczek, AISTATS 2021, section 3; numbers as in BoTorch's implementation of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

INITIAL_LENGTH, MIN_LENGTH, MAX_LENGTH = 0.8, 0.5**7, 1.6
"""Side lengths in the unit cube."""

SUCCESS_TOLERANCE = 10
"""Successes in a row after which the region doubles (BoTorch; the publication takes 3)."""

IMPROVEMENT = 1e-3
"""An objective counts as better from this many prior standard deviations on."""


@dataclass(frozen=True)
class Merit:
    """How good a trial was: feasible ones by objective, then infeasible ones by total violation.

    Args:
        feasible: every margin at least 0 and the objective measured.
        number: the objective if feasible, else minus the sum of what margins lack; both in prior standard
            deviations. -inf for an infeasible trial that no margin explains.
    """

    feasible: bool
    number: float

    def above(self, other: Merit, by: float = 0.0) -> bool:
        """Better than the other one; feasible ones by more than `by`."""
        if self.feasible != other.feasible:
            return self.feasible
        return self.number > other.number + (by if self.feasible else 0.0)


@dataclass(frozen=True)
class TrustRegion:
    """A hypercube around the best trial of its own life.

    Args:
        first: row of its first trial; earlier ones belong to regions that have shrunk to nothing.
        length: side length; the cube is cut at the box.
        successes, failures: in a row, since the last change of length.
        centre: row of its best trial, and that trial's merit; None before the first one.
        trials: how many it has had.
    """

    first: int = 0
    length: float = INITIAL_LENGTH
    successes: int = 0
    failures: int = 0
    centre: tuple[int, Merit] | None = None
    trials: int = 0

    def designing(self, dimension: int) -> bool:
        """Whether the initial design is still incomplete: ours has `2 d` trials, seeds among them."""
        return self.trials < 2 * dimension

    def after(self, merit: Merit, dimension: int) -> TrustRegion:
        """The region once its next trial was told; a new one when it has become too small.

        It halves after `max(4, d)` failures in a row, for one trial at a time.
        """
        best = None if self.centre is None else self.centre[1]
        centre = (self.first + self.trials, merit) if best is None or merit.above(best) else self.centre
        following = replace(self, centre=centre, trials=self.trials + 1)
        if best is None or self.designing(dimension):
            return following
        success = merit.above(best, IMPROVEMENT)
        successes, failures = (self.successes + 1, 0) if success else (0, self.failures + 1)
        length = self.length
        if successes == SUCCESS_TOLERANCE:
            length, successes = min(2.0 * length, MAX_LENGTH), 0
        elif failures == max(4, dimension):
            length, failures = length / 2.0, 0
        if length < MIN_LENGTH:
            return TrustRegion(first=self.first + following.trials)
        return replace(following, length=length, successes=successes, failures=failures)


def merits(objective: Float[Tensor, " n"], violation: Float[Tensor, " n"]) -> list[Merit]:
    """Merits of measured trials, in prior standard deviations; the objective is NaN where it was not measured."""
    feasible = (violation == 0) & ~objective.isnan()
    explained = torch.where(violation > 0, -violation, -torch.inf)
    number = torch.where(feasible, objective, explained)
    return [Merit(bool(f), float(v)) for f, v in zip(feasible, number, strict=True)]


def total_violation(margins: Float[Tensor, "n c"], thresholds: Float[Tensor, " c"]) -> Float[Tensor, " n"]:
    """Sum over the constraints of what a margin lacks; 0 exactly where all hold. NaN lacks everything."""
    return (thresholds - margins).clamp_min(0.0).nan_to_num(nan=torch.inf, posinf=torch.inf).sum(-1)


def replayed(history: Sequence[Merit], dimension: int) -> TrustRegion:
    """The region after these trials, in their order."""
    region = TrustRegion()
    for merit in history:
        region = region.after(merit, dimension)
    return region
