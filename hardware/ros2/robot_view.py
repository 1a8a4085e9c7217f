"""A robot behind its guardian, as messages that rviz, PlotJuggler and Foxglove show.

What a guardian broadcasts, and no more: joints, roll, pitch and height of the trunk, its own state. Yaw and place of
the trunk are in no State, so the robot is drawn above the world's origin, heading along x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from safebo.hardware.constants import UNKNOWN_BYTE
from safebo.hardware.guardian.states import LATCHED, State
from safebo.hardware.link.messages import StateMessage, Welcome
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.ros2.cdr import Message
from safebo.hardware.ros2.fixed_layout import stamp_of

JOINT_STATES, IMU, TF = "/joint_states", "/imu", "/tf"
DESCRIPTION, DIAGNOSTICS = "/robot_description", "/diagnostics"
KINDS = {
    JOINT_STATES: "sensor_msgs/msg/JointState",
    IMU: "sensor_msgs/msg/Imu",
    TF: "tf2_msgs/msg/TFMessage",
    DESCRIPTION: "std_msgs/msg/String",
    DIAGNOSTICS: "diagnostic_msgs/msg/DiagnosticArray",
}
"""Topics and the types of their messages."""

OK, WARN, ERROR, STALE = range(4)
OUTCOMES = {0: "not over", 1: "completed", 2: "ended by request", 3: "ended by trouble"}
WALKING = frozenset({State.ARMED, State.RUNNING})


@dataclass(frozen=True)
class Level:
    """Whether the trunk is level: orientation of it, w first, 4, by roll and pitch, rad, without yaw."""

    roll: float
    pitch: float

    def quaternion(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """See above."""
        (a, b), (c, d) = ((math.cos(angle / 2.0), math.sin(angle / 2.0)) for angle in (self.roll, self.pitch))
        return np.array([a * c, b * c, a * d, -b * d])


class RobotView:
    """Messages of one robot.

    Args:
        drawing: of the robot.
    """

    def __init__(self, drawing: RobotDrawing) -> None:
        self._drawing = drawing
        self.trunk = next(
            child
            for _, child, _, _ in drawing.places(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(12))
        )

    def messages(self, seen: StateMessage, time: int) -> Iterator[tuple[str, Message]]:
        """Topics and messages of a State that was true at `time`, nanoseconds since 1970."""
        stamp = {"stamp": stamp_of(time)}
        level = Level(*seen.attitude).quaternion()
        yield (
            JOINT_STATES,
            {
                "header": stamp,
                "name": list(self._drawing.joint_names),
                "position": seen.position,
                "velocity": seen.velocity,
                "effort": seen.torque,
            },
        )
        unknown = (-1.0, *[0.0] * 8)  # as sensor_msgs/Imu has it for what is not measured
        yield (
            IMU,
            {
                "header": stamp | {"frame_id": self.trunk},
                "orientation": _quaternion(level),
                "angular_velocity_covariance": unknown,
                "linear_acceleration_covariance": unknown,
            },
        )
        place = np.array([0.0, 0.0, seen.height[0]])
        bodies = self._drawing.places(place, level, np.array(seen.position))
        yield (
            TF,
            {
                "transforms": [
                    {
                        "header": stamp | {"frame_id": parent},
                        "child_frame_id": child,
                        "transform": {
                            "translation": dict(zip("xyz", offset, strict=True)),
                            "rotation": _quaternion(turn),
                        },
                    }
                    for parent, child, offset, turn in bodies
                ]
            },
        )


def _quaternion(values: Any) -> dict[str, float]:
    return dict(zip("wxyz", (float(value) for value in values), strict=True))


def diagnostics(seen: StateMessage | None, welcome: Welcome | None, time: int) -> Message:
    """Guardian, trial and robot in words; `seen` None where the guardian is silent."""
    if seen is None or welcome is None:
        silent = _status("guardian", STALE, "silent: nothing is known of the robot", "", {})
        return {"header": {"stamp": stamp_of(time)}, "status": [silent]}
    state = State(seen.state)
    robot = f"{'virtual' if welcome.virtual else 'physical'} {welcome.robot} {welcome.serial}"
    level = ERROR if state in LATCHED else WARN if state is State.DISCONNECTED else OK
    guardian = _status(
        "guardian",
        level,
        f"{state.name}: {seen.message}" if seen.message else state.name,
        robot,
        {
            "latch": seen.latch,
            "lease": "held" if seen.epoch else "free",
            "state age, ms": f"{seen.age / 1e3:.1f}",
            "states missed": seen.missed,
            "states refused": seen.rejected,
            "late ticks": seen.overruns,
        },
    )
    walks = {"number": seen.trial, "outcome": OUTCOMES.get(seen.outcome, "unknown")}
    if state is State.RUNNING:
        walks["elapsed, s"] = f"{seen.elapsed:.2f}"
    what = f"trial {seen.trial} {state.name.lower()}" if state in WALKING else "none"
    trial = _status("trial", OK if seen.outcome != 3 else WARN, what, robot, walks)
    battery = "unknown" if seen.battery == UNKNOWN_BYTE else f"{seen.battery} %"
    hottest = "unknown" if seen.hottest == UNKNOWN_BYTE else f"{seen.hottest}"
    body = _status(
        "robot",
        OK,
        f"battery {battery}",
        robot,
        {"battery": battery, "hottest motor, degrees C": hottest, "height, m": f"{seen.height[0]:.3f}"},
    )
    return {"header": {"stamp": stamp_of(time)}, "status": [guardian, trial, body]}


def _status(name: str, level: int, message: str, robot: str, values: Mapping[str, object]) -> Message:
    return {
        "level": level,
        "name": f"safebo: {name}",
        "message": message,
        "hardware_id": robot,
        "values": [{"key": key, "value": str(value)} for key, value in values.items()],
    }
