"""What happened in every tick of a trial, kept by the guardian until the next one begins."""

from __future__ import annotations

import numpy as np

from safebo.hardware.guardian.observation import RobotObservation
from safebo.robots.quadruped.interface import BaseState, JointCommand
from safebo.types import FloatArray


def _twelve(name: str) -> tuple[str, ...]:
    legs, joints = ("fl", "fr", "rl", "rr"), ("hip", "thigh", "calf")
    return tuple(f"{name}.{leg}.{joint}" for leg in legs for joint in joints)


COLUMNS: tuple[str, ...] = (
    *("time", "tick", "state", "walk_time", "backup", "fresh"),
    *_twelve("joint_position"),
    *_twelve("joint_velocity"),
    *_twelve("joint_torque"),
    *_twelve("target_position"),
    *_twelve("target_velocity"),
    *_twelve("feed_forward"),
    *_twelve("kp"),
    *_twelve("kd"),
    *(f"orientation.{axis}" for axis in "wxyz"),
    *(f"angular_velocity.{axis}" for axis in "xyz"),
    *(f"linear_acceleration.{axis}" for axis in "xyz"),
    *(f"base_position.{axis}" for axis in "xyz"),
    *(f"base_orientation.{axis}" for axis in "wxyz"),
    *(f"base_velocity.{axis}" for axis in "xyz"),
    *(f"base_rate.{axis}" for axis in "xyz"),
)
"""One double each, in SI units: guardian's clock (s), robot's clock (ms), state number, seconds since the walk
began, backup at work (-1: none), whether the robot's state was new; joints as measured and as commanded;
inertial unit; the controller's estimate of the trunk in the world (rates in the trunk frame)."""


class Telemetry:
    """Rows of one trial.

    Args:
        capacity: ticks that fit; later ones are not kept.
    """

    def __init__(self, capacity: int) -> None:
        self._rows = np.empty((capacity, len(COLUMNS)))
        self.trial = 0
        self.count = 0

    def begin(self, trial: int) -> None:
        """Forget the last trial."""
        self.trial, self.count = trial, 0

    def record(
        self,
        head: tuple[float, float, float, float, float, float],
        observation: RobotObservation,
        command: JointCommand,
        base: BaseState,
    ) -> None:
        """One tick: `head` are the first six columns."""
        if self.count == len(self._rows):
            return
        reading = observation.reading
        columns = (
            head,
            reading.joint_position,
            reading.joint_velocity,
            observation.torque,
            command.position,
            command.velocity,
            command.torque,
            command.kp,
            command.kd,
            reading.orientation,
            reading.angular_velocity,
            reading.linear_acceleration,
            *base,
        )
        np.concatenate(columns, out=self._rows[self.count])
        self.count += 1

    def rows(self) -> FloatArray:
        """All rows of the last trial, `n x columns`."""
        return self._rows[: self.count]

    def piece(self, offset: int, length: int) -> tuple[bytes, int]:
        """Bytes of the rows, little-endian, and how many there are in all."""
        data = self.rows().astype("<f8", copy=False).view(np.uint8).reshape(-1)
        return data[offset : offset + length].tobytes(), len(data)
