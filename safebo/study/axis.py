"""One axis of the box of gains or of the context: values in its own unit, and its coordinates in the unit cube.

A real axis has one coordinate. The coordinate of a value is snapped to `RESOLUTION` steps between the bounds, so that
it is the same number wherever the box lies and whoever reads the value, and a proposal lies on one of the coarser
`PROPOSAL_STEPS`, at the shortest number that has its coordinate. Runs of earlier versions (`rounding: digits`) round
values to six significant digits instead and snap nothing.

Steps and integers are rounded wherever they are searched (Garrido-Merchan and Hernandez-Lobato 2020). A choice has one
coordinate per name, 1 for the chosen one and 0 for the others (one-hot), so that no choice lies between two others.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safebo.errors import StudyError
from safebo.study import ContextVariable, Parameter, Study

FloatArray = NDArray[np.float64]

Rounding = Literal["range", "digits"]

RESOLUTION = 500_000_000
"""Coordinates are read in so many steps between the bounds: half as many as the doubles that a range must hold."""

PROPOSAL_STEPS = 1_000_000
"""Proposals lie on so many steps between the bounds; a divisor of `RESOLUTION`."""

FEWEST_DOUBLES = 1_000_000_000
"""A range that holds fewer is refused: its coordinates could not be told apart."""

MAX_LEVELS = 1_000_000
"""Of an axis with steps."""

SIGNIFICANT_DIGITS = 6
"""Of proposals under `rounding: digits`."""


@dataclass(frozen=True)
class Axis:
    """One named axis.

    Args:
        name: of the parameter or context variable.
        lower, upper: bounds in its own unit; 0 and the last position of a choice.
        logarithmic: how values map to the unit cube.
        rounding: of proposals, and whether coordinates are snapped; None for what is never proposed.
        step: between allowed values, counted from `lower`; None for all.
        whole: whether values are integers.
        choices: names; the raw value of a choice is its position.
    """

    name: str
    lower: float
    upper: float
    logarithmic: bool = False
    rounding: Rounding | None = None
    step: float | None = None
    whole: bool = False
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower < self.upper):
            raise StudyError(
                f"{self.name}: bounds must be finite and increasing, got {[self.lower, self.upper]}"
            )
        if self.logarithmic and self.lower <= 0:
            raise StudyError(f"{self.name}: a log scale needs a positive lower bound, got {self.lower}")

    @classmethod
    def of_parameter(cls, parameter: Parameter, rounding: Rounding = "range") -> Axis:
        """The axis of a gain."""
        p = parameter
        return cls(
            p.name, *p.bounds, p.scale == "log", rounding, step_of(p), p.type == "integer", choices_of(p)
        )

    @classmethod
    def of_variable(cls, variable: ContextVariable) -> Axis:
        """The axis of a context variable, always linear."""
        return cls(variable.name, *variable.bounds)

    @property
    def width(self) -> int:
        """Number of coordinates in the unit cube."""
        return len(self.choices) or 1

    @property
    def discrete(self) -> bool:
        """Whether it has finitely many values."""
        return self.step is not None or bool(self.choices)

    @cached_property
    def levels(self) -> int:
        """How many values a discrete axis has."""
        if self.choices:
            return len(self.choices)
        return levels_between(self.lower, self.upper, self.step or 1.0)

    def to_unit(self, value: ArrayLike) -> FloatArray:
        """Values in the axis' unit (`n`) to [0, 1], outside the bounds linearly on; a choice to `n x width`."""
        x = np.asarray(value, dtype=np.float64)
        if self.choices:
            return (x[..., None] == np.arange(self.width)).astype(np.float64)
        if self.rounding != "range":
            if self.logarithmic:
                return (np.log(x) - math.log(self.lower)) / (math.log(self.upper) - math.log(self.lower))
            return (x - self.lower) / (self.upper - self.lower)
        if self._narrow:
            # A difference of logarithms would lose the digits.
            unit = np.log1p((x - self.lower) / self.lower) / math.log1p(
                (self.upper - self.lower) / self.lower
            )
        elif self.logarithmic:
            unit = (np.log(x) - math.log(self.lower)) / (math.log(self.upper) - math.log(self.lower))
        else:
            unit = (x - self.lower) / (self.upper - self.lower)
        return np.rint(unit * RESOLUTION) / RESOLUTION

    def from_unit(self, unit: ArrayLike) -> FloatArray:
        """Inverse of `to_unit`, for all real numbers; of a choice the position of the largest coordinate."""
        u = np.asarray(unit, dtype=np.float64)
        if self.choices:
            return np.argmax(u, axis=-1).astype(np.float64)
        if self.logarithmic:
            low, high = math.log(self.lower), math.log(self.upper)
            return np.exp(low + u * (high - low))
        return self.lower + u * (self.upper - self.lower)

    def nearest(self, unit: ArrayLike) -> FloatArray:
        """Coordinates of the nearest values that a discrete axis has; a real axis' own ones."""
        if not self.discrete:
            return np.asarray(unit, dtype=np.float64)
        raw = self.from_unit(unit)
        if self.step is not None:
            levels, where = np.unique(self._level(raw), return_inverse=True)
            raw = np.array([self.at(int(level)) for level in levels])[where].reshape(raw.shape)
        return self.to_unit(raw)

    def proposal(self, unit: float, raw: float) -> float:
        """The nearest value that may be proposed.

        Args:
            unit: a coordinate; of a choice any.
            raw: the value there.
        """
        if self.discrete:
            return self.at(self.level(raw))
        if self.rounding != "range":
            rounded = float(f"{float(raw):.{SIGNIFICANT_DIGITS}g}")
            return min(max(rounded, self.lower), self.upper)
        return self._shortest(round(min(max(float(unit), 0.0), 1.0) * PROPOSAL_STEPS))

    def at(self, level: int) -> float:
        """A value of a discrete axis by its position, as a person would write it."""
        if self.step is None:
            return float(level)
        return min(_multiple(self.lower, self.step, level), self.upper)

    def level(self, value: float) -> int:
        """Position of the nearest value of a discrete axis."""
        return round(value) if self.choices else int(self._level(value))

    def wrong(self, value: Any, within: bool = True) -> str | None:
        """What is wrong with a value, as a sentence without a subject; None where nothing is.

        Args:
            value: a number, or the name of a choice.
            within: whether bounds and steps count.
        """
        if self.choices:
            known = f"is not a choice (allowed: {', '.join(self.choices)})"
            return None if isinstance(value, str) and value in self.choices else known
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            return "is not a number"
        number = float(value)
        if not math.isfinite(number):
            return "is not a finite number"
        if not within:
            return None
        if not self.lower <= number <= self.upper:
            return f"lies outside its bounds [{value_text(self.lower)}, {value_text(self.upper)}]"
        if self.step is not None:
            nearest = self.at(self.level(number))
            if not self._same(nearest, number):
                counted = self.whole and self.step == 1
                kind = (
                    "a whole number"
                    if counted
                    else f"{value_text(self.lower)} plus a multiple of {value_text(self.step)}"
                )
                return f"is not {kind}; the nearest is {value_text(nearest)}"
        return None

    def raw(self, value: Any) -> float:
        """The raw number of a value that is right: the position of a choice, the step that a number means."""
        if self.choices:
            return float(self.choices.index(value))
        number = float(value)
        if self.step is not None and self._same(nearest := self.at(self.level(number)), number):
            return nearest
        return number

    def named(self, raw: float) -> Any:
        """A raw number as an evaluator gets it: an int of whole numbers, the name of a choice."""
        if self.choices:
            return self.choices[round(float(raw))]
        return round(float(raw)) if self.whole else float(raw)

    def unresolved(self) -> str | None:
        """Why coordinates on the axis cannot be told apart; None where they can."""
        if not math.isfinite(self.upper - self.lower):
            return "is wider than floating-point numbers reach: use narrower bounds, or scale: log"
        if self.logarithmic and self.lower < sys.float_info.min:
            return f"is too close to 0 for scale: log: the smallest lower bound is {sys.float_info.min:g}"
        if (
            not self.discrete
            and (held := _doubles_below(self.upper) - _doubles_below(self.lower)) < FEWEST_DOUBLES
        ):
            return (
                f"is too narrow: it holds {held:,} floating-point numbers, and the search needs {FEWEST_DOUBLES:,}; "
                "widen it, or tune the difference from the lower bound"
            )
        return None

    @property
    def _narrow(self) -> bool:
        """Whether it is logarithmic and its bounds are close to each other."""
        return self.logarithmic and self.upper <= 2.0 * self.lower

    def _same(self, a: float, b: float) -> bool:
        return abs(a - b) * RESOLUTION <= self.upper - self.lower

    def _level(self, raw: ArrayLike) -> NDArray[np.int64]:
        step = self.step or 1.0
        return np.clip(np.rint((np.asarray(raw) - self.lower) / step), 0, self.levels - 1).astype(np.int64)

    def _shortest(self, count: int) -> float:
        """The shortest number whose coordinate is that of a proposal's step."""
        if count in (0, PROPOSAL_STEPS):
            return self.lower if count == 0 else self.upper
        if self._narrow:
            ratio = math.log1p((self.upper - self.lower) / self.lower)
            x = self.lower + self.lower * math.expm1(count / PROPOSAL_STEPS * ratio)
        elif self.logarithmic:
            x = float(self.from_unit(count / PROPOSAL_STEPS))
        else:
            low, high = _exact(self.lower), _exact(self.upper)
            x = float(low + (high - low) * count / PROPOSAL_STEPS)
        target = count * (RESOLUTION // PROPOSAL_STEPS)
        for digits in range(1, 17):
            short = float(f"{x:.{digits}g}")
            if self.lower <= short <= self.upper and abs(self._position(short) - target) < 0.4:
                return short
        around = (x, math.nextafter(x, -math.inf), math.nextafter(x, math.inf))
        inside = [v for v in around if self.lower <= v <= self.upper]
        return min(inside, key=lambda v: abs(self._position(v) - target))

    def _position(self, x: float) -> float:
        """The coordinate in steps of the resolution, not snapped."""
        if self._narrow:
            ratio = math.log1p((self.upper - self.lower) / self.lower)
            return math.log1p((x - self.lower) / self.lower) / ratio * RESOLUTION
        if self.logarithmic:
            low = math.log(self.lower)
            return (math.log(x) - low) / (math.log(self.upper) - low) * RESOLUTION
        return (x - self.lower) / (self.upper - self.lower) * RESOLUTION


def step_of(parameter: Parameter) -> float | None:
    """The step between a parameter's values; 1 for integers that give none."""
    return 1.0 if parameter.type == "integer" and parameter.step is None else parameter.step


def levels_between(lower: float, upper: float, step: float) -> int:
    """How many multiples of a step, from the lower bound on, lie between two bounds."""
    return int((_exact(upper) - _exact(lower)) / _exact(step)) + 1


def choices_of(parameter: Parameter) -> tuple[str, ...]:
    """The names of a choice; empty for numbers."""
    return tuple(parameter.choices or ())


def value_text(value: Any) -> str:
    """A parameter's value for people: all of its digits and no more, the name of a choice."""
    if isinstance(value, str):
        return value
    text = repr(float(value))
    return text.removesuffix(".0")


def brief(value: Any, parameter: Parameter) -> str:
    """A parameter's value in a table: as many digits as tell values apart within its bounds, four at least."""
    if isinstance(value, str) or parameter.type == "integer":
        return value_text(value)
    lower, upper = parameter.bounds
    largest = max(abs(lower), abs(upper))
    close = parameter.scale == "linear" or upper <= 2 * lower
    digits = math.floor(math.log10(largest / (upper - lower)) + 4.5) if close else 4
    return f"{value:.{min(max(4, digits), 17)}g}"


def domain_size(study: Study) -> int | None:
    """Number of points of a finite domain, those that break a linear constraint included; None for a box."""
    search = study.tuner.search
    if search.domain == "continuous":
        return None
    return len(search.pool) if search.domain == "pool" else math.prod(grid_sizes(study))


def grid_sizes(study: Study) -> list[int]:
    """The most values that a grid has of every parameter: `grid_points`, or all of a discrete one."""
    sizes = []
    for p in study.parameters:
        count, step = study.tuner.search.grid_points, step_of(p)
        if p.choices:
            count = len(p.choices)
        elif step is not None:
            count = min(count, levels_between(*p.bounds, step))
        sizes.append(count)
    return sizes


@lru_cache(maxsize=4096)
def _multiple(lower: float, step: float, level: int) -> float:
    return float(_exact(lower) + level * _exact(step))


@lru_cache(maxsize=4096)
def _exact(value: float) -> Fraction:
    """The decimal number that a person wrote."""
    return Fraction(repr(float(value)))


def _doubles_below(value: float) -> int:
    """Position of a floating-point number among all of them, 0 for 0."""
    bits = int(np.float64(abs(value)).view(np.int64))
    return bits if value >= 0 else -bits
