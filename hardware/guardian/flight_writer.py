"""Writes the seconds around a latch as an MCAP file, beside the control loop: a disk may be slow, full or gone."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from safebo.hardware.constants import DISK_RESERVE_BYTES, FLIGHT_CLOSE_TIMEOUT_S, FLIGHT_PAUSE_S
from safebo.hardware.guardian.flight_recorder import FLIGHT_COLUMNS, WALL, Flight
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.real_time import follow
from safebo.hardware.guardian.telemetry import UNITS
from safebo.hardware.records.foxglove import ERROR, INFO
from safebo.hardware.records.metadata import record_metadata
from safebo.hardware.records.record_file import RecordFile
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.records.row_format import RowFormat
from safebo.hardware.records.ticks import SCHEMA, nanoseconds, write_ticks
from safebo.robots.descriptions.model import RobotModel
from safebo.types import FloatArray

_WATCHED = {f"watched.{limit.quantity}": limit.unit for limit in LIMITS}
FLIGHT_ROWS = RowFormat(SCHEMA, FLIGHT_COLUMNS, {**UNITS, **_WATCHED})


class FlightWriter:
    """Writes from a thread of its own.

    Args:
        robot: its model, to be drawn.
        described: what the guardian says of itself.
        say: told what became of a file; never blocks.
    """

    def __init__(self, robot: RobotModel, described: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self._drawing, self._described, self._say = RobotDrawing(robot), described, say
        self._queue: queue.SimpleQueue[Flight | None] = queue.SimpleQueue()
        self.give_back: Callable[[FloatArray], None] = lambda _buffer: None
        self._thread = threading.Thread(target=self._work, name="flight-writer", daemon=True)
        self._thread.start()

    def keep(self, flight: Flight) -> None:
        """Write this soon; never blocks."""
        self._queue.put(flight)

    def close(self, patience: float = FLIGHT_CLOSE_TIMEOUT_S) -> None:
        """Write what is left, for so many seconds at most."""
        self._queue.put(None)
        self._thread.join(patience)

    def _work(self) -> None:
        follow()
        while (flight := self._queue.get()) is not None:
            try:
                self._write(flight)
                self._say(f"latch {flight.number}: kept in {flight.path}, {len(flight.rows)} ticks")
            except Exception as error:  # whatever a disk does must not end this thread
                why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                self._say(f"latch {flight.number}: NOT kept in {flight.path}: {why}")
            self.give_back(flight.buffer)

    def _write(self, flight: Flight) -> None:
        part = flight.path.with_name(f"{flight.path.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        usage = os.statvfs(part.parent)
        if usage.f_bavail * usage.f_frsize < DISK_RESERVE_BYTES:
            raise OSError(0, f"less than {DISK_RESERVE_BYTES / 1e6:g} MB are free there")
        # one clock for the whole file: a wall clock that was set meanwhile does not tear it
        offset = time.time() - time.monotonic()
        flight.rows[:, WALL] += offset
        try:
            with part.open("xb") as file:
                record = RecordFile(file, FLIGHT_ROWS, self._drawing)
                for name, data in record_metadata("latch", self._described).items():
                    record.note(name, data)
                record.note("latch", {"number": flight.number, "message": flight.message})
                if len(flight.rows):
                    record.shapes(nanoseconds(float(flight.rows[0, WALL])))
                for moment, row in flight.events:
                    level = ERROR if row.kind == "latch" else INFO
                    record.log(level, row.kind, row.message, nanoseconds(moment + offset))
                walls = flight.rows[:, WALL]
                write_ticks(record, flight.rows, FLIGHT_COLUMNS, walls, _pause)
                record.finish()
                file.flush()
                os.fsync(file.fileno())
            part.rename(flight.path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


def _pause() -> None:
    """Let go of the interpreter after every row: the control loop is never kept from it for longer than one."""
    time.sleep(FLIGHT_PAUSE_S)
