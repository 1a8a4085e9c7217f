"""What the next trial is asked with: the robot's operating time, and what the evaluator reads before it."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from typing import Any

from safebo.errors import EvaluatorError, RunStoppedError, short_text
from safebo.evaluators.gate import number_of
from safebo.files.problems import Problem
from safebo.runs.clock import OperatingClock
from safebo.runs.trace import TraceWriter
from safebo.study import Study
from safebo.study.reading import StudyFile
from safebo.types import EvaluatorInfo, Trial
from safebo.workers.pool import WorkerPool

READ_SECONDS = 60.0
"""For the evaluator to read what changes, a battery's voltage."""


def next_trial(
    tuner: Any, clock: OperatingClock, pool: WorkerPool, study: Study, trace: TraceWriter | None = None
) -> Trial:
    """The next trial; where the study declares `surrogate.time` with its operating time, for which it is certified.

    With `trace`, what the ask looked at is kept.

    Raises:
        RunStoppedError: a measured context variable could not be read, or what the ask looked at not be kept.
        SafeboError: the tuner has no trial to propose.
    """
    read = readings(pool, study)
    told: dict[str, Any] = {"readings": read} if read else {}
    if clock.spec is not None:
        told["operating_time"] = clock.next()
    trial: Trial = tuner.ask(**told) if trace is None else trace.ask(**told)
    return trial


def readings(pool: WorkerPool, study: Study) -> dict[str, float]:
    """Context variables that are measured, by name, as the evaluator reads them now.

    Raises:
        RunStoppedError: they could not be read, or are no finite numbers.
    """
    names = [v.name for v in study.context.variables if v.measured]
    if not names:
        return {}
    try:
        given = pool.read_context().result(READ_SECONDS)
    except (EvaluatorError, BrokenExecutor, TimeoutError) as error:
        raise _stopped(f"{', '.join(names)} could not be read: {short_text(error)}") from error
    found = {name: number_of(given.get(name)) for name in names}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise _stopped(
            f"read_context() gave {given!r}, and a finite number is needed for {', '.join(missing)}"
        )
    return {name: value for name, value in found.items() if value is not None}


def refuse_interval(file: StudyFile, info: EvaluatorInfo) -> None:
    """Refuse a declared time from trial to trial where a robot's goes by on the wall.

    Raises:
        StudyError: it is declared.
    """
    time = file.study.surrogate.time
    if info.robot and time is not None and time.interval is not None:
        message = (
            f"belongs to simulations, and evaluator {info.name!r} moves a {info.robot} robot, whose time goes by on "
            "the wall: leave it out"
        )
        raise file.error([Problem(("surrogate", "time", "interval"), message)])


def _stopped(why: str) -> RunStoppedError:
    return RunStoppedError(
        f"the next trial was not asked for: {why}. No trial was begun; mend that and go on with --resume"
    )
