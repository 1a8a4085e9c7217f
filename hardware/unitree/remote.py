"""The 40 bytes of Unitree's remote control: which keys are pressed, where the sticks are.

Layout as in the vendor's public header: two head bytes, a 16-bit field of keys, five floats (left stick
sideways, right stick sideways, right stick forward, trigger L2, left stick forward), 16 unused bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

REMOTE_BYTES = 40
HEAD = bytes((0x55, 0x51))
KEYS: tuple[str, ...] = (
    "R1", "L1", "start", "select", "R2", "L2", "F1", "F2",
    "A", "B", "X", "Y", "up", "right", "down", "left",
)  # fmt: skip
DAMPING_KEYS = frozenset(("L2", "B"))
"""The operator's own stop: the remote tells the robot to damp its joints, past any computer of ours."""

_LAYOUT = struct.Struct("<2sH5f16x")


@dataclass(frozen=True)
class Remote:
    """What the person beside the robot presses.

    Args:
        keys: names out of `KEYS`.
        sticks: `lx`, `rx`, `ry`, `L2`, `ly`, each -1 .. 1.
    """

    keys: frozenset[str] = frozenset()
    sticks: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)


def stop_pressed(data: bytes) -> bool:
    """Whether L2 and B are pressed."""
    pressed = data[2] | data[3] << 8
    return pressed & _STOP == _STOP


def encode_remote(keys: Iterable[str] = (), sticks: tuple[float, ...] = (0.0,) * 5) -> bytes:
    """The bytes of a remote control with these keys pressed; for a virtual robot.

    Raises:
        ValueError: a key that does not exist.
    """
    pressed = 0
    for key in keys:
        if key not in KEYS:
            raise ValueError(f"no key {key!r} on the remote control: keys are {', '.join(KEYS)}")
        pressed |= 1 << KEYS.index(key)
    return _LAYOUT.pack(HEAD, pressed, *sticks)


_STOP = sum(1 << KEYS.index(key) for key in DAMPING_KEYS)
