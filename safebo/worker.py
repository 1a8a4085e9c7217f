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
from pathlib import Path

from safebo.evaluator import EvaluatorSource
from safebo.measurement_checks import evaluate_safely
from safebo.protocol import Evaluator, EvaluatorInfo, Measurement, Monitor, Trial

_PR_SET_PDEATHSIG = 1

# One evaluator per process, kept with what it was made from: making it can take seconds.
_made: tuple[EvaluatorSource, Evaluator] | None = None


def prepare(parent: int, log: str | None) -> None:
    """Set up a fresh worker process.

    Args:
        parent: process id of the run; the worker ends when that process is gone.
        log: file to which the worker's output is appended; None leaves it where it is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(parent)
    if log is not None:
        _write_output_to(Path(log))
    logging.captureWarnings(True)


def describe(source: EvaluatorSource) -> EvaluatorInfo:
    """Make the evaluator and return what it accepts."""
    return _evaluator(source).info()


def evaluate(source: EvaluatorSource, trial: Trial, monitor: Monitor | None) -> Measurement:
    """Evaluate one trial; what the evaluator raises becomes outcome `failed`."""
    return evaluate_safely(_evaluator(source), trial, monitor, source.study)


def _evaluator(source: EvaluatorSource) -> Evaluator:
    global _made
    if _made is None or _made[0] != source:
        _made = (source, source.make())
    return _made[1]


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
