"""A controller's datagrams as messages of ROS 2: robot states out, joint commands and odometry in.

States and commands are `control_msgs/DynamicJointState`, numbers by the names of joints and interfaces, as ros2_control
has them on `/dynamic_joint_states`. docs/ros2.md lists the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from safebo.hardware.errors import WireError
from safebo.hardware.ros2.cdr import Message, decode
from safebo.hardware.ros2.fixed_layout import FixedLayout, stamp_in
from safebo.robots.controllers.datagrams import RelayState
from safebo.robots.quadruped.interface import BaseState, JointCommand
from safebo.types import FloatArray

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

DYNAMIC = "control_msgs/msg/DynamicJointState"
ODOMETRY = "nav_msgs/msg/Odometry"

JOINT_STATE = ("position", "velocity")
IMU = (
    *(f"orientation.{axis}" for axis in "xyzw"),
    *(f"angular_velocity.{axis}" for axis in "xyz"),
    *(f"linear_acceleration.{axis}" for axis in "xyz"),
)
WALK = (
    "mode",
    "gains",
    "time",
    "settle",
    *(f"speed.{part}" for part in ("forward", "leftward", "yaw")),
    *(f"gait.{part}" for part in ("duty_factor", "stride_duration", "offset_fl", "offset_rr", "offset_rl")),
)
COMMAND = ("position", "velocity", "effort", "kp", "kd")
"""Interfaces of a joint command; one that is left out is zero."""
AT_LEAST = {"position": "kp", "velocity": "kd"}
"""An interface that does nothing without the other."""


def dynamic(names: Sequence[str], interfaces: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A `control_msgs/DynamicJointState` with these names and zeros."""
    return {
        "joint_names": list(names),
        "interface_values": [
            {"interface_names": list(each), "values": [0.0] * len(each)} for each in interfaces
        ],
    }


class StateWriter:
    """Robot states as messages.

    Args:
        joints: their names, in robot order.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        names = [*joints, "imu", "walk"]
        self._layout = FixedLayout(DYNAMIC, dynamic(names, [*([JOINT_STATE] * len(joints)), IMU, WALK]))

    def written(self, stamp: int, state: RelayState) -> bytes:
        """The message of a state; `stamp` in nanoseconds."""
        r = state.reading
        w, x, y, z = r.orientation
        joints = np.column_stack((r.joint_position, r.joint_velocity)).ravel()
        walk = (state.mode, state.gain_set, state.time, state.settle, *state.velocity, *state.gait)
        values = np.concatenate(
            (joints, (x, y, z, w), r.angular_velocity, r.linear_acceleration, np.array(walk, np.float64))
        )
        return self._layout.filled(stamp, values)


class CommandReader:
    """Joint commands in messages, by the names in them.

    Args:
        joints: their names, in robot order.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        self._joints = list(joints)
        self._layout: FixedLayout | None = None
        self._order: IntArray = np.zeros(0, np.int64)

    def read(self, data: bytes) -> tuple[int, JointCommand]:
        """Stamp, nanoseconds, and command.

        Raises:
            WireError: no such message, or one without what a command needs; in words.
        """
        values = None if self._layout is None else self._layout.numbers_in(data)
        if values is None:
            message = decode(DYNAMIC, data)
            self._order = self._ordered(message)
            self._layout = FixedLayout(DYNAMIC, message)
            values = self._layout.numbers
        rows = np.concatenate((values, np.zeros(1)))[self._order].reshape(len(COMMAND), len(self._joints))
        return stamp_in(DYNAMIC, data), JointCommand(*rows)

    def _ordered(self, message: Message) -> IntArray:
        """Where each number of the command stands among the message's; a zero stands behind them."""
        names, interfaces = message["joint_names"], message["interface_values"]
        places: dict[tuple[str, str], int] = {}
        if len(names) != len(interfaces):
            raise WireError(
                f"command: {len(names)} joint_names and {len(interfaces)} interface_values, expected as many"
            )
        count = 0
        for joint, each in zip(names, interfaces, strict=True):
            if joint not in self._joints:
                raise WireError(f"command: there is no joint {joint!r}; joints are {', '.join(self._joints)}")
            if len(each["interface_names"]) != len(each["values"]):
                raise WireError(f"command: {joint}: as many values as interface_names are expected")
            for interface in each["interface_names"]:
                if interface not in COMMAND:
                    raise WireError(
                        f"command: {joint}: unknown interface {interface!r}; known are {', '.join(COMMAND)}"
                    )
                places[joint, interface] = count
                count += 1
        for joint in self._joints:
            given = [interface for interface in COMMAND if (joint, interface) in places]
            if not given:
                raise WireError(f"command: {joint} is missing")
            for interface, needed in AT_LEAST.items():
                if interface in given and needed not in given:
                    raise WireError(f"command: {joint}: {interface} without {needed} does nothing")
        rows = [[places.get((joint, interface), count) for joint in self._joints] for interface in COMMAND]
        order: IntArray = np.array(rows, np.int64).ravel()
        return order


class OdometryReader:
    """Estimates of the trunk in messages: the pose in the world, the twist in the trunk's own frame."""

    def __init__(self) -> None:
        self._layout: FixedLayout | None = None

    def read(self, data: bytes) -> tuple[int, BaseState]:
        """Stamp, nanoseconds, and estimate.

        Raises:
            WireError: no such message.
        """
        values = None if self._layout is None else self._layout.numbers_in(data)
        if values is None:
            self._layout = FixedLayout(ODOMETRY, decode(ODOMETRY, data))
            values = self._layout.numbers
        x, y, z, w = (float(value) for value in values[3:7])
        velocity = _rotation(w, x, y, z) @ values[43:46]
        return stamp_in(ODOMETRY, data), BaseState(
            values[:3], np.array([w, x, y, z]), velocity, values[46:49]
        )


def _rotation(w: float, x: float, y: float, z: float) -> FloatArray:
    """Of the trunk's frame into the world, by a unit quaternion; 3 by 3."""
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
            [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
            [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )
