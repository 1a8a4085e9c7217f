"""What the legs say of the ground and of the attitude, compiled: see `safebo.robots.quadruped.sensor_kernel`."""

from __future__ import annotations

import math

from safebo.boundary.compiled import njit
from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.quadruped.sensor_memory import (
    APART,
    LAW,
    SENSORS,
    SLOPE,
    STANCE_FORCE,
    STAND_FILTER,
    STRIDE,
    STRIDE_FILTER,
    WHICH_APART,
    WHICH_LAW,
    WHICH_STRIDE,
    SensorMemory,
)
from safebo.types import FloatArray


@njit(cache=True)
def up_of(quaternion: FloatArray) -> tuple[float, float, float]:
    """The world's vertical in the trunk frame."""
    w, x, y, z = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    s = w * w + x * x + y * y + z * z
    return 2.0 * (x * z - w * y) / s, 2.0 * (y * z + w * x) / s, 1.0 - 2.0 * (x * x + y * y) / s


@njit(cache=True)
def feet_now(memory: SensorMemory, legs: FloatArray, q: FloatArray, qd: FloatArray) -> None:
    """Feet and their Jacobians now."""
    m = memory.view(SENSORS)[0]
    for leg in range(4):
        own = slice(3 * leg, 3 * leg + 3)
        leg_kinematics(
            legs[leg], q[own], qd[own], m["position"][leg], m["jacobian"][leg], m["axes"], m["drift"]
        )


@njit(cache=True)
def standing_feet(
    memory: SensorMemory,
    step: float,
    q: FloatArray,
    quaternion: FloatArray,
    torque: FloatArray,
    target: FloatArray,
    feed_forward: FloatArray,
    kp: FloatArray,
    standing: bool,
) -> None:
    """Of a robot that stands where it got up: whether its feet are in one plane, and level; whether angles and torques
    obey the motors' law.
    """
    m = memory.view(SENSORS)[0]
    found, blame, feet, law, vertical = m["found"], m["blame"], m["feet"], m["law"], m["vertical"]
    if not standing:
        m["stood"][0] = 0.0
        return
    m["stood"][0] += step
    share = step / (step + min(m["stood"][0], m["numbers"][STAND_FILTER])) if m["stood"][0] > step else 1.0
    x, y, z = up_of(quaternion)
    for k, part in enumerate((x, y, z)):
        vertical[k] += share * (part - vertical[k])
        for leg in range(4):
            feet[leg, k] += share * (m["position"][leg, k] - feet[leg, k])
    for j in range(12):
        error = target[j] - q[j] - (torque[j] - feed_forward[j]) / kp[j] if kp[j] > 0.0 else 0.0
        law[j] += share * (error - law[j])
    if m["stood"][0] < m["numbers"][STAND_FILTER]:
        return
    found[LAW] = 0.0
    for j in range(12):
        if abs(law[j]) > found[LAW]:
            found[LAW], blame[WHICH_LAW] = abs(law[j]), float(j)
    _plane(memory)


