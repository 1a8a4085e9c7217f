"""What the low-level packets of Go1 and Go2 have in common: records of numpy, their head, a command without a wish."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Record = NDArray[Any]  # shape (), structured
Bytes = bytes | bytearray | memoryview

HEAD = (0xFE, 0xEF)
LEVEL_LOW = 0xFF
NO_POSITION = 2.146e9  # rad, a position target that asks for none
NO_VELOCITY = 16000.0  # rad/s, a velocity target that asks for none
ENCAPSULATION = b"\x00\x01\x00\x00"  # XCDR1, little-endian

HEADER = [
    ("head", "u1", (2,)),
    ("level_flag", "u1"),
    ("frame_reserve", "u1"),
    ("sn", "<u4", (2,)),
    ("version", "<u4", (2,)),
    ("bandwidth", "<u2"),
]
"""First fields of every command and state."""


def new_record(layout: np.dtype[Any]) -> Record:
    """A record with the head of a low-level message and zeros elsewhere."""
    record = np.zeros((), layout)
    record["head"] = HEAD
    record["level_flag"] = LEVEL_LOW
    return record


def new_command(layout: np.dtype[Any], mode: int) -> Record:
    """A command that asks every motor for nothing: this mode, no position, no velocity, no gains."""
    record = new_record(layout)
    motors = record["motor_cmd"]
    motors["mode"] = mode
    motors["q"] = NO_POSITION
    motors["dq"] = NO_VELOCITY
    return record
