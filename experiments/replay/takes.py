"""A trial as a footage: its recorded states where they were kept, else walked again with what is on record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from safebo.errors import FileError, InputError, SafeboError
from safebo.evaluators.early_end import early_end
from safebo.experiments.replay.runs import SeenRun, margins_shown
from safebo.robots.simulation.footage import Footage, Mark, ShownGain
from safebo.robots.simulation.rollout import WalkRecording
from safebo.robots.simulation.trajectory import Trajectory
from safebo.storage.journal import Journal
from safebo.types import FloatArray, Measurement, Monitor, Trial

PARQUET, MCAP = ".parquet", ".mcap"
CLOSE = 1e-9
"""Relative difference up to which a walk that was made again shows the same."""


@dataclass(frozen=True)
class Take:
    """A trial ready to be shown.

    Args:
        footage: of its walk.
        said: how it was got, in sentences.
    """

    footage: Footage
    said: tuple[str, ...]


def take_of(run: SeenRun, number: int, scenario: str | None = None) -> Take:
    """A trial of a run as a footage.

    Args:
        run: the run.
        number: id of the trial.
        scenario: which of its walks; None for the one in which it did worst.

    Raises:
        InputError: no such trial or scenario, or it cannot be shown; says why.
        FileError: its recorded trajectory cannot be read.
    """
    trial, measurement, name = run.part(number, scenario)
    named = f"trial {number}{f', scenario {name}' if name else ''}"
    said = []
    if name and scenario is None and len(trial.scenarios) > 1:
        others = ", ".join(s for s in trial.scenarios if s != name)
        said.append(f"{named}: the one in which it did worst; it also walked {others} (--scenario)")
    path = None if not measurement.telemetry else run.folder / measurement.telemetry
    robot = number in run.on_robot
    if path is not None and not path.is_file():
        if robot or path.suffix == MCAP:
            raise FileError(
                f"{path}: no such file; {named} was walked on a robot, so only its record could show it"
            )
        said.append(f"{path}: no such file, so it is walked again")
        path = None
    if path is not None:
        record = _from_mcap(path, run) if path.suffix == MCAP else from_parquet(path, run)
        how = "states as recorded"
        if path.suffix == MCAP:
            how = "as the robot itself recorded it: measured joints, estimated trunk"
        said.append(f"{named}: {how}, {path}")
    elif robot:
        raise InputError(f"{named} was walked on a robot and has no record of its states")
    else:
        record, words = _walked_again(run, trial, measurement)
        how = "walked again with the recorded gains, context and seed"
        said += [f"{named}: {how}", f"{named}: {words}"]
    footage = _footage(run, trial, measurement, record, how)
    title = f"{run.info.name}, {named}"
    return Take(
        replace(footage, title=title, estimated=path is not None and path.suffix == MCAP), tuple(said)
    )


def _footage(
    run: SeenRun, trial: Trial, measurement: Measurement, record: WalkRecording, how: str
) -> Footage:
    """The picture of a record with everything that the journal holds beside it."""
    evaluator, conditions = run.evaluator, {} if trial.scenario is None else trial.scenario.conditions
    world = evaluator.world(conditions, trial.context)
    command = evaluator.command_over_time(record, trial.context, conditions)
    if record.command.any():
        command = record.command
    seed, units = run.seed_of(trial.context_name), {p.name: p.unit for p in run.study.parameters}
    gains = [
        ShownGain(name, _plain(value), units.get(name, ""), None if name not in seed else _plain(seed[name]))
        for name, value in trial.parameters.items()
    ]
    objective = "no objective" if measurement.objective is None else f"{measurement.objective:.4g}"
    spec = run.study.objective
    phase = "" if trial.phase == "seed" else ", certified" if trial.certified else ", not certified"
    return Footage(
        world.plant or evaluator.robot,
        record,
        "",
        (
            f"{trial.phase}{phase}, context {trial.context_name}",
            f"{spec.name} {objective} {spec.unit if measurement.objective is not None else ''}".strip(),
            how,
        ),
        command,
        tuple(sorted(gains, key=lambda gain: not gain.changed)),
        "seed",
        margins_shown(run.study, measurement.margins),
        marks_of(measurement, record),
        world.disturbance,
    )


def marks_of(measurement: Measurement, record: WalkRecording) -> tuple[Mark, ...]:
    """What happened in a walk, as its measurement says."""
    marks, end = [], float(record.time[-1])
    if measurement.backup_time is not None:
        marks.append(Mark(measurement.backup_time, "SWITCHED to backup gains"))
    why = f": {measurement.message}" if measurement.message else ""
    if measurement.fell:
        marks.append(Mark(end, f"FELL{why}"))
    elif measurement.outcome in ("aborted", "failed"):
        marks.append(Mark(end, f"{measurement.outcome.upper()}{why}"))
    elif measurement.ended:
        unsafe = measurement.ended == "unsafe"
        marks.append(Mark(end, f"ENDED EARLY: {measurement.ended}", bad=unsafe))
    return tuple(marks)


def _plain(value: Any) -> float | str:
    return value if isinstance(value, str) else float(value)


# -- records --------------------------------------------------------------------------------------------


def from_parquet(path: Path, run: SeenRun) -> WalkRecording:
    """A simulated walk.

    Raises:
        FileError: the file cannot be read, or is of another robot.
    """
    robot = run.evaluator.robot
    try:
        record = Trajectory.load(path).recording(robot.joint_names, robot.legs)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise FileError(f"{path}: the trajectory cannot be read: {' '.join(str(error).split())}") from error
    return _sound(path, record)


def _from_mcap(path: Path, run: SeenRun) -> WalkRecording:
    return _sound(path, from_mcap(path, run)[0])


def from_mcap(path: Path, run: SeenRun) -> tuple[WalkRecording, FloatArray]:
    """A walk of a robot as it saw itself, and the telemetry that says so, `n x columns`.

    Raises:
        InputError: a package to read it with is missing.
        FileError: it holds a single tick.
    """
    try:
        from safebo.hardware.tuning.recording import read_telemetry
        from safebo.hardware.tuning.scoring import recording_of, walk_times
    except ImportError as error:
        raise InputError(
            f"{path}: the record of a robot is read with the package {error.name}: pip install 'safebo[hardware]'"
        ) from error
    rows = read_telemetry(path)
    times = walk_times(rows)
    if len(times) < 2:
        raise FileError(f"{path}: holds a single tick")
    period = float(np.median(np.diff(times)))
    return recording_of(rows, run.evaluator.robot.torque_limit, max(period, 1e-4)), rows


def _sound(path: Path, record: WalkRecording) -> WalkRecording:
    """A record whose states can be drawn: those before the first that is not finite."""
    drawn = (record.time, *(record.base_position.T), *(record.base_orientation.T), *(record.joint_position.T))
    good = np.all(np.isfinite(drawn), axis=0) & (np.linalg.norm(record.base_orientation, axis=1) > 0.5)
    rows = len(record) if good.all() else int(np.argmin(good))
    if rows < 2:
        raise FileError(f"{path}: holds no states that could be drawn")
    return record if rows == len(record) else record.truncated(rows)


# -- walks made again -----------------------------------------------------------------------------------


def _walked_again(run: SeenRun, trial: Trial, kept: Measurement) -> tuple[WalkRecording, str]:
    """The walk of a trial once more, and how what it shows compares with the record."""
    conditions = {} if trial.scenario is None else trial.scenario.conditions
    monitor = _monitor(run, trial) if trial.phase == "global" else None
    rule = early_end(trial, run.study) if monitor is None else None
    evaluator = run.evaluator
    try:
        record = evaluator.walk(
            trial.parameters,
            trial.context,
            trial.seed,
            monitor,
            trial.operating_time or 0.0,
            rule,
            conditions,
        )
        seen = evaluator.measure(record, trial.context, None, conditions)
    except ValueError as error:
        raise InputError(f"trial {trial.id} cannot be walked again: {error}") from error
    if len(record) < 2:
        raise InputError(f"trial {trial.id} never walked: {record.stop_reason}")
    different = differences(kept, seen)
    if not different:
        return record, "shows what was recorded"
    return (
        record,
        f"DIFFERS from what was recorded ({'; '.join(different)}): other versions, or another machine",
    )


def _monitor(run: SeenRun, trial: Trial) -> Monitor | None:
    """What watched a global trial, made again from the trials before it."""
    from safebo.runs.learned_monitors import take_kept
    from safebo.runs.prior_run import tuner_of
    from safebo.runs.tuner_protocol import make_default_tuner, restorable

    try:
        with Journal.open(run.folder, read_only=True) as journal:
            records, tuner = journal.records(), tuner_of(journal, make_default_tuner)
            take_kept(journal, run.folder, tuner, trial)
        own = next(r.round for r in records if r.trial.id == trial.id)
        tuner.restore(restorable([r for r in records if r.round < own]))
        monitor: Monitor | None = tuner.monitor(trial)
    except SafeboError as error:
        raise InputError(f"trial {trial.id}: its monitor cannot be made again: {error}") from error
    return monitor


def differences(kept: Measurement, seen: Measurement) -> list[str]:
    """In what a walk that was made again differs from its record, in words; empty where it does not."""
    found = []
    if (kept.outcome, kept.fell) != (seen.outcome, seen.fell):
        found.append(f"outcome {_outcome(kept)}, now {_outcome(seen)}")
    pairs: Mapping[str, tuple[Any, Any]] = {
        "objective": (kept.objective, seen.objective),
        "seconds": (kept.duration, seen.duration),
        **{name: (value, seen.margins.get(name)) for name, value in kept.margins.items()},
    }
    for name, (a, b) in pairs.items():
        if (a is None) != (b is None) or (
            a is not None and not math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)
        ):
            found.append(f"{name} {_shown(a)}, now {_shown(b)}")
    return found


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _outcome(measurement: Measurement) -> str:
    return f"{measurement.outcome}{' with a fall' if measurement.fell else ''}"
