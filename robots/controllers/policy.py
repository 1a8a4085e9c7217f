"""A learned policy as a controller: a network sets joint targets; the gains of the joint law are tuned under it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from safebo.errors import short_text
from safebo.robots.controllers.policy_file import PolicyFile
from safebo.robots.controllers.protocol import Command, ControllerFault, ControllerInputError
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.controller import SETTLE_KD, SETTLE_KP
from safebo.robots.quadruped.gains import JOINT_TYPES, Gain
from safebo.robots.quadruped.gait import Gait, stride_and_phase
from safebo.robots.quadruped.interface import JointCommand, SensorReading
from safebo.robots.quadruped.kinematics import rotation_from_quaternion
from safebo.types import FloatArray

INSTALL = "pip install 'safebo[policy]'"
FRONT_RIGHT = 1
"""Place of the leg that a gait counts from, in robot order."""


class PolicyController:
    """Asks the network for an action every few ticks; between them the joint law holds the target.

    target = default pose + scale * clip(action),   torque = kp (target - q) - kd qd

    Before the walk it stands in the default pose, stiff; the network sees its first observation when the walk begins.

    Args:
        file: what the network sees and does.

    Raises:
        ControllerInputError: ONNX Runtime is not installed, or the network does not fit its file.
    """

    def __init__(self, file: PolicyFile) -> None:
        self.gains: Sequence[Gain] = file.table
        self._file = file
        self._session, self._input = _network(file)

    def reset(self, robot: RobotModel, gains: Mapping[str, float], gait: Gait, command: Command) -> None:
        """Begin a walk.

        Raises:
            ControllerFault: the robot lacks a joint that the file names.
        """
        file = self._file
        names = file.joints or robot.joint_names
        missing = [name for name in names if name not in robot.joint_names]
        if missing:
            raise ControllerFault(
                f"{file.path}: policy.joints: {robot.name} has no joint {missing[0]!r}: {', '.join(robot.joint_names)}"
            )
        self._order = np.array([robot.joint_names.index(name) for name in names])
        self._pose = robot.home_joints[self._order] if file.pose is None else file.pose
        self._timing, self._call = gait.timing(robot.legs), command
        strength = robot.size.mass * robot.size.length
        self._settle_kp = np.full(12, SETTLE_KP * strength)
        self._settle_kd = np.full(12, SETTLE_KD * strength * math.sqrt(robot.size.length))
        self._rotation = np.zeros((3, 3))
        self._action = np.zeros(12)
        self._seen: list[FloatArray] = []
        self._first: FloatArray | None = None
        self._tick = 0
        self._span = 0.0
        self._out = JointCommand()
        self.set_gains(gains)

    def set_gains(self, gains: Mapping[str, float]) -> None:
        """Other gains from the next tick on."""
        kinds = np.arange(12) % 3  # robot order: hip, thigh, calf of each leg
        rows = [
            np.array([gains[name.format(kind)] for kind in JOINT_TYPES])[kinds]
            for name in ("joint.{}.kp", "joint.{}.kd", "action.{}.scale")
        ]
        self._kp, self._kd, self._scale = rows

    def step(self, sensors: SensorReading) -> JointCommand:
        """One tick.

        Raises:
            ControllerFault: the network cannot be run.
        """
        out = self._out
        if sensors.time < 0.0:
            if self._first is None:
                self._first, self._span = sensors.joint_position.copy(), -sensors.time
            share = min(1.0, 2.0 * (1.0 + sensors.time / self._span))  # there after half of the time
            out.position[self._order] = self._first[self._order] + share * (
                self._pose - self._first[self._order]
            )
            out.kp, out.kd = self._settle_kp, self._settle_kd
            return out
        if self._tick % self._file.every == 0:
            self._act(sensors)
        self._tick += 1
        out.position[self._order] = self._pose + self._scale[self._order] * self._action
        out.kp, out.kd = self._kp, self._kd
        return out

    def _act(self, sensors: SensorReading) -> None:
        """Ask the network."""
        file = self._file
        seen = np.concatenate([term.scale * self._term(term.name, sensors) for term in file.terms])
        seen = np.clip(seen, -file.observation_clip, file.observation_clip)
        self._seen = [*self._seen, seen][-file.history :] if self._seen else [seen] * file.history
        whole = np.concatenate(self._seen).astype(np.float32)[None]
        try:
            (given, *_) = self._session.run(None, {self._input: whole})
        except Exception as error:
            raise ControllerFault(f"{file.network}: cannot be run: {short_text(error)}") from error
        self._action = np.clip(
            np.asarray(given, dtype=np.float64).ravel(), -file.action_clip, file.action_clip
        )

    def _term(self, name: str, sensors: SensorReading) -> FloatArray:
        match name:
            case "angular_velocity":
                return sensors.angular_velocity
            case "projected_gravity":
                rotation_from_quaternion(sensors.orientation, self._rotation)
                return -self._rotation[2]
            case "command":
                return np.array(self._call(sensors.time))
            case "joint_position":
                return np.asarray(sensors.joint_position[self._order] - self._pose)
            case "joint_velocity":
                return np.asarray(sensors.joint_velocity[self._order])
            case "last_action":
                return self._action
        _, phase = stride_and_phase(sensors.time, FRONT_RIGHT, self._timing)
        return np.array([math.sin(2.0 * math.pi * phase), math.cos(2.0 * math.pi * phase)])


def _network(file: PolicyFile) -> tuple[Any, str]:
    """The network, ready to run, and the name of its input."""
    try:
        import onnxruntime
    except ImportError:
        raise ControllerInputError(
            f"{file.path}: a learned policy needs ONNX Runtime, which is not installed: {INSTALL}"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(file.network), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ControllerInputError(f"{file.path}: policy.file: {file.network}: {short_text(error)}") from None
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs)
        raise ControllerInputError(
            f"{file.path}: policy.file: the network has {len(inputs)} inputs ({names}); one is allowed, the observation"
        )
    wanted = inputs[0].shape[-1] if inputs[0].shape else None
    if isinstance(wanted, int) and wanted != file.width:
        raise ControllerInputError(
            f"{file.path}: policy.observation has {file.width} numbers, but the network wants {wanted}"
        )
    zero = np.zeros((1, file.width), dtype=np.float32)
    try:
        given = np.asarray(session.run(None, {inputs[0].name: zero})[0])
    except Exception as error:
        raise ControllerInputError(
            f"{file.path}: policy.file: the network cannot be run on {file.width} numbers of single precision: "
            f"{short_text(error)}"
        ) from None
    if given.size != 12:
        raise ControllerInputError(
            f"{file.path}: policy.file: the network gives {given.size} numbers, expected 12"
        )
    return session, str(inputs[0].name)
