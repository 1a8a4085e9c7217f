"""Objectives that a study writes as an expression over the signals of a walk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from safebo.robots.evaluation.stl.parser import parse_value
from safebo.robots.evaluation.stl.tree import (
    Number,
    Operation,
    Reduction,
    SignalInfo,
    Value,
    signal_names,
    walk,
)
from safebo.robots.evaluation.stl.units import ONE, Unit, unit_of
from safebo.robots.evaluation.stl.values import Trace, Values, stride_bounds
from safebo.types import FloatArray, QuantityInfo


@dataclass(frozen=True)
class Goal:
    """An objective, to be maximised.

    Args:
        name: of it.
        text: of the expression.
        value: the expression, parsed.
        sign: -1 where the expression is a cost.
        unit: in which it is reported.
        described: further words for people.
    """

    name: str
    text: str
    value: Value
    sign: float = 1.0
    unit: Unit = ONE
    described: str = ""

    @property
    def info(self) -> QuantityInfo:
        """Name, unit and what it says."""
        notes = [self.described or ("minus " if self.sign < 0 else "") + self.text]
        if self._mean is None:
            notes.append("no mean over time, so a walk is never settled or dominated by it")
        return QuantityInfo(self.name, str(self.unit), "; ".join(notes))

    def signals(self) -> tuple[str, ...]:
        """Names of the signals that it needs."""
        return signal_names(self.value)

    def check(self, trace_length: int, trace: Trace, first: int) -> None:
        """Refuse it for walks in which it has no value.

        Raises:
            ValueError: it takes whole strides, and there is none.
        """
        if any(isinstance(node, Reduction) and node.axis == "strides" for node in walk(self.value)):
            try:
                stride_bounds(_Length(trace_length, trace.period, trace.stride), first)
            except ValueError as error:
                raise ValueError(f"objective {self.name!r}: {error}") from None

    def of(self, trace: Trace, weights: FloatArray) -> float:
        """Of a walk.

        Args:
            trace: the walk.
            weights: of its ticks, `n`; 0 leaves one out.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            found = float(Values(trace, weights).of(self.value))
        return self.sign * found / self.unit.si(trace.stride)

    def over_time(self, trace: Trace) -> FloatArray | None:
        """In every tick what it is the mean of, `n`; None where it is no mean."""
        if self._mean is None:
            return None
        found = np.broadcast_to(Values(trace).of(self._mean), (len(trace),))
        return self.sign * found / self.unit.si(trace.stride)

    @cached_property
    def never_positive(self) -> bool:
        """Whether it is a cost in every tick, so that what is left of a walk cannot make up for what was spent."""
        return self._mean is not None and (_sign(self._mean) == -self.sign)

    @cached_property
    def _mean(self) -> Value | None:
        return _mean_of(self.value)


@dataclass(frozen=True)
class _Length:
    """A walk of which only the length matters."""

    count: int
    period: float
    stride: float

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> FloatArray:
        raise KeyError(name)


def goal_of(
    name: str,
    text: str,
    signals: Mapping[str, SignalInfo],
    named: Mapping[str, str],
    sign: float,
    unit: str | None,
) -> Goal:
    """An objective from its text.

    Args:
        name: of it.
        text: of the expression.
        signals: that it may name.
        named: shipped objectives that it may name, each a text to be maximised.
        sign: 1 where the expression is to be maximised, -1 where it is to be minimised.
        unit: in which it is reported; None: the SI unit.

    Raises:
        ValueError: the text is no expression, or has another unit; says where and what is allowed.
    """
    where, text = f"objective {name!r}", " ".join(text.split())
    try:
        value = parse_value(text, signals, named)
        shown = Unit(value.unit.powers) if unit is None else unit_of(unit)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not shown.matches(value.unit):
        raise ValueError(f"{where}: it is measured in {Unit(value.unit.powers)}, not in {unit}")
    if not signal_names(value):
        raise ValueError(f"{where}: there is no signal in {text!r}")
    return Goal(name, text, value, sign, shown)


def _mean_of(value: Value) -> Value | None:
    """What a value is the mean over time of: itself without its `mean`s, where these are only added up and scaled."""
    if isinstance(value, Number):
        return value
    if isinstance(value, Reduction):
        plain = not any(isinstance(node, Reduction) for node in walk(value.operand))
        return value.operand if value.name == "mean" and value.axis == "" and plain else None
    if not isinstance(value, Operation):
        return None
    if value.name in ("+", "-", "negative"):
        parts = [_mean_of(operand) for operand in value.operands]
    elif value.name == "*" and any(_constant(v) for v in value.operands):
        parts = [v if _constant(v) else _mean_of(v) for v in value.operands]
    elif value.name == "/" and _constant(value.operands[1]):
        parts = [_mean_of(value.operands[0]), value.operands[1]]
    else:
        return value if _constant(value) else None
    if any(part is None for part in parts):
        return None
    operands = tuple(part for part in parts if part is not None)
    varying = [v.axis for v in operands if v.axis]
    return Operation(
        value.unit, (), varying[0] if varying else "", value.span, value.name, operands, value.exponent
    )


def _constant(value: Value) -> bool:
    return not value.axis and not signal_names(value)


def _sign(value: Value) -> float:
    """1 where a value is never below 0, -1 where it is never above, 0 where nobody knows."""
    if isinstance(value, Number):
        return 1.0 if value.value >= 0 else -1.0
    if not isinstance(value, Operation):
        return 0.0
    signs = [_sign(operand) for operand in value.operands]
    match value.name:
        case "abs" | "norm":
            return 1.0
        case "power":
            return 1.0 if value.exponent % 2 == 0 else signs[0]
        case "negative":
            return -signs[0]
        case "*" | "/":
            return signs[0] * signs[1]
        case "-":
            return signs[0] if signs[0] == -signs[1] else 0.0
        case "max":
            return 1.0 if 1.0 in signs else max(signs)
        case "min":
            return -1.0 if -1.0 in signs else min(signs)
        case "+" | "sum":
            return signs[0] if len(set(signs)) == 1 else 0.0
    return 0.0
