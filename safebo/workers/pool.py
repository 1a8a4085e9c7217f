"""Worker processes, each on its own, so that one that dies costs only the trial it was evaluating."""

from __future__ import annotations

import multiprocessing
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from safebo.errors import short_text
from safebo.evaluators.program import ended_by
from safebo.evaluators.source import EvaluatorSource
from safebo.evaluators.supervisor import end_marked
from safebo.types import Check, EvaluatorInfo, Measurement, Monitor, SwitchedTrial, SwitchPlan, Trial
from safebo.workers import worker
from safebo.workers.begin import begin

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


WORKER_OF = "SAFEBO_WORKER_OF"
"""Environment variable of a worker process: the process id of the run that starts it."""

UNGUARDED = 97
"""Exit code of a worker process that found itself starting a run while it imported the run's script."""

_NOT_SAID = -1000  # no supervisor has said how its worker ended
_ENDING_SECONDS = 3.0  # for a supervisor to end what it watches


@dataclass(frozen=True)
class Death:
    """How a worker process ended that had something to do.

    Args:
        words: for people: "was ended by SIGSEGV (a fault in compiled code)".
        code: its exit code, negative for a signal; None where that is not known.
    """

    words: str
    code: int | None = None

    @property
    def over_limit(self) -> bool:
        """Whether it was ended at its trial's time limit."""
        return self.code == worker.OVER_LIMIT


@dataclass
class _Process:
    """One worker process: its executor, its handle, how it ended as its supervisor says, what marks all below it."""

    executor: ProcessPoolExecutor
    ending: Any
    handles: list[BaseProcess] = field(default_factory=list)
    mark: dict[str, str] = field(default_factory=lambda: {"SAFEBO_WORKER": uuid.uuid4().hex})


def starts_unguarded() -> bool:
    """Whether this process is a worker that imports the script which started its run."""
    importing = getattr(multiprocessing.current_process(), "_inheriting", False)
    return importing and os.environ.get(WORKER_OF) == str(os.getppid())


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
        self._slots: list[_Process | None] = [None] * (0 if executor else size)
        self._stop = multiprocessing.get_context("spawn").Value("i", 0, lock=False)

    def describe(self) -> Future[EvaluatorInfo]:
        """What the evaluator accepts, asked of a worker, which loads robots while we load the tuner."""
        return self._submit_to(0, worker.describe, self._source)

    def submit(self, slot: int, trial: Trial, monitor: Monitor | None) -> Future[Measurement]:
        """Start one trial on one of the processes; `BrokenProcessPool` on its future means that it died."""
        return self._submit_to(slot, worker.evaluate, self._source, trial, monitor)

    def try_switches(self, slot: int, trial: Trial, plan: SwitchPlan) -> Future[SwitchedTrial]:
        """Start one trial with backups tried on its way, as `submit`."""
        return self._submit_to(slot, worker.try_switches, self._source, trial, plan)

    def preflight(self) -> Future[list[Check]]:
        """The evaluator's own checks before the first trial."""
        return self._submit_to(0, worker.preflight, self._source)

    def read_context(self) -> Future[dict[str, Any]]:
        """Context variables by name, as the evaluator reads them now."""
        return self._submit_to(0, worker.read_context, self._source)

    def score(self, trial: Trial, ended: dict[str, Any]) -> Future[Measurement]:
        """What a trial showed that ended without being scored; `ended` is what was recorded then."""
        return self._submit_to(0, worker.score, self._source, trial, ended)

    def request_stop(self, times: int) -> None:
        """Let the workers know how often the run was asked to stop; evaluators that move a robot heed it."""
        self._stop.value = times

    def finish(self, patience: float) -> list[str]:
        """Let evaluators that move a robot take their leave: it lies down. How they left it, for people."""
        said = []
        for slot, process in enumerate(self._slots):
            if process is not None:
                try:
                    said.append(self._submit_to(slot, worker.finish).result(patience))
                except Exception as error:
                    said.append(f"How the robot was left is not known: {short_text(error)}. Look at it.")
        return [words for words in said if words]

    def restart(self, slot: int) -> Death:
        """Forget a process that died; the next trial there gets a fresh one. Returns how it died."""
        if not self._slots:
            return Death("died; the executor does not say how")
        slot %= len(self._slots)
        process, self._slots[slot] = self._slots[slot], None
        if process is None:
            return Death("died")
        self._end(process)
        codes = [process.ending.value, *(handle.exitcode for handle in process.handles)]
        code = next((code for code in codes if code not in (None, _NOT_SAID)), None)
        return Death(_words_of(code), code)

    def close(self, at_once: bool = False) -> None:
        """End the processes, after their trials or at once."""
        for slot, process in enumerate(self._slots):
            if process is not None and at_once:
                self._end(process)
            elif process is not None:
                process.executor.shutdown(wait=True, cancel_futures=True)
            self._slots[slot] = None

    def _end(self, process: _Process) -> None:
        """End a process at once; its supervisor first ends all that it watches, but a robot's worker has none."""
        for handle in process.handles:
            if self._source.robot is None:
                handle.terminate()
                handle.join(_ENDING_SECONDS)
            handle.kill()
        if self._source.robot is None and process.ending.value == _NOT_SAID:
            end_marked(process.mark)
        process.executor.shutdown(wait=True, cancel_futures=True)

    def _submit_to(self, slot: int, function: object, *arguments: object) -> Future:
        if self._shared is not None:
            return self._shared.submit(function, *arguments)  # type: ignore[arg-type]
        slot %= len(self._slots)
        try:
            return self._submit(self._process(slot), function, arguments)
        except BrokenExecutor:  # it died while it had nothing to do
            self.restart(slot)
            return self._submit(self._process(slot), function, arguments)

    def _process(self, slot: int) -> _Process:
        process = self._slots[slot]
        if process is None:
            context = multiprocessing.get_context("spawn")
            ending = context.Value("i", _NOT_SAID, lock=False)
            log = str(self._log) if self._log else None
            executor = ProcessPoolExecutor(
                max_workers=1,
                mp_context=context,
                initializer=begin,
                initargs=(os.getpid(), log, self._stop, self._source.robot is not None, ending),
            )
            process = self._slots[slot] = _Process(executor, ending)
        return process

    def _submit(self, process: _Process, function: object, arguments: tuple[object, ...]) -> Future:
        mark = {**_ONE_THREAD, WORKER_OF: str(os.getpid()), **process.mark}
        with _without_interrupts(), _environment(mark):
            future: Future = process.executor.submit(function, *arguments)  # type: ignore[arg-type]
        process.handles = process.handles or list((process.executor._processes or {}).values())
        return future


def _words_of(code: int | None) -> str:
    if code is None:
        return "died"
    return ended_by(-code) if code < 0 else f"ended with exit code {code}"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Libraries read such variables once, as they load, so they are set before the process starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
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
