"""Recorded walks of runs, as identification takes them, or in words why they cannot be taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from safebo.errors import FileError, InputError
from safebo.experiments.replay.runs import SeenRun
from safebo.experiments.replay.takes import MCAP, from_mcap, from_parquet
from safebo.robots.identification.walks import WalkLog
from safebo.robots.simulation.recording import WalkRecording
from safebo.types import FloatArray

MAX_WALKS = 4
"""Trials of a run that are taken when none are named, evenly over the run."""


@dataclass(frozen=True)
class ReadTrials:
    """Walks of runs.

    Args:
        run: the first one, whose robot it is.
        walks: what was recorded.
        passed_over: trials that could not be taken, and why.
    """

    run: SeenRun
    walks: tuple[WalkLog, ...]
    passed_over: tuple[str, ...]


def read_trials(folders: Sequence[Path], trials: Sequence[int]) -> ReadTrials:
    """Walks of runs of one robot.

    Args:
        folders: of the runs.
        trials: numbers; empty: of every run up to `MAX_WALKS`.

    Raises:
        InputError: a run or a trial is given twice, a run is of another robot, or no trial can be taken; says why.
    """
    _refuse_twice([str(folder.resolve()) for folder in folders], [str(folder) for folder in folders], "run")
    _refuse_twice(trials, [str(number) for number in trials], "trial")
    runs = [SeenRun.open(folder) for folder in folders]
    walks, passed_over = list[WalkLog](), list[str]()
    for run in runs:
        if run.evaluator.robot.mjcf != runs[0].evaluator.robot.mjcf:
            raise InputError(
                f"{run.folder}: is of robot {run.evaluator.robot.name}, and {runs[0].folder} of "
                f"{runs[0].evaluator.robot.name}: identify one robot at a time"
            )
        usable = list[WalkLog]()
        for number in trials or [r.trial.id for r in run.records if r.measurement is not None]:
            try:
                usable.append(_walk(run, number))
            except (ValueError, FileError, InputError) as error:
                if trials:
                    raise InputError(str(error)) from error
                passed_over.append(str(error))
        if not trials and len(usable) > MAX_WALKS:
            usable = [usable[i] for i in np.linspace(0, len(usable) - 1, MAX_WALKS).round().astype(int)]
        walks += usable
    if not walks:
        why = f": {passed_over[0]}" if passed_over else ": it has no trials"
        raise InputError(f"{folders[0]}: no trial tells of the plant{why}")
    return ReadTrials(runs[0], tuple(walks), tuple(passed_over))


def _refuse_twice(given: Sequence[object], names: Sequence[str], what: str) -> None:
    """Refuse a walk that would count twice: what is found would look surer than it is.

    Raises:
        InputError: it would.
    """
    again = next((name for i, name in enumerate(names) if given[i] in given[:i]), None)
    if again is not None:
        raise InputError(f"{what} {again} is given twice: every walk counts once")


def _walk(run: SeenRun, number: int) -> WalkLog:
    """One trial's walk.

    Raises:
        ValueError, FileError, InputError: it cannot be taken; says why.
    """
    trial, measurement, scenario = run.part(number, None)
    name = f"{run.folder} trial {number}{f' in {scenario}' if scenario else ''}"
    if measurement.outcome != "completed":
        raise ValueError(f"{name}: ended as {measurement.outcome!r}; take one that was completed")
    if not measurement.telemetry:
        raise ValueError(f"{name}: its states were not recorded; set evaluator.options.telemetry: true")
    path = run.folder / measurement.telemetry
    if not path.is_file():
        raise FileError(f"{path}: no such file; it was the record of trial {number}")
    if path.suffix != MCAP:
        conditions = {} if trial.scenario is None else trial.scenario.conditions
        world = run.evaluator.world(conditions, trial.context).disturbance
        for is_so, what in (
            (bool(world.pushes), "was pushed"),
            (not world.same_everywhere, "went over a floor that is not level and even"),
            (world.delay_jitter > 0, "had delays that change from tick to tick"),
        ):
            if is_so:
                raise ValueError(f"{name}: {what}, and no parameter says so")
    stride = run.evaluator.gait(trial.context).stride_duration
    if path.suffix != MCAP:
        return WalkLog.of(from_parquet(path, run), name, stride)
    record, rows = from_mcap(path, run)
    return robot_walk(record, rows, name, stride)


def robot_walk(record: WalkRecording, rows: FloatArray, name: str, stride: float) -> WalkLog:
    """A walk of a robot behind a guardian.

    The torques are those that its motors measured: how late a command comes over the network then does not matter. A
    state tells the torques of the tick before it. Ticks without a new state are no measurement.

    Args:
        record: the walk.
        rows: its telemetry, `n x columns`.
        name: for messages.
        stride: s of a stride.

    Raises:
        ValueError: it cannot be taken; says why.
    """
    from safebo.hardware.guardian.telemetry import COLUMNS

    record.commanded_torque[:-1] = record.applied_torque[1:]
    clock, fresh = (rows[:, COLUMNS.index(column)] for column in ("tick", "fresh"))
    steps = np.diff(clock, prepend=np.nan)
    whole = (fresh > 0.5) & (np.abs(steps - 1e3 * record.period) < 0.5)
    whole[-1] = False
    period = float(np.median(steps[fresh > 0.5][1:])) * 1e-3 if (fresh > 0.5).sum() > 2 else record.period
    record.period = round(period, 6) if period > 0 else record.period
    return WalkLog.of(record, name, stride, whole)
