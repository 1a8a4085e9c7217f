"""The digest by which client and guardian agree, before anything moves, on what a trial is."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

GAIT = struct.Struct("<10d")
MONITOR = struct.Struct("<24s6dHIH32s")


@dataclass(frozen=True)
class WalkDescription:
    """Gait, speed, ramp and settling as they travel; units as in `safebo.hardware.link.messages.SetWalk`."""

    gait: tuple[float, ...]
    velocity: tuple[float, ...]
    ramp: float
    settle: float

    def pack(self) -> bytes:
        """Ten doubles."""
        return GAIT.pack(*self.gait, *self.velocity, self.ramp, self.settle)


@dataclass(frozen=True)
class MonitorDescription:
    """The boundary condition as it travels; fields as in `safebo.hardware.link.messages.SetMonitor`."""

    rule: str
    numbers: tuple[float, ...]
    width: int
    states: int
    policies: int
    digest: bytes

    def pack(self) -> bytes:
        """112 bytes."""
        return MONITOR.pack(
            self.rule.encode(), *self.numbers, self.width, self.states, self.policies, self.digest
        )


def pack_gains(values: Sequence[float]) -> bytes:
    """One double per gain."""
    return struct.pack(f"<{len(values)}d", *values)


def gains_digest(values: Sequence[float]) -> bytes:
    """SHA-256 of a full set of gains."""
    return hashlib.sha256(pack_gains(values)).digest()


def trial_digest(
    table: int,
    gains: Sequence[float],
    backups: Sequence[Sequence[float]],
    walk: WalkDescription,
    monitor: MonitorDescription | None,
) -> bytes:
    """SHA-256 over table, gains, walk, backups and monitor.

    Args:
        table: identity of the gain table.
        gains: the trial's gains.
        backups: gains of every backup, in slot order.
        walk: gait and speed.
        monitor: None when the trial has no boundary condition.
    """
    out = hashlib.sha256(b"SBTRIAL1" + struct.pack("<Q", table))
    out.update(pack_gains(gains))
    out.update(walk.pack())
    out.update(struct.pack("<H", len(backups)))
    for values in backups:
        out.update(pack_gains(values))
    out.update(b"" if monitor is None else monitor.pack())
    return out.digest()
