"""Whether a process grows while something goes on: live objects and resident memory."""

from __future__ import annotations

import gc
import math
import os
import sys
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")

WARM = 0.3
"""Share of the work after which caches are full."""

MAX_BLOCKS, MAX_RESIDENT = 3000, 4096.0
"""More blocks or KiB than these are growth, and not the noise of an allocator."""


def footprint() -> tuple[int, float]:
    """What the process holds, after collecting what nobody uses: blocks of Python's own memory, resident KiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return sys.getallocatedblocks(), pages * _PAGE / 1024


class Meter:
    """Compares a process when its work is warm and when it is done, while everything it works on still lives.

    Args:
        total: of the work, in any unit.
        warm: share of it that comes before the first look.

    Attributes:
        blocks: more at the end than at the first look.
        resident: KiB more.
    """

    def __init__(self, total: float, warm: float = WARM) -> None:
        self._after = warm * total
        self._first: tuple[int, float] | None = None
        self.blocks, self.resident = 0, 0.0

    def at(self, done: float) -> None:
        """So much of the work is done."""
        if self._first is None and done >= self._after:
            self._first = footprint()

    def end(self) -> None:
        """The work is done, and nothing of it has been let go."""
        if self._first is None:
            return
        blocks, resident = footprint()
        self.blocks, self.resident = blocks - self._first[0], resident - self._first[1]

    @property
    def grows(self) -> bool:
        """Whether this is more than noise."""
        return self.blocks > MAX_BLOCKS or self.resident > MAX_RESIDENT


OFF = Meter(math.inf)
"""One that never looks, for work too short to grow in."""
