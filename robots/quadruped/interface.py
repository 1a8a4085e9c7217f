"""What a robot's sensors say, what its base does, what its motors are told.

Joints come in robot order (`RobotModel.joint_names`); quaternions are (w, x, y, z) and turn trunk vectors
into world vectors. The same types are used on the simulated and on the physical robot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def _twelve() -> FloatArray:
    return np.zeros(12)


def _three() -> FloatArray:
    return np.zeros(3)


def _unit_quaternion() -> FloatArray:
    return np.array([1.0, 0.0, 0.0, 0.0])


@dataclass
class SensorReading:
    """One sample of joint encoders and inertial unit.

    A simulation fills the same object again every tick: `copy` what has to last.

    Args:
        time: s since the start.
        joint_position: encoder angles, rad, 12.
        joint_velocity: rad/s, 12.
        orientation: of the trunk in the world, quaternion, 4.
        angular_velocity: in the trunk frame, rad/s, 3.
        linear_acceleration: specific force at the inertial unit in the trunk frame, m/s^2, 3 (at rest it
            points up with 9.81).
    """

    time: float = 0.0
    joint_position: FloatArray = field(default_factory=_twelve)
    joint_velocity: FloatArray = field(default_factory=_twelve)
    orientation: FloatArray = field(default_factory=_unit_quaternion)
    angular_velocity: FloatArray = field(default_factory=_three)
    linear_acceleration: FloatArray = field(default_factory=_three)

    def copy(self) -> SensorReading:
        """An independent copy."""
        return SensorReading(
            self.time,
            self.joint_position.copy(),
            self.joint_velocity.copy(),
            self.orientation.copy(),
            self.angular_velocity.copy(),
            self.linear_acceleration.copy(),
        )


@dataclass
class BaseState:
    """Where the trunk frame is and how it moves.

    Args:
        position: in the world, m, 3.
        orientation: quaternion, 4.
        linear_velocity: of the trunk frame's origin in the world, m/s, 3.
        angular_velocity: in the trunk frame, rad/s, 3.
    """

    position: FloatArray = field(default_factory=_three)
    orientation: FloatArray = field(default_factory=_unit_quaternion)
    linear_velocity: FloatArray = field(default_factory=_three)
    angular_velocity: FloatArray = field(default_factory=_three)

    def copy(self) -> BaseState:
        """An independent copy."""
        return BaseState(
            self.position.copy(),
            self.orientation.copy(),
            self.linear_velocity.copy(),
            self.angular_velocity.copy(),
        )


@dataclass
class JointCommand:
    """What every motor is told: tau = torque + kp (position - q) + kd (velocity - qd).

    Args:
        position: rad, 12.
        velocity: rad/s, 12.
        torque: feed-forward, N m, 12.
        kp: N m/rad, 12.
        kd: N m s/rad, 12.
    """

    position: FloatArray = field(default_factory=_twelve)
    velocity: FloatArray = field(default_factory=_twelve)
    torque: FloatArray = field(default_factory=_twelve)
    kp: FloatArray = field(default_factory=_twelve)
    kd: FloatArray = field(default_factory=_twelve)

    def copy(self) -> JointCommand:
        """An independent copy."""
        return JointCommand(
            self.position.copy(), self.velocity.copy(), self.torque.copy(), self.kp.copy(), self.kd.copy()
        )


@dataclass(frozen=True)
class SensorNoise:
    """Noise of every sensor: white noise per tick, and a bias drawn once per trial.

    The defaults are those of a legged robot's encoders and of a good MEMS inertial unit with its own attitude
    filter.

    Args:
        joint_position_std: rad.
        joint_position_bias: standard deviation of the encoders' constant offsets, rad.
        joint_velocity_std: rad/s.
        orientation_std: rad, about each axis.
        orientation_bias: standard deviation of the constant roll and pitch error, rad.
        angular_velocity_std: rad/s.
        angular_velocity_bias: standard deviation of the constant offset, rad/s.
        linear_acceleration_std: m/s^2.
        linear_acceleration_bias: standard deviation of the constant offset, m/s^2.
        delay: age of every reading when the controller gets it, control ticks.
    """

    joint_position_std: float = 0.002
    joint_position_bias: float = 0.0
    joint_velocity_std: float = 0.04
    orientation_std: float = 0.001
    orientation_bias: float = 0.004
    angular_velocity_std: float = 0.01
    angular_velocity_bias: float = 0.003
    linear_acceleration_std: float = 0.1
    linear_acceleration_bias: float = 0.03
    delay: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not np.isfinite(value) or value < 0:
                raise ValueError(f"sensor noise: {item.name} must be at least 0, got {value!r}")
        if int(self.delay) != self.delay:
            raise ValueError(
                f"sensor noise: delay must be a whole number of control ticks, got {self.delay!r}"
            )

    @classmethod
    def none(cls, delay: int = 0) -> SensorNoise:
        """Perfect sensors."""
        return cls(**{item.name: 0.0 for item in fields(cls) if item.name != "delay"}, delay=delay)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | bool) -> SensorNoise:
        """Noise from a study file: `true` (defaults), `false` (none) or the fields that differ.

        Raises:
            ValueError: an unknown field or a value that is not a number at least 0.
        """
        if isinstance(values, bool):
            return cls() if values else cls.none()
        known = [item.name for item in fields(cls)]
        checked: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise ValueError(f"sensor noise: unknown key {key!r}; known: {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"sensor noise: {key} must be a number, got {value!r}")
            checked[key] = value
        return cls(**checked)
