"""What a walk leaves behind: one row per control tick, and what a monitor sees in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit_no_alloc, put
from safebo.robots.quadruped.interface import BaseState, SensorReading
from safebo.robots.simulation.plant_memory import PLANT, PlantMemory
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

ROW = np.dtype(
    [
        ("time", "f8"),
        *(
            (name, "f8", 12)
            for name in (
                "joint_position",
                "joint_velocity",
                "measured_position",
                "measured_velocity",
                "desired_position",
                "desired_velocity",
                "commanded_torque",
                "applied_torque",
            )
        ),
        *(
            (f"{who}_{what}", "f8", size)
            for who in ("base", "estimated")
            for what, size in (("position", 3), ("orientation", 4), ("velocity", 3), ("rate", 3))
        ),
        ("foot_force", "f8", 4),
        ("command", "f8", 3),
        ("states", "f8", len(STATE_NAMES)),
        ("planned_contact", "u1", 4),
        ("contact", "u1", 4),
    ]
)
"""One tick of a recording; contacts are truth values, which compiled functions know as numbers in such a record."""

Table = NDArray[np.void]
"""Rows of a walk, `n` of `ROW`."""

TableBytes = NDArray[np.uint8]
"""The bytes of a `Table`: `table.view(ROW)` names its parts, see `safebo.boundary.compiled`."""


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
        return cls.over(np.zeros(rows, ROW), walk_start, period)

    @classmethod
    def over(cls, table: Table, walk_start: int, period: float) -> WalkRecording:
        """The recording whose arrays are the columns of a table: what is written there is read here."""
        columns: dict[str, Any] = {name: table[name] for name in ROW.names or ()}
        for name in ("planned_contact", "contact"):
            columns[name] = columns[name].view(np.bool_)
        return cls(**columns, walk_start=walk_start, period=period)

    def __len__(self) -> int:
        return len(self.time)

    def truncated(self, rows: int) -> WalkRecording:
        """The first `rows` rows."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                values[name] = value[:rows]
        return WalkRecording(**values)


def monitored_state(base: BaseState, reading: SensorReading, out: FloatArray) -> None:
    """Write the state a monitor sees (`STATE_NAMES`, `33`) into `out`."""
    _monitored(*base, reading.joint_position, reading.joint_velocity, out)


@njit_no_alloc(forceinline=True)
def _monitored(
    position: FloatArray,
    orientation: FloatArray,
    velocity: FloatArray,
    rate: FloatArray,
    joint_position: FloatArray,
    joint_velocity: FloatArray,
    out: FloatArray,
) -> None:
    w, x, y, z = orientation[0], orientation[1], orientation[2], orientation[3]
    vx, vy, vz = velocity[0], velocity[1], velocity[2]
    out[0], out[1] = roll_and_pitch(orientation)
    out[2] = position[2]
    out[3] = (1 - 2 * (y * y + z * z)) * vx + 2 * (x * y + w * z) * vy + 2 * (x * z - w * y) * vz
    out[4] = 2 * (x * y - w * z) * vx + (1 - 2 * (x * x + z * z)) * vy + 2 * (y * z + w * x) * vz
    out[5] = 2 * (x * z + w * y) * vx + 2 * (y * z - w * x) * vy + (1 - 2 * (x * x + y * y)) * vz
    put(rate, out[6:9])
    put(joint_position, out[9:21])
    put(joint_velocity, out[21:33])


@njit_no_alloc
def roll_and_pitch(orientation: FloatArray) -> tuple[float, float]:
    """Of a quaternion w, x, y, z, in rad."""
    w, x, y, z = orientation[0], orientation[1], orientation[2], orientation[3]
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    return roll, math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))


@njit_no_alloc
def record_decision(
    table: TableBytes,
    row: int,
    plant: PlantMemory,
    measured_position: FloatArray,
    measured_velocity: FloatArray,
    desired_position: FloatArray,
    desired_velocity: FloatArray,
    position: FloatArray,
    orientation: FloatArray,
    velocity: FloatArray,
    rate: FloatArray,
    planned_contact: BoolArray,
    command: FloatArray,
) -> None:
    """Write what is so and what is believed and wanted when a command is given.

    Args:
        table: of the walk.
        row: of this tick.
        plant: what is true.
        measured_position: of the joints, `12`.
        measured_velocity: of the joints, `12`.
        desired_position: of the joints, `12`.
        desired_velocity: of the joints, `12`.
        position: of the base, as the controller believes it, like the next three.
        orientation: see `BaseState`.
        velocity: see `BaseState`.
        rate: see `BaseState`.
        planned_contact: `4`.
        command: velocity `3`.
    """
    entry, m = table.view(ROW)[row], plant.view(PLANT)[0]
    joints, truth = m["joints"], m["truth"]
    put(joints[0], entry["joint_position"])
    put(joints[1], entry["joint_velocity"])
    put(measured_position, entry["measured_position"])
    put(measured_velocity, entry["measured_velocity"])
    put(desired_position, entry["desired_position"])
    put(desired_velocity, entry["desired_velocity"])
    put(truth[0:3], entry["base_position"])
    put(truth[3:7], entry["base_orientation"])
    put(truth[7:10], entry["base_velocity"])
    put(truth[10:13], entry["base_rate"])
    put(position, entry["estimated_position"])
    put(orientation, entry["estimated_orientation"])
    put(velocity, entry["estimated_velocity"])
    put(rate, entry["estimated_rate"])
    put(command, entry["command"])
    put(planned_contact, entry["planned_contact"])
    put(m["touching"], entry["contact"])
    _monitored(position, orientation, velocity, rate, measured_position, measured_velocity, entry["states"])


@njit_no_alloc(forceinline=True)
def record_effect(table: TableBytes, row: int, plant: PlantMemory) -> None:
    """Write what a command did.

    Args:
        table: of the walk.
        row: of this tick.
        plant: its torques and forces.
    """
    entry, m = table.view(ROW)[row], plant.view(PLANT)[0]
    torques = m["torques"]
    for j in range(12):
        entry["commanded_torque"][j] = torques[0, j]
        entry["applied_torque"][j] = torques[1, j] + torques[2, j]
    put(m["foot_force"], entry["foot_force"])
