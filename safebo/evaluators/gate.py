"""The one check of what comes back from an evaluator, whoever hands it over.

Functions, programs, robots, `safebo resolve` and `safebo tell`, `Tuner.tell` and a journal that is read again all pass
`checked_measurement` before anything is kept or modelled.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from safebo.errors import (
    MAX_MESSAGE,
    MeasurementError,
    exit_call,
    place_of,
    short_text,
    text_of,
)
from safebo.evaluators.early_end import early_end
from safebo.evaluators.numbers import finite_array, number_of
from safebo.evaluators.scenarios import combined, parts_of
from safebo.evaluators.strides import checked_strides
from safebo.files.problems import did_you_mean, listed, shown
from safebo.study import Study, quantity_of
from safebo.study.preference_checks import prefers
from safebo.study.scenarios import one_walk
from safebo.types import (
    ENDED,
    OPERATING_TIME,
    OUTCOMES,
    Ended,
    Evaluator,
    Measurement,
    Monitor,
    NotStartedError,
    Trial,
    TrialUnknownError,
)

_FIELDS = tuple(field.name for field in fields(Measurement))


def evaluate_safely(evaluator: Evaluator, trial: Trial, monitor: Monitor | None, study: Study) -> Measurement:
    """Evaluate a trial; whatever the evaluator raises becomes outcome `failed` with the message recorded.

    That includes what ends a program elsewhere, as `sys.exit()`. A trial of several scenarios is walked once in each.

    Raises:
        KeyboardInterrupt: it may be a person's.
        OSError: the disk is full. That says nothing about the gains, so no outcome may come of it.
        TrialUnknownError, NotStartedError: nobody knows how the trial ended; it never began.
    """
    if trial.scenarios and trial.scenario is None:
        walks = {part.scenario.name: part for part in parts_of(trial, study) if part.scenario is not None}
        return combined({n: evaluate_safely(evaluator, p, monitor, study) for n, p in walks.items()}, study)
    if monitor is None:
        trial = replace(trial, early_end=early_end(trial, study))
    try:
        value = evaluator.evaluate(trial, monitor)
    except MeasurementError as error:
        return failed(text_of(error))
    except (TrialUnknownError, NotStartedError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if disk_is_full(error):
            raise
        return failed_by(error)
    return measured_or_failed(value, study if trial.scenario is None else one_walk(study))


def failed_by(error: BaseException) -> Measurement:
    """A failed measurement of a trial whose evaluator raised."""
    what = f"called {exit_call(error)}" if isinstance(error, SystemExit) else f"raised {short_text(error)}"
    return failed(_message(f"its evaluator {what}{place_of(error)}"))


def measured_or_failed(value: Any, study: Study) -> Measurement:
    """The checked measurement; where it is none, a `failed` one that says why and keeps telemetry and fall.

    Where one of the study's margins in it is below 0, that much is known of its gains, and the trial counts as
    `aborted` with those margins: it teaches that they are unsafe.
    """
    try:
        return checked_measurement(value, study)
    except MeasurementError as error:
        message = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a value whose own code fails, as an array that cannot be read
        message = f"not a measurement: {short_text(error)}"
    said = vars(value) if isinstance(value, Measurement) else value if isinstance(value, Mapping) else {}
    words, fell, telemetry = said.get("message"), said.get("fell"), said.get("telemetry")
    if isinstance(words, str) and words:
        message = f"{message} (the evaluator says: {words})"
    below = _below_zero(said, study)
    if below:
        named = ", ".join(f"{name} {margin:.4g}" for name, margin in below.items())
        message = f"measured unsafe ({named}), the rest cannot be used: {message}"
    return Measurement(
        "aborted" if below else "failed",
        margins=below,
        fell=isinstance(fell, bool | np.bool_) and bool(fell),
        telemetry=_text(telemetry) if isinstance(telemetry, str) else None,
        message=_message(message),
    )


def _below_zero(said: Mapping[str, Any], study: Study) -> dict[str, float]:
    """The study's margins below 0 in something that is no measurement otherwise: they are known all the same.

    Not where it calls itself failed or switched by a monitor, which says nothing of its gains, nor of several walks.
    """
    margins, outcome = said.get("margins"), said.get("outcome", "completed")
    if (
        study.scenarios is not None
        or outcome not in ("completed", "aborted")
        or not isinstance(margins, Mapping)
    ):
        return {}
    names = {name for c in study.constraints for name in (c.name, quantity_of(c))}
    return {name: value for name, value in _numbers(margins).items() if name in names and value < 0}


def checked_measurement(value: Any, study: Study) -> Measurement:
    """A measurement in which every number that the study needs is there and finite, as plain Python values.

    A trial that fell and reports no objective is an aborted one: it is modelled by its margins. What the study does not
    need (`duration`, `telemetry`, `extra`, `strides`, true values, margins it does not name) spoils itself alone.

    In a study with scenarios it is what each of them showed (`scenarios`, by name), and the rest follows from those:
    from all of them with `walked: all`, from at least one with `walked: chosen`.

    Args:
        value: a `Measurement`, or a mapping with its fields; `outcome` is `completed` where it is left out.
        study: says which functions have to be there.

    Raises:
        MeasurementError: naming every key that cannot be used, and why.
    """
    measurement = as_measurement(value)
    if study.scenarios is not None and (measurement.outcome != "failed" or measurement.scenarios):
        return combined(dict(_checked_scenarios(measurement, study)), study)
    faults = list(_faults(measurement, study))
    if faults:
        raise MeasurementError("; ".join(faults))
    return _without_objective(_plain(measurement)) if prefers(study) else _plain(measurement)


def _without_objective(m: Measurement) -> Measurement:
    """Of a study whose objective is a person's preference: a number that the evaluator calls its objective is kept
    among the further ones, and nothing is learned from it.
    """
    extra = dict(m.extra)
    if m.objective is not None:
        extra["objective"] = m.objective
    return replace(m, objective=None, true_objective=None, extra=extra)


def _checked_scenarios(measurement: Measurement, study: Study) -> Iterator[tuple[str, Measurement]]:
    """What every scenario of a trial showed, checked, in the study's order."""
    assert study.scenarios is not None
    given, known = measurement.scenarios, study.scenarios.values
    if not isinstance(given, Mapping) or not given:
        first = next(iter(known))
        raise MeasurementError(
            f"scenarios is missing: what each of them showed, as {{{first}: {{objective: ..., margins: ...}}}}"
        )
    for name in given:
        if name not in known:
            raise MeasurementError(f"unknown scenario {shown(name)}{did_you_mean(name, known)}")
    missing = [name for name in known if name not in given]
    if missing and study.scenarios.walked == "all":
        raise MeasurementError(f"scenario {listed(missing)} is missing (given: {listed(given)})")
    for name in known:
        if name in given:
            try:
                yield name, checked_measurement(given[name], one_walk(study))
            except MeasurementError as error:
                raise MeasurementError(f"scenario {name}: {error}") from None


