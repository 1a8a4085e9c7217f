"""Worker processes, each on its own, so that one that dies costs only the trial it was evaluating."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from safebo.evaluators.source import EvaluatorSource
from safebo.types import Check, EvaluatorInfo, Measurement, Monitor, Trial
from safebo.workers import worker

# Small matrices are slower on many threads, and results must not depend on how many cores a machine has.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)


class WorkerPool:
    """Evaluates trials on `size` processes, or on an executor of the caller's (a Dask cluster's, say).

    Args:
        source: what the evaluator is made from.
        size: how many trials run at once.
        log: file for whatever the evaluator prints.
        executor: runs the trials instead of processes of our own; it is not shut down.
    """

    def __init__(
        self, source: EvaluatorSource, size: int, log: Path | None = None, executor: Executor | None = None
    ) -> None:
        self._source = source
        self._log = log
        self._shared = executor
        self._slots: list[ProcessPoolExecutor | None] = [None] * (0 if executor else size)
        self._stop = multiprocessing.get_context("spawn").Value("i", 0, lock=False)

    def describe(self) -> Future[EvaluatorInfo]:
        """What the evaluator accepts, asked of a worker, which loads robots while we load the tuner."""
        return self._submit_to(0, worker.describe, self._source)

    def submit(self, slot: int, trial: Trial, monitor: Monitor | None) -> Future[Measurement]:
        """Start one trial on one of the processes; `BrokenProcessPool` on its future means that it died."""
        return self._submit_to(slot, worker.evaluate, self._source, trial, monitor)

    def preflight(self) -> Future[list[Check]]:
        """The evaluator's own checks before the first trial."""
        return self._submit_to(0, worker.preflight, self._source)

    def score(self, trial: Trial, ended: dict[str, Any]) -> Future[Measurement]:
        """What a trial showed that ended without being scored; `ended` is what was recorded then."""
        return self._submit_to(0, worker.score, self._source, trial, ended)

    def request_stop(self, times: int) -> None:
        """Let the workers know how often the run was asked to stop; evaluators that move a robot heed it."""
        self._stop.value = times

    def finish(self, patience: float) -> None:
        """Let evaluators that move a robot take their leave: it lies down."""
        for slot, process in enumerate(self._slots):
            if process is not None:
                with contextlib.suppress(Exception):
                    self._submit_to(slot, worker.finish).result(patience)

    def restart(self, slot: int) -> None:
        """Forget a process that died; the next trial there gets a fresh one."""
        if self._slots:
            slot %= len(self._slots)
            _kill(self._slots[slot])
            self._slots[slot] = None

    def close(self, at_once: bool = False) -> None:
        """End the processes, after their trials or at once."""
        for slot, process in enumerate(self._slots):
            if at_once:
                _kill(process)
            elif process is not None:
                process.shutdown(wait=True, cancel_futures=True)
            self._slots[slot] = None

    def _submit_to(self, slot: int, function: object, *arguments: object) -> Future:
        if self._shared is not None:
            return self._shared.submit(function, *arguments)  # type: ignore[arg-type]
        slot %= len(self._slots)
        executor = self._slots[slot]
        if executor is None:
            log = str(self._log) if self._log else None
            executor = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=worker.prepare,
                initargs=(os.getpid(), log, self._stop, self._source.robot is not None),
            )
            self._slots[slot] = executor
        with _one_thread_environment(), _without_interrupts():
            return executor.submit(function, *arguments)  # type: ignore[arg-type]


def _kill(executor: ProcessPoolExecutor | None) -> None:
    if executor is None:
        return
    for process in list((executor._processes or {}).values()):
        process.kill()
    executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_environment() -> Iterator[None]:
    """Libraries read these variables once, as they load, so they are set before the process starts."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Workers inherit the signals blocked here: Ctrl-C cannot hit one before it learns to ignore it."""
    # The tracker unblocks SIGINT when it starts, so it has to be running already.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
