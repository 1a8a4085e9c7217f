"""What all fuzzing shares: what was found, and a reader that hands over what was put in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BATCH = 16
"""Packets that come in one tick."""


@dataclass
class Findings:
    """What was sent, by kind, and what went wrong, at most a few of each."""

    sent: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def fault(self, words: str) -> None:
        """Something that must not be."""
        if len(self.wrong) < 20:
            self.wrong.append(words)


class Feed:
    """Stands where a socket or a DDS reader was: hands over what was put in."""

    port = 0

    def __init__(self, address: tuple[str, int] | None = None) -> None:
        self._address = address
        self.waiting: list[bytes] = []
        self.sent: list[bytes] = []

    def take(self) -> list[Any]:
        """What has come."""
        taken, self.waiting = self.waiting, []
        return taken if self._address is None else [(data, self._address) for data in taken]

    def take_with_writer(self) -> list[tuple[bytes, int]]:
        """The same, all of one writer."""
        return [(data, 1) for data in self.take()]

    def send(self, data: bytes, address: object = None) -> bool:
        """Keep the newest answer."""
        self.sent = [data]
        return True

    write = send

    def wait(self, seconds: float) -> bool:
        """Whether something waits."""
        return bool(self.waiting)

    def readers(self) -> int:
        """Nobody."""
        return 0

    writers = readers

    def close(self) -> None:
        """Nothing to close."""
