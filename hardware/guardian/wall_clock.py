"""The time of day, in one piece: a clock that is set while something is recorded does not tear the record."""

from __future__ import annotations

import time
from collections.abc import Callable


class WallClock:
    """Seconds since 1970 that go on as the monotonic clock does, and agree with the wall's since `set`.

    Args:
        wall: s since 1970.
        monotonic: s.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self.offset = 0.0
        self.set()

    def set(self) -> None:
        """Agree with the wall's clock again."""
        self.offset = self._wall() - self._monotonic()

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self._monotonic() + self.offset
