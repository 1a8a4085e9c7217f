"""Values of a walk: signals, operations on them in every tick, and one number of all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from safebo.robots.evaluation.stl.tree import Number, Operation, Reduction, SignalValue, Value
from safebo.types import FloatArray, IntArray


class Trace(Protocol):
    """Recorded signals of a walk, one value or one row of values a tick, in SI units."""

    @property
    def period(self) -> float:
        """Seconds between two ticks."""
        ...

    @property
    def stride(self) -> float:
        """Seconds of a stride."""
        ...

    def __len__(self) -> int:
        """Number of ticks."""
        ...

    def __getitem__(self, name: str) -> FloatArray:
        """Values of a signal, `n` or `n x parts`."""
        ...


@dataclass(frozen=True)
class ArrayTrace:
    """Signals that are at hand.

    Args:
        signals: values by name, `n` or `n x parts`, SI units.
        period: s.
        stride: s.
    """

    signals: Mapping[str, FloatArray]
    period: float = 1.0
    stride: float = 1.0

    def __len__(self) -> int:
        return len(next(iter(self.signals.values())))

    def __getitem__(self, name: str) -> FloatArray:
        return self.signals[name]


@dataclass
class Values:
    """Values over one trace; each part of any formula is computed once.

    Args:
        trace: the signals.
        weights: of the ticks in reductions, `n`; 0 leaves a tick out. None: all count alike.
    """

    trace: Trace
    weights: FloatArray | None = None
    _known: dict[Value, FloatArray] = field(default_factory=dict)

    def of(self, value: Value) -> FloatArray:
        """A value: one number (`()`), or one (`n`) or several (`n x parts`) in every tick or stride, in SI units."""
        if isinstance(value, Number):
            return np.asarray(value.value * value.unit.si(self.trace.stride))
        found = self._known.get(value)
        if found is None:
            if isinstance(value, SignalValue):
                found = self.trace[value.name]
            elif isinstance(value, Reduction):
                found = self._reduced(value)
            else:
                assert isinstance(value, Operation)
                found = self._operated(value)
            self._known[value] = found
        return found

    def _operated(self, value: Operation) -> FloatArray:
        operands = [self.of(operand) for operand in value.operands]
        if len(operands) == 1 and value.name in _OVER_PARTS:
            return _OVER_PARTS[value.name](operands[0])
        if any(operand.parts for operand in value.operands):
            operands = [
                a if operand.parts or a.ndim == 0 else a[:, None]
                for a, operand in zip(operands, value.operands, strict=True)
            ]
        if value.name == "rate":
            return _rate(operands[0], self.trace.period)
        if value.name == "power":
            return np.asarray(operands[0] ** value.exponent)
        if value.name == "norm":
            return np.sqrt(sum(a**2 for a in operands))
        if len(operands) == 1:
            return -operands[0] if value.name == "negative" else np.abs(operands[0])
        first = operands[0]
        for other in operands[1:]:
            first = _JOINING[value.name](first, other)
        return np.asarray(first)

    def _reduced(self, value: Reduction) -> FloatArray:
        series = self.of(value.operand)
        over_ticks = value.operand.axis == "ticks"
        weights = np.ones(len(self.trace)) if self.weights is None else self.weights
        if not over_ticks:
            bounds = self._strides()
            weights = np.add.reduceat(weights[: bounds[-1]], bounds[:-1])
        elif value.axis == "strides":
            parts = itertools.pairwise(self._strides())
            return np.array([_one(value, series[a:b], np.ones(b - a), self.trace.period) for a, b in parts])
        return np.asarray(_one(value, series, weights, self.trace.period))

    def _strides(self) -> IntArray:
        """First tick of every whole stride that counts, and the one after the last.

        Raises:
            ValueError: there is no whole stride.
        """
        return stride_bounds(self.trace, 0 if self.weights is None else int(np.argmax(self.weights > 0)))


def stride_bounds(trace: Trace, first: int) -> IntArray:
    """First tick of every whole stride from a tick on, and the one after the last; at least two numbers.

    Raises:
        ValueError: there is no whole stride.
    """
    length = trace.stride / trace.period
    begin = math.ceil(first / length - 1e-9)
    bounds = np.rint(np.arange(begin, math.floor(len(trace) / length + 1e-9) + 1) * length).astype(np.int64)
    if len(bounds) < 2 or bool((np.diff(bounds) < 1).any()):
        raise ValueError(
            f"no whole stride of {trace.stride:g} s in {(len(trace) - first) * trace.period:g} s of the walk"
        )
    return bounds


def constant_of(value: Value, stride: float) -> float:
    """A value in which there is no signal, in SI units.

    Args:
        value: of it.
        stride: seconds of a stride.
    """
    with np.errstate(all="ignore"):
        return float(Values(ArrayTrace({}, 1.0, stride)).of(value))


def _rate(values: FloatArray, period: float) -> FloatArray:
    """Change since the tick before, per second; 0 in the first."""
    rate = np.zeros_like(values)
    rate[1:] = np.diff(values, axis=0) / period
    return rate


def _one(value: Reduction, x: FloatArray, weights: FloatArray, period: float) -> float:
    counted = weights > 0
    x, w = x[counted], weights[counted]
    match value.name:
        case "mean":
            return float((w * x).sum() / w.sum())
        case "rms":
            return math.sqrt(float((w * x**2).sum() / w.sum()))
        case "largest":
            return float(x.max())
        case "smallest":
            return float(x.min())
        case "integral":
            return float((w * x).sum() * period)
    return weighted_quantile(x, w, value.share)


def weighted_quantile(x: FloatArray, weights: FloatArray, share: float) -> float:
    """The smallest value that is not exceeded for a share of the time."""
    return float(np.quantile(x, share, weights=weights, method="inverted_cdf"))


def _norm(x: FloatArray) -> FloatArray:
    return np.sqrt((x**2).sum(axis=-1))


_OVER_PARTS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "max": lambda x: x.max(axis=-1),
    "min": lambda x: x.min(axis=-1),
    "sum": lambda x: x.sum(axis=-1),
    "norm": _norm,
}
"""Functions of one operand with several parts."""

_JOINING: Mapping[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}
"""Operations of two operands."""