def as_measurement(value: Any) -> Measurement:
    """A measurement, unchecked, from what a function or program returned.

    Raises:
        MeasurementError: it is neither a `Measurement` nor a mapping with its fields.
    """
    if isinstance(value, Measurement):
        return value
    if not isinstance(value, Mapping):
        raise MeasurementError(
            f"the evaluator returned {type(value).__name__}, not a mapping with objective and margins"
        )
    for key in value:
        if key not in _FIELDS:
            raise MeasurementError(f"unknown key {shown(key)} (allowed: {', '.join(_FIELDS)})")
    return Measurement(**{"outcome": "completed", **value})


def failed(message: str) -> Measurement:
    """A failed measurement and why, as text that can be kept."""
    return Measurement("failed", message=_message(message))


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room left for a file."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# -- what is wrong -----------------------------------------------------------------------------------------


def _faults(measurement: Measurement, study: Study) -> Iterator[str]:
    if measurement.outcome not in OUTCOMES:
        yield f"outcome {shown(measurement.outcome)} does not exist (allowed: {', '.join(OUTCOMES)})"
        return
    if not isinstance(measurement.fell, bool | np.bool_):
        yield f"fell is {shown(measurement.fell)}, not true or false"
        return
    # What the monitor interrupted is not modelled either, so its numbers decide nothing.
    if measurement.outcome in ("failed", "backup"):
        return
    # A trial that ended early, a fall included, has no objective worth modelling; a whole one must have it.
    if measurement.objective is None:
        if measurement.outcome == "completed" and not measurement.fell and not prefers(study):
            yield f"objective {study.objective.name!r} is missing"
    elif number_of(measurement.objective) is None and not prefers(study):
        yield f"objective {study.objective.name!r} is {shown(measurement.objective)}, not a finite number"
    if study.surrogate.time is not None:
        yield from _clock_faults(measurement)
    if not isinstance(measurement.margins, Mapping):
        yield f"margins is {shown(measurement.margins)}, not a mapping of names to numbers"
        return
    # Of an aborted trial that was unsafe no margin certifies, whatever the others were.
    known = measurement.outcome == "aborted" and bool(_below_zero(vars(measurement), study))
    for constraint in study.constraints:
        names = (constraint.name, quantity_of(constraint))
        name = next((name for name in names if name in measurement.margins), None)
        if name is None:
            if known:
                continue
            given = listed(measurement.margins)
            yield f"margin {names[1]!r} is missing (given: {given})"
        elif number_of(measurement.margins[name]) is None:
            yield f"margin {name!r} is {shown(measurement.margins[name])}, not a finite number"
    for name in ("states", "backup_state"):
        array = getattr(measurement, name)
        if array is not None and finite_array(array) is None:
            yield f"{name} holds something that is not a finite number, or rows of different lengths"
    states = finite_array(measurement.states)
    if states is None and measurement.states is not None:
        return
    if states is not None and states.ndim != 2:
        yield f"states has shape {states.shape}, not n x k"
        return
    yield from _margins_to_go_faults(measurement)


