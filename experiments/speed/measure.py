"""Timing one call many times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """Something worth timing.

    Args:
        name: short and stable; scripts look for it.
        description: what one repeat does.
        bar: seconds it should take at most, on one core.
        prepare: builds everything and returns the call to be timed.
        repeats: how often it is timed after a warm-up of `warm_up` calls.
    """

    name: str
    description: str
    bar: float
    prepare: Callable[[], Callable[[], Any]]
    repeats: int
    warm_up: int = 2


@dataclass(frozen=True)
class Timing:
    """What a case took: median and 5 % and 95 % quantiles, in seconds."""

    name: str
    description: str
    bar: float
    median_seconds: float
    low: float
    high: float
    repeats: int


def timed(case: Case) -> Timing:
    """Time a case."""
    call = case.prepare()
    for _ in range(case.warm_up):
        call()
    seconds = np.empty(case.repeats)
    for i in range(case.repeats):
        start = time.perf_counter()
        call()
        seconds[i] = time.perf_counter() - start
    low, median, high = np.quantile(seconds, [0.05, 0.5, 0.95])
    return Timing(case.name, case.description, case.bar, float(median), float(low), float(high), case.repeats)
