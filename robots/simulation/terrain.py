"""What stands on the floor of a walk: steps, rough ground and strips of another friction.

Plain data, as a study writes it. Lengths are in m along the floor, `ahead` is the direction in which the robot looks at
the start, and heights are over the floor on which it starts. `safebo.robots.simulation.floor` builds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from safebo.types import FloatArray

FIELD = (-5.0, 25.0, -5.0, 5.0)
"""Where rough ground is: from and to ahead, from and to leftward, m. Beyond it the floor is level."""

CELLS = 5.0
"""Cells of the grid in a correlation length."""

HIGHEST_STEP, HIGHEST_BUMP = 0.5, 0.3
SHORTEST_BUMP, LONGEST_BUMP = 0.05, 5.0
MOST_STEPS = 200
_Item = TypeVar("_Item")


def _require(holds: bool, where: str, allowed: str, value: object) -> None:
    if not holds:
        raise ValueError(f"disturbance: {where} must be {allowed}, got {value!r}")


@dataclass(frozen=True)
class Step:
    """A block across the way.

    Args:
        at: where it begins, m ahead of the robot's start.
        height: of its top over the floor, m.
        length: m; infinite: to the end of the way.
    """

    at: float
    height: float
    length: float = math.inf

    def __post_init__(self) -> None:
        _require(self.at > 0, "steps: at", "more than 0 m ahead", self.at)
        _require(
            0 < self.height <= HIGHEST_STEP,
            "steps: height",
            f"more than 0 and at most {HIGHEST_STEP:g} m",
            self.height,
        )
        _require(self.length > 0, "steps: length", "more than 0 m", self.length)

    def to_scale(self, length: float) -> Step:
        """The same for legs so many times as long."""
        return Step(self.at * length, min(self.height * length, HIGHEST_STEP), self.length * length)


@dataclass(frozen=True)
class FrictionPatch:
    """A strip across the way on which feet have another friction.

    Args:
        at: where it begins, m ahead of the robot's start; behind it where negative.
        length: m; infinite: to the end of the way.
        friction: coefficient under every foot there, times its `foot_friction_factor`.
    """

    at: float
    length: float
    friction: float

    def __post_init__(self) -> None:
        _require(self.length > 0, "friction_patches: length", "more than 0 m", self.length)
        _require(self.friction > 0, "friction_patches: friction", "positive", self.friction)

    def to_scale(self, length: float) -> FrictionPatch:
        """The same for legs so many times as long."""
        return FrictionPatch(self.at * length, self.length * length, self.friction)


@dataclass(frozen=True)
class RoughGround:
    """Random ground, drawn by a seed: a Gaussian field with the covariance exp(-(r / correlation)^2), whose heights are
    then evenly distributed from 0 to the amplitude (by the normal distribution function).

    Args:
        amplitude: height of the highest bump over the deepest dip, m.
        correlation: distance over which heights differ, m.
        seed: of the draw; the same one gives the same ground.
        level: radius of the level floor around the start, m; beyond it the ground grows over a correlation length.
    """

    amplitude: float
    correlation: float = 0.3
    seed: int = 0
    level: float = 0.6

    def __post_init__(self) -> None:
        _require(
            0 < self.amplitude <= HIGHEST_BUMP,
            "rough: amplitude",
            f"more than 0 and at most {HIGHEST_BUMP:g} m",
            self.amplitude,
        )
        longest = f"from {SHORTEST_BUMP:g} to {LONGEST_BUMP:g} m"
        _require(
            SHORTEST_BUMP <= self.correlation <= LONGEST_BUMP, "rough: correlation", longest, self.correlation
        )
        _require(
            self.amplitude <= self.correlation,
            "rough: amplitude",
            f"at most the correlation length, {self.correlation:g} m",
            self.amplitude,
        )
        whole = isinstance(self.seed, int) and not isinstance(self.seed, bool) and 0 <= self.seed < 2**32
        _require(whole, "rough: seed", "a whole number from 0 to 2^32 - 1", self.seed)
        _require(0 <= self.level <= 5.0, "rough: level", "from 0 to 5 m", self.level)

    def to_scale(self, length: float) -> RoughGround:
        """The same for legs so many times as long, within what may be drawn."""
        correlation = min(max(self.correlation * length, SHORTEST_BUMP), LONGEST_BUMP)
        amplitude = min(self.amplitude * length, HIGHEST_BUMP, correlation)
        return RoughGround(amplitude, correlation, self.seed, min(self.level * length, 5.0))


@dataclass(frozen=True, eq=False)
class HeightField:
    """Heights on a regular grid, linear on the two triangles of every cell, as MuJoCo takes them.

    Args:
        heights: m, rows along y, columns along x, at least 2 x 2.
        x, y: of the first and the last column and row, m, `2` each.
    """

    heights: FloatArray
    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def cell(self) -> tuple[float, float]:
        """Size of a cell along x and y, m."""
        rows, columns = self.heights.shape
        return (self.x[1] - self.x[0]) / (columns - 1), (self.y[1] - self.y[0]) / (rows - 1)

    def rise(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Height at points of any one shape, m; 0 beyond the field."""
        rows, columns = self.heights.shape
        width, depth = self.cell
        u, v = (x - self.x[0]) / width, (y - self.y[0]) / depth
        inside = (u >= 0) & (u <= columns - 1) & (v >= 0) & (v <= rows - 1)
        column = np.clip(np.nan_to_num(u), 0, columns - 1.000001).astype(int)
        row = np.clip(np.nan_to_num(v), 0, rows - 1.000001).astype(int)
        u, v = u - column, v - row
        here, far = self.heights[row, column], self.heights[row + 1, column + 1]
        side, above = self.heights[row, column + 1], self.heights[row + 1, column]
        # cut from (0, 0) to (1, 1)
        below = here + u * (side - here) + v * (far - side)
        over = here + v * (above - here) + u * (far - above)
        return np.where(inside, np.where(u >= v, below, over), 0.0)

    def part(self, x: tuple[float, float]) -> HeightField:
        """The columns that cover a range of x, and at least two of them."""
        columns, width = self.heights.shape[1], self.cell[0]
        first = min(max(0, math.floor((x[0] - self.x[0]) / width)), columns - 2)
        last = max(min(columns - 1, math.ceil((x[1] - self.x[0]) / width)), first + 1)
        ends = self.x[0] + first * width, self.x[0] + last * width
        return HeightField(self.heights[:, first : last + 1], ends, self.y)


