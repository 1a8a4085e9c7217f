"""A leg as a chain of three hinges: where its foot is and how it moves, for any arrangement of the joints.

A leg is 21 numbers, `7 x 3`: three unit axes, a point on each of them, and the foot's centre, all in the base frame
with the joints at zero. No frame of a link enters, so it does not matter how a description turns them. The foot is

    f(q) = E1(q1) E2(q2) E3(q3) f0,   E_i(q_i) x = p_i + exp(q_i [a_i]x) (x - p_i)

(product of exponentials; Lynch and Park, Modern Robotics, 2017, chapter 4).
"""

from __future__ import annotations

import math

import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc
from safebo.types import FloatArray

AXES, ANCHORS, FOOT = slice(0, 3), slice(3, 6), 6
"""Rows of a leg: the axes, the points on them, the foot."""


@njit_no_alloc
def _turn(axis: FloatArray, s: float, c: float, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A vector turned about a unit axis by the angle with this sine and cosine (Rodrigues)."""
    ax, ay, az = axis[0], axis[1], axis[2]
    along = (1.0 - c) * (ax * x + ay * y + az * z)
    return (
        c * x + s * (ay * z - az * y) + along * ax,
        c * y + s * (az * x - ax * z) + along * ay,
        c * z + s * (ax * y - ay * x) + along * az,
    )


@njit_no_alloc(forceinline=True)
def leg_kinematics(
    leg: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    position: FloatArray,
    jacobian: FloatArray,
    axes: FloatArray,
    drift: FloatArray,
) -> None:
    """Foot of one leg in the base frame, written into the last four arguments.

    Args:
        leg: geometry `7 x 3`.
        q: joint angles `3`, rad.
        qd: joint speeds `3`, rad/s.
        position: out, foot centre `3`, m.
        jacobian: out, `3 x 3`, m/rad, so that the foot moves at `jacobian @ qd` seen from the base.
        axes: out, the joints' axes now, one in each column, `3 x 3`: the last link turns at `axes @ qd`.
        drift: out, `2 x 3`, accelerations at constant joint speeds: of the foot (`Jdot qd`, m/s^2), and of the last
            link's rotation (rad/s^2).
    """
    s0, c0 = math.sin(q[0]), math.cos(q[0])
    s1, c1 = math.sin(q[1]), math.cos(q[1])
    s2, c2 = math.sin(q[2]), math.cos(q[2])
    p0, p1, p2, f = leg[3], leg[4], leg[5], leg[6]
    # Vectors from anchor to anchor and to the foot, turned by the joints before them.
    x, y, z = _turn(leg[2], s2, c2, f[0] - p2[0], f[1] - p2[1], f[2] - p2[2])
    fx, fy, fz = _turn(leg[1], s1, c1, x, y, z)
    ux, uy, uz = _turn(leg[0], s0, c0, fx, fy, fz)  # knee to foot
    x, y, z = _turn(leg[1], s1, c1, p2[0] - p1[0], p2[1] - p1[1], p2[2] - p1[2])
    vx, vy, vz = _turn(leg[0], s0, c0, x, y, z)  # second joint to third
    wx, wy, wz = _turn(leg[0], s0, c0, p1[0] - p0[0], p1[1] - p0[1], p1[2] - p0[2])  # first to second
    bx, by, bz = _turn(leg[0], s0, c0, leg[1, 0], leg[1, 1], leg[1, 2])
    x, y, z = _turn(leg[1], s1, c1, leg[2, 0], leg[2, 1], leg[2, 2])
    cx, cy, cz = _turn(leg[0], s0, c0, x, y, z)
    ax, ay, az = leg[0, 0], leg[0, 1], leg[0, 2]
    r1x, r1y, r1z = vx + ux, vy + uy, vz + uz  # second joint to foot
    r0x, r0y, r0z = wx + r1x, wy + r1y, wz + r1z  # first joint to foot
    position[0] = p0[0] + r0x
    position[1] = p0[1] + r0y
    position[2] = p0[2] + r0z
    axes[0, 0], axes[1, 0], axes[2, 0] = ax, ay, az
    axes[0, 1], axes[1, 1], axes[2, 1] = bx, by, bz
    axes[0, 2], axes[1, 2], axes[2, 2] = cx, cy, cz
    jacobian[0, 0], jacobian[1, 0], jacobian[2, 0] = (
        ay * r0z - az * r0y,
        az * r0x - ax * r0z,
        ax * r0y - ay * r0x,
    )
    jacobian[0, 1], jacobian[1, 1], jacobian[2, 1] = (
        by * r1z - bz * r1y,
        bz * r1x - bx * r1z,
        bx * r1y - by * r1x,
    )
    jacobian[0, 2], jacobian[1, 2], jacobian[2, 2] = cy * uz - cz * uy, cz * ux - cx * uz, cx * uy - cy * ux
    # Rates: o1 = omega after the first joint, o2 after the second, o3 of the last link.
    o1x, o1y, o1z = ax * qd[0], ay * qd[0], az * qd[0]
    o2x, o2y, o2z = o1x + bx * qd[1], o1y + by * qd[1], o1z + bz * qd[1]
    o3x, o3y, o3z = o2x + cx * qd[2], o2y + cy * qd[2], o2z + cz * qd[2]
    # The axes turn: omegadot = qd1 (o1 x b) + qd2 (o2 x c).
    e2x, e2y, e2z = (
        qd[1] * (o1y * bz - o1z * by),
        qd[1] * (o1z * bx - o1x * bz),
        qd[1] * (o1x * by - o1y * bx),
    )
    e3x, e3y, e3z = (
        e2x + qd[2] * (o2y * cz - o2z * cy),
        e2y + qd[2] * (o2z * cx - o2x * cz),
        e2z + qd[2] * (o2x * cy - o2y * cx),
    )
    drift[1, 0], drift[1, 1], drift[1, 2] = e3x, e3y, e3z
    # Every link adds omegadot x r + omega x (omega x r) of the vector it carries.
    drift[0] = 0.0
    _accelerate(0.0, 0.0, 0.0, o1x, o1y, o1z, wx, wy, wz, drift)
    _accelerate(e2x, e2y, e2z, o2x, o2y, o2z, vx, vy, vz, drift)
    _accelerate(e3x, e3y, e3z, o3x, o3y, o3z, ux, uy, uz, drift)


@njit_no_alloc(forceinline=True)
def measure_legs(
    legs: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    position: FloatArray,
    jacobian: FloatArray,
    axes: FloatArray,
    drift: FloatArray,
) -> None:
    """`leg_kinematics` of four legs: angles and speeds `12`, every output once for each leg."""
    for leg in range(4):
        own = slice(3 * leg, 3 * leg + 3)
        leg_kinematics(legs[leg], q[own], qd[own], position[leg], jacobian[leg], axes[leg], drift[leg])


@njit_no_alloc
def _accelerate(
    ex: float,
    ey: float,
    ez: float,
    ox: float,
    oy: float,
    oz: float,
    rx: float,
    ry: float,
    rz: float,
    drift: FloatArray,
) -> None:
    tx, ty, tz = oy * rz - oz * ry, oz * rx - ox * rz, ox * ry - oy * rx
    drift[0, 0] += ey * rz - ez * ry + oy * tz - oz * ty
    drift[0, 1] += ez * rx - ex * rz + oz * tx - ox * tz
    drift[0, 2] += ex * ry - ey * rx + ox * ty - oy * tx


@njit(cache=True)
def feet_in_base(legs: FloatArray, q: FloatArray) -> FloatArray:
    """Centres of the feet in the base frame, m, `4 x 3`, for legs `4 x 7 x 3` and joint angles `12`."""
    out = np.empty((legs.shape[0], 3))
    for k in range(legs.shape[0]):
        leg = legs[k]
        x, y, z = leg[6, 0], leg[6, 1], leg[6, 2]
        for i in range(2, -1, -1):
            angle, p = q[3 * k + i], leg[3 + i]
            x, y, z = _turn(leg[i], math.sin(angle), math.cos(angle), x - p[0], y - p[1], z - p[2])
            x, y, z = x + p[0], y + p[1], z + p[2]
        out[k, 0], out[k, 1], out[k, 2] = x, y, z
    return out


def joint_places(leg: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Axes `3 x 3` (one a row) and anchors `3 x 3` of a leg's joints at angles `q` `3`, in the base frame."""
    axes, anchors = leg[AXES].copy(), leg[ANCHORS].copy()
    for i in (1, 0):
        for j in range(i + 1, 3):
            turn = math.sin(q[i]), math.cos(q[i])
            axes[j] = _turn(leg[i], *turn, *axes[j])
            anchors[j] = leg[3 + i] + _turn(leg[i], *turn, *(anchors[j] - leg[3 + i]))
    return axes, anchors
