"""What runs inside a worker process: prepare it, make the evaluator once, evaluate trials.

Workers import no torch. They ignore Ctrl-C (the run decides when to stop), die with the process that started them, with
all that they started, and whatever the evaluator prints, at the level of file descriptors, goes to the run's log.

The process that the run starts becomes two: a supervisor, and below it the worker. The supervisor keeps the log, holds
the time limit of a trial, and says how the worker ended. A worker that moves a robot has none: nothing kills it, and it
ends by itself, once the robot rests, when the run is gone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import mmap
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from safebo.errors import EvaluatorError, EvaluatorOptionError
from safebo.evaluators.gate import (
    disk_is_full,
    evaluate_safely,
    failed,
    failed_by,
    measured_or_failed,
    short_text,
    text_of,
)
from safebo.evaluators.source import SUBPROCESS, EvaluatorSource
from safebo.evaluators.supervisor import GRACE_SECONDS, adopt_orphans, die_with_parent, outlive_parent, watch
from safebo.evaluators.switched import checked_switches
from safebo.text.command import calm_warnings
from safebo.types import (
    Check,
    Evaluator,
    EvaluatorInfo,
    Measurement,
    Monitor,
    NotStartedError,
    SwitchedTrial,
    SwitchPlan,
    Trial,
    TrialUnknownError,
)
from safebo.workers.log import Log

Result = TypeVar("Result")

OVER_LIMIT = 1000
"""Instead of an exit code: the worker was ended at the time limit of its trial."""

# One evaluator per process, kept with what it was made from: making it can take seconds.
_made: tuple[EvaluatorSource, Evaluator] | None = None

# How often a person has asked the run to stop; shared with the process that started this one.
_stop: Any = None

# Held while a trial is evaluated: with its record, which must be whole before the worker ends.
_evaluating = threading.Lock()

RECORD_PATIENCE_S = 20.0
"""A worker that moves a robot and has lost its run gives the trial's record so long once the robot is at rest."""

# Until when the trial may run, on the monotonic clock, as the supervisor reads it; 0 for ever.
_until = memoryview(bytearray(8)).cast("d")


def prepare(parent: int, log: str | None, stop: Any = None, robot: bool = False, ending: Any = None) -> None:
    """Set up a fresh worker process.

    Args:
        parent: process id of the run; the worker ends when that process is gone.
        log: file to which the worker's output is appended; None leaves it where it is.
        stop: number shared with the run: how often it was asked to stop.
        robot: whether the worker moves a robot: it then ends its trial and lets go of the robot before it ends.
        ending: number shared with the run, which becomes the worker's exit code, negative for a signal, or
            `OVER_LIMIT`.
    """
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if robot:
        outlive_parent()  # the thread below sees that it is gone
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if log is not None:
            _write_output_to(_opened(Path(log)))
        leaving = threading.Thread(target=_leave_with_parent, args=(parent, log), name="parent", daemon=True)
        leaving.start()
    else:
        _go_on_supervised(parent, log, ending)
    calm_warnings()
    logging.captureWarnings(True)


def describe(source: EvaluatorSource) -> EvaluatorInfo:
    """Make the evaluator and return what it accepts.

    Raises:
        EvaluatorOptionError: it does not exist, or it refuses its options.
        EvaluatorError: it cannot be made, or does not say what it accepts.
    """
    name = source.study.evaluator.name
    info: Any = _sent(lambda: _evaluator(source).info(), f"evaluator {name!r}")
    if not isinstance(info, EvaluatorInfo):
        raise EvaluatorError(f"evaluator {name!r}: info() returned {type(info).__name__}, not EvaluatorInfo")
    return info


def evaluate(source: EvaluatorSource, trial: Trial, monitor: Monitor | None) -> Measurement:
    """Evaluate one trial; what the evaluator raises becomes outcome `failed`."""
    study = source.study
    try:
        evaluator = _sent(lambda: _evaluator(source), "the evaluator could not be made")
    except (EvaluatorError, EvaluatorOptionError) as error:
        return failed(str(error))
    if study.evaluator.time_limit is not None and study.evaluator.name != SUBPROCESS:
        _until[0] = time.monotonic() + study.evaluator.time_limit  # a program has a supervisor of its own

    def measured() -> Measurement:
        try:
            return evaluate_safely(evaluator, trial, monitor, study)
        except KeyboardInterrupt as error:  # a person's reaches the run, never a worker
            return failed_by(error)

    try:
        with _evaluating:
            return _sent(measured, "the evaluator")
    finally:
        _until[0] = 0.0


def _sent(call: Callable[[], Result], what: str = "") -> Result:
    """What a call returns. Its error arrives at the run whatever class a user's code has made of it.

    `what` comes first in the error's text, then its kind; without it an ordinary error's text stands alone.
    """
    try:
        return call()
    except BaseException as error:
        sent = _sendable(error, what)
    raise sent  # here, so that nothing of the first error goes with it: it may not be sendable


