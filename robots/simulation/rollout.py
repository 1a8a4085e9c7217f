"""One walk from standing still to the end or to a fall, with everything recorded.

The loop is the same for every use: read the sensors, let the controller decide, apply, record. A monitor may
look at the state in every tick and have the controller switch to other gains.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from safebo.robots.simulation.saved import SavedWalk
from safebo.types import BoolArray, FloatArray

__all__ = [
    "FAULTS",
    "STATE_NAMES",
    "FallLimits",
    "Walk",
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
        backups: gains the monitor may switch to; of each one set, or a list with those of every tick from the switch
            on, of which the last stay.
        limits: what counts as a fall.
        end: asked after every tick of the walk, with the record and its complete rows, whether it has shown enough: why
            it ends there, or an empty text.
    """
    return Walk(simulation, controller, seconds, monitor, backups, limits, end).to_end()


class Walk:
    """A walk tick by tick, for those who want to stop within it; `rollout` goes through to the end.

    Args: see `rollout`. Plant and controller are reset.

    Attributes:
        record: rows for the whole walk, those before `row` filled.
        row: of the next tick. rows: of the whole walk.
    """

    def __init__(
        self,
        simulation: Simulation,
        controller: WalkLoop,
        seconds: float = 5.0,
        monitor: Callable[[FloatArray], int] | None = None,
        backups: Sequence[Any] = (),
        limits: FallLimits | None = None,
        end: Callable[[WalkRecording, int], str] | None = None,
    ) -> None:
        self.simulation, self.controller = simulation, controller
        self._watch, self._backups, self._end = monitor, backups, end
        self._coming: list[Any] = []
        self._limits = limits or FallLimits()
        simulation.reset()
        start = round(controller.settle / simulation.period)
        self.row, self.rows = 0, start + max(1, round(seconds / simulation.period))
        table = np.zeros(self.rows, ROW)
        self.record = WalkRecording.over(table, start, simulation.period)
        self.record.time[:] = (np.arange(self.rows) - start) * simulation.period
        self._kept, self._truth = table.view(np.uint8), simulation.truth()
        self._lowest = self._limits.height * controller.robot.nominal_height
        self._bounds = float(self._limits.tilt), float(self._lowest), bool(self._limits.trunk_contact)
        try:
            controller.reset(simulation.read(), self._truth)
        except ControllerFault as error:
            self.record.fell, self.record.stop_reason = True, str(error)

    def tick(self) -> bool:
        """One tick; whether the walk goes on."""
        record, simulation, row = self.record, self.simulation, self.row
        if record.fell or row >= self.rows:
            return False
        walking = row >= record.walk_start
        if row == record.walk_start:
            simulation.start_walk()
        reading = simulation.read()
        try:
            if self._coming:
                self.controller.set_gains(self._coming.pop(0))
            command = self.controller.step(reading, self._truth)
            _record(self._kept, row, simulation.memory, reading, self.controller, command)
            if self._watch is not None and walking:
                choice = self._watch(record.states[row])
                if choice >= 0:
                    gains = self._backups[choice]
                    self._coming = list(gains) if isinstance(gains, list) else [gains]
                    self.controller.set_gains(self._coming.pop(0))
                    record.backup, record.backup_row = int(choice), row
                    self._watch = None
                    command = self.controller.regained()
                    _record(self._kept, row, simulation.memory, reading, self.controller, command)
        except FAULTS as error:
            record.fell, record.stop_reason = True, str(error)
            return False
        simulation.apply(command)
        standing = record_and_judge(self._kept, row, simulation.memory, simulation.velocity, *self._bounds)
        self.row = row + 1
        if not (standing and simulation.in_time()):
            record.fell, record.stop_reason = (
                True,
                _fallen(simulation, self._truth, self._limits, self._lowest),
            )
            return False
        if self._end is not None and walking:
            record.ended = self._end(record, self.row)
            if record.ended:
                return False
        return self.row < self.rows

    def switch(self, gains: Any) -> None:
        """Let other gains, as `rollout` has them for a backup, take over in the next tick, of the walk itself."""
        self._watch, self._backups = (lambda _state: 0), [gains]

    def to_end(self) -> WalkRecording:
        """What was walked when there is nothing left to walk."""
        begin = clock.perf_counter()
        while self.tick():
            pass
        self.record.wall_seconds = clock.perf_counter() - begin
        return self.recording()

    def switched(
        self, choices: Sequence[Any], ticks: int, score: Callable[[WalkRecording], Any]
    ) -> list[Any]:
        """What would become of the robot if other gains took over in the next tick; the walk itself does not move on.

        Args:
            choices: gains to try, one after another, as `rollout` has them.
            ticks: to walk on with each, if the walk is that long and the robot does not fall.
            score: of a recording that starts with the switch; its arrays are written again after the call.

        Raises:
            ValueError: a controller that cannot be put back (`SavedWalk`).
        """
        saved, before = SavedWalk(self.simulation, self.controller), dict(vars(self))
        result = replace(self.record)
        scores = []
        for gains in choices:
            self.switch(gains)
            self._end = None
            self.rows = min(before["rows"], self.row + ticks)
            while self.tick():
                pass
            scores.append(score(replace(self.record.truncated(self.row), walk_start=before["row"])))
            vars(self).update(before)
            for name in ("fell", "stop_reason", "backup", "backup_row", "ended"):
                setattr(self.record, name, getattr(result, name))
            saved.restore()
        return scores

    def recording(self) -> WalkRecording:
        """What was walked so far."""
        return self.record if self.row == self.rows else self.record.truncated(self.row)


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
