"""Signals of a walk by name, for formulas and objectives: what may be named, in which unit, and the recorded values.

Every signal is there twice, as every margin is: as the sensors and the estimator say, and from the plant's true states.
Directions are those of the heading frame (x forward, y to the left). Feet are taken for balls on a level floor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from safebo.boundary.compiled import njit
from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.descriptions.description import JOINT_TYPES, LEGS
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.evaluation.metrics import WalkSignals
from safebo.robots.evaluation.stl.tree import SignalInfo
from safebo.robots.evaluation.stl.units import unit_of
from safebo.robots.quadruped.kinematics import leg_geometry
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import FloatArray

GRAVITY = 9.81
"""m/s^2."""

_BASE: dict[str, tuple[str, str]] = {
    "time": ("s", "since the walk started"),
    "velocity.x": ("m/s", "of the trunk, forward"),
    "velocity.y": ("m/s", "of the trunk, to the left"),
    "velocity.z": ("m/s", "of the trunk, upward"),
    "command.x": ("m/s", "commanded forward velocity, with its ramp"),
    "command.y": ("m/s", "commanded leftward velocity"),
    "command.yaw_rate": ("rad/s", "commanded yaw rate"),
    "roll": ("rad", "of the trunk"),
    "pitch": ("rad", "of the trunk"),
    "roll_rate": ("rad/s", "about the trunk's x"),
    "pitch_rate": ("rad/s", "about the trunk's y"),
    "yaw_rate": ("rad/s", "about the trunk's z"),
    "height": ("m", "of the trunk over the floor"),
    "distance": ("m", "walked since the start, along the ground"),
    "work": ("J", "done since the start by all motors, where they drive; braking gives nothing back"),
}
_JOINTS: dict[str, tuple[str, str]] = {
    "joint.position": ("rad", "joint angles"),
    "joint.velocity": ("rad/s", "joint speeds"),
    "joint.desired_position": ("rad", "their targets"),
    "joint.desired_velocity": ("rad/s", "their targets"),
    "torque": ("N m", "commanded joint torques"),
    "torque_share": ("1", "commanded joint torques as shares of the motors' limits"),
    "power": ("W", "commanded torque times joint speed"),
}
_FEET: dict[str, tuple[str, str]] = {
    "foot.height": ("m", "of the feet's lowest points over the level of the floor"),
    "foot.speed": ("m/s", "of the feet, in the world"),
    "foot.slip": (
        "m/s",
        "speed along the ground of the feet that touch it, of their points on it; 0 for the others",
    ),
    "foot.contact": ("1", "1 where a foot touches the ground, else 0"),
    "foot.planned": ("1", "1 where a foot is planned to stand, else 0"),
    "foot.force": ("N", "normal force of the ground on the feet"),
}
SIMULATED = ("foot.slip", "foot.contact", "foot.planned", "foot.force")
"""Signals that a robot's own record does not have."""

_CONSTANTS: dict[str, tuple[str, str]] = {
    "mass": ("kg", "of the robot, by its description"),
    "weight": ("N", "mass times 9.81 m/s^2"),
    "nominal_height": ("m", "of the trunk while walking"),
}
_JOINT_PARTS = tuple(f"{leg.lower()}.{joint}" for leg in LEGS for joint in JOINT_TYPES)
_FOOT_PARTS = tuple(leg.lower() for leg in LEGS)


def signals_of(robot: RobotModel) -> dict[str, SignalInfo]:
    """Everything that a formula about this robot may name.

    A signal of all joints or feet is also there in parts: `torque.fl` (one leg), `torque.calf` (one kind of joint),
    `torque.fl.calf`, `foot.speed.fl`.
    """
    values = {
        "mass": robot.mass,
        "weight": robot.mass * GRAVITY,
        "nominal_height": robot.nominal_height,
    }
    found = {name: SignalInfo(unit_of(u), (), text) for name, (u, text) in _BASE.items()}
    for name, (unit, text) in (*_JOINTS.items(), *_FEET.items()):
        whole = _JOINT_PARTS if name in _JOINTS else _FOOT_PARTS
        found[name] = SignalInfo(unit_of(unit), whole, text)
        for suffix, columns in _columns(name in _JOINTS).items():
            parts = () if len(columns) == 1 else tuple(whole[i] for i in columns)
            found[f"{name}.{suffix}"] = SignalInfo(unit_of(unit), parts, text, listed=False)
    for name, (unit, text) in _CONSTANTS.items():
        found[name] = SignalInfo(unit_of(unit), (), text, values[name])
    return found


@cache
def _columns(joints: bool) -> Mapping[str, tuple[int, ...]]:
    """Which columns a part of a signal of all joints, or of all feet, has."""
    if not joints:
        return {part: (i,) for i, part in enumerate(_FOOT_PARTS)}
    singles = {part: (i,) for i, part in enumerate(_JOINT_PARTS)}
    legs = {leg.lower(): tuple(range(3 * i, 3 * i + 3)) for i, leg in enumerate(LEGS)}
    kinds = {kind: tuple(range(i, 12, 3)) for i, kind in enumerate(JOINT_TYPES)}
    return {**legs, **kinds, **singles}


