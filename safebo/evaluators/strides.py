"""What is kept of a trial's strides, whoever reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from safebo.evaluators.numbers import finite_array, number_of
from safebo.files.problems import listed
from safebo.study import FunctionSpec, Study, quantity_of
from safebo.trial_length.extremes import LARGEST_FACTOR
from safebo.types import Measurement, Strides

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


def stride_minima(measurement: Measurement, constraint: FunctionSpec) -> tuple[float, ...] | None:
    """A constraint's minimum within every stride, by either of its names; None where there are none."""
    strides = measurement.strides
    for name in (constraint.name, quantity_of(constraint)):
        if strides is not None and name in strides.margins:
            return strides.margins[name]
    return None


def too_short(measurement: Measurement, study: Study) -> str:
    """Why no trial like this one can certify as far as the study's horizon, in words; empty where one can."""
    horizon, strides = study.horizon, measurement.strides
    if (
        horizon is None
        or measurement.outcome != "completed"
        or measurement.duration >= horizon * (1.0 - 1e-9)
    ):
        return ""
    lacking = [c.name for c in study.constraints if stride_minima(measurement, c) is None]
    if strides is None or lacking:
        given = f" (given: {listed(strides.margins)})" if strides is not None else ""
        return (
            f"horizon {horizon:g} s needs the minimum of every margin within every stride, and the evaluator "
            f"reported none that can be used for {', '.join(lacking)}{given}; see docs/trial-length.md, "
            "or leave horizon out"
        )
    seconds = strides.count * strides.period
    if horizon > LARGEST_FACTOR * seconds * (1.0 + 1e-9):
        return (
            f"horizon {horizon:g} s is more than {LARGEST_FACTOR:g} times the {seconds:g} s of its strides, too far "
            f"to extrapolate: trials of {horizon / LARGEST_FACTOR:g} s after their first seconds at least, better "
            "twice as long, or a shorter horizon"
        )
    return ""


def _values(values: Any) -> tuple[float, ...] | None:
    array = finite_array(values)
    if array is None or array.ndim != 1:
        return None
    return tuple(float(f"{value:.{DIGITS}g}") for value in array)
