"""Ctrl-C, SIGTERM and a closed terminal as a request.

The first asks a run to finish its trials, the second to stop at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Counts requests to stop while it is entered. Outside the main thread it only reads `requests`.

    Args:
        on_first: called once, at the first request, from the signal handler; it should only say what happens.
        on_each: called at every request, from the signal handler, with how many there were.
    """

    def __init__(
        self,
        on_first: Callable[[], None] | None = None,
        on_each: Callable[[int], None] | None = None,
    ) -> None:
        self.requests = 0
        self._on_first, self._on_each = on_first, on_each
        self._before: dict[signal.Signals, Any] = {}

    @property
    def soon(self) -> bool:
        """Whether to finish what runs and ask no more."""
        return self.requests >= 1

    @property
    def at_once(self) -> bool:
        """Whether to leave what runs."""
        return self.requests >= 2

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # `nohup` ignores the hangup on purpose
                if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *unused: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _leave_terminal()
        self.requests += 1
        if self._on_each is not None:
            self._on_each(self.requests)
        if self.requests == 1 and self._on_first is not None:
            self._on_first()
        if self.requests >= 2:
            # A third one must end the process even if it hangs somewhere.
            for known in _SIGNALS:
                signal.signal(known, signal.SIG_DFL)


def _leave_terminal() -> None:
    """Nobody reads what is printed any more, and nobody answers: printing must not fail, and asking must."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
