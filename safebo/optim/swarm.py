"""Particle swarm over the unit cube whose bests never leave the feasible set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.safety.safe_set import SEARCH_RESERVE, certified

INERTIA, COGNITIVE, SOCIAL = 0.9, 1.0, 1.0
"""Table 5 of Widmer et al. 2023."""

INERTIA_DECAY = 0.95
"""The inertia falls by this factor in every iteration (ours; constant inertia of 0.9 does not settle)."""

MAX_STEP = 0.25


def feasible(slack: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Where a search may go: the safe set with the reserve of searches."""
    return certified(slack, SEARCH_RESERVE)


@dataclass(frozen=True)
class Candidates:
    """Points with their scores, feasible ones only, best first."""

    points: Float[Tensor, "n d"]
    scores: Float[Tensor, " n"]

    @classmethod
    def ordered(cls, points: Tensor, scores: Tensor, slack: Tensor) -> Candidates:
        """The feasible ones among scored points, best first; ties keep their order."""
        keep = torch.nonzero(feasible(slack) & torch.isfinite(scores)).squeeze(-1)
        order = torch.argsort(scores[keep], descending=True, stable=True)
        return cls(points[keep][order], scores[keep][order])


def initial_particles(
    starts: Float[Tensor, "k d"], size: int, dimension: int, rng: np.random.Generator, uniform: bool
) -> Float[Tensor, "s d"]:
    """Particles around the starts at radii from 0.3 % to 30 % of the box, the starts themselves among them.

    With `uniform` half of the particles are drawn from the whole box instead (methods that need no
    certificate).
    """
    count = len(starts)
    if count == 0:
        return torch.tensor(rng.random((size, dimension)))
    base = starts.numpy()[rng.integers(count, size=size)]
    radius = np.exp(rng.uniform(np.log(0.003), np.log(0.3), size=(size, 1)))
    # Half of the moves touch a random subset of the coordinates: one gain alone often opens the way.
    mask = rng.random((size, dimension)) < np.where(rng.random((size, 1)) < 0.5, 1.0, 0.4)
    particles = base + radius * mask * rng.standard_normal((size, dimension))
    keep = min(count, size // 4)
    particles[:keep] = starts.numpy()[:keep]
    if uniform:
        particles[size // 2 :] = rng.random((size - size // 2, dimension))
    return torch.tensor(np.clip(particles, 0.0, 1.0))


def swarm(
    acquisition: SafeAcquisition,
    starts: Float[Tensor, "k d"],
    rng: np.random.Generator,
    size: int,
    iterations: int,
) -> Candidates:
    """Every particle's best feasible position, best first.

    Args:
        acquisition: what to maximise, and what is feasible.
        starts: known feasible points, the most promising first.
        rng: of this search.
        size: number of particles.
        iterations: number of moves.
    """
    dimension = acquisition.ctx.dimension
    allowed = acquisition.ctx.allowed
    x = allowed.varied(initial_particles(starts, size, dimension, rng, not acquisition.certified_only), rng)
    v = torch.tensor(rng.uniform(-0.1, 0.1, size=(size, dimension))) * 0.3
    best_x = x.clone()
    best = torch.full((size,), -torch.inf, dtype=torch.float64)
    inertia = INERTIA
    with torch.no_grad():
        for step in range(iterations + 1):
            placed = allowed.place(x)
            score, slack = acquisition.evaluate(placed)
            better = feasible(slack) & (score > best)
            best = torch.where(better, score, best)
            best_x = torch.where(better.unsqueeze(-1), placed, best_x)
            if step == iterations:
                break
            leader = best_x[torch.argmax(best)]
            own, common = torch.tensor(rng.random((2, size, 1)))
            v = inertia * v + COGNITIVE * own * (best_x - x) + SOCIAL * common * (leader - x)
            v = v.clamp(-MAX_STEP, MAX_STEP)
            x = (x + v).clamp(0.0, 1.0)
            inertia *= INERTIA_DECAY
    return Candidates.ordered(best_x, best, torch.ones_like(best))
