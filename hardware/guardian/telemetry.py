"""What happened in every tick of a trial, kept by the guardian until the next one begins."""

from __future__ import annotations

import numpy as np

from safebo.hardware.guardian.observation import RobotObservation
from safebo.robots.quadruped.interface import BaseState, JointCommand
from safebo.types import FloatArray

JOINTS: tuple[str, ...] = tuple(
    f"{leg}.{joint}" for leg in ("fl", "fr", "rl", "rr") for joint in ("hip", "thigh", "calf")
)
"""The twelve joints in robot order."""


def _twelve(name: str) -> tuple[str, ...]:
    return tuple(f"{name}.{joint}" for joint in JOINTS)


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
    "wall_time",
)
"""One double each. `joint_...` is measured, `target_...`, `feed_forward`, `kp` and `kd` are commanded, `orientation` to
`linear_acceleration` come from the inertial unit, `base_...` is the controller's estimate of the trunk in the world."""

UNITS: dict[str, str] = {
    "time": "s, guardian's clock",
    "tick": "ms, robot's clock",
    "state": "number of the guardian's state",
    "walk_time": "s since the walk began; negative while the robot settles",
    "backup": "index of the backup at work, -1 for none",
    "fresh": "1 when the robot's state was new in this tick",
    "joint_position": "rad",
    "joint_velocity": "rad/s",
    "joint_torque": "N m",
    "target_position": "rad",
    "target_velocity": "rad/s",
    "feed_forward": "N m",
    "kp": "N m/rad",
    "kd": "N m s/rad",
    "orientation": "quaternion",
    "angular_velocity": "rad/s, in the trunk's frame",
    "linear_acceleration": "m/s^2, in the trunk's frame",
    "base_position": "m",
    "base_orientation": "quaternion",
    "base_velocity": "m/s",
    "base_rate": "rad/s, in the trunk's frame",
    "wall_time": "s since 1970 (UTC), wall clock of the guardian's computer",
}
"""Unit and meaning of a column by the first part of its name."""


Head = tuple[float, float, float, float, float, float]
"""The first six columns."""


def fill_row(
    row: FloatArray,
    head: Head,
    observation: RobotObservation,
    command: JointCommand,
    base: BaseState,
    wall: float,
) -> None:
    """Write one tick.

    Args:
        row: out, `COLUMNS`.
        head: the first six columns.
        observation: of the robot.
        command: of its joints.
        base: estimate of the trunk.
        wall: wall clock, s since 1970.
    """
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
        (wall,),
    )
    np.concatenate(columns, out=row)


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
        head: Head,
        observation: RobotObservation,
        command: JointCommand,
        base: BaseState,
        wall: float,
    ) -> None:
        """One tick; see `fill_row`."""
        if self.count < len(self._rows):
            fill_row(self._rows[self.count], head, observation, command, base, wall)
            self.count += 1

    def rows(self) -> FloatArray:
        """All rows of the last trial, `n x columns`."""
        return self._rows[: self.count]

    def piece(self, offset: int, length: int) -> tuple[bytes, int]:
        """Bytes of the rows, little-endian, and how many there are in all."""
        data = self.rows().astype("<f8", copy=False).view(np.uint8).reshape(-1)
        return data[offset : offset + length].tobytes(), len(data)
