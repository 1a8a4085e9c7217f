"""Base state from inertial unit and joint encoders: a linear Kalman filter helped by the feet.

The state is the base position and velocity and the four foot positions in the world, as in the linear filters
of Bloesch et al. (RSS 2012) and Bledt et al. (IROS 2018); orientation is taken from the inertial unit. A foot
that is planned to stand does not move: its place relative to the base (leg kinematics) measures position, its
speed relative to the base measures velocity, and its height is the floor's. With noise equal in x and y the
three axes do not couple, so the filter is three small ones, two of which share a covariance.

A ball-shaped foot rolls: what stands still is the point of the ball that touches the floor, not its centre.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import GRAVITY, BaseState, SensorReading
from safebo.robots.quadruped.kinematics import leg_geometry, leg_kinematics, rotation_from_quaternion

FloatArray = NDArray[np.float64]

_SWING_VARIANCE = 1.0  # m^2: what is known of the place of a foot in the air


@dataclass(frozen=True)
class EstimatorNoise:
    """What the filter believes of its inputs; standard deviations.

    Args:
        acceleration: of the measured acceleration, m/s^2.
        position: growth of the base position's uncertainty, m/sqrt(s).
        foot_drift: growth of a standing foot's uncertainty (creep, slip), m/sqrt(s).
        foot_position: of a foot's place relative to the base, m.
        foot_velocity: of a standing foot's speed, m/s.
        foot_height: of the floor under a standing foot, m.
        touchdown_window: share of the stance phase, at its start and its end, in which a foot is trusted less.
        outlier: innovations beyond so many standard deviations count less (Huber).
    """

    acceleration: float = 0.6
    position: float = 0.01
    foot_drift: float = 0.02
    foot_position: float = 0.004
    foot_velocity: float = 0.06
    foot_height: float = 0.004
    touchdown_window: float = 0.15
    outlier: float = 2.5

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not np.isfinite(value) or value <= 0:
                raise ValueError(f"estimator noise: {item.name} must be positive, got {value!r}")
        if self.touchdown_window > 0.5:
            raise ValueError(
                f"estimator noise: touchdown_window is at most 0.5, got {self.touchdown_window!r}"
            )

    def as_array(self) -> FloatArray:
        """The eight numbers in the order of the fields."""
        return np.array([getattr(self, item.name) for item in fields(self)])


@njit(cache=True)
def _correct(
    mean: FloatArray,
    covariance: FloatArray,
    axis: int,
    first: int,
    second: int,
    measured: float,
    variance: float,
    outlier: float,
    update_covariance: bool,
    gain: FloatArray,
) -> None:
    """One scalar measurement of mean[first] (minus mean[second], when second >= 0) on one axis."""
    innovation = measured - mean[first, axis]
    for i in range(6):
        gain[i] = covariance[i, first]
    if second >= 0:
        innovation += mean[second, axis]
        for i in range(6):
            gain[i] -= covariance[i, second]
    predicted = gain[first]
    if second >= 0:
        predicted -= gain[second]
    total = predicted + variance
    size = abs(innovation) / np.sqrt(total)
    weight = 1.0 if size <= outlier else outlier / size
    for i in range(6):
        mean[i, axis] += weight * gain[i] / total * innovation
    if update_covariance:
        for i in range(6):
            for j in range(6):
                covariance[i, j] -= gain[i] * gain[j] / total


@njit(cache=True)
def _update(
    legs: FloatArray,
    foot_radius: float,
    noise: FloatArray,
    period: float,
    joint_position: FloatArray,
    joint_velocity: FloatArray,
    orientation: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    imu_position: FloatArray,
    stance_phase: FloatArray,
    mean: FloatArray,
    horizontal: FloatArray,
    vertical: FloatArray,
    scratch: FloatArray,
) -> None:
    """One tick: predict with the inertial unit, correct with the standing feet."""
    rotation = scratch[0:3, 0:3]
    rotation_from_quaternion(orientation, rotation)
    jacobian = scratch[3:6, 0:3]
    position, drift, gain = scratch[6, 0:3], scratch[7, 0:3], scratch[8, 0:6]
    wx, wy, wz = angular_velocity[0], angular_velocity[1], angular_velocity[2]
    # the unit sits away from the trunk's origin: take the centripetal part out
    rx, ry, rz = imu_position[0], imu_position[1], imu_position[2]
    cx, cy, cz = wy * rz - wz * ry, wz * rx - wx * rz, wx * ry - wy * rx
    fx = specific_force[0] - (wy * cz - wz * cy)
    fy = specific_force[1] - (wz * cx - wx * cz)
    fz = specific_force[2] - (wx * cy - wy * cx)
    for axis in range(3):
        acceleration = rotation[axis, 0] * fx + rotation[axis, 1] * fy + rotation[axis, 2] * fz
        if axis == 2:
            acceleration -= GRAVITY
        mean[0, axis] += period * mean[1, axis] + 0.5 * period * period * acceleration
        mean[1, axis] += period * acceleration
    for k in range(2):
        covariance = horizontal if k == 0 else vertical
        for j in range(6):
            covariance[0, j] += period * covariance[1, j]
        for i in range(6):
            covariance[i, 0] += period * covariance[i, 1]
        covariance[0, 0] += noise[1] ** 2 * period
        covariance[1, 1] += (noise[0] * period) ** 2
    window, outlier = noise[6], noise[7]
    for leg in range(4):
        row = 2 + leg
        leg_kinematics(
            legs[leg],
            joint_position[3 * leg : 3 * leg + 3],
            joint_velocity[3 * leg : 3 * leg + 3],
            position,
            jacobian,
            drift,
        )
        q0 = joint_position[3 * leg]
        pitch_rate = joint_velocity[3 * leg + 1] + joint_velocity[3 * leg + 2]
        # angular velocity of the calf, trunk frame
        ox = wx + joint_velocity[3 * leg]
        oy = wy + pitch_rate * np.cos(q0)
        oz = wz + pitch_rate * np.sin(q0)
        # the floor's normal seen from the trunk; the ball's centre sits one radius along it
        nx, ny, nz = rotation[2, 0], rotation[2, 1], rotation[2, 2]
        roll_x = foot_radius * (oy * nz - oz * ny)
        roll_y = foot_radius * (oz * nx - ox * nz)
        roll_z = foot_radius * (ox * ny - oy * nx)
        px, py, pz = position[0], position[1], position[2]
        vx = wy * pz - wz * py
        vy = wz * px - wx * pz
        vz = wx * py - wy * px
        for j in range(3):
            rate = joint_velocity[3 * leg + j]
            vx += jacobian[0, j] * rate
            vy += jacobian[1, j] * rate
            vz += jacobian[2, j] * rate
        phase = stance_phase[leg]
        trust = 0.0
        if phase >= 0.0:
            trust = min(1.0, min(phase, 1.0 - phase) / window + 0.05)
        for axis in range(3):
            covariance = vertical if axis == 2 else horizontal
            # x and y share a covariance: y, which comes second, changes it for both
            owner = axis != 0
            relative = rotation[axis, 0] * px + rotation[axis, 1] * py + rotation[axis, 2] * pz
            if trust <= 0.0:
                # in the air: the foot is where the leg says
                mean[row, axis] = mean[0, axis] + relative
                if owner:
                    for j in range(6):
                        covariance[row, j] = 0.0
                        covariance[j, row] = 0.0
                    covariance[row, row] = _SWING_VARIANCE
                continue
            rolling = rotation[axis, 0] * roll_x + rotation[axis, 1] * roll_y + rotation[axis, 2] * roll_z
            speed = rotation[axis, 0] * vx + rotation[axis, 1] * vy + rotation[axis, 2] * vz
            mean[row, axis] += period * rolling
            if axis != 1:
                covariance[row, row] += noise[2] ** 2 * period / trust
        if trust <= 0.0:
            continue
        for axis in range(3):
            covariance = vertical if axis == 2 else horizontal
            owner = axis != 0
            relative = rotation[axis, 0] * px + rotation[axis, 1] * py + rotation[axis, 2] * pz
            variance = noise[3] ** 2 / trust
            _correct(mean, covariance, axis, row, 0, relative, variance, outlier, owner, gain)
        for axis in range(3):
            covariance = vertical if axis == 2 else horizontal
            owner = axis != 0
            rolling = rotation[axis, 0] * roll_x + rotation[axis, 1] * roll_y + rotation[axis, 2] * roll_z
            speed = rotation[axis, 0] * vx + rotation[axis, 1] * vy + rotation[axis, 2] * vz
            variance = (noise[4] / trust) ** 2
            _correct(mean, covariance, axis, 1, -1, rolling - speed, variance, outlier, owner, gain)
        variance = (noise[5] / trust) ** 2
        _correct(mean, vertical, 2, row, -1, foot_radius, variance, outlier, True, gain)


class KalmanEstimator:
    """Estimates the base state on the robot, from what a robot can sense.

    Args:
        robot: lengths of the legs.
        period: control period, s.
        noise: what the filter believes of its inputs.
    """

    def __init__(self, robot: RobotModel, period: float = 0.002, noise: EstimatorNoise | None = None) -> None:
        if not period > 0:
            raise ValueError(f"estimator: period must be positive, got {period!r}")
        self.robot = robot
        self.period = float(period)
        self.noise = noise or EstimatorNoise()
        self._noise = self.noise.as_array()
        self._legs = leg_geometry(robot)
        self._imu = np.array(robot.imu_position, dtype=float)
        self._mean = np.zeros((6, 3))
        self._horizontal = np.eye(6)
        self._vertical = np.eye(6)
        self._scratch = np.zeros((9, 6))
        self._state = BaseState(self._mean[0], np.array([1.0, 0.0, 0.0, 0.0]), self._mean[1], np.zeros(3))

    def reset(self, reading: SensorReading, base_height: float | None = None) -> BaseState:
        """Start at rest at the origin, all feet standing.

        Args:
            reading: the first reading.
            base_height: m; from the legs and a level floor when None.
        """
        w, x, y, z = reading.orientation
        feet = self.robot.foot_positions(reading.joint_position)
        rotation = np.zeros((3, 3))
        rotation_from_quaternion(np.array([w, x, y, z]), rotation)
        feet = feet @ rotation.T
        height = self.robot.foot_radius - feet[:, 2].min() if base_height is None else float(base_height)
        self._mean[:] = 0.0
        self._mean[0, 2] = height
        self._mean[2:] = self._mean[0] + feet
        for covariance in (self._horizontal, self._vertical):
            covariance[:] = np.diag([1e-4, 1e-2, 1e-4, 1e-4, 1e-4, 1e-4])
        self._state.orientation[:] = reading.orientation
        self._state.angular_velocity[:] = reading.angular_velocity
        return self._state

    def update(self, reading: SensorReading, stance_phase: FloatArray) -> BaseState:
        """The base state now; the returned object is filled again by the next call.

        Args:
            reading: the sensors now.
            stance_phase: for every leg, 4: how far it is through its planned stance, 0 to 1, or a negative
                number while it is planned to swing. 0.5 for a leg that stands for good.
        """
        _update(
            self._legs,
            self.robot.foot_radius,
            self._noise,
            self.period,
            reading.joint_position,
            reading.joint_velocity,
            reading.orientation,
            reading.angular_velocity,
            reading.linear_acceleration,
            self._imu,
            stance_phase,
            self._mean,
            self._horizontal,
            self._vertical,
            self._scratch,
        )
        self._state.orientation[:] = reading.orientation
        self._state.angular_velocity[:] = reading.angular_velocity
        return self._state