def _clock_faults(measurement: Measurement) -> Iterator[str]:
    """An operating time that cannot be used, of a robot that changes with it: the run's own clock is another one."""
    given = measurement.operating_time
    if given is None and isinstance(measurement.extra, Mapping):
        given = measurement.extra.get(OPERATING_TIME)
    if given is not None and ((time := number_of(given)) is None or time < 0):
        yield f"{OPERATING_TIME} is {shown(given)}, not a number of seconds >= 0"


def _margins_to_go_faults(measurement: Measurement) -> Iterator[str]:
    to_go = measurement.margins_to_go
    if to_go is None:
        return
    if not isinstance(to_go, Mapping):
        yield "margins_to_go must map the names of margins to lists of numbers"
        return
    if measurement.states is None:
        yield "margins_to_go is given without states"
        return
    if set(to_go) != set(measurement.margins):
        yield f"margins_to_go names {listed(to_go)}, margins {listed(measurement.margins)}"
        return
    count = len(measurement.states)
    for name, values in to_go.items():
        array = finite_array(values)
        if array is None:
            yield f"margins_to_go of {name!r} holds something that is not a finite number"
        elif array.shape != (count,):
            yield f"margins_to_go of {name!r} has shape {array.shape}, not one number per state ({count})"


# -- as plain values ---------------------------------------------------------------------------------------


def _plain(m: Measurement) -> Measurement:
    """Numpy's numbers as Python's: a tuner sees the same values now as when they are read back."""
    objective, states, backup_state = (
        number_of(m.objective),
        finite_array(m.states),
        finite_array(m.backup_state),
    )
    aborted = m.outcome == "completed" and bool(m.fell) and objective is None
    message = _message(m.message)
    if m.outcome == "failed" and not message.strip():
        message = "the evaluator reported outcome: failed, and no message"
    extra = _numbers(m.extra)
    within = extra.pop(OPERATING_TIME, None)
    time = within if m.operating_time is None else number_of(m.operating_time)
    return replace(
        m,
        outcome="aborted" if aborted else m.outcome,
        objective=objective,
        margins=_numbers(m.margins),
        fell=bool(m.fell),
        states=states if states is not None and states.ndim == 2 else None,
        margins_to_go=None if states is None else _arrays(m.margins_to_go),
        backup_time=number_of(m.backup_time),
        backup_state=backup_state if backup_state is not None and backup_state.ndim == 1 else None,
        true_objective=number_of(m.true_objective),
        true_margins=None if m.true_margins is None else _numbers(m.true_margins),
        telemetry=_text(m.telemetry) if isinstance(m.telemetry, str) else None,
        duration=max(0.0, number_of(m.duration) or 0.0),
        message=message,
        extra=extra,
        operating_time=None if time is None or time < 0 else time,
        strides=checked_strides(m.strides),
        ended=_ended(m.ended) if m.outcome == "completed" and not aborted else "",
        scenarios={},
    )


def _ended(value: Any) -> Ended:
    return next((known for known in ENDED if isinstance(value, str) and value == known), "")


def _numbers(values: Any) -> dict[str, float]:
    """The entries of a mapping that are finite numbers."""
    if not isinstance(values, Mapping):
        return {}
    found = {str(name): number_of(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def _arrays(values: Mapping[str, Any] | None) -> dict[str, NDArray[np.float64]] | None:
    if not isinstance(values, Mapping) or not values:
        return None
    found = {str(name): finite_array(value) for name, value in values.items()}
    whole = all(array is not None for array in found.values())
    return cast(dict[str, NDArray[np.float64]], found) if whole else None


def _message(value: Any) -> str:
    """A message of any kind as storable text of bounded length."""
    text = value if isinstance(value, str) else ("" if value is None else repr(value))
    text = _text(text[: MAX_MESSAGE + 1])
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + " ..."


def _text(value: str) -> str:
    """A text that every database keeps: halves of surrogate pairs and NULs are written out."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
