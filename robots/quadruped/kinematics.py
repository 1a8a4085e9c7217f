"""The legs as compiled functions take them, and rotations."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from safebo.boundary.compiled import njit_no_alloc, product
from safebo.robots.descriptions.model import RobotModel
from safebo.types import FloatArray


class LegGeometry(NamedTuple):
    """What compiled functions have to know of the legs.

    Args:
        legs: of every leg its axes, anchors and foot, see `safebo.robots.descriptions.chain`, `4 x 7 x 3`.
        hip: nominal foot point of every leg, under its thigh joint, in the heading frame, m, `4 x 3`.
        foot_radius: m; height of a standing foot's centre over the ground.
    """

    legs: FloatArray
    hip: FloatArray
    foot_radius: float


def leg_geometry(robot: RobotModel) -> LegGeometry:
    """The legs of a robot."""
    hip = robot.stance_points.copy()
    hip[:, 2] = 0.0
    return LegGeometry(np.ascontiguousarray(robot.chains), hip, float(robot.foot_radius))


@njit_no_alloc(forceinline=True)
def rotation_from_quaternion(quaternion: FloatArray, rotation: FloatArray) -> None:
    """Rotation matrix `3 x 3` (base to world) of a unit quaternion w, x, y, z; written into `rotation`."""
    w, x, y, z = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    rotation[0, 0] = 1.0 - 2.0 * (y * y + z * z)
    rotation[0, 1] = 2.0 * (x * y - w * z)
    rotation[0, 2] = 2.0 * (x * z + w * y)
    rotation[1, 0] = 2.0 * (x * y + w * z)
    rotation[1, 1] = 1.0 - 2.0 * (x * x + z * z)
    rotation[1, 2] = 2.0 * (y * z - w * x)
    rotation[2, 0] = 2.0 * (x * z - w * y)
    rotation[2, 1] = 2.0 * (y * z + w * x)
    rotation[2, 2] = 1.0 - 2.0 * (x * x + y * y)


@njit_no_alloc
def roll_pitch_yaw(rotation: FloatArray) -> tuple[float, float, float]:
    """Roll, pitch, yaw in rad (rotation = Rz(yaw) Ry(pitch) Rx(roll))."""
    sine = min(1.0, max(-1.0, -rotation[2, 0]))
    roll = math.atan2(rotation[2, 1], rotation[2, 2])
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    return roll, math.asin(sine), yaw


@njit_no_alloc(fastmath={"contract"}, forceinline=True)
def _turned_back(rotation: FloatArray, desired: FloatArray, i: int) -> tuple[float, float, float]:
    """Row i of R^T R_des, rounded as by BLAS: every product but the first is added unrounded."""
    a, b, c = rotation[0, i], rotation[1, i], rotation[2, i]
    return (
        c * desired[2, 0] + (b * desired[1, 0] + product(a, desired[0, 0])),
        c * desired[2, 1] + (b * desired[1, 1] + product(a, desired[0, 1])),
        c * desired[2, 2] + (b * desired[1, 2] + product(a, desired[0, 2])),
    )


@njit_no_alloc(forceinline=True)
def rotation_error(rotation: FloatArray, desired: FloatArray, out: FloatArray) -> None:
    """Rotation vector `3` (rad, base frame) that turns `rotation` into `desired`: log(R^T R_des)."""
    m = (
        _turned_back(rotation, desired, 0),
        _turned_back(rotation, desired, 1),
        _turned_back(rotation, desired, 2),
    )
    cosine = min(1.0, max(-1.0, 0.5 * (m[0][0] + m[1][1] + m[2][2] - 1.0)))
    angle = math.acos(cosine)
    sine = math.sin(angle)
    if angle < 1e-6:
        factor = 0.5
    elif sine > 1e-6:
        factor = 0.5 * angle / sine
    else:  # half a turn: the axis is the column of R + I with the largest diagonal
        k = 0
        for i in range(1, 3):
            if m[i][i] > m[k][k]:
                k = i
        norm = math.sqrt(max(1e-12, 2.0 * (1.0 + m[k][k])))
        for i in range(3):
            out[i] = angle * (m[i][k] + (1.0 if i == k else 0.0)) / norm
        return
    out[0] = factor * (m[2][1] - m[1][2])
    out[1] = factor * (m[0][2] - m[2][0])
    out[2] = factor * (m[1][0] - m[0][1])
