"""Search along lines through a certified point: LineBO and SafeLineBO, for up to some 40 parameters.

On a line an acquisition is maximised as well as one likes, whatever the number of parameters, and sets of
maximizers and expanders are those of a dense one-dimensional grid.

Source: Kirschner et al. 2019. Guarantee: the certificate is the acquisition's own and does not know of lines,
so that every proposal is as safe as one from the whole box. Lines only restrict where it is sought.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.allowed import AllowedPoints
from safebo.acquisition.base import AcquisitionContext, SafeAcquisition
from safebo.optim.directions import directions
from safebo.optim.swarm import Candidates, feasible
from safebo.study import LineSpec

CHUNK = 2048
MAX_DOMAIN = 4096
NEAREST = 1e-4
"""The smallest distance from the anchor of the points that lie closer and closer to it."""

BRACKETS = 24
"""So many of the best local maxima of all lines are refined."""

SECTIONS, ROUNDS = 8, 6
"""A bracket is cut into so many sections, half of them on either side of its best point, so many times."""


@dataclass(frozen=True)
class SearchLine:
    """The part of a line that lies in the unit cube.

    Args:
        anchor: a point of the cube, `d`.
        direction: unit vector, `d`.
        low: where the line enters the cube, at most 0; in units of length from the anchor.
        high: where it leaves, at least 0.
    """

    anchor: Float[Tensor, " d"]
    direction: Float[Tensor, " d"]
    low: float
    high: float

    @classmethod
    def through(cls, anchor: Float[Tensor, " d"], direction: Float[Tensor, " d"]) -> SearchLine:
        """The line through a point of the cube, clipped to the cube."""
        moving = direction != 0
        step = torch.where(moving, direction, 1.0)
        ends = torch.stack([-anchor / step, (1 - anchor) / step])
        low = torch.where(moving, ends.amin(0), -torch.inf).amax()
        high = torch.where(moving, ends.amax(0), torch.inf).amin()
        if not bool(moving.any()):
            return cls(anchor, direction, 0.0, 0.0)
        return cls(anchor, direction, min(float(low), 0.0), max(float(high), 0.0))

    def at(self, t: Float[Tensor, " k"]) -> Float[Tensor, "k d"]:
        """Points at signed distances from the anchor."""
        # The clamp only removes round-off at the ends.
        return (self.anchor + t.unsqueeze(-1) * self.direction).clamp(0.0, 1.0)

    def steps(self, count: int) -> Float[Tensor, " k"]:
        """`count` rising distances: the anchor, even ones over the whole line, and a quarter of them ever closer
        to the anchor, since the certified stretch may be shorter than an even step.
        """
        sides = [(sign, end) for sign, end in ((-1.0, -self.low), (1.0, self.high)) if end > 2 * NEAREST]
        each = count // 4 // len(sides) if sides else 0
        near = [
            sign * torch.logspace(math.log10(NEAREST), math.log10(end), each + 1, dtype=torch.float64)[:-1]
            for sign, end in sides
        ]
        even = torch.linspace(self.low, self.high, count - 1 - each * len(sides), dtype=torch.float64)
        return torch.cat([*near, even, torch.zeros(1, dtype=torch.float64)]).sort().values


@dataclass(frozen=True)
class LineBundle:
    """The lines of one trial, all through one anchor, and the certified points known before.

    Args:
        lines: at least one.
        steps: distances of every line's points, rising, `L x k`.
        known: certified known points, in the order in which they were told, `n x d`.
        allowed: which points may be tried; the lines' are moved to the nearest of them.
    """

    lines: tuple[SearchLine, ...]
    steps: Float[Tensor, "L k"]
    known: Float[Tensor, "n d"]
    allowed: AllowedPoints = field(default_factory=AllowedPoints)

    @property
    def points(self) -> Float[Tensor, "p d"]:
        """The points of all lines, line by line."""
        return self.allowed.place(
            torch.cat([line.at(t) for line, t in zip(self.lines, self.steps, strict=True)])
        )

    @property
    def domain(self) -> Float[Tensor, "p d"]:
        """The extended domain of Huebotter et al. 2024: points of the lines, so many that no set of them grows too
        large for a rule that looks at all of them, and the certified known points.
        """
        points = self.points
        return torch.cat([points[:: -(-len(points) // MAX_DOMAIN)], self.known])

    def at(self, index: Tensor, t: Float[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        """Points at distances `t` on the lines `index` (`b`)."""
        anchors = torch.stack([line.anchor for line in self.lines])[index].unsqueeze(1)
        along = torch.stack([line.direction for line in self.lines])[index].unsqueeze(1)
        return self.allowed.place((anchors + t.unsqueeze(-1) * along).clamp(0.0, 1.0))


def anchor_of(lower: Float[Tensor, " n"], spec: LineSpec) -> int:
    """Which of the certified known points, in the order told, the lines pass through.

    `best`: the one with the largest lower bound of the objective, the first among equals. `last`: the one told
    last.
    """
    return int(torch.argmax(lower)) if spec.anchor == "best" else len(lower) - 1


def line_bundle(
    ctx: AcquisitionContext,
    known: Float[Tensor, "n d"],
    lower: Float[Tensor, " n"],
    spec: LineSpec,
    number: int,
    rng: np.random.Generator,
) -> LineBundle:
    """The lines of a trial.

    Args:
        ctx: for the objective's gradient.
        known: certified known points in the order told; at least one.
        lower: the objective's lower bounds there.
        spec: directions, how many, and points of each.
        number: of the bundle in its context, counted from 0.
        rng: of the directions.
    """
    anchor = known[anchor_of(lower, spec)]
    lines = tuple(SearchLine.through(anchor, v) for v in directions(ctx, anchor, spec, number, rng))
    return LineBundle(lines, torch.stack([line.steps(spec.points) for line in lines]), known, ctx.allowed)


def search_lines(acquisition: SafeAcquisition, bundle: LineBundle) -> Candidates:
    """Feasible candidates, best first: refined maxima of the lines and then their points.

    Where no point of the lines is feasible for the acquisition (a line may hold neither maximizers nor
    expanders), the known points of the extended domain are the candidates.
    """
    with torch.no_grad():
        points = bundle.points
        score, slack = evaluated(acquisition, points)
        value = torch.where(feasible(slack) & torch.isfinite(score), score, -torch.inf)
        refined, best = _refined(acquisition, bundle, value.reshape(bundle.steps.shape))
        points, value = torch.cat([refined, points]), torch.cat([best, value])
        found = Candidates.ordered(points, value, torch.ones_like(value))
        if len(found.points) == 0:
            found = Candidates.ordered(bundle.known, *evaluated(acquisition, bundle.known))
    return found


def evaluated(acquisition: SafeAcquisition, X: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
    """Score and slack of many points, some thousand at a time."""
    parts = [acquisition.evaluate(part) for part in X.split(CHUNK)]
    return torch.cat([score for score, _ in parts]), torch.cat([slack for _, slack in parts])


def _refined(
    acquisition: SafeAcquisition, bundle: LineBundle, value: Float[Tensor, "L k"]
) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
    """The best local maxima of the lines, each cut down within its neighbours round by round.

    A neighbour may be infeasible: then the bracket closes in on the border of the feasible set from inside.
    """
    line, position = _local_maxima(value)
    last = value.shape[1] - 1
    left = bundle.steps[line, (position - 1).clamp_min(0)]
    right = bundle.steps[line, (position + 1).clamp_max(last)]
    middle, best = bundle.steps[line, position], value[line, position]
    fraction = torch.linspace(0.0, 1.0, SECTIONS // 2 + 1, dtype=torch.float64)
    for _ in range(ROUNDS if len(line) else 0):
        middles = middle.unsqueeze(1)
        below = left.unsqueeze(1) + (middles - left.unsqueeze(1)) * fraction
        above = middles + (right.unsqueeze(1) - middles) * fraction
        t = torch.cat([below, above[:, 1:]], 1)
        X = bundle.at(line, t)
        score, slack = evaluated(acquisition, X.reshape(-1, X.shape[-1]))
        inside = torch.where(feasible(slack) & torch.isfinite(score), score, -torch.inf).reshape(t.shape)
        best, k = inside.max(1)
        row = torch.arange(len(t))
        middle = t[row, k]
        left, right = t[row, (k - 1).clamp_min(0)], t[row, (k + 1).clamp_max(t.shape[1] - 1)]
    return bundle.at(line, middle.unsqueeze(1)).squeeze(1), best


def _local_maxima(value: Float[Tensor, "L k"]) -> tuple[Tensor, Tensor]:
    """Line and position of the best points that are no worse than both neighbours and feasible."""
    out = torch.full((len(value), 1), -torch.inf, dtype=value.dtype)
    before, after = torch.cat([out, value[:, :-1]], 1), torch.cat([value[:, 1:], out], 1)
    line, position = torch.nonzero((value >= before) & (value >= after) & torch.isfinite(value)).T
    order = torch.argsort(value[line, position], descending=True, stable=True)[:BRACKETS]
    return line[order], position[order]
