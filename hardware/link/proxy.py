"""A network that misbehaves on purpose, deterministically: between client and guardian, or robot and guardian."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Faults:
    """What happens to packets.

    Args:
        drop, duplicate, reorder, corrupt: probability of each, per packet.
        delay: s that every packet takes.
        jitter: s by which that varies, uniformly.
        late: s that a reordered packet or a second copy takes on top.
        freeze: from when to when, s, nothing passes; what came meanwhile passes afterwards.
        cut: from when to when, s, everything is lost.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    late: float = 0.005
    freeze: Sequence[tuple[float, float]] = ()
    cut: Sequence[tuple[float, float]] = ()

    def __post_init__(self) -> None:
        for name in ("drop", "duplicate", "reorder", "corrupt"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"faults: {name} is a probability, got {getattr(self, name)}")
        for name in ("delay", "jitter", "late"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"faults: {name} must be at least 0 s, got {getattr(self, name)}")


class FaultProxy:
    """One direction of a network.

    Args:
        faults: what happens.
        seed: decides to which packets; the same packets at the same times meet the same fate.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self._random = Random(seed)
        self._waiting: list[tuple[float, int, bytes]] = []
        self._count = 0

    def push(self, now: float, data: bytes) -> None:
        """A packet enters."""
        faults, random = self.faults, self._random
        # All are drawn for every packet, so that one probability does not move the fate of others.
        dropped, doubled, overtaken, damaged, wobble, place = (random.random() for _ in range(6))
        if dropped < faults.drop or any(a <= now < b for a, b in faults.cut):
            return
        due = now + faults.delay + faults.jitter * wobble
        due = max([due, *(b for a, b in faults.freeze if a <= due < b)])
        if doubled < faults.duplicate:
            self._add(due + faults.late, data)
        if damaged < faults.corrupt and data:
            at = int(place * len(data) * 8)
            flipped = bytearray(data)
            flipped[at // 8] ^= 1 << at % 8
            data = bytes(flipped)
        self._add(due + (faults.late if overtaken < faults.reorder else 0.0), data)

    def due(self, now: float) -> list[bytes]:
        """The packets that have come out by now."""
        out = []
        while self._waiting and self._waiting[0][0] <= now:
            out.append(heapq.heappop(self._waiting)[2])
        return out

    def _add(self, due: float, data: bytes) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (due, self._count, data))
