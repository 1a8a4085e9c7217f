"""Measurements to be believed: every number the tuner needs is there and finite, or the trial has failed."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.errors import UnsafeSeedError
from safebo.study import Study, quantity_of
from safebo.types import OUTCOMES, Evaluator, Measurement, Monitor, NotStartedError, Trial, TrialUnknownError

_MEASUREMENT_FIELDS = tuple(field.name for field in fields(Measurement))


def evaluate_safely(evaluator: Evaluator, trial: Trial, monitor: Monitor | None, study: Study) -> Measurement:
    """Evaluate a trial; whatever the evaluator raises becomes outcome `failed` with the message recorded.

    Raises:
        OSError: the disk is full. That says nothing about the gains, so no outcome may come of it.
        TrialUnknownError, NotStartedError: nobody knows how the trial ended; it never began.
    """
    try:
        measurement = evaluator.evaluate(trial, monitor)
    except NotAMeasurementError as error:
        return failed(str(error))
    except (TrialUnknownError, NotStartedError):
        raise
    except Exception as error:
        if disk_is_full(error):
            raise
        return failed(f"the evaluator raised {short_text(error)}{_place(error)}")
    try:
        return _plain(check_measurement(as_measurement(measurement), study))
    except Exception as error:
        return failed(f"not a measurement: {short_text(error)}")


class NotAMeasurementError(ValueError):
    """What an evaluator returned is no measurement."""


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room left for a file."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def negative_margins(measurement: Measurement, study: Study) -> list[tuple[str, float]]:
    """The study's constraints that were measured below 0, with their margins."""
    found = []
    for constraint in study.constraints:
        names = [n for n in (constraint.name, quantity_of(constraint)) if n in measurement.margins]
        if names and measurement.margins[names[0]] < 0:
            found.append((constraint.name, measurement.margins[names[0]]))
    return found


def refuse_unsafe_seed(trial: Trial, measurement: Measurement | None, study: Study) -> None:
    """Raise `UnsafeSeedError` for a seed that was measured unsafe: nothing in its context can be trusted."""
    if trial.phase != "seed" or measurement is None or measurement.outcome == "failed":
        return
    negative = negative_margins(measurement, study)
    if not negative and not measurement.fell:
        return
    shown = ", ".join(f"{n} = {v:.4g}" for n, v in negative) or "it fell"
    gains = ", ".join(f"{k} {v:g}" for k, v in trial.parameters.items())
    raise UnsafeSeedError(
        f"the seed of context {trial.context_name} is not safe: trial {trial.id} measured {shown} "
        f"(safe is >= 0{'; the robot fell' if measurement.fell and negative else ''}) with {gains}. "
        "Give the study a seed that is safe on this robot"
    )


def as_measurement(value: Any) -> Measurement:
    """A measurement from what a function or program returned.

    Raises:
        NotAMeasurementError: it is neither a `Measurement` nor a mapping with its fields.
    """
    if isinstance(value, Measurement):
        return value
    if not isinstance(value, Mapping):
        raise NotAMeasurementError(
            f"the evaluator returned {type(value).__name__}, not a mapping with objective and margins"
        )
    for key in value:
        if key not in _MEASUREMENT_FIELDS:
            raise NotAMeasurementError(f"unknown key {key!r} (allowed: {', '.join(_MEASUREMENT_FIELDS)})")
    content = {"outcome": "completed", **value}
    for key in ("states", "backup_state"):
        if content.get(key) is not None:
            content[key] = np.asarray(content[key], dtype=float)
    to_go = content.get("margins_to_go")
    if to_go is not None:
        if not isinstance(to_go, Mapping):
            raise NotAMeasurementError("margins_to_go must map the names of margins to lists of numbers")
        content["margins_to_go"] = {name: np.asarray(values, dtype=float) for name, values in to_go.items()}
    return Measurement(**content)


