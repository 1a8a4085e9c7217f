"""What a Go2 says besides its low-level state: where its motion service thinks the body is, and the remote.

For virtual robots. A physical Go2 fills `rt/sportmodestate` only while its own motion service runs, so nothing
in this bridge reads it; the vendor's simulator fills it always, and programs written against that one look at it.
Records are the XCDR1 bodies byte for byte (gaps are fields named `gap...`).
"""

from __future__ import annotations

import numpy as np

from safebo.hardware.unitree.records import ENCAPSULATION, Record
from safebo.hardware.unitree.remote import KEYS, Remote

SPORT_MODE_STATE = np.dtype(
    [
        ("sec", "<i4"),
        ("nanosec", "<u4"),
        ("error_code", "<u4"),
        ("quaternion", "<f4", (4,)),  # w, x, y, z
        ("gyroscope", "<f4", (3,)),  # rad/s
        ("accelerometer", "<f4", (3,)),  # m/s^2
        ("rpy", "<f4", (3,)),  # rad
        ("temperature", "u1"),  # degrees Celsius
        ("mode", "u1"),
        ("gap_1", "u1", (2,)),
        ("progress", "<f4"),
        ("gait_type", "u1"),
        ("gap_2", "u1", (3,)),
        ("foot_raise_height", "<f4"),  # m
        ("position", "<f4", (3,)),  # m, world
        ("body_height", "<f4"),  # m
        ("velocity", "<f4", (3,)),  # m/s
        ("yaw_speed", "<f4"),  # rad/s
        ("range_obstacle", "<f4", (4,)),  # m
        ("foot_force", "<i2", (4,)),
        ("foot_position_body", "<f4", (12,)),  # m, feet in the order FR, FL, RR, RL
        ("foot_speed_body", "<f4", (12,)),  # m/s
        ("path_point", "<f4", (10, 7)),  # t_from_start, x, y, yaw, vx, vy, vyaw
    ]
)
WIRELESS_CONTROLLER = np.dtype(
    [("lx", "<f4"), ("ly", "<f4"), ("rx", "<f4"), ("ry", "<f4"), ("keys", "<u2"), ("gap_1", "u1", (2,))]
)


def new_sport_mode_state() -> Record:
    """A motion state of zeros."""
    return np.zeros((), SPORT_MODE_STATE)


def encode_broadcast(record: Record) -> bytes:
    """Wire bytes of a motion state or a remote control."""
    return ENCAPSULATION + record.tobytes()


def wireless_controller(remote: Remote) -> Record:
    """The remote control as its own topic carries it."""
    record = np.zeros((), WIRELESS_CONTROLLER)
    record["lx"], record["rx"], record["ry"], _, record["ly"] = remote.sticks
    record["keys"] = sum(1 << KEYS.index(key) for key in remote.keys)
    return record
