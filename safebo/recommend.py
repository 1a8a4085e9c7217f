"""Questions and answers about a run that needs no robot: what to use now, and what became of a trial."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from safebo.best_gains import BestGains
from safebo.errors import InputError, UnknownNameError
from safebo.journal import Journal
from safebo.measurement_checks import as_measurement, check_measurement
from safebo.protocol import Measurement
from safebo.recommendation import as_best_gains
from safebo.run_lock import RunLock
from safebo.runner import MakeTuner, contexts_of, make_default_tuner, restorable
from safebo.study import Study


@dataclass(frozen=True)
class Recommended:
    """Gains by context, in the study's order; None where nothing is certified."""

    study: Study
    best: list[tuple[str, BestGains | None]]


def recommend(
    folder: str | Path,
    context: str | None = None,
    predict: bool = False,
    make_tuner: MakeTuner = make_default_tuner,
) -> Recommended:
    """What a run recommends, computed from its journal; the run may be going on.

    Args:
        folder: the run's folder.
        context: name of a context; None for every context that was tried (with `predict`: every context).
        predict: the optimum of the posterior mean, not certified.
        make_tuner: makes the tuner that is restored from the journal.

    Raises:
        UnknownNameError: the study has no such context.
        InputError: no run there, or nothing has been measured yet.
    """
    with Journal.open(folder, read_only=True) as journal:
        run, records = journal.run, journal.records()
    study = run.study
    if context is not None and context not in study.context.values:
        raise UnknownNameError("context", context, list(study.context.values))
    if context is not None:
        names = [context]
    elif predict:
        names = list(study.context.values)
    else:
        names = contexts_of(records, study) or list(study.context.values)[:1]
    tuner: Any = make_tuner(study, run.seed)
    tuner.restore(restorable(records))
    ask = tuner.predict if predict else tuner.best
    return Recommended(study, [(name, as_best_gains(ask(name), study, name)) for name in names])


def resolve_trial(folder: str | Path, trial_id: int, measurement_file: Path | None) -> Measurement:
    """Record what became of a trial whose result is not known.

    Args:
        folder: the run's folder; no process may be working on it.
        trial_id: the trial.
        measurement_file: YAML or JSON with the measurement; None records it as failed.

    Raises:
        InputError: no such trial, it was told already, or the file holds no valid measurement.
        RunLockedError: a process works on the run.
    """
    folder = Path(folder)
    Journal.open(folder, read_only=True).close()
    with RunLock(folder), Journal.open(folder) as journal:
        statuses = {record.trial.id: record.status for record in journal.records(states=False)}
        if trial_id not in statuses:
            raise UnknownNameError("trial", trial_id, list(statuses))
        if statuses[trial_id] == "told":
            raise InputError(f"trial {trial_id} was told already; a measurement is told once")
        if measurement_file is None:
            measurement = Measurement(outcome="failed", message="resolved by a person as failed")
        else:
            measurement = _read_measurement(measurement_file, journal.run.study)
        journal.tell(trial_id, measurement)
        journal.note("resolved", f"by a person, as {measurement.outcome}", trial_id)
    return measurement


def _read_measurement(file: Path, study: Study) -> Measurement:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        measurement = as_measurement(content)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError(f"{file}: holds no measurement: {' '.join(str(error).split())}") from error
    checked = check_measurement(measurement, study)
    if checked is not measurement:
        wanted = json.dumps({"objective": 1.0, "margins": {c.name: 0.1 for c in study.constraints}})
        raise InputError(f"{file}: {checked.message}; it should look like {wanted}")
    return measurement
