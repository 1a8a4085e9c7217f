"""Base state from inertial unit and joint encoders: a linear Kalman filter helped by the feet.

The state is the base position and velocity and the four foot positions in the world, as in the linear filters
of Bloesch et al. (RSS 2012) and Bledt et al. (IROS 2018); orientation is taken from the inertial unit. A foot
that is planned to stand does not move: its position relative to the base (leg kinematics) measures position, its
speed relative to the base measures velocity, and its height is the floor's. With noise equal in x and y the
three axes do not couple, so the filter is three small ones, two of which share a covariance.

A ball-shaped foot rolls: what stands still is the point of the ball that touches the floor, not its centre.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.descriptions.chain import measure_legs
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.kinematics import rotation_from_quaternion
from safebo.types import FloatArray

MEASUREMENTS = ("foot position", "foot velocity", "foot height")
"""Of every standing foot; the height is measured along z alone."""

_SWING_VARIANCE = 1.0  # m^2: what is known of the position of a foot in the air


class EstimatorNoise(NamedTuple):
    """What the filter believes of its inputs; standard deviations.

    The defaults fit the encoders and inertial unit of `SensorNoise`: on a nominal walk the normalised innovations of
    position and velocity lie around one (`KalmanEstimator.normalised_innovations`). The floor is no sensor; it is
    believed less than a flat one deserves.

    Args:
        acceleration: of the measured acceleration, m/s^2.
        position: growth of the base position's uncertainty, m/sqrt(s).
        foot_drift: growth of a standing foot's uncertainty (creep, slip), m/sqrt(s).
        foot_position: of a foot's position relative to the base, m.
        foot_velocity: of a standing foot's speed, m/s.
        foot_height: of the floor under a standing foot, m.
        touchdown_window: share of the stance phase, at its start and its end, in which a foot is trusted less.
        outlier: innovations beyond so many standard deviations count less (Huber).
    """

    acceleration: float = 0.3
    position: float = 0.001
    foot_drift: float = 0.003
    foot_position: float = 0.0006
    foot_velocity: float = 0.012
    foot_height: float = 0.001
    touchdown_window: float = 0.15
    outlier: float = 2.5

    def check(self) -> None:
        """Raise `ValueError` for a number that is not positive or a window longer than half a stance."""
        for name, value in self._asdict().items():
            if not np.isfinite(value) or value <= 0:
                raise ValueError(f"estimator noise: {name} must be positive, got {value!r}")
        if self.touchdown_window > 0.5:
            raise ValueError(
                f"estimator noise: touchdown_window is at most 0.5, got {self.touchdown_window!r}"
            )


class Filter(NamedTuple):
    """The filter's constants and what it knows.

    Args:
        foot_radius: m.
        imu: position of the inertial unit in the trunk frame `3`, m.
        noise: what is believed of the inputs.
        period: s.
        mean: base position, base velocity, four feet; `6 x 3`, columns x, y, z.
        horizontal: covariance of the six along x, and along y, `6 x 6`.
        vertical: covariance of the six along z, `6 x 6`.
        innovations: normalised innovation squared, sum and count by measurement and axis (`MEASUREMENTS`), `2 x 3 x 3`.
        rotation: base to world, `3 x 3`.
        gain: room for `6`.
        phases: room for how far each foot is through its stance, `4`.
        ground: height of the floor under every foot `4`, m.
    """

    foot_radius: float
    imu: FloatArray
    noise: EstimatorNoise
    period: float
    mean: FloatArray
    horizontal: FloatArray
    vertical: FloatArray
    innovations: FloatArray
    rotation: FloatArray
    gain: FloatArray
    phases: FloatArray
    ground: FloatArray


FILTER = np.dtype(
    [
        ("legs", "f8", (4, 7, 3)),
        ("foot_radius", "f8"),
        ("imu", "f8", 3),
        ("noise", "f8", len(EstimatorNoise._fields)),
        ("period", "f8"),
        ("mean", "f8", (6, 3)),
        ("horizontal", "f8", (6, 6)),
        ("vertical", "f8", (6, 6)),
        ("innovations", "f8", (2, 3, 3)),
        ("rotation", "f8", (3, 3)),
        ("gain", "f8", 6),
        ("phases", "f8", 4),
        ("ground", "f8", 4),
        ("position", "f8", (4, 3)),
        ("jacobian", "f8", (4, 3, 3)),
        ("axes", "f8", (4, 3, 3)),
        ("drift", "f8", (4, 2, 3)),
    ]
)
"""The parts of `Filter` in one piece of memory, and room for what `measure_legs` says."""

FilterMemory = NDArray[np.uint8]
"""The bytes of one `FILTER`, see `safebo.boundary.compiled`."""

Legs = tuple[FloatArray, FloatArray, FloatArray]
"""Positions, Jacobians and axes of `measure_legs`."""


@njit_no_alloc(forceinline=True)
def filter_of(memory: FilterMemory) -> Filter:
    """The filter in a memory."""
    m = memory.view(FILTER)[0]
    n = m["noise"]
    return Filter(
        m["foot_radius"],
        m["imu"],
        EstimatorNoise(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]),
        m["period"],
        m["mean"],
        m["horizontal"],
        m["vertical"],
        m["innovations"],
        m["rotation"],
        m["gain"],
        m["phases"],
        m["ground"],
    )


@njit_no_alloc(forceinline=True)
def _correct(
    state: Filter, kind: int, axis: int, first: int, second: int, measured: float, variance: float
) -> None:
    """One scalar measurement z of mean[first] (minus mean[second], when second >= 0) on one axis.

    The Kalman update with H = e_first - e_second, one measurement at a time, which needs no matrix inverse:

        y = z - H x,   S = H P H^T + R,   K = P H^T / S,   x += w K y,   P -= K S K^T

    with Huber's weight w = min(1, c sqrt(S) / |y|), so that a foot that slips pulls with bounded force. x and y
    share a covariance, which y, the second, updates for both.
    """
    mean, gain = state.mean, state.gain
    covariance = state.vertical if axis == 2 else state.horizontal
    innovation = measured - mean[first, axis]
    for i in range(6):
        gain[i] = covariance[i, first]  # P H^T
    if second >= 0:
        innovation += mean[second, axis]
        for i in range(6):
            gain[i] -= covariance[i, second]
    predicted = gain[first]  # H P H^T
    if second >= 0:
        predicted -= gain[second]
    total = predicted + variance
    inverse = 1.0 / total
    size = abs(innovation) * math.sqrt(inverse)
    state.innovations[0, kind, axis] += size * size
    state.innovations[1, kind, axis] += 1.0
    weight = 1.0 if size <= state.noise.outlier else state.noise.outlier / size
    step = weight * inverse * innovation
    for i in range(6):
        mean[i, axis] += step * gain[i]
    if axis != 0:
        for i in range(6):
            for j in range(6):
                covariance[i, j] -= gain[i] * gain[j] * inverse


@njit_no_alloc(forceinline=True)
def is_sound(
    joint_position: FloatArray,
    joint_velocity: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
) -> bool:
    """Whether a sample is finite and its orientation a unit quaternion, within a tenth."""
    total = 0.0
    for values in (joint_position, joint_velocity, orientation, angular_velocity, specific_force):
        for value in values:
            total += value
    squared = 0.0
    for value in orientation:
        squared += value * value
    return math.isfinite(total) and abs(math.sqrt(squared) - 1.0) <= 0.1


@njit_no_alloc
def update_filter(
    memory: FilterMemory,
    joint_position: FloatArray,
    joint_velocity: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    stance_phase: FloatArray,
) -> bool:
    """One tick; returns whether the sample is sound, otherwise nothing is changed. See `correct_by_legs`."""
    if not is_sound(joint_position, joint_velocity, orientation, angular_velocity, specific_force):
        return False
    m = memory.view(FILTER)[0]
    legs = m["position"], m["jacobian"], m["axes"]
    measure_legs(m["legs"], joint_position, joint_velocity, *legs, m["drift"])
    state = filter_of(memory)
    correct_by_legs(state, legs, joint_velocity, orientation, angular_velocity, specific_force, stance_phase)
    return True


@njit_no_alloc(forceinline=True)
def _predict(state: Filter, angular_velocity: FloatArray, specific_force: FloatArray) -> None:
    """Move the state on by one period, as the inertial unit says; `state.rotation` is the orientation now."""
    mean, noise, period, rotation = state.mean, state.noise, state.period, state.rotation
    wx, wy, wz = angular_velocity[0], angular_velocity[1], angular_velocity[2]
    # The unit sits at r from the trunk's origin and feels omega x (omega x r) too much. (The Euler term
    # omegadot x r is left in: differentiating the gyroscope would add more noise than it takes away.)
    rx, ry, rz = state.imu[0], state.imu[1], state.imu[2]
    cx, cy, cz = wy * rz - wz * ry, wz * rx - wx * rz, wx * ry - wy * rx
    fx = specific_force[0] - (wy * cz - wz * cy)
    fy = specific_force[1] - (wz * cx - wx * cz)
    fz = specific_force[2] - (wx * cy - wy * cx)
    # x := F x + G a with a = R f - g:  p += dt v + dt^2/2 a,  v += dt a
    for axis in range(3):
        acceleration = rotation[axis, 0] * fx + rotation[axis, 1] * fy + rotation[axis, 2] * fz
        if axis == 2:
            acceleration -= GRAVITY
        mean[0, axis] += period * mean[1, axis] + 0.5 * period * period * acceleration
        mean[1, axis] += period * acceleration
    # P := F P F^T + Q; F differs from 1 only in that the position takes dt times the velocity, so F P adds dt
    # times row 1 to row 0, and F P F^T the same to the columns
    for k in range(2):
        covariance = state.horizontal if k == 0 else state.vertical
        for j in range(6):
            covariance[0, j] += period * covariance[1, j]
        for i in range(6):
            covariance[i, 0] += period * covariance[i, 1]
        covariance[0, 0] += noise.position**2 * period
        covariance[1, 1] += (noise.acceleration * period) ** 2


@njit_no_alloc(forceinline=True)
def _correct_by_leg(
    state: Filter,
    leg: int,
    legs: Legs,
    joint_velocity: FloatArray,
    angular_velocity: FloatArray,
    phase: float,
) -> None:
    """Correct by one foot: where it stands, and that it only rolls; `phase` of its stance is negative in the air."""
    mean, noise, period, rotation = state.mean, state.noise, state.period, state.rotation
    wx, wy, wz = angular_velocity[0], angular_velocity[1], angular_velocity[2]
    row = 2 + leg
    position, jacobian, axes = legs[0][leg], legs[1][leg], legs[2][leg]
    # angular velocity of the calf, trunk frame
    ox, oy, oz = wx, wy, wz
    for j in range(3):
        rate = joint_velocity[3 * leg + j]
        ox += axes[0, j] * rate
        oy += axes[1, j] * rate
        oz += axes[2, j] * rate
    # The floor's normal n seen from the trunk; the ball's centre sits one radius along it and, where the
    # ball rolls without slip, moves at omega_calf x (radius n).
    nx, ny, nz = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    roll_x = state.foot_radius * (oy * nz - oz * ny)
    roll_y = state.foot_radius * (oz * nx - ox * nz)
    roll_z = state.foot_radius * (ox * ny - oy * nx)
    # velocity of the foot relative to the base: omega x l + J qd
    px, py, pz = position[0], position[1], position[2]
    vx = wy * pz - wz * py
    vy = wz * px - wx * pz
    vz = wx * py - wy * px
    for j in range(3):
        rate = joint_velocity[3 * leg + j]
        vx += jacobian[0, j] * rate
        vy += jacobian[1, j] * rate
        vz += jacobian[2, j] * rate
    # Contact is least certain at touchdown and lift-off: trust falls to 0.05 at both ends of a stance
    # (Bledt et al. 2018), and noise grows as it falls.
    trust = 0.0
    if phase >= 0.0:
        trust = min(1.0, min(phase, 1.0 - phase) / noise.touchdown_window + 0.05)
    for axis in range(3):
        covariance = state.vertical if axis == 2 else state.horizontal
        relative = rotation[axis, 0] * px + rotation[axis, 1] * py + rotation[axis, 2] * pz
        if trust <= 0.0:
            # in the air: the foot is where the leg says, and tells nothing of the base
            mean[row, axis] = mean[0, axis] + relative
            if axis != 0:
                for j in range(6):
                    covariance[row, j] = 0.0
                    covariance[j, row] = 0.0
                covariance[row, row] = _SWING_VARIANCE
            continue
        rolling = rotation[axis, 0] * roll_x + rotation[axis, 1] * roll_y + rotation[axis, 2] * roll_z
        mean[row, axis] += period * rolling
        if axis != 1:
            covariance[row, row] += noise.foot_drift**2 * period / trust
    if trust <= 0.0:
        return
    # measured: foot minus base position
    for axis in range(3):
        relative = rotation[axis, 0] * px + rotation[axis, 1] * py + rotation[axis, 2] * pz
        _correct(state, 0, axis, row, 0, relative, noise.foot_position**2 / trust)
    # measured: base velocity, as a standing foot's centre only rolls: v + R (omega x l + J qd) = rolling
    for axis in range(3):
        rolling = rotation[axis, 0] * roll_x + rotation[axis, 1] * roll_y + rotation[axis, 2] * roll_z
        speed = rotation[axis, 0] * vx + rotation[axis, 1] * vy + rotation[axis, 2] * vz
        _correct(state, 1, axis, 1, -1, rolling - speed, (noise.foot_velocity / trust) ** 2)
    # measured: height of the foot's centre, one radius over the floor
    _correct(state, 2, 2, row, -1, state.foot_radius + state.ground[leg], (noise.foot_height / trust) ** 2)


@njit_no_alloc(forceinline=True)
def correct_by_legs(
    state: Filter,
    legs: Legs,
    joint_velocity: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    stance_phase: FloatArray,
) -> None:
    """One tick: predict with the inertial unit, correct with the standing feet."""
    rotation_from_quaternion(orientation, state.rotation)
    _predict(state, angular_velocity, specific_force)
    for leg in range(4):
        _correct_by_leg(state, leg, legs, joint_velocity, angular_velocity, stance_phase[leg])
