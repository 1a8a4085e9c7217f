"""A run's log that is kept short: its beginning and its latest part, and a line that says what was left out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

MAX_LOG = 10_000_000
"""Bytes of a log; a little more may be there for a moment."""

_HEAD = 4_000_000
_TAIL = 2_000_000
_GAP = re.compile(rb"\n\[safebo left out (\d+) bytes here: this log is kept below \d+ MB\]\n")


def _gap(count: int) -> bytes:
    # Of fixed length: it is found again at its place.
    return b"\n[safebo left out %015d bytes here: this log is kept below %d MB]\n" % (count, MAX_LOG // 10**6)


class Log:
    """A log to which several processes write, each with a `Log` of its own. A log never ends a run: errors pass.

    Args:
        path: of the file; it is made with the first text.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def write(self, data: bytes) -> None:
        """Add a text; where the file grows too long, its middle is left out."""
        with contextlib.suppress(OSError), self._locked() as file:
            while data:
                data = data[os.write(file, data) :]
            if os.fstat(file).st_size > MAX_LOG:
                _shorten(file)

    def shorten(self) -> None:
        """Leave out the middle of a file that others have written to."""
        with contextlib.suppress(OSError):
            if self._path.stat().st_size > MAX_LOG:
                with self._locked() as file:
                    _shorten(file)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield self._file
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _shorten(file: int) -> None:
    """Keep the first `_HEAD` and the last `_TAIL` bytes, cut where a line ends."""
    size = os.fstat(file).st_size
    if size <= MAX_LOG:
        return
    length = len(_gap(0))
    earlier = _GAP.fullmatch(os.pread(file, length, _HEAD))
    tail = os.pread(file, _TAIL, size - _TAIL)
    start = tail.find(b"\n", 0, _TAIL // 2) + 1
    tail = tail[start:]
    left_out = size - _HEAD - len(tail) + (int(earlier[1]) - length if earlier else 0)
    # The file is open for appending, so what is written after the cut comes behind it.
    os.ftruncate(file, _HEAD)
    rest = _gap(left_out) + tail
    while rest:
        rest = rest[os.write(file, rest) :]
