"""A trunk's attitude as angles."""

from __future__ import annotations

import math

from safebo.types import FloatArray


def roll_pitch_yaw(quaternion: FloatArray) -> tuple[float, float, float]:
    """Angles of a trunk's quaternion (w, x, y, z), rad."""
    w, x, y, z = (float(part) for part in quaternion)
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return roll, pitch, yaw
