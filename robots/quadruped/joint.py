"""The joint law: what a motor does with a command."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safebo.robots.quadruped.interface import JointCommand

FloatArray = NDArray[np.float64]


def joint_torque(command: JointCommand, q: FloatArray, qd: FloatArray, limit: FloatArray) -> FloatArray:
    """Torque of every joint, N m: tau_ff + kp (q_des - q) + kd (qd_des - qd), within +-limit.

    Args:
        command: targets, feed-forward torque and gains, `12` each.
        q: measured angles `12`, rad.
        qd: measured speeds `12`, rad/s.
        limit: largest torque, N m, `12`.
    """
    torque = command.torque + command.kp * (command.position - q) + command.kd * (command.velocity - qd)
    return np.clip(torque, -limit, limit)
