"""What a robot's sensors say, what its base does, what its motors are told.

Joints come in robot order (`RobotModel.joint_names`); quaternions are (w, x, y, z) and turn trunk vectors
into world vectors. The same types are used on the simulated and on the physical robot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from safebo.types import FloatArray


class SensorError(RuntimeError):
    """Samples that are not finite numbers: the robot cannot be controlled by them."""


GRAVITY = 9.81  # m/s^2, for plant, sensors and controller alike


def _twelve() -> FloatArray:
    return np.zeros(12)


def _three() -> FloatArray:
    return np.zeros(3)


def _unit_quaternion() -> FloatArray:
    return np.array([1.0, 0.0, 0.0, 0.0])


@dataclass
class SensorReading:
    """One sample of joint encoders and inertial unit.

    A simulation fills the same object again every tick: `copy.deepcopy` what has to last.

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


class BaseState(NamedTuple):
    """Where the trunk frame is and how it moves; compiled functions take it as it is.

    Args:
        position: in the world, m, 3.
        orientation: quaternion, 4.
        linear_velocity: of the trunk frame's origin in the world, m/s, 3.
        angular_velocity: in the trunk frame, rad/s, 3.
    """

    position: FloatArray
    orientation: FloatArray
    linear_velocity: FloatArray
    angular_velocity: FloatArray

    @classmethod
    def at_rest(cls, orientation: FloatArray | None = None) -> BaseState:
        """At the world's origin, level unless an orientation is given."""
        return cls(
            np.zeros(3), _unit_quaternion() if orientation is None else orientation, np.zeros(3), np.zeros(3)
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