@lru_cache(maxsize=4)
def height_field(rough: RoughGround) -> HeightField:
    """The ground that a seed draws; the same for the same numbers, bit for bit."""
    width = rough.correlation / CELLS
    x0, x1, y0, y1 = FIELD
    columns, rows = (max(8, math.ceil((end - begin) / width)) + 1 for begin, end in ((x0, x1), (y0, y1)))
    noise = np.random.default_rng([0x6F0D, rough.seed]).standard_normal((rows, columns))
    along = [np.fft.fftfreq(n, d=(b - a) / (n - 1)) for n, a, b in ((rows, y0, y1), (columns, x0, x1))]
    # White noise under a filter whose square has the covariance wanted: periodic, hence stationary.
    square = along[0][:, None] ** 2 + along[1][None, :] ** 2
    shape = np.exp(-0.5 * (np.pi * rough.correlation) ** 2 * square)
    smooth = np.fft.ifft2(np.fft.fft2(noise) * shape).real
    smooth /= np.sqrt(np.mean(shape**2))
    even = 0.5 * (1.0 + np.vectorize(math.erf)(smooth / math.sqrt(2.0)))
    x, y = np.linspace(x0, x1, columns), np.linspace(y0, y1, rows)
    away = np.hypot(x[None, :], y[:, None])
    share = np.clip((away - rough.level) / rough.correlation, 0.0, 1.0)
    even *= share * share * (3.0 - 2.0 * share)
    # in the engine's own precision, which holds shares of the highest
    shares = (even / even.max()).astype(np.float32).astype(float)
    return HeightField(rough.amplitude * shares, (x0, x1), (y0, y1))


def step_rise(steps: Sequence[Step], x: FloatArray) -> FloatArray:
    """Height of the highest step over points so far ahead (any shape), m; 0 where there is none."""
    rise = np.zeros(np.shape(x))
    for step in steps:
        rise = np.where((x >= step.at) & (x <= step.at + step.length), np.maximum(rise, step.height), rise)
    return rise


