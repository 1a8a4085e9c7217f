"""From an acquisition to the parameters of a trial: starts, search, rounding, and the final certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.acquisition import SafeAcquisition, Situation, acquisition_class
from safebo.problem import Problem
from safebo.search import search_box, search_grid, unit_grid
from safebo.search.gradient import refine
from safebo.search.swarm import Candidates, initial_particles
from safebo.study import TunerSpec

CERTIFICATE_MARGIN = 1e-7
"""A proposal's lower bounds exceed 0 by at least so many prior standard deviations, so that whoever
computes them again in another order of operations finds them positive too."""

TARGETS = 128
GRID_TARGETS = 4096
FINAL_CANDIDATES = 64


@dataclass(frozen=True)
class Proposal:
    """Parameters in raw units and in the unit cube, with the acquisition's value and the slack."""

    raw: NDArray[np.float64]
    unit: Float[Tensor, " d"]
    score: float
    slack: float

    @property
    def certified(self) -> bool:
        """Whether every margin's lower bound is at least 0."""
        return self.slack >= 0


class Proposer:
    """Searches one study's box or grid.

    Args:
        problem: spaces and functions.
        spec: the tuner section of the study.
    """

    def __init__(self, problem: Problem, spec: TunerSpec) -> None:
        self.problem = problem
        self.spec = spec
        grid = spec.search.domain == "grid"
        self.grid = unit_grid(problem.space.dimension, spec.search.grid_points) if grid else None

    def certified_starts(self, situation: Situation, points: Float[Tensor, "n d"]) -> Float[Tensor, "k d"]:
        """The certified ones among known points, largest upper bound of the objective first, no repeats."""
        if len(points) == 0:
            return points
        points = torch.unique(points, dim=0)
        with torch.no_grad():
            bounds = situation.view(points).certain
        keep = situation.slack(bounds) >= CERTIFICATE_MARGIN
        order = torch.argsort(bounds.upper[keep, 0], descending=True, stable=True)
        return points[keep][order]

    def with_incumbent(self, situation: Situation, starts: Float[Tensor, "k d"]) -> Situation:
        """The situation with the best lower bound of the objective in the safe set."""
        acquisition = acquisition_class("best_lower_bound")(situation)
        if self.grid is not None:
            found = search_grid(acquisition, self.grid, np.random.default_rng(0), wanted=1)
        elif len(starts):
            with torch.no_grad():
                score, slack = acquisition.evaluate(starts)
            ranked = Candidates.ordered(starts, score, slack)
            found = refine(acquisition, ranked.points[:6], 20)
        else:
            return situation
        if len(found.scores) == 0:
            return situation
        return replace(situation, incumbent=float(found.scores[0]))

    def with_targets(
        self, situation: Situation, starts: Float[Tensor, "k d"], rng: np.random.Generator
    ) -> Situation:
        """The situation with uncertified points that could still be safe, those nearest to certification."""
        if self.grid is not None:
            points, count = self.grid, GRID_TARGETS
        else:
            size = max(512, 2 * self.spec.search.swarm_size)
            points, count = initial_particles(starts, size, situation.dimension, rng, False), TARGETS
        with torch.no_grad():
            bounds = situation.view(points).certain
        slack = situation.slack(bounds)
        short = -self.spec.epsilon if self.grid is None else 0.0
        could = (bounds.upper[:, 1:] >= situation.thresholds).all(-1)
        keep = torch.nonzero((slack < 0) & (slack <= short) & could).squeeze(-1)
        order = torch.argsort(slack[keep], descending=True, stable=True)[:count]
        return replace(situation, targets=points[keep][order])

    def search(
        self, acquisition: SafeAcquisition, starts: Float[Tensor, "k d"], rng: np.random.Generator
    ) -> Candidates:
        """Feasible candidates, best first."""
        prescribed = acquisition.candidates(rng, self.grid)
        if prescribed is not None:
            with torch.no_grad():
                return Candidates.ordered(prescribed, *acquisition.evaluate(prescribed))
        if self.grid is not None:
            return search_grid(acquisition, self.grid, rng)
        return search_box(acquisition, starts, rng, self.spec.search)

    def choose(self, acquisition: SafeAcquisition, found: Candidates) -> Proposal | None:
        """The best candidate that still holds its certificate when rounded as it will be printed."""
        points = found.points[:FINAL_CANDIDATES]
        if len(points) == 0:
            return None
        space = self.problem.space
        raw = np.stack([space.round(row) for row in space.from_unit(points.numpy())])
        unit = self.problem.unit(raw)
        situation = acquisition.situation
        with torch.no_grad():
            slack = situation.slack(situation.view(unit).certain)
        for i in range(len(unit)):
            if not acquisition.certified_only or float(slack[i]) >= CERTIFICATE_MARGIN:
                return Proposal(raw[i], unit[i], float(found.scores[i]), float(slack[i]))
        return None

    def propose(
        self, acquisition: SafeAcquisition, starts: Float[Tensor, "k d"], rng: np.random.Generator
    ) -> Proposal | None:
        """Search and choose; a certified method without a start has nothing to propose."""
        if acquisition.certified_only and self.grid is None and len(starts) == 0:
            return None
        return self.choose(acquisition, self.search(acquisition, starts, rng))