@njit(cache=True)
def _plane(memory: SensorMemory) -> None:
    """The plane through the feet: by how much they miss it, m, and its angle to the horizontal, rad."""
    m = memory.view(SENSORS)[0]
    found, feet, v = m["found"], m["feet"], m["vertical"]
    # two horizontal directions: forward of the trunk made level, and left of it
    norm = math.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2)
    ux, uy, uz = v[0] / norm, v[1] / norm, v[2] / norm
    length = math.sqrt(uz * uz + ux * ux)
    ax, az = uz / length, -ux / length
    bx, by, bz = uy * az, uz * ax - ux * az, -uy * ax
    sa = sb = sh = 0.0
    for leg in range(4):
        f = feet[leg]
        sa += 0.25 * (ax * f[0] + az * f[2])
        sb += 0.25 * (bx * f[0] + by * f[1] + bz * f[2])
        sh += 0.25 * (ux * f[0] + uy * f[1] + uz * f[2])
    aa = ab = bb = ah = bh = 0.0
    for leg in range(4):
        f = feet[leg]
        a = ax * f[0] + az * f[2] - sa
        b = bx * f[0] + by * f[1] + bz * f[2] - sb
        h = ux * f[0] + uy * f[1] + uz * f[2] - sh
        aa, ab, bb, ah, bh = aa + a * a, ab + a * b, bb + b * b, ah + a * h, bh + b * h
    det = aa * bb - ab * ab
    if det <= 0.0:
        return
    pa, pb = (bb * ah - ab * bh) / det, (aa * bh - ab * ah) / det
    apart, most = 0.0, -1.0
    for leg in range(4):
        f = feet[leg]
        a = ax * f[0] + az * f[2] - sa
        b = bx * f[0] + by * f[1] + bz * f[2] - sb
        h = ux * f[0] + uy * f[1] + uz * f[2] - sh
        # of four feet one alone is off by the sum of what all miss the plane by
        apart += abs(h - pa * a - pb * b)
        if abs(h) > most:
            most, m["blame"][WHICH_APART] = abs(h), float(leg)
    found[APART] = apart
    found[SLOPE] = math.atan(math.sqrt(pa * pa + pb * pb))


@njit(cache=True)
def stride_heights(
    memory: SensorMemory, step: float, quaternion: FloatArray, torque: FloatArray, walking: bool
) -> None:
    """Of a robot that walks: the height of its feet while they carry, by the attitude, one against the others, m."""
    m = memory.view(SENSORS)[0]
    strides, carried = m["strides"], m["carried"]
    if not walking:
        carried[:] = 0.0
        return
    x, y, z = up_of(quaternion)
    mean, count = 0.0, 0
    carries = 0
    for leg in range(4):
        p = m["position"][leg]
        if _load(m["jacobian"][leg], torque[3 * leg : 3 * leg + 3], x, y, z) > m["numbers"][STANCE_FORCE]:
            carries += 1 << leg
            mean += x * p[0] + y * p[1] + z * p[2]
            count += 1
    if count < 2:
        return
    mean /= count
    for leg in range(4):
        if carries >> leg & 1:
            p = m["position"][leg]
            carried[leg] += step
            share = step / (step + min(carried[leg], m["numbers"][STRIDE_FILTER]))
            strides[leg] += share * (x * p[0] + y * p[1] + z * p[2] - mean - strides[leg])
    if carried.min() > m["numbers"][STRIDE_FILTER]:
        # a slope makes front and hind feet, or left and right ones, differ: what is left is one foot's own
        twist = strides[0] - strides[1] - strides[2] + strides[3]
        m["found"][STRIDE] = abs(twist)
        worst = 0
        for leg in range(4):
            if abs(strides[leg]) > abs(strides[worst]):
                worst = leg
        m["blame"][WHICH_STRIDE] = float(worst)


@njit(cache=True)
def _load(j: FloatArray, torque: FloatArray, x: float, y: float, z: float) -> float:
    """The vertical part of the ground's force on a foot, N, from the torques of its leg: -J^-T tau."""
    # rows of the inverse's transpose by cross products of the Jacobian's columns
    ax, ay, az = j[0, 0], j[1, 0], j[2, 0]
    bx, by, bz = j[0, 1], j[1, 1], j[2, 1]
    cx, cy, cz = j[0, 2], j[1, 2], j[2, 2]
    px, py, pz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
    qx, qy, qz = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
    rx, ry, rz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    det = ax * px + ay * py + az * pz
    if abs(det) < 1e-6:
        return 0.0
    fx = torque[0] * px + torque[1] * qx + torque[2] * rx
    fy = torque[0] * py + torque[1] * qy + torque[2] * ry
    fz = torque[0] * pz + torque[1] * qz + torque[2] * rz
    return -(fx * x + fy * y + fz * z) / det
