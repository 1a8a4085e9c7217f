"""Timing one call many times, in a process of its own."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from safebo.experiments.peak_memory import forget_peak, peak_bytes


@dataclass(frozen=True)
class SpeedCase:
    """Something worth timing.

    Args:
        name: short and stable; scripts look for it.
        description: what one repeat does.
        bar: seconds it should take at most, on one core.
        prepare: builds everything and returns the call to be timed.
        repeats: how often it is timed after a warm-up of `warm_up` calls.
        note: says something more of the call that was timed.
    """

    name: str
    description: str
    bar: float
    prepare: Callable[[], Callable[[], Any]]
    repeats: int
    warm_up: int = 2
    note: Callable[[Any], str] | None = None


@dataclass(frozen=True)
class Timing:
    """What a case took: median and 5 % and 95 % quantiles, in seconds.

    `peak_bytes` is the largest resident memory of the case's process, its preparation included, or of a command that
    it starts; None where the system does not tell. `note` is what the case says of itself.
    """

    case: SpeedCase
    median_seconds: float
    low: float
    high: float
    peak_bytes: int | None
    note: str


class TellAndAsk:
    """One tell of what the last ask proposed and one ask; every call is one step of a run.

    Args:
        tuner: what is asked.
        tell: tells it what a proposal showed.
    """

    def __init__(self, tuner: Any, tell: Callable[[Any], None]) -> None:
        self.tuner, self.tell = tuner, tell
        self.last = tuner.ask()

    def __call__(self) -> Any:
        """One step; what was asked last."""
        self.tell(self.last)
        self.last = self.tuner.ask()
        return self.last


def timed(case: SpeedCase) -> Timing:
    """Time a case in a fork of this process, so that no case stands in the caches and memory of another.

    Raises:
        RuntimeError: the case failed; its traceback has been printed.
    """
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_time_and_send, args=(case, there))
    process.start()
    there.close()
    try:
        figures = here.recv()
    except EOFError:
        raise RuntimeError(f"{case.name}: the case failed, see above") from None
    finally:
        process.join()
    return Timing(case, *figures)


def _time_and_send(case: SpeedCase, pipe: Connection) -> None:
    """What `Timing` says of a case, but the case itself, into a pipe."""
    tells_memory = forget_peak()
    call = case.prepare()
    for _ in range(case.warm_up):
        call()
    seconds = np.empty(case.repeats)
    for i in range(case.repeats):
        start = time.perf_counter()
        call()
        seconds[i] = time.perf_counter() - start
    low, median, high = (float(value) for value in np.quantile(seconds, [0.05, 0.5, 0.95]))
    of_commands = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak = max(peak_bytes(), of_commands) if tells_memory else None
    pipe.send((median, low, high, peak, "" if case.note is None else case.note(call)))