def check_measurement(measurement: Measurement, study: Study) -> Measurement:
    """The measurement itself if every number the tuner needs is there and finite, otherwise a `failed` one.

    A failed measurement keeps its telemetry and says in `message` which value was wrong.
    """
    faults = list(_faults(measurement, study))
    if not faults:
        return measurement
    message = "; ".join(faults)
    if measurement.message:
        message = f"{message} (the evaluator says: {measurement.message})"
    return Measurement(
        outcome="failed", fell=bool(measurement.fell), telemetry=measurement.telemetry, message=message
    )


def _faults(measurement: Measurement, study: Study) -> Iterable[str]:
    if measurement.outcome not in OUTCOMES:
        yield f"unknown outcome {measurement.outcome!r} (allowed: {', '.join(OUTCOMES)})"
        return
    # What the monitor interrupted is not modelled either, so its numbers decide nothing.
    if measurement.outcome in ("failed", "backup"):
        return
    # A trial that ended early, a fall included, has no objective worth modelling; a whole one must have it.
    if measurement.objective is None:
        if measurement.outcome == "completed" and not measurement.fell:
            yield f"objective {study.objective.name!r} is missing"
    elif not _finite(measurement.objective):
        yield f"objective {study.objective.name!r} is {measurement.objective!r}, not a finite number"
    for constraint in study.constraints:
        names = (constraint.name, quantity_of(constraint))
        name = next((name for name in names if name in measurement.margins), None)
        if name is None:
            given = ", ".join(measurement.margins) or "none"
            yield f"margin {names[1]!r} is missing (given: {given})"
        elif not _finite(measurement.margins[name]):
            yield f"margin {name!r} is {measurement.margins[name]!r}, not a finite number"
    for name in ("states", "backup_state"):
        array = getattr(measurement, name)
        if array is not None and not np.all(np.isfinite(array)):
            yield f"{name} holds a value that is not finite"
    if measurement.states is not None and np.ndim(measurement.states) != 2:
        yield f"states has shape {np.shape(measurement.states)}, not n x k"
    yield from _margins_to_go_faults(measurement)


def _margins_to_go_faults(measurement: Measurement) -> Iterable[str]:
    to_go = measurement.margins_to_go
    if to_go is None:
        return
    if measurement.states is None:
        yield "margins_to_go is given without states"
        return
    if set(to_go) != set(measurement.margins):
        yield f"margins_to_go names {', '.join(to_go) or 'none'}, margins {', '.join(measurement.margins)}"
        return
    count = len(measurement.states)
    for name, values in to_go.items():
        if np.shape(values) != (count,):
            yield f"margins_to_go of {name!r} has shape {np.shape(values)}, not one number per state ({count})"
        elif not np.all(np.isfinite(values)):
            yield f"margins_to_go of {name!r} holds a value that is not finite"


def _plain(measurement: Measurement) -> Measurement:
    """Numpy's numbers as Python's: a tuner sees the same values now as when they are read back."""
    true_margins = measurement.true_margins
    return replace(
        measurement,
        objective=_number(measurement.objective),
        margins={str(name): float(value) for name, value in measurement.margins.items()},
        fell=bool(measurement.fell),
        margins_to_go=_arrays(measurement.margins_to_go),
        backup_time=_number(measurement.backup_time),
        true_objective=_number(measurement.true_objective),
        true_margins=None if true_margins is None else {str(n): float(v) for n, v in true_margins.items()},
        duration=float(measurement.duration),
        extra={str(name): float(value) for name, value in measurement.extra.items()},
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _arrays(values: Mapping[str, Any] | None) -> dict[str, NDArray[np.float64]] | None:
    return {str(n): np.asarray(v, dtype=np.float64) for n, v in values.items()} if values else None


def failed(message: str) -> Measurement:
    """A failed measurement and why."""
    return Measurement(outcome="failed", message=message)


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def short_text(error: BaseException) -> str:
    """An error in one line: its type and its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException) -> str:
    """Where the user's own code failed: the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f" ({Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name})"
