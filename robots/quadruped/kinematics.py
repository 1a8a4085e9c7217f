"""Kinematics of one leg: abduction about x, then thigh and calf about y, with closed forms throughout.

A leg is seven numbers: hip frame x, y, z in the base frame, signed lateral thigh offset, thigh length, calf
length (m) and calf angle offset (rad), as `safebo.robots.descriptions.model.RobotModel` describes them.
Positive thigh and calf angles move the foot backwards; the knee bends at negative angles.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from safebo.robots.descriptions.model import RobotModel
from safebo.types import FloatArray


class LegGeometry(NamedTuple):
    """What compiled functions have to know of the legs.

    Args:
        legs: seven numbers of every leg, `4 x 7`.
        hip: nominal foot point of every leg, under its thigh joint, in the heading frame, m, `4 x 3`.
        foot_radius: m; height of a standing foot's centre over the ground.
    """

    legs: FloatArray
    hip: FloatArray
    foot_radius: float


def leg_geometry(robot: RobotModel) -> LegGeometry:
    """The legs of a robot."""
    legs, hip = np.zeros((4, 7)), np.zeros((4, 3))
    legs[:, :3] = robot.hip_offset
    legs[:, 3] = robot.thigh_offset
    legs[:, 4:] = robot.thigh_length, robot.calf_length, robot.calf_angle_offset
    hip[:, 0] = robot.hip_offset[:, 0]
    hip[:, 1] = robot.hip_offset[:, 1] + robot.thigh_offset
    return LegGeometry(legs, hip, float(robot.foot_radius))


@njit(cache=True)
def leg_kinematics(
    leg: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    position: FloatArray,
    jacobian: FloatArray,
    drift: FloatArray,
) -> None:
    """Foot of one leg in the base frame, written into the last three arguments.

    Args:
        leg: geometry `7`, m.
        q: joint angles `3`, rad.
        qd: joint speeds `3`, rad/s.
        position: out, foot centre `3`, m.
        jacobian: out, `3 x 3`, m/rad, so that the foot moves at `jacobian @ qd` seen from the base.
        drift: out, `3`, the foot's acceleration at constant joint speeds (`Jdot qd`), m/s^2.
    """
    side, thigh, calf = leg[3], leg[4], leg[5]
    s0, c0 = math.sin(q[0]), math.cos(q[0])
    sa, ca = math.sin(q[1]), math.cos(q[1])
    sb, cb = math.sin(q[1] + q[2] + leg[6]), math.cos(q[1] + q[2] + leg[6])
    # In the leg's plane: (x, z) of the foot and its derivative with respect to the calf's absolute angle.
    xb, zb = -calf * cb, calf * sb
    x = -thigh * sa - calf * sb
    z = -thigh * ca - calf * cb
    position[0] = leg[0] + x
    position[1] = leg[1] + side * c0 - z * s0
    position[2] = leg[2] + side * s0 + z * c0
    jacobian[0, 0] = 0.0
    jacobian[1, 0] = -side * s0 - z * c0
    jacobian[2, 0] = side * c0 - z * s0
    jacobian[0, 1] = z
    jacobian[1, 1] = s0 * x
    jacobian[2, 1] = -c0 * x
    jacobian[0, 2] = xb
    jacobian[1, 2] = -s0 * zb
    jacobian[2, 2] = c0 * zb
    w, wa, wc = qd[0], qd[1], qd[2]
    wb = wa + wc
    xd = z * wa + xb * wc
    zd = -x * wa + zb * wc
    xdd = zd * wa + zb * wb * wc
    zdd = -xd * wa - xb * wb * wc
    drift[0] = xdd
    drift[1] = -side * c0 * w * w - zdd * s0 - 2.0 * zd * c0 * w + z * s0 * w * w
    drift[2] = -side * s0 * w * w + zdd * c0 - 2.0 * zd * s0 * w - z * c0 * w * w


@njit(cache=True)
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


@njit(cache=True)
def roll_pitch_yaw(rotation: FloatArray) -> tuple[float, float, float]:
    """Roll, pitch, yaw in rad (rotation = Rz(yaw) Ry(pitch) Rx(roll))."""
    sine = min(1.0, max(-1.0, -rotation[2, 0]))
    roll = math.atan2(rotation[2, 1], rotation[2, 2])
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    return roll, math.asin(sine), yaw


@njit(cache=True)
def rotation_error(rotation: FloatArray, desired: FloatArray, out: FloatArray) -> None:
    """Rotation vector `3` (rad, base frame) that turns `rotation` into `desired`: log(R^T R_des)."""
    m = rotation.T @ desired
    cosine = min(1.0, max(-1.0, 0.5 * (m[0, 0] + m[1, 1] + m[2, 2] - 1.0)))
    angle = math.acos(cosine)
    sine = math.sin(angle)
    if angle < 1e-6:
        factor = 0.5
    elif sine > 1e-6:
        factor = 0.5 * angle / sine
    else:  # half a turn: the axis is the column of R + I with the largest diagonal
        k = 0
        for i in range(1, 3):
            if m[i, i] > m[k, k]:
                k = i
        norm = math.sqrt(max(1e-12, 2.0 * (1.0 + m[k, k])))
        for i in range(3):
            out[i] = angle * (m[i, k] + (1.0 if i == k else 0.0)) / norm
        return
    out[0] = factor * (m[2, 1] - m[1, 2])
    out[1] = factor * (m[0, 2] - m[2, 0])
    out[2] = factor * (m[1, 0] - m[0, 1])
