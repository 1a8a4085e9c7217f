"""Timing one call many times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from safebo.experiments.peak_memory import forget_peak, peak_bytes


@dataclass(frozen=True)
class Case:
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

    `peak_bytes` is the largest resident memory of the whole process during the case, its preparation included;
    None where the system does not tell. `note` is what the case says of itself.
    """

    case: Case
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


def timed(case: Case) -> Timing:
    """Time a case."""
    tells_memory = forget_peak()
    call = case.prepare()
    for _ in range(case.warm_up):
        call()
    seconds = np.empty(case.repeats)
    for i in range(case.repeats):
        start = time.perf_counter()
        call()
        seconds[i] = time.perf_counter() - start
    low, median, high = np.quantile(seconds, [0.05, 0.5, 0.95])
    return Timing(
        case,
        float(median),
        float(low),
        float(high),
        peak_bytes() if tells_memory else None,
        "" if case.note is None else case.note(call),
    )
