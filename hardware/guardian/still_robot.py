"""A robot that only lies there: what ticks are measured against when there is no robot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from safebo.hardware.constants import DRY_NOISE, ROBOT_TIMEOUT_S
from safebo.hardware.robot_link import Battery, LinkCounters, RobotState
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import GRAVITY, JointCommand, SensorReading


class StillRobot:
    """Says the same state over again, with noise in its last digits; takes any command and does nothing.

    Args:
        robot: its model.
        clock: monotonic, s.

    Attributes:
        roll: as which it says that it lies, rad.
    """

    def __init__(self, robot: RobotModel, clock: Callable[[], float] = time.monotonic) -> None:
        self.joint_names = robot.joint_names
        self.counters = LinkCounters()
        self._robot, self._clock, self._begin = robot, clock, clock()
        self._noise = np.random.default_rng(0)
        self.roll = 0.0

    def prepare(self, timeout: float = ROBOT_TIMEOUT_S) -> list[str]:
        """Nothing has to be done."""
        return []

    def wait(self, seconds: float) -> bool:
        """There is always a state."""
        return True

    def read(self) -> RobotState:
        """The state, as new."""
        now, noise = self._clock(), DRY_NOISE * self._noise.standard_normal(18)
        reading = SensorReading(
            time=now - self._begin,
            joint_position=self._robot.home_joints + noise[:12],
            orientation=np.array([math.cos(0.5 * self.roll), math.sin(0.5 * self.roll), 0.0, 0.0]),
            angular_velocity=noise[12:15],
            linear_acceleration=noise[15:],
        )
        reading.linear_acceleration[2] += GRAVITY
        self.counters.accepted += 1
        return RobotState(
            tick=round(1e3 * reading.time),
            reading=reading,
            torque=np.zeros(12),
            motor_temperature=np.full(12, 30.0),
            motor_mode=np.ones(12, dtype=np.uint8),
            foot_force=np.zeros(4),
            battery=Battery(charge=80.0, voltage=29.0),
            remote=bytes(40),
            serial=(0, 0),
            arrived=now,
            restarts=0,
        )

    def write(self, command: JointCommand) -> None:
        """Into nothing."""
        self.counters.sent += 1

    def serial(self) -> str:
        """It has none."""
        return ""

    def foreign_commands(self) -> str:
        """Nobody else is there."""
        return ""

    def other_robots(self) -> str:
        """There is no other one."""
        return ""

    def close(self) -> None:
        """Nothing is open."""
