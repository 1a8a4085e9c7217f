"""A recorded walk with all that a picture of it shows: where it is from, command, gains, margins, what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gains import Gain
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.floor import floor_axes
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import BoolArray, FloatArray

GRAVITY = 9.81
STANDS = 0.18
"""Share of the weight from which on a foot counts as standing, where only torques tell of contact."""

STEADY = 0.04
"""Seconds over which that is looked at."""


@dataclass(frozen=True)
class ShownGain:
    """A gain in a picture.

    Args:
        name, value, unit: of the gain; a choice's value is its name.
        before: what it is compared with; None for nothing.
    """

    name: str
    value: float | str
    unit: str = ""
    before: float | str | None = None

    @property
    def changed(self) -> bool:
        """Whether it differs from what it is compared with."""
        return self.before is not None and self.value != self.before


@dataclass(frozen=True)
class Mark:
    """Something that happened: at a time since the walk began, s, and shown from then on."""

    time: float
    text: str
    bad: bool = True


@dataclass(frozen=True, eq=False)
class Footage:
    """What a picture of a walk shows.

    Args:
        robot: the robot that walked.
        record: where it was.
        title: what it is, in a few words.
        notes: further lines under the title.
        command: forward, leftward velocity (m/s) and yaw rate (rad/s) that were asked for, `n x 3`; None where nobody
            knows.
        gains: those worth showing, `compared` says what their `before` is.
        compared: what gains are compared with, as `seed`.
        margins: what the walk showed, safe when >= 0.
        marks: switches, falls and ends.
        world: what was different, as far as it can be seen: load, slope, pushes.
        estimated: whether the base is the robot's own estimate, and forces follow from measured torques.
    """

    robot: RobotModel
    record: WalkRecording
    title: str
    notes: tuple[str, ...] = ()
    command: FloatArray | None = None
    gains: tuple[ShownGain, ...] = ()
    compared: str = ""
    margins: Mapping[str, float] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    world: Disturbance = field(default_factory=Disturbance)
    estimated: bool = False

    @property
    def begin(self) -> float:
        """Time of the first row, s."""
        return float(self.record.time[0])

    @property
    def end(self) -> float:
        """Time of the last row, s."""
        return float(self.record.time[-1])

    def row_at(self, time: float) -> int:
        """The newest row at a time, s since the walk began; the first or last one outside the record."""
        row = int(np.searchsorted(self.record.time, time + 1e-9, side="right")) - 1
        return min(max(row, 0), len(self.record) - 1)


def commands_over_time(
    record: WalkRecording, command: Callable[[float], tuple[float, float, float]], limit: float
) -> FloatArray:
    """A command in every row of a record, shortened to a gait's greatest speed as the controller does it, `n x 3`.

    Args:
        record: whose times count.
        command: forward, leftward velocity and yaw rate as a function of the seconds since the walk began.
        limit: greatest speed of the gait, m/s.
    """
    out = np.array([command(float(t)) if t >= 0.0 else (0.0, 0.0, 0.0) for t in record.time])
    out = out.reshape(-1, 3)
    speed = np.hypot(out[:, 0], out[:, 1])
    out[:, :2] *= np.minimum(1.0, limit / np.maximum(speed, 1e-9))[:, None]
    return out


def shown_gains(
    chosen: Mapping[str, float], before: Mapping[str, float], described: Iterable[Gain]
) -> tuple[ShownGain, ...]:
    """Gains that differ from others, with the units of the controller's descriptions."""
    units = {gain.name: gain.unit for gain in described}
    return tuple(
        ShownGain(name, value, units.get(name, ""), before[name])
        for name, value in chosen.items()
        if value != before[name]
    )


def fall_mark(record: WalkRecording) -> tuple[Mark, ...]:
    """That a walk ended in a fall, at its last moment; nothing where it did not."""
    return (Mark(float(record.time[-1]), f"FELL: {record.stop_reason}"),) if record.fell else ()


def velocity_over_time(record: WalkRecording) -> FloatArray:
    """Forward and leftward velocity of the base in its heading frame (m/s), and yaw rate (rad/s), `n x 3`."""
    w, x, y, z = record.base_orientation.T
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    c, s = np.cos(yaw), np.sin(yaw)
    vx, vy = record.base_velocity[:, 0], record.base_velocity[:, 1]
    return np.stack([c * vx + s * vy, c * vy - s * vx, record.base_rate[:, 2]], axis=1)


def forces_over_time(footage: Footage) -> FloatArray:
    """Forces of the floor on the feet in every row, world, N, `n x 4 x 3`.

    Recorded normal forces where there are some. Else what the torques at the joints say of a leg without mass,
    f = -R J^-T tau, as robots without sensors in their feet know it; a foot that pulls does not stand.
    """
    record, robot = footage.record, footage.robot
    if record.foot_force.any():
        return record.foot_force[:, :, None] * floor_normal(footage.world)
    count = len(record)
    jacobians = np.empty((count, 4, 3, 3))
    place, axes, drift, still = np.empty(3), np.empty((3, 3)), np.empty((2, 3)), np.zeros(3)
    for row in range(count):
        for leg in range(4):
            joints = record.joint_position[row, 3 * leg : 3 * leg + 3]
            leg_kinematics(robot.chains[leg], joints, still, place, jacobians[row, leg], axes, drift)
    torque = record.applied_torque.reshape(count, 4, 3, 1)
    # A straight leg has no inverse; a little damping keeps its force finite.
    transposed = np.swapaxes(jacobians, 2, 3)
    normal = jacobians @ transposed + (0.02 * robot.leg_length) ** 2 * np.eye(3)
    body = -np.linalg.solve(normal, jacobians @ torque)[..., 0]
    force = np.einsum("nij,nlj->nli", rotations(record.base_orientation), body)
    standing = force[..., 2] > STANDS * robot.mass * GRAVITY
    width = max(1, round(STEADY / record.period)) | 1
    for leg in range(
        4
    ):  # for most of the time around: neither a leg that is swung nor one that is hit stands
        share = np.convolve(standing[:, leg], np.full(width, 1.0 / width))
        standing[:, leg] = share[width // 2 : width // 2 + count] > 0.5
    force[~standing | (force[..., 2] <= 0.0)] = 0.0
    return np.asarray(force)


def contacts_over_time(footage: Footage, forces: FloatArray) -> BoolArray:
    """Which feet stand in every row, `n x 4`: as recorded, else where there is a force."""
    if footage.record.contact.any():
        return footage.record.contact
    return np.asarray(forces[..., 2] > 0.0)


def floor_normal(world: Disturbance) -> FloatArray:
    """Unit normal of the floor, `3`: of its plane, where bumps are on it."""
    return floor_axes(world)[:, 2]


def rotations(quaternions: FloatArray) -> FloatArray:
    """Rotation matrices `n x 3 x 3` (body to world) of unit quaternions w, x, y, z, `n x 4`."""
    w, x, y, z = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
