"""What runs inside a worker process: prepare it, make the evaluator once, evaluate trials.

Workers import no torch. They ignore Ctrl-C (the run decides when to stop), die with the process that started
them, and write whatever the evaluator prints to the run's log.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from safebo.evaluators.gate import evaluate_safely, measured_or_failed
from safebo.evaluators.source import EvaluatorSource
from safebo.text.streams import calm_warnings
from safebo.types import Check, Evaluator, EvaluatorInfo, Measurement, Monitor, Trial

_PR_SET_PDEATHSIG = 1

# One evaluator per process, kept with what it was made from: making it can take seconds.
_made: tuple[EvaluatorSource, Evaluator] | None = None

# How often a person has asked the run to stop; shared with the process that started this one.
_stop: Any = None


def prepare(parent: int, log: str | None, stop: Any = None, robot: bool = False) -> None:
    """Set up a fresh worker process.

    Args:
        parent: process id of the run; the worker ends when that process is gone.
        log: file to which the worker's output is appended; None leaves it where it is.
        stop: number shared with the run: how often it was asked to stop.
        robot: whether the worker moves a robot: it then ends its trial and takes its leave before it ends.
    """
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if robot:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=_leave_with_parent, args=(parent,), name="parent", daemon=True).start()
    else:
        _die_with_parent(parent)
    if log is not None:
        _write_output_to(Path(log))
    calm_warnings()
    logging.captureWarnings(True)


def describe(source: EvaluatorSource) -> EvaluatorInfo:
    """Make the evaluator and return what it accepts."""
    return _evaluator(source).info()


def evaluate(source: EvaluatorSource, trial: Trial, monitor: Monitor | None) -> Measurement:
    """Evaluate one trial; what the evaluator raises becomes outcome `failed`."""
    return evaluate_safely(_evaluator(source), trial, monitor, source.study)


def preflight(source: EvaluatorSource) -> list[Check]:
    """The evaluator's own checks before the first trial; none where it has none."""
    evaluator = _evaluator(source)
    return list(evaluator.preflight()) if hasattr(evaluator, "preflight") else []


def score(source: EvaluatorSource, trial: Trial, ended: dict[str, Any]) -> Measurement:
    """What a trial showed that ended without being scored, from its raw file."""
    evaluator: Any = _evaluator(source)
    return measured_or_failed(evaluator.score(trial, ended), source.study)


def finish() -> None:
    """Let the evaluator take its leave, where it wants to."""
    if _made is not None and hasattr(_made[1], "close"):
        _made[1].close()


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


def _leave_with_parent(parent: int) -> None:
    """Wait until the process that started this one is gone; then end the trial, take leave, and end."""
    while os.getppid() == parent:
        time.sleep(0.1)
    if _stop is not None:
        _stop.value = max(1, _stop.value)
    try:
        finish()
    finally:
        os._exit(1)


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before the line above took effect.
    if os.getppid() != parent:
        os._exit(1)


def _write_output_to(log: Path) -> None:
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable()
