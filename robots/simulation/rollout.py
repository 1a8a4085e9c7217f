"""One walk from standing still to the end or to a fall, with everything recorded.

The loop is the same for every use: read the sensors, let the controller decide, apply, record. A monitor may
look at the state in every tick and have the controller switch to other gains.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from safebo.robots.controllers.protocol import ControllerFault
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorError, SensorReading
from safebo.robots.quadruped.mpc.convex_mpc import MpcError
from safebo.robots.quadruped.wbc.torque_qp import TorqueError
from safebo.robots.simulation.plant import Simulation, floor_rise
from safebo.types import BoolArray, FloatArray

STATE_NAMES: tuple[str, ...] = (
    "roll",
    "pitch",
    "height",
    "velocity.x",
    "velocity.y",
    "velocity.z",
    "rate.x",
    "rate.y",
    "rate.z",
    *(f"angle.{leg}.{joint}" for leg in ("fl", "fr", "rl", "rr") for joint in ("hip", "thigh", "calf")),
    *(f"speed.{leg}.{joint}" for leg in ("fl", "fr", "rl", "rr") for joint in ("hip", "thigh", "calf")),
)
"""What a monitor sees: rad, m, m/s in the base frame, rad/s in the base frame, rad, rad/s."""


@dataclass(frozen=True)
class FallLimits:
    """Beyond these a robot has fallen.

    Args:
        tilt: largest roll or pitch, rad.
        height: smallest height of the base, as a share of the nominal one.
        trunk_contact: whether a trunk that touches something counts.
    """

    tilt: float = 0.8
    height: float = 0.5
    trunk_contact: bool = True


@dataclass
class WalkRecording:
    """What happened, one row per control tick, the settling phase included.

    Joints are in robot order. `time` is in seconds since the walk started, negative while settling.
    Everything in a row belongs to the moment before the command of that row acts, except torques and forces, which
    acted in it.

    Args:
        time: s, `n`.
        joint_position, joint_velocity: true, rad and rad/s, `n x 12`.
        measured_position, measured_velocity: as the encoders say, `n x 12`.
        desired_position, desired_velocity: targets of the joint law, `n x 12`.
        base_position, base_orientation, base_velocity, base_rate: true base state: m (world), quaternion w,
            x, y, z, m/s (world), rad/s (base frame).
        estimated_position, estimated_orientation, estimated_velocity, estimated_rate: the same as the
            controller believed it.
        commanded_torque: of the joint law, within its limits, N m, `n x 12`.
        applied_torque: what acted on the joints, disturbance included, N m, `n x 12`.
        planned_contact, contact: planned and true foot contacts, `n x 4`.
        foot_force: normal forces under the feet that acted, N, `n x 4`.
        command: velocity that the controller followed, shortened to its gait's limit: forward, leftward (m/s, heading
            frame) and yaw rate (rad/s), `n x 3`.
        states: what a monitor sees (`STATE_NAMES`), from sensors and estimate, `n x 33`.
        walk_start: first row of the walk.
        period: s.
        fell: whether the robot fell.
        stop_reason: a message; empty when the walk went to its end.
        backup: index of the backup gains that were switched to, or -1; `backup_row` is the row in which.
        wall_seconds: how long it took to compute.
        ended: why it was ended before its time while the robot walked; empty where it was not.
    """

    time: FloatArray
    joint_position: FloatArray
    joint_velocity: FloatArray
    measured_position: FloatArray
    measured_velocity: FloatArray
    desired_position: FloatArray
    desired_velocity: FloatArray
    base_position: FloatArray
    base_orientation: FloatArray
    base_velocity: FloatArray
    base_rate: FloatArray
    estimated_position: FloatArray
    estimated_orientation: FloatArray
    estimated_velocity: FloatArray
    estimated_rate: FloatArray
    commanded_torque: FloatArray
    applied_torque: FloatArray
    planned_contact: BoolArray
    contact: BoolArray
    foot_force: FloatArray
    command: FloatArray
    states: FloatArray
    walk_start: int
    period: float
    fell: bool = False
    stop_reason: str = ""
    backup: int = -1
    backup_row: int = -1
    wall_seconds: float = 0.0
    ended: str = ""

    @classmethod
    def allocate(cls, rows: int, walk_start: int, period: float) -> WalkRecording:
        """Room for `rows` ticks."""

        def room(columns: int) -> FloatArray:
            return np.zeros((rows, columns))

        joints: dict[str, Any] = {name: room(12) for name in _JOINT_COLUMNS}
        bases: dict[str, Any] = {
            f"{who}_{what}": room(4 if what == "orientation" else 3)
            for who in ("base", "estimated")
            for what in ("position", "orientation", "velocity", "rate")
        }
        return cls(
            time=np.zeros(rows),
            **joints,
            **bases,
            planned_contact=np.zeros((rows, 4), dtype=np.bool_),
            contact=np.zeros((rows, 4), dtype=np.bool_),
            foot_force=room(4),
            command=room(3),
            states=room(len(STATE_NAMES)),
            walk_start=walk_start,
            period=period,
        )

    def __len__(self) -> int:
        return len(self.time)

    def truncated(self, rows: int) -> WalkRecording:
        """The first `rows` rows."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                values[name] = value[:rows]
        return WalkRecording(**values)


