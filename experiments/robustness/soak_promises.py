"""What a soak promises: by which tick which response has to follow a trouble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from safebo.experiments.robustness.guardian_world import PERIOD
from safebo.hardware.guardian.states import Response

World = TypeVar("World")

BASELINE_WITHIN, SIT_WITHIN = round(0.2 / PERIOD), round(1.0 / PERIOD)
"""Ticks of a tuner's silence after which baseline gains and the way down are promised."""

STATE_HOLD, STATE_SIT = round(0.1 / PERIOD) + 1, round(0.5 / PERIOD) + 1
"""Ticks from the last state to the first without one for longer than the promise."""


@dataclass(frozen=True)
class Promise:
    """A response that has to be reached, and how many ticks after the trouble's first one at the latest."""

    response: Response
    within: int


@dataclass
class Trouble(Generic[World]):
    """One trouble, prepared.

    Args:
        name: for the counts.
        promises: in the order of their ticks; none: the run has to go on as if nothing were.
        lasts: ticks after which it goes away by itself.
        begin: called before its first tick.
        each: called before each of its ticks, with the number of the tick.
    """

    name: str
    promises: tuple[Promise, ...]
    lasts: int
    begin: Callable[[World], None]
    each: Callable[[World, int], None] | None = None