def friction_at(patches: Sequence[FrictionPatch], x: FloatArray, otherwise: FloatArray) -> FloatArray:
    """Coefficient of friction so far ahead, `n`, with the one that holds beside the strips, `n`."""
    found = np.array(otherwise, dtype=float)
    for patch in patches:
        found[(x >= patch.at) & (x <= patch.at + patch.length)] = patch.friction
    return found


def check_patches(patches: Sequence[FrictionPatch]) -> None:
    """Refuse strips that lie on one another: nobody could say which one counts.

    Raises:
        ValueError: names the two.
    """
    ordered = sorted(patches, key=lambda patch: patch.at)
    for one, other in pairwise(ordered):
        if other.at < one.at + one.length - 1e-9:
            raise ValueError(
                f"disturbance: friction_patches: the one at {other.at:g} m begins on the one at {one.at:g} m, which "
                f"is {one.length:g} m long"
            )


# -- reading -----------------------------------------------------------------------------------------------


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise ValueError(f"disturbance: {where} must be a finite number, got {value!r}")
    return float(value)


def _fields(where: str, value: Any, needed: Sequence[str], further: Sequence[str]) -> dict[str, float]:
    """Numbers by name."""
    wanted = f"{where} needs {', '.join(needed)}" + (
        f", and may have {', '.join(further)}" if further else ""
    )
    if not isinstance(value, Mapping):
        raise ValueError(f"disturbance: {wanted}, got {value!r}")
    for key in value:
        if key not in (*needed, *further):
            raise ValueError(f"disturbance: {where}: unknown key {key!r}; {wanted}")
    missing = [key for key in needed if key not in value]
    if missing:
        raise ValueError(f"disturbance: {wanted}; it lacks {', '.join(missing)}")
    return {key: _number(f"{where}.{key}", item) for key, item in value.items()}


def _item(
    kind: Callable[..., _Item],
    name: str,
    index: int,
    value: Any,
    needed: Sequence[str],
    further: Sequence[str],
) -> _Item:
    """One of a list; what is wrong with it names its place."""
    given = _fields(f"{name}[{index}]", value, needed, further)
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(str(error).replace(f"{name}: ", f"{name}[{index}].")) from None


def parse_steps(value: Any) -> tuple[Step, ...]:
    """Steps from a list of `{at, height, length}`, or a stair `{at, height, length, count}`: `count` steps, each by
    `height` higher than the one before and beginning `length` after it; the last one goes on.

    Raises:
        ValueError: names the key, what was wrong and what is allowed.
    """
    if isinstance(value, Mapping):
        given = _fields("steps", value, ("at", "height", "length", "count"), ())
        count = given["count"]
        whole = 1 <= count <= MOST_STEPS and int(count) == count
        _require(whole, "steps.count", f"a whole number from 1 to {MOST_STEPS}", value["count"])
        _require(given["length"] > 0, "steps.length", "more than 0 m", value["length"])
        return tuple(
            Step(given["at"] + i * given["length"], (i + 1) * given["height"]) for i in range(int(count))
        )
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(
            f"disturbance: steps must be a list of {{at, height, length}}, or a stair {{at, height, length, count}}, "
            f"got {value!r}"
        )
    if len(value) > MOST_STEPS:
        raise ValueError(f"disturbance: steps must be at most {MOST_STEPS}, got {len(value)}")
    return tuple(_item(Step, "steps", i, item, ("at", "height"), ("length",)) for i, item in enumerate(value))


def parse_rough(value: Any) -> RoughGround | None:
    """Rough ground from its amplitude, or from its fields; none from null.

    Raises:
        ValueError: names the key, what was wrong and what is allowed.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return RoughGround(_number("rough", value))
    given: dict[str, Any] = _fields("rough", value, ("amplitude",), ("correlation", "seed", "level"))
    return RoughGround(**given | ({"seed": value["seed"]} if "seed" in value else {}))


def parse_patches(value: Any) -> tuple[FrictionPatch, ...]:
    """Strips from a list of `{at, length, friction}`.

    Raises:
        ValueError: names the key, what was wrong and what is allowed.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(
            f"disturbance: friction_patches must be a list of {{at, length, friction}}, got {value!r}"
        )
    names = ("at", "length", "friction")
    return tuple(_item(FrictionPatch, "friction_patches", i, item, names, ()) for i, item in enumerate(value))