_JOINT_COLUMNS = (
    "joint_position",
    "joint_velocity",
    "measured_position",
    "measured_velocity",
    "desired_position",
    "desired_velocity",
    "commanded_torque",
    "applied_torque",
)


def monitored_state(base: BaseState, reading: SensorReading, out: FloatArray) -> None:
    """Write the state a monitor sees (`STATE_NAMES`, `33`) into `out`."""
    w, x, y, z = base.orientation.tolist()
    out[0] = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    out[1] = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    out[2] = base.position[2]
    vx, vy, vz = base.linear_velocity.tolist()
    out[3] = (1 - 2 * (y * y + z * z)) * vx + 2 * (x * y + w * z) * vy + 2 * (x * z - w * y) * vz
    out[4] = 2 * (x * y - w * z) * vx + (1 - 2 * (x * x + z * z)) * vy + 2 * (y * z + w * x) * vz
    out[5] = 2 * (x * z + w * y) * vx + 2 * (y * z - w * x) * vy + (1 - 2 * (x * x + y * y)) * vz
    out[6:9] = base.angular_velocity
    out[9:21] = reading.joint_position
    out[21:33] = reading.joint_velocity


class WalkLoop(Protocol):
    """What a walk needs of a controller: the chain of `safebo.robots.quadruped`, or any of the protocol
    (`safebo.robots.controllers.walk.ProtocolWalk`).

    Attributes:
        robot: its model. settle: seconds of standing before the walk.
        base, planned_contact: its estimate and the planned contacts `4`, after `step`.
        velocity_command: what it follows: forward, leftward (m/s, heading frame) and yaw rate (rad/s), `3`.
    """

    robot: RobotModel
    settle: float
    base: BaseState
    planned_contact: BoolArray
    velocity_command: FloatArray

    def reset(self, reading: SensorReading, truth: BaseState | None = None) -> None:
        """Begin again, standing."""
        ...

    def step(self, reading: SensorReading, truth: BaseState | None = None) -> JointCommand:
        """One control tick."""
        ...

    def set_gains(self, gains: Any) -> None:
        """Other gains, from the next `step` on."""
        ...

    def regained(self) -> JointCommand:
        """The last command, with what of the present gains can still come in."""
        ...


FAULTS = (MpcError, TorqueError, SensorError, ControllerFault)
"""What of a controller ends a walk as a fall does: on a robot its joints would be damped."""


