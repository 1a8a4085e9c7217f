"""The box of the gains and of the context, mapped to the unit cube in which the surrogate lives.

A function's own warp (from its unit to the scale on which it is modelled) is here too: both are strictly
increasing maps with an inverse, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safebo.errors import ParameterError, StudyError
from safebo.study import ContextVariable, Study, Warp
from safebo.study.axis import Axis, Rounding, choices_of, value_text
from safebo.study.linear import LinearConstraint, read_constraints

FloatArray = NDArray[np.float64]


class Space:
    """A box with named axes, and what is known beforehand of the values in it.

    A row of raw values has one number per axis (`p`); a point of the unit cube has the coordinates of all axes (`d`),
    which are more where there are choices.

    Args:
        axes: the axes, in the order of the columns of every array.
        kind: what an axis is called in messages (`parameter`, `context variable`).
        constraints: linear inequalities between raw values.
    """

    def __init__(
        self, axes: Sequence[Axis], kind: str = "parameter", constraints: Sequence[LinearConstraint] = ()
    ) -> None:
        names = [axis.name for axis in axes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise StudyError(f"{kind} declared twice: {', '.join(repeated)}")
        self.axes = tuple(axes)
        self._names = tuple(names)
        self.kind = kind
        self.constraints = tuple(constraints)
        ends = np.cumsum([axis.width for axis in axes], dtype=int).tolist()
        self.columns = tuple(slice(end - axis.width, end) for axis, end in zip(axes, ends, strict=True))

    @classmethod
    def of_parameters(cls, study: Study) -> Space:
        """The box of the gains."""
        rounding: Rounding = study.tuner.rounding
        axes = [Axis.of_parameter(p, rounding) for p in study.parameters]
        numbers = [p.name for p in study.parameters if not p.choices]
        choices = [p.name for p in study.parameters if choices_of(p)]
        return cls(axes, constraints=read_constraints(study.parameter_constraints, numbers, choices))

    @classmethod
    def of_context(cls, variables: Sequence[ContextVariable]) -> Space:
        """The box of the context variables, always linear."""
        return cls([Axis.of_variable(v) for v in variables], kind="context variable")

    @property
    def dimension(self) -> int:
        """Number of coordinates in the unit cube."""
        return sum(axis.width for axis in self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return self._names

    @property
    def plain(self) -> bool:
        """Whether every point of the unit cube may be tried."""
        return not self.constraints and not any(axis.discrete for axis in self.axes)

    def to_unit(self, raw: ArrayLike) -> FloatArray:
        """Rows in the axes' units (`n x p` or `p`) to the unit cube (`n x d` or `d`)."""
        rows = np.array(raw, dtype=np.float64)
        return self._joined(axis.to_unit(rows[..., j]) for j, axis in enumerate(self.axes))

    def from_unit(self, unit: ArrayLike) -> FloatArray:
        """Inverse of `to_unit`; a choice is the one with the largest coordinate."""
        points = np.array(unit, dtype=np.float64)
        parts = [axis.from_unit(part) for axis, part in zip(self.axes, self._parts(points), strict=True)]
        return np.stack(parts, -1) if parts else points

    def nearest(self, unit: ArrayLike) -> FloatArray:
        """Points (`n x d` or `d`) with every discrete axis at its nearest value."""
        points = np.array(unit, dtype=np.float64)
        return self._joined(axis.nearest(p) for axis, p in zip(self.axes, self._parts(points), strict=True))

    def _parts(self, points: FloatArray) -> Iterator[FloatArray]:
        """Every axis' coordinates: one column without its dimension, or the columns of a choice."""
        for axis, columns in zip(self.axes, self.columns, strict=True):
            yield points[..., columns] if axis.choices else points[..., columns.start]

    def _joined(self, parts: Iterable[FloatArray]) -> FloatArray:
        columns = [p if axis.choices else p[..., None] for axis, p in zip(self.axes, parts, strict=True)]
        return np.concatenate(columns, -1) if columns else np.zeros(0)

    def proposals(self, unit: ArrayLike) -> FloatArray:
        """Rows (`n x p`) of the nearest values that may be proposed, as they will be printed, to points (`n x d`)."""
        points = np.asarray(unit, dtype=np.float64)
        first = [columns.start for columns in self.columns]
        return np.array(
            [
                [axis.proposal(u, v) for axis, u, v in zip(self.axes, point[first], row, strict=True)]
                for point, row in zip(points, self.from_unit(points), strict=True)
            ]
        )

    @cached_property
    def matrix(self) -> FloatArray:
        """Coefficients of the linear constraints, `c x p`."""
        rows = [[c.coefficients.get(name, 0.0) for name in self.names] for c in self.constraints]
        return np.array(rows, dtype=np.float64).reshape(len(self.constraints), len(self.axes))

    @cached_property
    def limits(self) -> FloatArray:
        """What the sums of the linear constraints may reach, `c`."""
        return np.array([c.limit for c in self.constraints], dtype=np.float64)

    def keep(self, rows: ArrayLike) -> NDArray[np.bool_]:
        """Which rows (`n x p`) keep the linear constraints."""
        named = (
            dict(zip(self.names, row, strict=True)) for row in np.asarray(rows, dtype=np.float64).tolist()
        )
        return np.array([all(c.holds(values) for c in self.constraints) for values in named], dtype=np.bool_)

    def grid(self, count: int) -> FloatArray:
        """All combinations of `count` values of every axis that keep the constraints, `n x d` in the unit cube.

        The values are equally spaced, the ends among them; of a discrete axis the nearest that it has, of a choice all.
        """
        units = [
            axis.to_unit(np.arange(axis.width)) if axis.choices else _spaced(axis, count)
            for axis in self.axes
        ]
        index = np.indices([len(u) for u in units]).reshape(len(units), -1)
        points = self._joined(u[i] for u, i in zip(units, index, strict=True))
        return points[self.keep(self.from_unit(points))] if self.constraints else points

    def vector(self, values: Mapping[str, Any], where: str = "", within: bool = True) -> FloatArray:
        """Named values as a row (`p`).

        Args:
            values: numbers, and names of choices.
            where: said first in messages.
            within: whether bounds, steps and linear constraints must be kept.

        Raises:
            ParameterError: for names or values that do not fit.
        """
        prefix = f"{where}: " if where else ""
        missing = [name for name in self.names if name not in values]
        unknown = [name for name in values if name not in self.names]
        if missing or unknown:
            said = (("missing", missing), ("unknown", unknown))
            wrong = "; ".join(f"{what} {', '.join(map(str, names))}" for what, names in said if names)
            raise ParameterError(
                f"{prefix}{self.kind}s do not fit: {wrong}. Expected are {', '.join(self.names) or 'none'}"
            )
        row = []
        for axis in self.axes:
            value = values[axis.name]
            problem = axis.wrong(value, within)
            if problem is not None:
                raise ParameterError(f"{prefix}{self.kind} {axis.name} = {said_value(value)} {problem}")
            row.append(axis.raw(value))
        if within:
            for constraint in self.constraints:
                if not constraint.holds(dict(zip(self.names, row, strict=True))):
                    have = ", ".join(f"{n} = {said_value(values[n])}" for n in constraint.coefficients)
                    raise ParameterError(f"{prefix}{have} break the constraint {constraint.text}")
        return np.array(row, dtype=np.float64)

    def named(self, row: ArrayLike) -> dict[str, Any]:
        """A row (`p`) as named values: floats, ints of whole numbers, names of choices."""
        return {axis.name: axis.named(v) for axis, v in zip(self.axes, np.asarray(row), strict=True)}


