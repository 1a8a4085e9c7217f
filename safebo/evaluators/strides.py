"""What is kept of a trial's strides, whoever reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from safebo.evaluators.numbers import finite_array, number_of
from safebo.types import Strides

MAX_STRIDES = 10_000
"""Of one trial; more are not kept."""

DIGITS = 7
"""Significant digits that are kept of a value: as many as a sensor's float has."""

_FIELDS = tuple(field.name for field in fields(Strides))


def checked_strides(value: Any) -> Strides | None:
    """Strides as plain numbers; None where they are not what `Strides` says, as a wrong kind spoils itself alone.

    Args:
        value: a `Strides`, or a mapping with its fields, as a program writes it.
    """
    if isinstance(value, Strides):
        value = {name: getattr(value, name) for name in _FIELDS}
    if not isinstance(value, Mapping) or not set(value) <= set(_FIELDS):
        return None
    period, start = number_of(value.get("period")), number_of(value.get("start", 0.0))
    objective, margins = value.get("objective"), value.get("margins")
    if period is None or period <= 0 or start is None or start < 0:
        return None
    if not isinstance({} if margins is None else margins, Mapping):
        return None
    given = {"": () if objective is None else objective, **{str(k): v for k, v in (margins or {}).items()}}
    found = {name: _values(values) for name, values in given.items()}
    counts = {len(values) for name, values in found.items() if values is not None and (name or values)}
    if None in found.values() or len(counts) != 1 or not 0 < counts.pop() <= MAX_STRIDES:
        return None
    whole = {name: values for name, values in found.items() if values is not None}
    return Strides(period, start, whole.pop(""), whole)


def _values(values: Any) -> tuple[float, ...] | None:
    array = finite_array(values)
    if array is None or array.ndim != 1:
        return None
    return tuple(float(f"{value:.{DIGITS}g}") for value in array)