def rollout(
    simulation: Simulation,
    controller: WalkLoop,
    seconds: float = 5.0,
    monitor: Callable[[FloatArray], int] | None = None,
    backups: Sequence[Any] = (),
    limits: FallLimits | None = None,
    end: Callable[[WalkRecording, int], str] | None = None,
) -> WalkRecording:
    """Settle, walk for `seconds` and record; ends early when the robot falls.

    Args:
        simulation: the plant; it is reset first.
        controller: reset first; its `settle` seconds of standing come before the walk.
        seconds: length of the walk.
        monitor: called in every tick of the walk with the state (`STATE_NAMES`, `33`) until it answers
            something else than -1: the index in `backups` of the gains to walk on with, from that tick on.
        backups: gains the monitor may switch to.
        limits: what counts as a fall.
        end: asked after every tick of the walk, with the record and its complete rows, whether it has shown enough: why
            it ends there, or an empty text.
    """
    limits = limits or FallLimits()
    simulation.reset()
    settle_rows = round(controller.settle / simulation.period)
    rows = settle_rows + max(1, round(seconds / simulation.period))
    record = WalkRecording.allocate(rows, settle_rows, simulation.period)
    truth = simulation.truth()
    try:
        controller.reset(simulation.read(), truth)
    except ControllerFault as error:
        record.fell, record.stop_reason = True, str(error)
        return record.truncated(0)
    watch = monitor
    lowest = limits.height * controller.robot.nominal_height
    begin = clock.perf_counter()
    complete = 0
    for row in range(rows):
        if row == settle_rows:
            simulation.start_walk()
        reading = simulation.read()
        record.time[row] = (row - settle_rows) * simulation.period
        record.joint_position[row] = simulation.true_joint_position
        record.joint_velocity[row] = simulation.true_joint_velocity
        record.measured_position[row] = reading.joint_position
        record.measured_velocity[row] = reading.joint_velocity
        record.base_position[row] = truth.position
        record.base_orientation[row] = truth.orientation
        record.base_velocity[row] = truth.linear_velocity
        record.base_rate[row] = truth.angular_velocity
        record.contact[row] = simulation.foot_contact()
        try:
            command = controller.step(reading, truth)
        except FAULTS as error:
            record.fell, record.stop_reason = True, str(error)
            break
        base, state = controller.base, record.states[row]
        monitored_state(base, reading, state)
        if watch is not None and row >= settle_rows:
            choice = watch(state)
            if choice >= 0:
                try:
                    controller.set_gains(backups[choice])
                except ControllerFault as error:
                    record.fell, record.stop_reason = True, str(error)
                    break
                record.backup, record.backup_row = int(choice), row
                watch = None
                command = controller.regained()
        record.desired_position[row] = command.position
        record.desired_velocity[row] = command.velocity
        record.estimated_position[row] = base.position
        record.estimated_orientation[row] = base.orientation
        record.estimated_velocity[row] = base.linear_velocity
        record.estimated_rate[row] = base.angular_velocity
        record.planned_contact[row] = controller.planned_contact
        record.command[row] = controller.velocity_command
        simulation.apply(command)
        record.commanded_torque[row] = simulation.commanded_torque
        record.applied_torque[row] = simulation.applied_torque
        record.foot_force[row] = simulation.foot_force
        complete = row + 1
        reason = _fallen(simulation, truth, limits, lowest)
        if reason:
            record.fell, record.stop_reason = True, reason
            break
        if end is not None and row >= settle_rows:
            record.ended = end(record, complete)
            if record.ended:
                break
    record.wall_seconds = clock.perf_counter() - begin
    return record if complete == rows else record.truncated(complete)


def _fallen(simulation: Simulation, truth: BaseState, limits: FallLimits, lowest: float) -> str:
    """Why the robot counts as fallen; empty when it does not."""
    w, x, y, z = truth.orientation.tolist()
    height = float(truth.position[2])
    if any(simulation.disturbance.slope):
        height -= float(floor_rise(simulation.disturbance, truth.position))
    if not simulation.finite():
        return "the simulation diverged"
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    if abs(roll) > limits.tilt:
        return f"roll {roll:.2f} rad beyond {limits.tilt:g}"
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    if abs(pitch) > limits.tilt:
        return f"pitch {pitch:.2f} rad beyond {limits.tilt:g}"
    if height < lowest:
        return f"height {height:.3f} m under {lowest:.3f}"
    if limits.trunk_contact and simulation.trunk_contact():
        return "the trunk touched the ground"
    return ""
