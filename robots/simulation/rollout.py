"""One walk from standing still to the end or to a fall, with everything recorded.

The loop is the same for every use: read the sensors, let the controller decide, apply, record. A monitor may
look at the state in every tick and have the controller switch to other gains.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from safebo.robots.controllers.protocol import ControllerFault
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorError, SensorReading
from safebo.robots.quadruped.mpc.problem import MpcError
from safebo.robots.quadruped.wbc.torque_qp import TorqueError
from safebo.robots.simulation.contacts import record_and_judge
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.plant_memory import PlantMemory
from safebo.robots.simulation.recording import (
    ROW,
    STATE_NAMES,
    TableBytes,
    WalkRecording,
    monitored_state,
    record_decision,
    roll_and_pitch,
)
from safebo.types import BoolArray, FloatArray

__all__ = [
    "FAULTS",
    "STATE_NAMES",
    "FallLimits",
    "WalkLoop",
    "WalkRecording",
    "monitored_state",
    "rollout",
]


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
    table = np.zeros(rows, ROW)
    record = WalkRecording.over(table, settle_rows, simulation.period)
    record.time[:] = (np.arange(rows) - settle_rows) * simulation.period
    truth = simulation.truth()
    try:
        controller.reset(simulation.read(), truth)
    except ControllerFault as error:
        record.fell, record.stop_reason = True, str(error)
        return record.truncated(0)
    watch = monitor
    lowest = limits.height * controller.robot.nominal_height
    bounds = float(limits.tilt), float(lowest), bool(limits.trunk_contact)
    kept, plant = table.view(np.uint8), simulation.memory
    begin = clock.perf_counter()
    complete = 0
    for row in range(rows):
        if row == settle_rows:
            simulation.start_walk()
        reading = simulation.read()
        try:
            command = controller.step(reading, truth)
            _record(kept, row, plant, reading, controller, command)
            if watch is not None and row >= settle_rows:
                choice = watch(record.states[row])
                if choice >= 0:
                    controller.set_gains(backups[choice])
                    record.backup, record.backup_row = int(choice), row
                    watch = None
                    command = controller.regained()
                    _record(kept, row, plant, reading, controller, command)
        except FAULTS as error:
            record.fell, record.stop_reason = True, str(error)
            break
        simulation.apply(command)
        standing = record_and_judge(kept, row, plant, simulation.velocity, *bounds)
        complete = row + 1
        if not (standing and simulation.in_time()):
            record.fell, record.stop_reason = True, _fallen(simulation, truth, limits, lowest)
            break
        if end is not None and row >= settle_rows:
            record.ended = end(record, complete)
            if record.ended:
                break
    record.wall_seconds = clock.perf_counter() - begin
    return record if complete == rows else record.truncated(complete)


def _record(
    table: TableBytes,
    row: int,
    plant: PlantMemory,
    reading: SensorReading,
    controller: WalkLoop,
    command: JointCommand,
) -> None:
    """`record_decision` with the parts of what a controller was told, believes and wants."""
    record_decision(
        table,
        row,
        plant,
        reading.joint_position,
        reading.joint_velocity,
        command.position,
        command.velocity,
        *controller.base,
        controller.planned_contact,
        controller.velocity_command,
    )


def _fallen(simulation: Simulation, truth: BaseState, limits: FallLimits, lowest: float) -> str:
    """Why a robot that is not upright counts as fallen."""
    height = float(truth.position[2]) - simulation.floor_height()
    if not simulation.finite():
        return "the simulation diverged"
    roll, pitch = roll_and_pitch(truth.orientation)
    if abs(roll) > limits.tilt:
        return f"roll {roll:.2f} rad beyond {limits.tilt:g}"
    if abs(pitch) > limits.tilt:
        return f"pitch {pitch:.2f} rad beyond {limits.tilt:g}"
    if height < lowest:
        return f"height {height:.3f} m under {lowest:.3f}"
    return "the trunk touched the ground"
