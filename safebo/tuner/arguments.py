"""What a caller of the tuner hands over: a study, a trial, what it showed, rows, times; refused where it is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safebo.errors import InputError, MeasurementError, StudyError
from safebo.evaluators.gate import checked_measurement
from safebo.evaluators.numbers import finite_array, number_of
from safebo.files.problems import shown
from safebo.study import Study
from safebo.study.axis import value_text
from safebo.study.preference_checks import prefers
from safebo.study.reading import StudyFile, check_study
from safebo.study.tuner_checks import with_trust
from safebo.tuner.history import History
from safebo.types import Measurement, Trial, TrialRecord


def checked_study(study: Any) -> Study:
    """A study that can be run, from itself or from a file that was read.

    Raises:
        InputError: it is neither.
        StudyError: it cannot be run safely.
    """
    study = with_trust(study.study) if isinstance(study, StudyFile) else study
    if not isinstance(study, Study):
        raise InputError(
            f"a Tuner needs a study, not {shown(study)}: safebo.Tuner(safebo.load_study('my-study.yaml'))"
        )
    check_study(study)
    return study


def checked_seed(seed: Any) -> int:
    """A seed as Python's whole number.

    Raises:
        InputError: it is no whole number of at least 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, not {shown(seed)}")
    return int(seed)


def asked_record(history: History, trial: Any) -> TrialRecord:
    """The record of a trial that was asked, by itself or its id.

    Raises:
        UnknownNameError: it was never asked.
        InputError: it is no trial, or it has other parameters than it was asked with: those would be remembered.
    """
    if not isinstance(trial, Trial):
        if isinstance(trial, bool) or not isinstance(trial, int | np.integer):
            raise InputError(f"a trial as ask() returned it, or its id, is needed, not {shown(trial)}")
        return history.record(int(trial))
    record = history.record(trial.id)
    asked = record.trial
    if dict(asked.parameters) != dict(trial.parameters) or asked.context_name != trial.context_name:
        there, here = (
            f"{', '.join(f'{n} {value_text(v)}' for n, v in t.parameters.items())} in context {t.context_name}"
            for t in (asked, trial)
        )
        raise InputError(
            f"trial {trial.id} was asked with {there}, not with {here}: what other gains showed is told with "
            "tell_manual(), and edit() changes a proposal before it runs"
        )
    return record


def raw_rows(parameters: ArrayLike, names: Sequence[str]) -> NDArray[np.float64]:
    """Rows of raw parameters, n x d, from them or from one alone.

    Raises:
        InputError: they have another shape, or hold something that is not a finite number.
    """
    rows = finite_array(parameters)
    if rows is None:
        raise InputError(
            "parameters hold something that is not a finite number, or rows of different lengths"
        )
    rows = np.atleast_2d(rows)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise InputError(
            f"parameters must be n x {len(names)} ({', '.join(names)}), got {' x '.join(map(str, rows.shape))}"
        )
    return rows


def checked_readings(study: Study, readings: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Readings of exactly the measured context variables; None where there are none.

    Raises:
        InputError: one is missing or too many, or lies outside its bounds.
    """
    names, given = (
        [v.name for v in study.context.variables if v.measured],
        {} if readings is None else readings,
    )
    if not isinstance(given, Mapping):
        raise InputError(f"readings are a mapping of variables to numbers, not {shown(given)}")
    if set(given) != set(names):
        wanted = ", ".join(names) or "none"
        raise InputError(
            f"readings of measured context variables are needed for {wanted}, and were given for "
            f"{', '.join(map(str, given)) or 'none'}"
        )
    numbers = {name: number_of(value) for name, value in given.items()}
    for variable in study.context.variables:
        if not variable.measured:
            continue
        low, high = variable.bounds
        number = numbers[variable.name]
        if number is None:
            raise InputError(f"{variable.name} reads {shown(given[variable.name])}, not a finite number")
        if not low <= number <= high:
            raise InputError(
                f"{variable.name} reads {number:g} {variable.unit}".rstrip()
                + f", outside the bounds [{low:g}, {high:g}] of the study: nothing can be certified there"
            )
    return {n: number for n, number in numbers.items() if number is not None} or None


def checked_time(study: Study, history: History, time: float | None) -> float | None:
    """The operating time of a trial, in seconds, where one is given or needed, as Python's number.

    Raises:
        InputError: it is missing, is no time, or lies before that of an earlier trial.
    """
    if time is None:
        if study.surrogate.time is not None:
            raise InputError(
                "the study declares surrogate.time, so that every trial needs the robot's operating time: give "
                "operating_time=SECONDS, pauses included"
            )
        return None
    number = number_of(time)
    if number is None or number < 0:
        raise InputError(f"operating_time must be a number of seconds >= 0, not {shown(time)}")
    known = [r.operating_time for r in history if r.operating_time is not None]
    if study.surrogate.time is not None and known and number < max(known):
        raise InputError(
            f"operating_time {number:g} s lies before that of the last trial, {max(known):g} s: it only goes on"
        )
    return number


def checked_told(study: Study, trial: Trial, measurement: Measurement | Mapping[str, Any]) -> Measurement:
    """What a trial showed, checked against the study and the scenarios that the trial walked.

    Raises:
        MeasurementError: it cannot be used, and why.
    """
    try:
        found = checked_measurement(measurement, study)
    except MeasurementError as error:
        raise MeasurementError(f"trial {trial.id}: {error}") from None
    missing = [name for name in trial.scenarios if name not in found.scenarios]
    if missing and found.scenarios and trial.phase != "manual":
        raise MeasurementError(
            f"trial {trial.id}: walked {', '.join(trial.scenarios)}, and scenario {', '.join(missing)} is missing"
        )
    return found


def checked_records(
    study: Study, records: Iterable[tuple[Trial, Measurement | None]]
) -> Iterator[TrialRecord]:
    """Trials of an earlier run with what they showed, checked one by one.

    Raises:
        MeasurementError: a record is no such pair, or its measurement cannot be used, and why.
    """
    for number, record in enumerate(records, 1):
        match record:
            case (Trial() as trial, measurement):
                pass
            case _:
                raise MeasurementError(
                    f"record {number} is {record!r:.60}; expected is a Trial with its Measurement, or with None"
                )
        told = None if measurement is None else checked_told(study, trial, measurement)
        yield TrialRecord(trial, told)


def check_prior(study: Study, history: History) -> None:
    """Check that another run's trials may inform a tuner.

    Raises:
        StudyError: it has trials already, or the study has an objective or a horizon of which they say nothing.
    """
    if len(history):
        raise StudyError("a prior is given to a new tuner; this one has trials already")
    if prefers(study):
        raise StudyError("a preference objective and a prior run: another run's answers are not taken over")
    if study.horizon is not None:
        raise StudyError(
            f"horizon {study.horizon:g} s and a prior run: of another run's trials no strides are kept, so "
            "they say nothing about longer ones; leave --prior or horizon out"
        )