def _spaced(axis: Axis, count: int) -> FloatArray:
    return (
        np.unique(axis.nearest(np.linspace(0.0, 1.0, count)))
        if axis.discrete
        else np.linspace(0.0, 1.0, count)
    )


def said_value(value: Any) -> str:
    """A value in a message, whatever it is."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
    return value_text(value) if number or isinstance(value, str) else repr(value)


class WarpMap:
    """A function's strictly increasing map between its own unit and the scale on which it is modelled.

    `identity`: `w(y) = y / scale`. `log`: `w(y) = log(scale) - log(upper - y)`, which tends to infinity as y
    tends to `upper` (a margin `v - e` with error e to 0) and is clipped to `ends`, as is the identity.
    """

    def __init__(self, warp: Warp, name: str = "function") -> None:
        self.kind, self.scale, self.upper, self.ends = warp.kind, warp.scale, warp.upper, warp.ends
        self.name = name

    def forward(self, value: ArrayLike) -> FloatArray:
        """From the function's own unit to the modelled scale, clipped."""
        y = np.asarray(value, dtype=np.float64)
        with np.errstate(divide="ignore", over="ignore"):  # beyond the clip anyway
            if self.kind == "identity":
                warped = y / self.scale
            else:
                warped = math.log(self.scale) - np.log(np.maximum(self.upper - y, 0.0))
        return np.clip(warped, *self.ends)

    def clipped(self, warped: float) -> bool:
        """Whether a value on the modelled scale stands for all beyond it."""
        return not self.ends[0] < warped < self.ends[1]

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
        if self.clipped(zero):
            raise StudyError(
                f"constraint {self.name}: clip = [{self.ends[0]:g}, {self.ends[1]:g}] hides the margin 0, which lies "
                f"at {zero:g}"
            )
        return zero


def context_row(study: Study, name: str, space: Space) -> FloatArray:
    """The values of a named context as a row (`c`)."""
    return space.vector(study.context.values[name], where=f"context {name}")