def _sendable(error: BaseException, what: str) -> Exception:
    if isinstance(error, EvaluatorOptionError):
        return EvaluatorOptionError(text_of(error), str(error.key))
    for known in (TrialUnknownError, NotStartedError, EvaluatorError):
        if isinstance(error, known):
            return known(text_of(error))
    if isinstance(error, OSError) and disk_is_full(error):
        return OSError(
            error.errno, str(error.strerror), None if error.filename is None else str(error.filename)
        )
    return EvaluatorError(f"{what}: {short_text(error)}" if what else _words_of(error))


def _words_of(error: BaseException) -> str:
    return (isinstance(error, Exception) and text_of(error)) or short_text(error)


def try_switches(source: EvaluatorSource, trial: Trial, plan: SwitchPlan) -> SwitchedTrial:
    """One trial with backups tried on its way.

    Raises:
        EvaluatorError: the evaluator raised, or what it returned does not answer the plan.
    """
    name = source.study.evaluator.name

    def tried() -> SwitchedTrial:
        evaluator: Any = _evaluator(source)
        return checked_switches(evaluator.try_switches(trial, plan), plan, name)

    return _sent(tried, f"evaluator {name!r}: try_switches()")


def preflight(source: EvaluatorSource) -> list[Check]:
    """The evaluator's own checks before the first trial; none where it has none."""

    def checks() -> list[Check]:
        evaluator = _evaluator(source)
        return list(evaluator.preflight()) if hasattr(evaluator, "preflight") else []

    return _sent(checks)


def read_context(source: EvaluatorSource) -> Any:
    """Context variables by name, as the evaluator reads them now."""

    def read() -> Any:
        evaluator: Any = _evaluator(source)
        return dict(evaluator.read_context())

    return _sent(read, f"evaluator {source.study.evaluator.name!r}: read_context()")


def score(source: EvaluatorSource, trial: Trial, ended: dict[str, Any]) -> Measurement:
    """What a trial showed that ended without being scored, from its raw file."""

    def scored() -> Measurement:
        evaluator: Any = _evaluator(source)
        return measured_or_failed(evaluator.score(trial, ended), source.study)

    return _sent(scored)


def finish() -> str:
    """Let the evaluator take its leave, where it wants to; what it says then, for people."""
    if _made is None or not hasattr(_made[1], "close"):
        return ""
    said = _made[1].close()
    return said if isinstance(said, str) else ""


def _evaluator(source: EvaluatorSource) -> Evaluator:
    global _made
    if _made is None or _made[0] != source:
        evaluator: Any = source.make()
        if hasattr(evaluator, "supervise") and source.run is not None:
            from safebo.storage.trial_log import JournalLedger

            evaluator.supervise(JournalLedger(Path(source.run)), stop_requests)
        _made = (source, evaluator)
    return _made[1]


def stop_requests() -> int:
    """How often the run was asked to stop."""
    return 0 if _stop is None else int(_stop.value)


def _leave_with_parent(parent: int, log: str | None) -> None:
    """Wait until the process that started this one is gone; then end the trial, take leave, and end."""
    kept = None if log is None else Log(Path(log))
    while os.getppid() == parent:
        if kept is not None:
            kept.shorten()
        time.sleep(0.1)
    if _stop is not None:
        _stop.value = max(1, _stop.value)
    try:
        finish()
        _evaluating.acquire(timeout=RECORD_PATIENCE_S)  # a slow disk may still hold the trial's last rows
    finally:
        os._exit(1)


def _go_on_supervised(parent: int, log: str | None, ending: Any) -> None:
    """Become the supervisor of a new process, and return in that one."""
    global _until
    # Shared with the process that comes, so that no lock and no message is needed.
    _until = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
    with contextlib.suppress(OSError):
        os.setsid()  # a signal to the run's group must not reach whoever cleans up
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    die_with_parent(parent, signal.SIGTERM)
    adopt_orphans()
    read, write = os.pipe()
    above = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of threads that a user's main module started: only this one is needed
        child = os.fork()
    if child:
        _supervise(child, parent, read, write, log, ending)
    with contextlib.suppress(OSError):
        os.setsid()
    die_with_parent(above)
    os.close(read)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if log is not None:
        _write_output_to(write)
    else:
        os.close(write)


def _supervise(child: int, parent: int, read: int, write: int, log: str | None, ending: Any) -> NoReturn:
    """Watch a worker until it ends; nothing that it started stays."""
    reached = False

    def over() -> bool:
        nonlocal reached
        reached = 0.0 < _until[0] < time.monotonic()
        return reached

    code = None
    try:
        os.close(write)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        kept = None if log is None else Log(Path(log))
        keep = kept.write if kept is not None else lambda data: None
        code = watch(
            child, parent, read, keep, over, 2 * GRACE_SECONDS
        )  # a program below has a supervisor of its own
    finally:
        if ending is not None:
            ending.value = code if code is not None else OVER_LIMIT if reached else -signal.SIGKILL
        os._exit(1)


def _opened(log: Path) -> int:
    try:
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _write_output_to(descriptor: int) -> None:
    """Lead what this process and its children print to a descriptor, which is closed."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # Line by line: a process that dies has said what it printed. And there is no text that cannot be printed.
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    faulthandler.enable()
