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

from safebo.boundary.compiled import njit
from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import GRAVITY, BaseState, SensorError, SensorReading
from safebo.robots.quadruped.kinematics import leg_geometry, rotation_from_quaternion
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
        legs: geometry `4 x 7 x 3`.
        foot_radius: m.
        imu: position of the inertial unit in the trunk frame `3`, m.
        noise: what is believed of the inputs.
        period: s.
        mean: base position, base velocity, four feet; `6 x 3`, columns x, y, z.
        horizontal: covariance of the six along x, and along y, `6 x 6`.
        vertical: covariance of the six along z, `6 x 6`.
        innovations: normalised innovation squared, sum and count by measurement and axis (`MEASUREMENTS`), `2 x 3 x 3`.
        scratch: `13 x 6`.
    """

    legs: FloatArray
    foot_radius: float
    imu: FloatArray
    noise: EstimatorNoise
    period: float
    mean: FloatArray
    horizontal: FloatArray
    vertical: FloatArray
    innovations: FloatArray
    scratch: FloatArray


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
        ("scratch", "f8", (13, 6)),
    ]
)
"""The parts of `Filter` in one piece of memory."""

FilterMemory = NDArray[np.void]
"""One `FILTER`, in an array of one."""


@njit(cache=True)
def filter_of(memory: FilterMemory) -> Filter:
    """The filter in a memory."""
    m = memory[0]
    n = m["noise"]
    return Filter(
        m["legs"],
        m["foot_radius"],
        m["imu"],
        EstimatorNoise(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]),
        m["period"],
        m["mean"],
        m["horizontal"],
        m["vertical"],
        m["innovations"],
        m["scratch"],
    )


@njit(cache=True)
def _correct(
    state: Filter, kind: int, axis: int, first: int, second: int, measured: float, variance: float
) -> None:
    """One scalar measurement z of mean[first] (minus mean[second], when second >= 0) on one axis.

    The Kalman update with H = e_first - e_second, one measurement at a time, which needs no matrix inverse:

        y = z - H x,   S = H P H^T + R,   K = P H^T / S,   x += w K y,   P -= K S K^T

    with Huber's weight w = min(1, c sqrt(S) / |y|), so that a foot that slips pulls with bounded force. x and y
    share a covariance, which y, the second, updates for both.
    """
    mean, gain = state.mean, state.scratch[8, 0:6]
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
    size = abs(innovation) / np.sqrt(total)
    state.innovations[0, kind, axis] += size * size
    state.innovations[1, kind, axis] += 1.0
    weight = 1.0 if size <= state.noise.outlier else state.noise.outlier / size
    for i in range(6):
        mean[i, axis] += weight * gain[i] / total * innovation
    if axis != 0:
        for i in range(6):
            for j in range(6):
                covariance[i, j] -= gain[i] * gain[j] / total


@njit(cache=True)
def _sound(
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
    return math.isfinite(total) and abs(np.sqrt(np.sum(orientation * orientation)) - 1.0) <= 0.1


_UNSOUND = "estimator: a sample that is not finite, or an orientation that is no unit quaternion"


@njit(cache=True)
def update_filter(
    memory: FilterMemory,
    joint_position: FloatArray,
    joint_velocity: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    stance_phase: FloatArray,
) -> bool:
    """One tick: predict with the inertial unit, correct with the standing feet.

    Returns whether the sample is sound; otherwise nothing is changed.
    """
    if not _sound(joint_position, joint_velocity, orientation, angular_velocity, specific_force):
        return False
    state = filter_of(memory)
    mean, noise, period, scratch = state.mean, state.noise, state.period, state.scratch
    rotation = scratch[0:3, 0:3]
    rotation_from_quaternion(orientation, rotation)
    jacobian = scratch[3:6, 0:3]
    position, axes, drift = scratch[6, 0:3], scratch[9:12, 0:3], scratch[12].reshape(2, 3)
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
    for leg in range(4):
        row = 2 + leg
        leg_kinematics(
            state.legs[leg],
            joint_position[3 * leg : 3 * leg + 3],
            joint_velocity[3 * leg : 3 * leg + 3],
            position,
            jacobian,
            axes,
            drift,
        )
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
        phase = stance_phase[leg]
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
            continue
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
        _correct(state, 2, 2, row, -1, state.foot_radius, (noise.foot_height / trust) ** 2)
    return True


class KalmanEstimator:
    """Estimates the base state on the robot, from what a robot can sense.

    Args:
        robot: lengths of the legs.
        period: control period, s.
        noise: what the filter believes of its inputs.

    Raises:
        ValueError: a period or a noise that makes no sense.
    """

    def __init__(self, robot: RobotModel, period: float = 0.002, noise: EstimatorNoise | None = None) -> None:
        if not period > 0:
            raise ValueError(f"estimator: period must be positive, got {period!r}")
        self.robot = robot
        self.noise = noise or EstimatorNoise()
        self.noise.check()
        geometry = leg_geometry(robot)
        self.memory = np.zeros(1, FILTER)
        for name, values in (
            ("legs", geometry.legs),
            ("foot_radius", geometry.foot_radius),
            ("imu", robot.imu_position),
            ("noise", self.noise),
            ("period", period),
            ("horizontal", np.eye(6)),
            ("vertical", np.eye(6)),
        ):
            self.memory[name] = values
        self._mean, self._innovations = self.memory["mean"][0], self.memory["innovations"][0]
        self._covariances = self.memory["horizontal"][0], self.memory["vertical"][0]
        mean = self._mean
        self.state = BaseState(mean[0], np.array([1.0, 0.0, 0.0, 0.0]), mean[1], np.zeros(3))

    def reset(self, reading: SensorReading, base_height: float | None = None) -> BaseState:
        """Start at rest at the origin, all feet standing.

        Args:
            reading: the first reading.
            base_height: m; from the legs and a level floor when None.

        Raises:
            SensorError: the reading is not finite, or its orientation no unit quaternion.
        """
        if not _sound(
            reading.joint_position,
            reading.joint_velocity,
            reading.orientation,
            reading.angular_velocity,
            reading.linear_acceleration,
        ):
            raise SensorError(_UNSOUND)
        rotation = np.zeros((3, 3))
        rotation_from_quaternion(np.array(reading.orientation, dtype=float), rotation)
        feet = self.robot.foot_positions(reading.joint_position) @ rotation.T
        height = self.robot.foot_radius - feet[:, 2].min() if base_height is None else float(base_height)
        mean = self._mean
        self._innovations[:] = 0.0
        mean[:] = 0.0
        mean[0, 2] = height
        mean[2:] = mean[0] + feet
        for covariance in self._covariances:
            covariance[:] = np.diag([1e-4, 1e-2, 1e-4, 1e-4, 1e-4, 1e-4])
        self.state.orientation[:] = reading.orientation
        self.state.angular_velocity[:] = reading.angular_velocity
        return self.state

    def normalised_innovations(self) -> FloatArray:
        """Mean of the squared innovations over their predicted variance since `reset`, `3 x 3`.

        By `MEASUREMENTS` and axis. One where the assumed noise is that of sensors and feet; NaN without measurements.
        """
        total, count = self._innovations
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    def update(self, reading: SensorReading, stance_phase: FloatArray) -> BaseState:
        """The base state now; the returned object is filled again by the next call.

        Args:
            reading: the sensors now.
            stance_phase: for every leg, 4: how far it is through its planned stance, 0 to 1, or a negative
                number while it is planned to swing. 0.5 for a leg that stands for good.

        Raises:
            SensorError: the sample is not sound; the filter keeps its last state.
        """
        sound = update_filter(
            self.memory,
            reading.joint_position,
            reading.joint_velocity,
            reading.orientation,
            reading.angular_velocity,
            reading.linear_acceleration,
            stance_phase,
        )
        if not sound:
            raise SensorError(_UNSOUND)
        self.state.orientation[:] = reading.orientation
        self.state.angular_velocity[:] = reading.angular_velocity
        return self.state
