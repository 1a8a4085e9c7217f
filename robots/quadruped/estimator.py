"""The Kalman filter of `safebo.robots.quadruped.filter` as an object: sensor readings in, base states out."""

from __future__ import annotations

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.filter import FILTER, EstimatorNoise, FilterMemory, is_sound, update_filter
from safebo.robots.quadruped.interface import BaseState, SensorError, SensorReading
from safebo.robots.quadruped.kinematics import leg_geometry, rotation_from_quaternion
from safebo.types import FloatArray

_UNSOUND = "estimator: a sample that is not finite, or an orientation that is no unit quaternion"


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
        record = np.zeros(1, FILTER)
        self.memory: FilterMemory = record.view(np.uint8)
        for name, values in (
            ("legs", geometry.legs),
            ("foot_radius", geometry.foot_radius),
            ("imu", robot.imu_position),
            ("noise", self.noise),
            ("period", period),
            ("horizontal", np.eye(6)),
            ("vertical", np.eye(6)),
        ):
            record[name] = values
        self._mean, self._innovations = record["mean"][0], record["innovations"][0]
        self._covariances = record["horizontal"][0], record["vertical"][0]
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
        if not is_sound(
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
