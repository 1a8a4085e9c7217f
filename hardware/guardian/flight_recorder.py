"""The seconds before every latch, trial or not, and what followed: kept in memory, and handed over to be written.

Everything here is done by the control loop, in a bounded time: a row is written in every tick, and after a latch the
rows that count are copied aside a few per tick. Who writes them, and how long a disk takes for it, is not waited for.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from safebo.hardware.constants import (
    CONTROL_RATE_HZ,
    FLIGHT_AFTER_S,
    FLIGHT_BEFORE_S,
    FLIGHT_COPY_ROWS,
    FLIGHT_SPARE,
    MAX_FLIGHT_EVENTS,
)
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.limits import QUANTITIES
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.telemetry import COLUMNS, fill_row
from safebo.robots.quadruped.interface import BaseState, SensorReading
from safebo.types import FloatArray

FLIGHT_COLUMNS: tuple[str, ...] = (*COLUMNS, *(f"watched.{name}" for name in QUANTITIES))
"""What is kept of a tick: a row of telemetry, and what the limits are about."""

WALL = COLUMNS.index("wall_time")
_WIDTH = len(COLUMNS)
_NAN3, _NAN4, _NAN12 = (np.full(count, math.nan) for count in (3, 4, 12))
_UNKNOWN = RobotObservation(0, SensorReading(0.0, _NAN12, _NAN12, _NAN4, _NAN3, _NAN3), _NAN12)
_NO_BASE = BaseState(_NAN3, _NAN4, _NAN3, _NAN3)


@dataclass(frozen=True, eq=False)
class Flight:
    """What is to be written.

    Args:
        path: where to.
        number: of the latch. message: why it latched.
        rows: `n x FLIGHT_COLUMNS`; `wall_time` is that of the monotonic clock.
        events: with the monotonic time of each, s.
        buffer: in which the rows are; to be given back.
    """

    path: Path
    number: int
    message: str
    rows: FloatArray
    events: tuple[tuple[float, EventRow], ...]
    buffer: FloatArray


@dataclass
class _Latched:
    number: int
    message: str
    path: Path
    first: int
    due: int


class FlightRecorder:
    """Keeps ticks of one guardian.

    Args:
        guardian: the one.
        folder: where files go.
        keep: takes what is to be written; never blocks.
        clock: monotonic, s.
        rate: ticks per second.
    """

    def __init__(
        self,
        guardian: Guardian,
        folder: Path,
        keep: Callable[[Flight], None],
        clock: Callable[[], float] = time.monotonic,
        rate: float = CONTROL_RATE_HZ,
    ) -> None:
        self._guardian, self._folder, self._keep, self._clock = guardian, folder, keep, clock
        self._before, self._after = round(FLIGHT_BEFORE_S * rate), round(FLIGHT_AFTER_S * rate)
        window = self._before + self._after
        self._ring = np.zeros((window + round(rate), len(FLIGHT_COLUMNS)))
        self.spare = deque(np.zeros((window + 1, len(FLIGHT_COLUMNS))) for _ in range(FLIGHT_SPARE))
        self._events: deque[tuple[float, EventRow]] = deque(maxlen=MAX_FLIGHT_EVENTS)
        self._count = 0
        self._latched: _Latched | None = None
        self._copying: tuple[_Latched, FloatArray, int] | None = None

    def tick(self, now: float, events: Iterable[EventRow]) -> list[EventRow]:
        """Keep this tick and what happened in it; what there is to say about it."""
        moment = self._clock()
        self._fill(now, moment)
        said: list[EventRow] = []
        for row in events:
            self._events.append((moment, row))
            if row.kind == "latch" and self._latched is None:
                said.append(self._begin(now))
        if self._copying is not None:
            self._copy(FLIGHT_COPY_ROWS)
        elif self._latched is not None and self._count >= self._latched.due:
            said += self._hand_over(now)
        return said

    def close(self) -> None:
        """Hand over what is still to come."""
        if self._copying is not None:
            self._copy(len(self._ring))
        if self._latched is not None:
            self._hand_over(0.0)
            self._copy(len(self._ring))

    def _fill(self, now: float, moment: float) -> None:
        guardian, row = self._guardian, self._ring[self._count % len(self._ring)]
        newest, run = guardian.stream.newest, guardian.run
        running = guardian.state is State.RUNNING
        walk_time = run.elapsed(now) if running else math.nan
        backup = run.backup if running else -1
        tick = math.nan if newest is None else newest.tick
        head = (now, tick, guardian.state, walk_time, backup, guardian.stream.fresh)
        base = guardian.walker.base() if guardian.walking else _NO_BASE
        fill_row(row[:_WIDTH], head, newest or _UNKNOWN, guardian.command, base, moment)
        row[_WIDTH:] = guardian.watch.values
        self._count += 1

    def _begin(self, now: float) -> EventRow:
        latch = self._guardian.latch
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = self._folder / f"latch-{stamp}-{latch.number}.mcap"
        first = max(0, self._count - self._before)
        self._latched = _Latched(latch.number, latch.message, path, first, self._count + self._after)
        seconds = f"{FLIGHT_BEFORE_S:g} s before latch {latch.number} and {FLIGHT_AFTER_S:g} s after it"
        return EventRow(now, "record", f"the {seconds} go to {path}")

    def _hand_over(self, now: float) -> list[EventRow]:
        latched, self._latched = self._latched, None
        assert latched is not None
        if not self.spare:
            words = f"latch {latched.number} is not kept: the disk has not taken the ones before it yet"
            return [EventRow(now, "record", words)]
        latched.due = min(latched.due, self._count)
        self._copying = (latched, self.spare.popleft(), 0)
        return []

    def _copy(self, most: int) -> None:
        """Copy so many rows aside; all there: hand them over."""
        if self._copying is None:
            return
        latched, buffer, done = self._copying
        end = min(latched.due - latched.first, done + most)
        places = np.arange(latched.first + done, latched.first + end) % len(self._ring)
        buffer[done:end] = self._ring[places]
        self._copying = (latched, buffer, end)
        if end < latched.due - latched.first:
            return
        self._copying = None
        rows = buffer[:end]
        since = float(rows[0, WALL]) if end else math.inf
        events = tuple(event for event in self._events if since <= event[0])
        self._keep(Flight(latched.path, latched.number, latched.message, rows, events, buffer))
