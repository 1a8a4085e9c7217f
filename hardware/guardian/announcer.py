"""Lines for people, printed beside the control loop: a terminal that is held (Ctrl-S) must not hold the robot."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from safebo.hardware.constants import LOG_CLOSE_TIMEOUT_S, MAX_WAITING_LINES


class Announcer:
    """Prints from a thread of its own.

    Args:
        say: prints a line; may block.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_LINES)
        self._lost = 0
        self._thread = threading.Thread(target=self._work, name="announcer", daemon=True)
        self._thread.start()

    def __call__(self, line: str) -> None:
        """Print this soon; never blocks. What has no room is counted, and the count printed."""
        try:
            if self._lost:
                self._lines.put_nowait(f"({self._lost} lines had no room; they are in the log)")
                self._lost = 0
            self._lines.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def close(self, patience: float = LOG_CLOSE_TIMEOUT_S) -> None:
        """Print what is left, for so many seconds at most."""
        try:
            self._lines.put(None, timeout=patience)
        except queue.Full:
            return
        self._thread.join(patience)

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            self._say(line)
