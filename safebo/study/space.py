"""The box of the gains and of the context, mapped to the unit cube in which the surrogate lives.

A function's own warp (from its unit to the scale on which it is modelled) is here too: both are strictly
increasing maps with an inverse, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safebo.errors import ParameterError, StudyError
from safebo.study import ContextVariable, Parameter, Study, Warp

FloatArray = NDArray[np.float64]

SIGNIFICANT_DIGITS = 6
"""Proposed parameters are rounded to so many digits, so that what is printed is what was certified."""


@dataclass(frozen=True)
class Axis:
    """One named axis of the box: bounds in its own unit, linear or logarithmic."""

    name: str
    lower: float
    upper: float
    logarithmic: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower < self.upper):
            raise StudyError(
                f"{self.name}: bounds must be finite and increasing, got {[self.lower, self.upper]}"
            )
        if self.logarithmic and self.lower <= 0:
            raise StudyError(f"{self.name}: a log scale needs a positive lower bound, got {self.lower}")

    def to_unit(self, value: ArrayLike) -> FloatArray:
        """Values in the axis' unit to [0, 1] (outside the bounds: linearly on)."""
        x = np.asarray(value, dtype=np.float64)
        if self.logarithmic:
            return (np.log(x) - math.log(self.lower)) / (math.log(self.upper) - math.log(self.lower))
        return (x - self.lower) / (self.upper - self.lower)

    def from_unit(self, unit: ArrayLike) -> FloatArray:
        """Inverse of `to_unit`."""
        u = np.asarray(unit, dtype=np.float64)
        if self.logarithmic:
            low, high = math.log(self.lower), math.log(self.upper)
            return np.exp(low + u * (high - low))
        return self.lower + u * (self.upper - self.lower)

    def round(self, value: float) -> float:
        """The nearest number of `SIGNIFICANT_DIGITS` digits that lies within the bounds."""
        rounded = float(f"{float(value):.{SIGNIFICANT_DIGITS}g}")
        return min(max(rounded, self.lower), self.upper)


class Space:
    """A box with named axes.

    Args:
        axes: the axes, in the order of the columns of every array.
        kind: what an axis is called in messages (`parameter`, `context variable`).
    """

    def __init__(self, axes: Sequence[Axis], kind: str = "parameter") -> None:
        names = [axis.name for axis in axes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise StudyError(f"{kind} declared twice: {', '.join(repeated)}")
        self.axes = tuple(axes)
        self._names = tuple(names)
        self.kind = kind

    @classmethod
    def of_parameters(cls, parameters: Sequence[Parameter]) -> Space:
        """The box of the gains."""
        return cls([Axis(p.name, p.bounds[0], p.bounds[1], p.scale == "log") for p in parameters])

    @classmethod
    def of_context(cls, variables: Sequence[ContextVariable]) -> Space:
        """The box of the context variables, always linear."""
        return cls([Axis(v.name, v.bounds[0], v.bounds[1]) for v in variables], kind="context variable")

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return self._names

    def to_unit(self, raw: ArrayLike) -> FloatArray:
        """Rows in the axes' units (`n x d` or `d`) to the unit cube."""
        return self._by_column(raw, Axis.to_unit)

    def from_unit(self, unit: ArrayLike) -> FloatArray:
        """Inverse of `to_unit`."""
        return self._by_column(unit, Axis.from_unit)

    def _by_column(self, rows: ArrayLike, convert: Callable[[Axis, FloatArray], FloatArray]) -> FloatArray:
        """Every axis' column converted (`n x d` or `d`)."""
        columns = np.array(rows, dtype=np.float64)
        for j, axis in enumerate(self.axes):
            columns[..., j] = convert(axis, columns[..., j])
        return columns

    def round(self, raw: ArrayLike) -> FloatArray:
        """One row (`d`) with every number rounded as it will be printed, within the bounds."""
        return np.array([axis.round(v) for axis, v in zip(self.axes, np.asarray(raw), strict=True)])

    def vector(self, values: Mapping[str, float], where: str = "", within: bool = True) -> FloatArray:
        """Named values as a row (`d`); raises `ParameterError` for names or values that do not fit."""
        prefix = f"{where}: " if where else ""
        missing = [name for name in self.names if name not in values]
        unknown = [name for name in values if name not in self.names]
        if missing or unknown:
            said = (("missing", missing), ("unknown", unknown))
            wrong = "; ".join(f"{what} {', '.join(map(str, names))}" for what, names in said if names)
            raise ParameterError(
                f"{prefix}{self.kind}s do not fit: {wrong}. Expected are {', '.join(self.names) or 'none'}"
            )
        row = np.array([float(values[name]) for name in self.names])
        for axis, value in zip(self.axes, row, strict=True):
            if not math.isfinite(value):
                raise ParameterError(f"{prefix}{self.kind} {axis.name} = {value} is not a finite number")
            if within and not axis.lower <= value <= axis.upper:
                raise ParameterError(
                    f"{prefix}{self.kind} {axis.name} = {value:g} lies outside its bounds "
                    f"[{axis.lower:g}, {axis.upper:g}]"
                )
        return row

    def named(self, row: ArrayLike) -> dict[str, float]:
        """A row (`d`) as named values."""
        return {name: float(v) for name, v in zip(self.names, np.asarray(row), strict=True)}


class WarpMap:
    """A function's strictly increasing map between its own unit and the scale on which it is modelled.

    `identity`: `w(y) = y / scale`. `log`: `w(y) = log(scale) - log(upper - y)`, which tends to infinity as y
    tends to `upper` (a margin `v - e` with error e to 0) and is clipped to `+-clip`, as is the identity.
    """

    def __init__(self, warp: Warp, name: str = "function") -> None:
        self.kind, self.scale, self.upper, self.clip = warp.kind, warp.scale, warp.upper, warp.clip
        self.name = name

    def forward(self, value: ArrayLike) -> FloatArray:
        """From the function's own unit to the modelled scale, clipped."""
        y = np.asarray(value, dtype=np.float64)
        if self.kind == "identity":
            warped = y / self.scale
        else:
            with np.errstate(divide="ignore"):
                warped = math.log(self.scale) - np.log(np.maximum(self.upper - y, 0.0))
        return np.clip(warped, -self.clip, self.clip)

    def inverse(self, warped: ArrayLike) -> FloatArray:
        """From the modelled scale to the function's own unit; not clipped, as bounds may lie further out."""
        w = np.asarray(warped, dtype=np.float64)
        if self.kind == "identity":
            return w * self.scale
        return self.upper - self.scale * np.exp(-np.clip(w, -700.0, 700.0))

    def threshold(self) -> float:
        """Where the margin 0 lies on the modelled scale; raises `StudyError` if the warp cannot reach it."""
        if self.kind == "log" and self.upper <= 0:
            raise StudyError(
                f"constraint {self.name}: a log warp with upper = {self.upper:g} never reaches the margin 0; "
                "upper must be positive, the largest margin there can be"
            )
        zero = 0.0 if self.kind == "identity" else math.log(self.scale) - math.log(self.upper)
        if abs(zero) >= self.clip:
            raise StudyError(
                f"constraint {self.name}: clip = {self.clip:g} hides the margin 0, which lies at {zero:g}"
            )
        return zero


def context_row(study: Study, name: str, space: Space) -> FloatArray:
    """The values of a named context as a row (`c`)."""
    return space.vector(study.context.values[name], where=f"context {name}")
