"""The points of the unit cube that may be tried, where not all may: steps, whole numbers, choices, constraints.

A search moves freely through the cube, and whatever it looks at is first placed on the nearest point that may be tried,
so that acquisition and certificate are those of the parameters that will run (Garrido-Merchan and Hernandez-Lobato
2020; BoTorch's `Round`). Linear constraints are reached by projections on their half-spaces and, where these do not
meet, by moving towards a point that is known to keep all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.study.axis import PROPOSAL_STEPS, Axis
from safebo.study.space import Space

FloatArray = NDArray[np.float64]

SWEEPS = 8
"""So often a point is projected on the half-spaces that it breaks; the projections are curved on a log scale."""

VARIED = 0.3
"""Share of a swarm's particles that begin at another value of one discrete parameter."""

NEIGHBOURS = 12
"""So many of a search's best points are also tried at the neighbouring values of every discrete parameter."""

DRAWS = 512
"""So many points are drawn at once to find one that may be tried."""


@dataclass(frozen=True)
class AllowedPoints:
    """The points that may be tried.

    Args:
        space: of the parameters; None for the whole cube.
        anchor: raw values that keep all constraints, `p`.
    """

    space: Space | None = None
    anchor: FloatArray | None = None

    @property
    def whole_cube(self) -> bool:
        """Whether all points may be tried."""
        return self.space is None or self.space.plain

    @property
    def moving(self) -> Bool[Tensor, " d"] | None:
        """Coordinates along which a gradient may lead; None for all."""
        if self.space is None or self.whole_cube:
            return None
        return torch.tensor([not axis.discrete for axis in self.space.axes for _ in range(axis.width)])

    def place(self, X: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """Points near to X that may be tried; X itself where all may."""
        if self.space is None or self.whole_cube:
            return X
        flat = X.detach().reshape(-1, X.shape[-1]).numpy()
        return torch.from_numpy(self._kept(self.space, self.space.nearest(flat))).reshape(X.shape)

    def varied(self, X: Float[Tensor, "n d"], rng: np.random.Generator) -> Float[Tensor, "n d"]:
        """X placed, some points at another value of one discrete parameter first."""
        if self.space is None or self.whole_cube:
            return X
        points = X.numpy().copy()
        discrete = [j for j, axis in enumerate(self.space.axes) if axis.discrete]
        for row in np.flatnonzero(rng.random(len(points)) < VARIED) if discrete else ():
            j = discrete[rng.integers(len(discrete))]
            axis = self.space.axes[j]
            points[row, self.space.columns[j]] = _coordinates(axis, int(rng.integers(axis.levels)))
        return self.place(torch.from_numpy(points))

    def neighbours(self, X: Float[Tensor, "n d"]) -> Float[Tensor, "m d"]:
        """The best of X with one discrete parameter at its next values, or at another choice."""
        if self.space is None or not any(axis.discrete for axis in self.space.axes):
            return X[:0]
        found = []
        for point in X[:NEIGHBOURS].numpy():
            raw = self.space.from_unit(point)
            for axis, columns, value in zip(self.space.axes, self.space.columns, raw, strict=True):
                for level in _next_levels(axis, float(value)):
                    moved = point.copy()
                    moved[columns] = _coordinates(axis, level)
                    found.append(moved)
        return self.place(torch.from_numpy(np.array(found))) if found else X[:0]

    def drawn(self, rng: np.random.Generator, dimension: int) -> Float[Tensor, " d"]:
        """A point drawn uniformly from those that may be tried, as far as a sample of the cube meets them."""
        if self.space is None or self.whole_cube:
            return torch.tensor(rng.random(dimension))
        points = self.space.nearest(rng.random((DRAWS, dimension)))
        kept = self.space.keep(self.space.from_unit(points))
        point = points[int(np.argmax(kept))]
        return self.place(torch.from_numpy(point))

    def _kept(self, space: Space, points: FloatArray) -> FloatArray:
        """Points with discrete parameters in place, moved to where the linear constraints hold, with room to round."""
        if not space.constraints:
            return points
        real = np.array([not axis.discrete for axis in space.axes])
        bad = np.flatnonzero((_excess(space, points) > 0).any(-1))
        for _ in range(SWEEPS):
            if len(bad) == 0:
                return points
            for i, row in enumerate(space.matrix):
                _, slopes = _slopes(space, points[bad])
                gradient = row * slopes * real
                steps = np.clip(_excess(space, points[bad])[:, i], 0.0, None)
                steps = steps / np.maximum((gradient**2).sum(-1), 1e-300)
                for j in np.flatnonzero(real & (row != 0)):
                    column = space.columns[j].start
                    points[bad, column] = np.clip(points[bad, column] - steps * gradient[:, j], 0.0, 1.0)
            bad = bad[(_excess(space, points[bad]) > 0).any(-1)]
        if len(bad):
            points[bad] = self._towards_anchor(space, points[bad])
        return points

    def _towards_anchor(self, space: Space, points: FloatArray) -> FloatArray:
        """On the way to the anchor, its discrete values first, as far as needed."""
        if self.anchor is None:
            return points
        whole = space.to_unit(self.anchor)
        moved = points.copy()
        for axis, columns in zip(space.axes, space.columns, strict=True):
            if axis.discrete:
                moved[:, columns] = whole[columns]
        raw, anchor = space.from_unit(moved), np.asarray(self.anchor)
        excess, there = _excess(space, moved), _excess(space, whole[None])
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(excess > 0, excess / (excess - np.minimum(there, 0.0)), 0.0).max(-1)
        share = np.clip(np.nan_to_num(share, nan=1.0) * (1 + 1e-6), 0.0, 1.0)[:, None]
        moved = space.to_unit(raw + share * (anchor - raw)).clip(0.0, 1.0)
        moved[(_excess(space, moved) > 0).any(-1)] = whole
        return moved


def _excess(space: Space, points: FloatArray) -> FloatArray:
    """How far points exceed every linear constraint once they are rounded, `n x c`; held where it is at most 0."""
    raw, slopes = _slopes(space, points)
    rounding = 1.0 / PROPOSAL_STEPS
    lost = np.where([axis.discrete for axis in space.axes], 0.0, slopes * rounding)
    if any(axis.rounding == "digits" for axis in space.axes):
        lost = np.maximum(lost, 1e-5 * np.abs(raw) * (lost > 0))
    return raw @ space.matrix.T - space.limits + lost @ np.abs(space.matrix).T


def _slopes(space: Space, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Raw values, and how much each changes with its coordinate, `n x p`; 0 for choices."""
    raw = space.from_unit(points)
    slopes = np.zeros_like(raw)
    for j, axis in enumerate(space.axes):
        if not axis.choices:
            span = (
                np.log(axis.upper / axis.lower) * raw[:, j] if axis.logarithmic else axis.upper - axis.lower
            )
            slopes[:, j] = span
    return raw, slopes


def _coordinates(axis: Axis, level: int) -> FloatArray:
    return np.atleast_1d(axis.to_unit(axis.at(level)))


def _next_levels(axis: Axis, value: float) -> list[int]:
    """The values beside one of a discrete axis, all others of a choice."""
    if not axis.discrete:
        return []
    here = axis.level(value)
    near = range(axis.levels) if axis.choices else (here - 1, here + 1)
    return [level for level in near if level != here and 0 <= level < axis.levels]