@dataclass
class WalkTrace:
    """The signals of a walk, settling left out; each is computed when it is asked for.

    Args:
        record: the walk.
        seen: it as the robot or the plant saw it.
        true: which of the two.
        robot: the robot.
        stride: duration of a stride, s.
        turn: commanded yaw rate at the end of the ramp, rad/s.
        ramp: seconds over which the command grows.
    """

    record: WalkRecording
    seen: WalkSignals
    true: bool
    robot: RobotModel
    stride: float
    turn: float = 0.0
    ramp: float = 0.5
    _known: dict[str, FloatArray] = field(default_factory=dict, repr=False)

    @property
    def period(self) -> float:
        """Seconds between two ticks."""
        return self.record.period

    def __len__(self) -> int:
        return len(self.seen.height)

    def __getitem__(self, name: str) -> FloatArray:
        if name not in self._known:
            self._known[name] = np.asarray(self._part(name), dtype=np.float64)
        return self._known[name]

    def _part(self, name: str) -> FloatArray:
        for table, joints in ((_JOINTS, True), (_FEET, False)):
            for whole in table:
                if name.startswith(f"{whole}.") and name not in table:
                    columns = _columns(joints)[name[len(whole) + 1 :]]
                    values = self[whole]
                    return values[:, columns[0]] if len(columns) == 1 else values[:, columns]
        return self._whole(name)

    def _whole(self, name: str) -> FloatArray:
        seen, rows = self.seen, slice(self.record.walk_start, None)
        match name:
            case "time":
                return self.record.time[rows]
            case "velocity.x" | "velocity.y" | "velocity.z":
                return seen.velocity[:, "xyz".index(name[-1])]
            case "command.x" | "command.y":
                return seen.command[:, "xy".index(name[-1])]
            case "command.yaw_rate":
                share = self["time"] / self.ramp if self.ramp > 0 else np.ones(len(self))
                return self.turn * np.clip(share, 0.0, 1.0)
            case "roll" | "pitch":
                return seen.tilt[:, ("roll", "pitch").index(name)]
            case "roll_rate" | "pitch_rate" | "yaw_rate":
                return self._base("rate")[:, ("roll_rate", "pitch_rate", "yaw_rate").index(name)]
            case "height":
                return seen.height
            case "distance":
                return np.cumsum(np.hypot(seen.velocity[:, 0], seen.velocity[:, 1])) * self.period
            case "work":
                return np.cumsum(np.maximum(self["power"], 0.0).sum(axis=1)) * self.period
            case "joint.position":
                return seen.angle
            case "joint.velocity":
                return seen.speed
            case "joint.desired_position":
                return seen.desired_angle
            case "joint.desired_velocity":
                return seen.desired_speed
            case "torque":
                return seen.torque
            case "torque_share":
                return seen.torque / self.robot.torque_limit
            case "power":
                return seen.torque * seen.speed
            case "foot.contact" | "foot.planned":
                planned = name == "foot.planned"
                return (self.record.planned_contact if planned else self.record.contact)[rows].astype(float)
            case "foot.force":
                return self.record.foot_force[rows]
            case "foot.height":
                return self._feet()[0] - self.robot.foot_radius
            case "foot.speed":
                return self._feet()[1]
            case "foot.slip":
                return np.where(self["foot.contact"] > 0, self._feet()[2], 0.0)
        raise KeyError(name)

    def _base(self, what: str) -> FloatArray:
        prefix = "base" if self.true else "estimated"
        return np.asarray(getattr(self.record, f"{prefix}_{what}")[self.record.walk_start :])

    def _feet(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Height of the feet's centres, speed of these, and horizontal speed of the points under them, `n x 4` each.

        The lowest point of a ball of radius r at centre velocity v that turns at w moves at v + w x (0, 0, -r): it
        stands still where the ball rolls.
        """
        if "_feet" not in self._known:
            n = len(self)
            angle = np.ascontiguousarray(self.seen.angle).reshape(n, 4, 3)
            speed = np.ascontiguousarray(self.seen.speed).reshape(n, 4, 3)
            local, jacobian, axes = np.zeros((n, 4, 3)), np.zeros((n, 4, 3, 3)), np.zeros((n, 4, 3, 3))
            _leg_points(leg_geometry(self.robot).legs, angle, speed, local, jacobian, axes)
            rotation = _rotations(self._base("orientation"))
            rate = self._base("rate")[:, None, :]
            # Seen from the world, in the base frame: what the joints do and what turning with the base does.
            moved = np.einsum("nlij,nlj->nli", jacobian, speed) + np.cross(rate, local)
            velocity = np.einsum("nij,nlj->nli", rotation, moved) + self._base("velocity")[:, None, :]
            own = np.einsum("nlij,nlj->nli", axes, speed)  # how the calf turns in the base
            turn = np.einsum("nij,nlj->nli", rotation, rate + own)
            height = self._base("position")[:, 2, None] + np.einsum("nj,nlj->nl", rotation[:, 2], local)
            r = self.robot.foot_radius
            slip = np.hypot(velocity[..., 0] - turn[..., 1] * r, velocity[..., 1] + turn[..., 0] * r)
            self._known["_feet"] = np.stack([height, np.linalg.norm(velocity, axis=-1), slip], axis=-1)
        out = self._known["_feet"]
        return out[..., 0], out[..., 1], out[..., 2]


def _rotations(quaternions: FloatArray) -> FloatArray:
    """Rotation matrices (base to world), `n x 4 -> n x 3 x 3`."""
    w, x, y, z = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


@njit(cache=True)
def _leg_points(
    legs: FloatArray,
    angle: FloatArray,
    speed: FloatArray,
    position: FloatArray,
    jacobian: FloatArray,
    axes: FloatArray,
) -> None:
    """`leg_kinematics` of every leg in every tick: angles, positions `n x 4 x 3`, Jacobians, axes `n x 4 x 3 x 3`."""
    drift = np.zeros((2, 3))
    for row in range(angle.shape[0]):
        for leg in range(4):
            q, qd = angle[row, leg], speed[row, leg]
            leg_kinematics(legs[leg], q, qd, position[row, leg], jacobian[row, leg], axes[row, leg], drift)
