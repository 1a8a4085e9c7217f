"""Trials that go to the gains that a study names, over certified ones, before the method chooses.

GoOSE (Turchetta, Berkenkamp and Krause, NeurIPS 2019) expands the safe set towards what an oracle asks for. Here the
oracle is a person, or a simulation, and asks for one point. Nothing is certified by being asked for: every trial is the
certified point nearest to it,

    argmin over S_n(z) of ||theta - goal||

What was tried decides whether a goal is still approached, so that a resumed run goes on as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition import AcquisitionContext, acquisition_class
from safebo.tuner.proposer import Proposal, Proposer
from safebo.tuner.state import TunerState

NEARER = 0.02
"""Share of the way from the seed by which a trial must come nearer to a goal than all before; less is no progress."""

THERE = 1e-6
"""Distance in the unit cube from which on gains are the goal, which is tried itself once it is certified."""

REASON = "towards the goal"
"""How the reason of such a trial begins."""


class Goals:
    """The goals that a study declares.

    Args:
        state: what the records say.
        proposer: that searches.
    """

    def __init__(self, state: TunerState, proposer: Proposer) -> None:
        self.state, self.proposer = state, proposer

    def next(
        self,
        name: str,
        ctx: AcquisitionContext,
        starts: Float[Tensor, "k d"],
        rng: Callable[[str], np.random.Generator],
    ) -> Proposal | None:
        """The trial that comes nearer to the first goal of a context that certified gains lead to; None without one.

        Args:
            name: of the context.
            ctx: of the trial.
            starts: certified points among those tried.
            rng: a generator of its own for every purpose.
        """
        for goal in self._declared(name):
            whole, left = self._distances(name, goal)
            if left <= THERE or not _promising(ctx, goal, starts):
                continue
            nearest = acquisition_class("random_safe")(replace(ctx, draw=goal))
            order = torch.argsort((starts - goal).norm(dim=-1), stable=True)
            found = self.proposer.propose(nearest, starts[order], rng("goal"))
            if found is None:
                continue
            distance = math.sqrt(-found.score)
            if distance <= THERE or distance < left - NEARER * whole:
                gone = 1.0 - distance / whole
                return replace(found, reason=f"{REASON}: {gone:.0%} of the way from the seed")
        return None

    def _declared(self, name: str) -> Iterator[Float[Tensor, " d"]]:
        encoding = self.state.encoding
        for i, goal in enumerate(self.state.study.goals):
            if goal.context == name:
                yield encoding.unit(encoding.space.vector(goal.parameters, where=f"goals[{i}]")[None])[0]

    def _distances(self, name: str, goal: Float[Tensor, " d"]) -> tuple[float, float]:
        """How far a goal is from the nearest seed of its context, and from the nearest gains tried there, seeds among
        them and pending and failed trials too.
        """
        encoding, told = self.state.encoding, self.state.told(name)
        rows = [encoding.space.vector(s.parameters) for s in self.state.study.seeds if s.context == name]
        seeds = encoding.unit(np.stack(rows))
        return _distance(seeds, goal), _distance(torch.cat([seeds, told.points, told.visited]), goal)


def _distance(points: Float[Tensor, "n d"], goal: Float[Tensor, " d"]) -> float:
    return float((points - goal).norm(dim=-1).min())


def _promising(ctx: AcquisitionContext, goal: Float[Tensor, " d"], starts: Float[Tensor, "k d"]) -> bool:
    """Whether the objective at a goal may still be above what some certified point reaches for sure."""
    with torch.no_grad():
        hoped = ctx.optimistic(ctx.bounds_at(goal[None]))[0]
        return len(starts) == 0 or bool(hoped >= ctx.bounds_at(starts).certain.lower[:, 0].max())
