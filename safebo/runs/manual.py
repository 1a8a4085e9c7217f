"""What a person does to a run that stands still: says what became of a trial, enters one, changes one.

Each is one transaction of the journal, under the run's lock, and the run resumes as if its tuner had been told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safebo.errors import (
    InputError,
    MeasurementError,
    OtherFileError,
    ParameterError,
    SafeboError,
    UnknownNameError,
)
from safebo.evaluators.gate import checked_measurement
from safebo.files.problems import key_path_text, shown
from safebo.files.reading import read_file
from safebo.runs.clock import OperatingClock
from safebo.runs.operators import Account
from safebo.runs.prior_run import tuner_of
from safebo.runs.recommendation import is_default, keep_best, origin
from safebo.runs.result import contexts_of
from safebo.runs.tuner_protocol import MakeTuner, make_default_tuner, restorable
from safebo.runs.verdicts import keep_account, raw_record
from safebo.storage.journal import Journal
from safebo.storage.run_lock import run_lock
from safebo.storage.trial_log import MOVED, OVER, last_step
from safebo.study import Study
from safebo.study.space import Space
from safebo.types import Measurement, Trial


@contextmanager
def _alone_with(folder: Path) -> Iterator[Journal]:
    Journal.open(folder, read_only=True).close()
    with run_lock(folder), Journal.open(folder) as journal:
        yield journal


def resolve_trial(folder: str | Path, trial_id: int, account: Account | Path) -> Measurement | None:
    """Record what became of a trial whose result is not known.

    Args:
        folder: the run's folder; no process may be working on it.
        trial_id: the trial.
        account: what a person says of it, or a YAML or JSON file with the measurement.

    Returns:
        The measurement that is recorded; None for `completed`, which only the raw file can show: the trial waits to be
        scored and judged when the run is resumed.

    Raises:
        InputError: no such trial, it was told already, the file holds no valid measurement, or there is no raw file.
        RunLockedError: a process works on the run.
    """
    with _alone_with(Path(folder)) as journal:
        records = {record.trial.id: record for record in journal.records(states=False)}
        if trial_id not in records:
            raise UnknownNameError("trial", trial_id, list(records))
        record = records[trial_id]
        if record.status == "told":
            raise InputError(f"trial {trial_id} was told already; a measurement is told once")
        if isinstance(account, Path):
            measurement = _read_measurement(account, journal.run.study)
            journal.tell(trial_id, measurement)
            journal.note("resolved", f"by a person, as {measurement.outcome}", trial_id)
            return measurement
        if account.answer == "completed" and not raw_record(journal.events(), trial_id):
            step, _ = last_step(journal, trial_id)
            raise InputError(
                f"trial {trial_id} cannot be scored: no raw file of its whole walk was kept (its last step is "
                f"{step or 'its proposal'}). Say --as fell, unsafe or failed, or give --measurement FILE"
            )
        return keep_account(journal, record.trial, journal.run.study, account)


def tell_trial(
    folder: str | Path,
    parameters_file: Path,
    context: str | None,
    measurement_file: Path,
    make_tuner: MakeTuner = make_default_tuner,
) -> Trial:
    """Enter a trial of a person's own choosing together with what it showed; its phase is `manual`.

    It counts towards the run's total and, in the surrogate, like every other trial. The files of best gains
    follow.

    Args:
        folder: the run's folder; no process may be working on it.
        parameters_file: YAML or JSON: a mapping of every parameter to its value, or one that holds such a
            mapping under `parameters` or `gains` (a file of best gains, for example).
        context: name of the context; None where the study has only one.
        measurement_file: YAML or JSON with the measurement.
        make_tuner: makes the tuner that is restored from the journal.

    Returns:
        The trial; `certified` says whether it was certified before it was told.

    Raises:
        InputError: a file, name or value that cannot be, or a trial that still waits for its result.
        RunLockedError: a process works on the run.
    """

    def read(study: Study) -> tuple[Mapping[str, Any], Measurement]:
        measurement = _read_measurement(measurement_file, study)
        return _read_parameters(parameters_file), measurement

    try:
        return _entered(folder, context, read, make_tuner)
    except ParameterError as error:
        raise ParameterError(f"{parameters_file}: {error}") from error


def enter_trial(
    folder: str | Path,
    parameters: Mapping[str, Any],
    context: str | None,
    measurement: Measurement,
    make_tuner: MakeTuner = make_default_tuner,
) -> Trial:
    """Enter a trial that the tuner did not choose; see `tell_trial`.

    Args:
        folder: the run's folder; no process may be working on it.
        parameters: values by name.
        context: name of the context; None where the study has only one.
        measurement: what it showed, checked.
        make_tuner: makes the tuner that is restored from the journal.

    Raises:
        InputError: a name or value that cannot be, or a trial that still waits for its result.
        RunLockedError: a process works on the run.
    """
    return _entered(folder, context, lambda _: (parameters, measurement), make_tuner)


def _entered(
    folder: str | Path,
    context: str | None,
    read: Callable[[Study], tuple[Mapping[str, Any], Measurement]],
    make_tuner: MakeTuner,
) -> Trial:
    with _alone_with(Path(folder)) as journal:
        run, records = journal.run, journal.records()
        names = list(run.study.context.values)
        if context is None and len(names) > 1:
            raise InputError(f"say which context with --context: {', '.join(names)}")
        name = names[0] if context is None else context
        if name not in names:
            raise UnknownNameError("context", name, names)
        waiting = [record.trial.id for record in records if record.status != "told"]
        if waiting:
            raise InputError(
                f"trial {waiting[0]} still waits for its result: finish it with `safebo tune ... --resume`, or "
                f"say what became of it with `safebo resolve {folder} {waiting[0]}`"
            )
        parameters, measurement = read(run.study)
        if measured := [v.name for v in run.study.context.variables if v.measured]:
            raise InputError(
                f"{', '.join(measured)} is read before a trial, and nothing says what it was in this one: such a trial "
                "cannot be entered"
            )
        tuner = tuner_of(journal, make_tuner)
        tuner.restore(restorable(records))
        clock = OperatingClock(journal, records)
        trial = _told(tuner, clock, parameters, name, measurement)
        journal.enter(trial, measurement, 1 + max((r.round for r in records), default=-1))
        try:
            contexts = contexts_of(journal.records(states=False), run.study)
            computed_from = origin(journal) if is_default(tuner) else ""
            keep_best(tuner, Path(folder), run.study, contexts, computed_from, clock)
        except (OSError, OtherFileError) as error:
            raise SafeboError(
                f"trial {trial.id} is recorded, but the best gains are not written: {error}"
            ) from error
    return trial


def edit_trial(
    folder: str | Path,
    trial_id: int,
    changes: Mapping[str, Any],
    make_tuner: MakeTuner = make_default_tuner,
) -> Trial:
    """Change the parameters of a trial that was asked and not told; it runs so when the run is resumed.

    The trial keeps its id and becomes a `manual` one; the journal keeps what was proposed. No monitor watches
    it.

    Returns:
        The trial; `certified` says whether it still is.

    Raises:
        InputError: no such trial, it does not wait any more, or a parameter or value that cannot be.
        RunLockedError: a process works on the run.
    """
    with _alone_with(Path(folder)) as journal:
        records = journal.records()
        found = {record.trial.id: record for record in records}
        if trial_id not in found:
            raise UnknownNameError("trial", trial_id, list(found))
        record = found[trial_id]
        changed = {**record.trial.parameters, **changes}
        Space.of_parameters(journal.run.study).vector(changed, where=f"trial {trial_id}")
        if record.status != "asked":
            why = "was told already" if record.status == "told" else "may have run; see `safebo resolve`"
            raise InputError(f"trial {trial_id} cannot be changed: it {why}")
        step, _ = last_step(journal, trial_id)
        if step in (*MOVED, *OVER):
            raise InputError(f"trial {trial_id} cannot be changed: it has run ({step}); go on with --resume")
        tuner = tuner_of(journal, make_tuner)
        tuner.restore(restorable(records))
        trial: Trial = tuner.edit(trial_id, changed)
        journal.edit(trial, "by a person")
    return trial


def _told(
    tuner: Any, clock: OperatingClock, parameters: Mapping[str, Any], context: str, measurement: Measurement
) -> Trial:
    """A person's trial, which ended just now where its measurement does not say when it began."""
    if clock.spec is None:
        told: Trial = tuner.tell_manual(parameters, context, measurement)
        return told
    began = measurement.operating_time
    time = max(0.0, clock.now() - measurement.duration) if began is None else began
    told = tuner.tell_manual(parameters, context, measurement, operating_time=time)
    return told


def _read_parameters(file: Path) -> dict[str, Any]:
    content = read_file(file)
    if isinstance(content, dict):
        content = content.get("parameters", content.get("gains", content))
    if not isinstance(content, dict) or not content:
        raise InputError(f"{file}: holds no mapping of parameters to values")
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            where = f"{file}: {key_path_text((name,))}"
            raise InputError(f"{where}: must be a number or the name of a choice, not {shown(value)}")
    return {str(name): value for name, value in content.items()}


def _read_measurement(file: Path, study: Study) -> Measurement:
    try:
        return checked_measurement(read_file(file), study)
    except MeasurementError as error:
        wanted = json.dumps({"objective": 1.0, "margins": {c.name: 0.1 for c in study.constraints}})
        raise InputError(f"{file}: holds no measurement: {error}; it should look like {wanted}") from error
