"""Parts of a formula, put together only where their units and widths fit."""

from __future__ import annotations

from dataclasses import replace

from safebo.robots.evaluation.stl.tokens import FormulaError
from safebo.robots.evaluation.stl.tree import (
    Atom,
    Axis,
    Number,
    Operation,
    Reduction,
    SignalValue,
    Span,
    Value,
    walk,
)
from safebo.robots.evaluation.stl.units import ONE, S, Unit
from safebo.robots.evaluation.stl.values import constant_of


def binary(text: str, sign: str, left: Value, right: Value) -> Value:
    """A sum, difference, product or quotient.

    Raises:
        FormulaError: the units of a sum differ, or the parts of two values.
    """
    span = (left.span[0], right.span[1])
    parts, axis = _common(text, (left, right), span)
    if sign in "+-":
        _same_unit(text, left, right, span, f"{sign!r} joins values of one unit")
        unit = Unit(left.unit.powers)
    elif sign == "*":
        unit = Unit((left.unit * right.unit).powers)
    else:
        if isinstance(right, Number) and right.value == 0:
            raise FormulaError(text, right.span, "divides by 0")
        unit = Unit((left.unit / right.unit).powers)
    return Operation(unit, parts, axis, span, sign, (left, right))


def function(text: str, name: str, operands: tuple[Value, ...], span: Span) -> Value:
    """A function of values in every tick.

    Raises:
        FormulaError: too few or too many arguments, or their units or parts differ.
    """
    single = len(operands) == 1
    if name in ("abs", "rate", "sum") and not single:
        raise FormulaError(text, span, f"{name!r} takes one argument, got {len(operands)}")
    if not operands:
        raise FormulaError(text, span, f"{name!r} takes at least one argument")
    first = operands[0]
    if name == "sum" and not first.parts:
        raise FormulaError(text, span, "'sum' adds the values of several joints or feet; this is one value")
    if name in ("max", "min", "norm") and single and not first.parts:
        over = "" if name == "norm" else "; over time it is always (...), in an objective largest or smallest"
        raise FormulaError(
            text, span, f"{name!r} takes several values, or one of several joints or feet{over}"
        )
    if name == "rate" and first.axis != "ticks":
        raise FormulaError(text, span, "'rate' is the change of a signal over time; this has none")
    for other in operands[1:]:
        _same_unit(text, first, other, span, f"the arguments of {name!r} have one unit")
    parts, axis = _common(text, operands, span)
    unit = Unit(first.unit.powers)
    if name == "rate":
        unit = Unit((unit / S).powers)
    if single and name in ("max", "min", "norm", "sum"):
        parts = ()
    return Operation(unit, parts, axis, span, name, operands)


def reduction(text: str, name: str, arguments: tuple[Value, ...], per_stride: bool, span: Span) -> Value:
    """One number of a walk, or of every stride.

    Raises:
        FormulaError: what it is taken of has several values in a tick, or does not vary.
    """
    share = 0.0
    if name == "quantile":
        given = arguments[1] if len(arguments) == 2 else None
        if not isinstance(given, Number) or given.unit != ONE or not 0 <= given.value <= 1:
            raise FormulaError(
                text, span, "'quantile' takes a value and a share from 0 to 1, as in (x, 0.95)"
            )
        share, arguments = given.value, arguments[:1]
    if len(arguments) != 1:
        raise FormulaError(text, span, f"{name!r} takes one value (and 'per stride'), got {len(arguments)}")
    operand = arguments[0]
    if operand.parts:
        raise FormulaError(text, operand.span, _several(operand))
    if not operand.axis:
        raise FormulaError(text, operand.span, f"this does not vary, so it has no {name}")
    if operand.axis == "strides" and (per_stride or name == "integral"):
        raise FormulaError(text, span, "this has one value in every stride already")
    unit = Unit((operand.unit * S).powers if name == "integral" else operand.unit.powers)
    axis: Axis = "strides" if per_stride else ""
    return Reduction(unit, (), axis, span, name, operand, share)


def atom(text: str, left: Value, relation: str, right: Value, scale: Number | None) -> Atom:
    """A comparison with its scale: the declared one, else the limit's size.

    Raises:
        FormulaError: the units differ, a side has several values, or there is no scale.
    """
    span = (left.span[0], (scale or right).span[1])
    for side in (left, right):
        if side.parts:
            raise FormulaError(text, side.span, _several(side))
    _same_unit(text, left, right, span, "the sides of a comparison have one unit")
    constant = [side for side in (left, right) if not side.axis]
    if len(constant) == 2:
        raise FormulaError(text, span, "neither side of this comparison is a signal")
    if scale is not None:
        if not scale.unit.matches(left.unit):
            raise FormulaError(
                text, scale.span, f"the scale of a comparison in {left.unit} has that unit, not {scale.unit}"
            )
        if scale.value <= 0:
            raise FormulaError(text, scale.span, "a scale is more than 0")
        return Atom(left, relation, right, scale, span=span)
    example = "scale 1" if left.unit.powers == ONE.powers else f"scale 1 {left.unit}"
    if not constant:
        raise FormulaError(
            text,
            span,
            f"what distance counts as 1? Neither side is a number, so say it: ... {example}, or compare a "
            "difference with a limit",
        )
    limit = constant[0]
    value = constant_of(limit, stride=1.0)
    if value == 0:
        raise FormulaError(text, span, f"what distance counts as 1? The limit is 0, so say it: ... {example}")
    unit = limit.unit if isinstance(limit, Number) else Unit(limit.unit.powers)
    size = abs(limit.value) if isinstance(limit, Number) else abs(value)
    return Atom(left, relation, right, Number(unit, span=limit.span, value=size), span=span)


def moved(value: Value, span: Span) -> Value:
    """The value as if all of it stood at one place: what a name stands for."""
    if isinstance(value, Operation):
        return replace(value, span=span, operands=tuple(moved(v, span) for v in value.operands))
    if isinstance(value, Reduction):
        return replace(value, span=span, operand=moved(value.operand, span))
    return replace(value, span=span)


def _common(text: str, values: tuple[Value, ...], span: Span) -> tuple[tuple[str, ...], Axis]:
    """Parts and axis of what is made of these values."""
    parts = {v.parts for v in values if v.parts}
    if len(parts) > 1:
        counts = " and ".join(sorted(f"{len(p)} ({p[0]} to {p[-1]})" for p in parts))
        raise FormulaError(
            text, span, f"these have different parts: {counts}; take max, min, sum or norm of them"
        )
    axes = {v.axis for v in values if v.axis}
    if len(axes) > 1:
        raise FormulaError(text, span, "one of these has a value in every tick, the other in every stride")
    return (parts.pop() if parts else ()), (axes.pop() if axes else "")


def _same_unit(text: str, left: Value, right: Value, span: Span, rule: str) -> None:
    if left.unit.matches(right.unit):
        return
    number = next((v for v in (left, right) if isinstance(v, Number) and v.unit == ONE), None)
    other = right if number is left else left
    hint = f"; write the number with its unit, as {number.value:g} {other.unit}" if number is not None else ""
    raise FormulaError(text, span, f"{rule}: here are {left.unit} and {right.unit}{hint}")


def _several(value: Value) -> str:
    name = next((v.name for v in walk(value) if isinstance(v, SignalValue) and v.parts), "this")
    return (
        f"{name} has {len(value.parts)} values in every tick ({', '.join(value.parts[:2])} ... {value.parts[-1]}): "
        "take max, min, sum or norm of them, or name one of them"
    )
