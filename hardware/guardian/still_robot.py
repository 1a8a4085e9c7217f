"""A robot that only lies there: what ticks are measured against when there is no robot."""

from __future__ import annotations

import time

import numpy as np

from safebo.hardware.constants import ROBOT_TIMEOUT_S
from safebo.hardware.robot_link import Battery, LinkCounters, RobotState
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand, SensorReading


class StillRobot:
    """Says the same state over again, at the time of our clock; takes any command and does nothing.

    Args:
        robot: its model.
    """

    def __init__(self, robot: RobotModel) -> None:
        self.joint_names = robot.joint_names
        self.counters = LinkCounters()
        self._robot, self._begin = robot, time.monotonic()

    def prepare(self, timeout: float = ROBOT_TIMEOUT_S) -> list[str]:
        """Nothing has to be done."""
        return []

    def wait(self, seconds: float) -> bool:
        """There is always a state."""
        return True

    def read(self) -> RobotState:
        """The state, as new."""
        now = time.monotonic()
        reading = SensorReading(time=now - self._begin, joint_position=self._robot.home_joints.copy())
        reading.linear_acceleration[2] = 9.81
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
