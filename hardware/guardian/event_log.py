"""Everything the guardian did and met, line by line on disk, written beside the control loop.

Each line is a JSON object: `wall` (date and time, a label only), `time` (guardian's clock, s), `kind`, `message`, and
`data` where there is more to say (the row `start`: versions, robot, limits, baseline gains, fingerprint of the key). A
disk that is full or gone must not disturb the robot: the lines are kept in memory and written when there is room, and
the loss of the oldest, should memory run out, is said in the file.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from safebo.hardware.constants import LOG_CLOSE_TIMEOUT_S, MAX_LOG_LINES
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.state_machine import EventRow

_END: object = object()


class EventLog:
    """Appends rows to a file from a thread of its own.

    Args:
        path: the file; appended to. None keeps nothing.
        complain: told once each time that writing begins to fail.

    Raises:
        HardwareInputError: the file cannot be opened.
    """

    def __init__(self, path: Path | None, complain: Callable[[str], None] = lambda _message: None) -> None:
        self.path, self._complain = path, complain
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._failing = False
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.open("a").close()
            except OSError as error:
                raise HardwareInputError(f"event log {path}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._work, name="event-log", daemon=True)
        self._thread.start()

    def put(self, events: Iterable[EventRow]) -> None:
        """Keep these; never blocks."""
        for row in events:
            self._queue.put((datetime.now(UTC).isoformat(timespec="milliseconds"), row))

    def close(self, patience: float = LOG_CLOSE_TIMEOUT_S) -> None:
        """Write what is left."""
        self._queue.put(_END)
        self._thread.join(patience)

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            over = item is _END
            while not over:
                self._take(item)
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                over = item is _END
            self._write()
            if over:
                return

    def _take(self, item: object) -> None:
        assert isinstance(item, tuple)
        wall, row = item
        line = {"wall": wall, "time": round(row.time, 6), "kind": row.kind, "message": row.message}
        if row.data:
            line["data"] = row.data
        self._waiting.append(json.dumps(line))
        if len(self._waiting) > MAX_LOG_LINES:
            self._waiting.popleft()
            self._lost += 1

    def _write(self) -> None:
        if self.path is None:
            self._waiting.clear()
            return
        lines = list(self._waiting)
        if self._lost:
            lines.insert(0, json.dumps({"kind": "lost", "message": f"{self._lost} older lines had no room"}))
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(line + "\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if not self._failing:
                self._complain(f"event log {self.path}: {error.strerror}; lines wait in memory")
            self._failing = True
            return
        self._waiting.clear()
        self._lost, self._failing = 0, False
