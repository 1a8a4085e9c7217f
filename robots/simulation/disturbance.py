"""The reality gap: how the plant differs from the model that the controller believes in.

A `Disturbance` is plain data. The plant applies it; the controller never sees it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from safebo.robots.descriptions.description import JOINT_TYPES, LEGS
from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.simulation.sensors import SensorNoise
from safebo.robots.simulation.terrain import (
    FrictionPatch,
    RoughGround,
    Step,
    check_patches,
    parse_patches,
    parse_rough,
    parse_steps,
)

Four = tuple[float, float, float, float]
Three = tuple[float, float, float]
Two = tuple[float, float]
A_GO1 = RobotSize()

_TICKS = ("control_delay", "command_delay", "delay_jitter")


def _require(holds: bool, name: str, allowed: str, value: object) -> None:
    if not holds:
        raise ValueError(f"disturbance: {name} must be {allowed}, got {value!r}")


@dataclass(frozen=True)
class Push:
    """A force on the trunk's centre of mass for a while, constant or shaking.

    Args:
        time: start, s after the beginning of the walk.
        duration: s.
        force: in the world frame, N, 3; what a shaking one reaches in either direction.
        frequency: with which it shakes, as a sine from 0 on, Hz; 0: it does not.
        rise: over which it grows evenly from nothing to `force`, s.
    """

    time: float
    duration: float
    force: Three
    frequency: float = 0.0
    rise: float = 0.0

    def at(self, time: float) -> Three:
        """The force at a time after the beginning of the walk (s), N, 3."""
        if not self.time <= time < self.time + self.duration:
            return 0.0, 0.0, 0.0
        since = time - self.time
        share = min(1.0, since / self.rise) if self.rise > 0.0 else 1.0
        if self.frequency > 0.0:
            share *= math.sin(2.0 * math.pi * self.frequency * since)
        x, y, z = self.force
        return share * x, share * y, share * z


@dataclass(frozen=True)
class Disturbance:
    """What is different on the plant. The default is the nominal plant with nominal sensor noise.

    The torque that acts on a joint of leg l is

        torque_factor[l] * clip(tau_cmd) + impedance_p * (q_des - q) - impedance_d * qd

    with tau_cmd the joint law on measured angles and speeds, (impedance_p, impedance_d) = `joint_impedance`
    (as in Widmer et al. 2023: weak motors and unmodelled joint impedance; negative values pull away from the
    target and feed energy in).

    Args:
        torque_factor: share of the commanded torque that arrives, per leg FL, FR, RL, RR.
        joint_impedance: N m/rad and N m s/rad, on every joint.
        payload_mass: kg fixed to the trunk.
        payload_position: where, in the trunk frame, m.
        trunk_com_shift: the trunk's centre of mass moved by this, m.
        joint_damping: hip, thigh, calf, N m s/rad; None keeps the model's.
        added_damping: on every joint beside it, N m s/rad.
        joint_friction: Coulomb friction of hip, thigh, calf, N m; None keeps the model's.
        armature: hip, thigh, calf, kg m^2; None keeps the model's.
        foot_friction: coefficient under every foot; None keeps the model's.
        foot_friction_factor: multiplies it, per leg (socks on some feet).
        control_delay: ticks between the joint law's torque and its arrival at the joint.
        command_delay: ticks between the controller's command and its arrival at the motors.
        torque_speed_corner: share of the no-load speed at which the motors' torque limit begins to fall
            (linearly, to zero at no-load speed), as every electric motor's does; None leaves it constant.
        pushes: forces on the trunk.
        sensor_noise: noise, bias and delay of the sensors.
        slope: by how much the floor rises ahead and to the left at the start, degrees.
        steps: blocks across the way.
        rough: random ground; None for none.
        friction_patches: strips across the way with another friction.
        delay_jitter: ticks by which a torque may arrive later than `control_delay` says. For every torque it is drawn
            anew, each whole number up to this one as likely; the newest that has arrived acts, and one that comes after
            a newer one is lost.
    """

    torque_factor: Four = (1.0, 1.0, 1.0, 1.0)
    joint_impedance: Two = (0.0, 0.0)
    payload_mass: float = 0.0
    payload_position: Three = (0.0, 0.0, 0.06)
    trunk_com_shift: Three = (0.0, 0.0, 0.0)
    joint_damping: Three | None = None
    joint_friction: Three | None = None
    armature: Three | None = None
    foot_friction: float | None = None
    foot_friction_factor: Four = (1.0, 1.0, 1.0, 1.0)
    control_delay: int = 0
    command_delay: int = 0
    torque_speed_corner: float | None = 0.6
    pushes: tuple[Push, ...] = ()
    sensor_noise: SensorNoise = field(default_factory=SensorNoise)
    added_damping: float = 0.0
    slope: Two = (0.0, 0.0)
    steps: tuple[Step, ...] = ()
    rough: RoughGround | None = None
    friction_patches: tuple[FrictionPatch, ...] = ()
    delay_jitter: int = 0

    def __post_init__(self) -> None:
        for name in ("torque_factor", "foot_friction_factor"):
            _require(all(value > 0 for value in getattr(self, name)), name, "positive", getattr(self, name))
        for name in ("joint_damping", "joint_friction", "armature"):
            values = getattr(self, name)
            _require(values is None or min(values) >= 0, name, "at least 0", values)
        _require(self.added_damping >= 0, "added_damping", "at least 0 N m s/rad", self.added_damping)
        _require(self.payload_mass >= 0, "payload_mass", "at least 0 kg", self.payload_mass)
        _require(
            self.foot_friction is None or self.foot_friction > 0,
            "foot_friction",
            "positive",
            self.foot_friction,
        )
        corner = self.torque_speed_corner
        _require(corner is None or 0 < corner < 1, "torque_speed_corner", "between 0 and 1", corner)
        steepest = max(map(abs, self.slope))
        _require(steepest <= 45.0, "slope", "at most 45 degrees either way", self.slope)
        for name in _TICKS:
            value = getattr(self, name)
            _require(value >= 0 and int(value) == value, name, "a whole number of ticks, at least 0", value)
        check_patches(self.friction_patches)

    @property
    def uneven(self) -> bool:
        """Whether the floor is no plane."""
        return bool(self.steps) or self.rough is not None

    @property
    def same_everywhere(self) -> bool:
        """Whether the floor is level, and the same wherever a robot walks."""
        return not (any(self.slope) or self.uneven or self.friction_patches)

    def without_noise(self) -> Disturbance:
        """The same plant with perfect sensors (their delay stays)."""
        return replace(self, sensor_noise=SensorNoise.none(self.sensor_noise.delay))

    def to_scale(self, size: RobotSize) -> Disturbance:
        """The same for a robot of another size: what a Go1 feels, with that robot's mass m and length l over a Go1's.

        Masses and forces go with m, lengths with l, torques and stiffness with m l, damping with m l^1.5, armature with
        m l^2, as weights, lever arms and the times of similar motions do (Alexander and Jayes 1983).
        """
        mass, length = size
        if mass == length == 1.0:
            return self

        def three(values: Three, factor: float) -> Three:
            return values[0] * factor, values[1] * factor, values[2] * factor

        def some(values: Three | None, factor: float) -> Three | None:
            return None if values is None else three(values, factor)

        strength, damping = mass * length, mass * length**1.5
        stiff, viscous = self.joint_impedance
        return replace(
            self,
            joint_impedance=(stiff * strength, viscous * damping),
            payload_mass=self.payload_mass * mass,
            payload_position=three(self.payload_position, length if self.payload_mass > 0 else 1.0),
            trunk_com_shift=three(self.trunk_com_shift, length),
            joint_damping=some(self.joint_damping, damping),
            added_damping=self.added_damping * damping,
            joint_friction=some(self.joint_friction, strength),
            armature=some(self.armature, mass * length**2),
            pushes=tuple(replace(push, force=three(push.force, mass)) for push in self.pushes),
            steps=tuple(step.to_scale(length) for step in self.steps),
            rough=None if self.rough is None else self.rough.to_scale(length),
            friction_patches=tuple(patch.to_scale(length) for patch in self.friction_patches),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | str, size: RobotSize = A_GO1) -> Disturbance:
        """A disturbance from a study file: a preset's name, or fields on top of an optional `preset`.

        A preset is to the robot's `size`; fields are as they are given.

        Per-leg values may be a list (FL, FR, RL, RR) or a mapping by leg name (missing legs are 1); per-joint
        values a number for all, a list (hip, thigh, calf) or a mapping. `sensor_noise` is true, false or a
        mapping.

        Raises:
            ValueError: names the key, what was wrong and what is allowed.
        """
        if isinstance(values, str):
            return preset(values, size)
        rest = dict(values)
        base = preset(rest.pop("preset"), size) if "preset" in rest else cls()
        known = [item.name for item in fields(cls)]
        parsed: dict[str, Any] = {}
        for key, value in rest.items():
            if key not in known:
                raise ValueError(f"disturbance: unknown key {key!r}; known: preset, {', '.join(known)}")
            parsed[key] = _parse(key, value)
        return replace(base, **parsed)


def preset(name: str, size: RobotSize = A_GO1) -> Disturbance:
    """A named disturbance, or several joined by `+`: the fields of each go over those before it.

    They were made for a Go1; a robot of another `size` gets them to scale (`Disturbance.to_scale`).

    >>> preset("paper+slippery").foot_friction
    0.3

    Raises:
        ValueError: no such name; the message lists them.
    """
    combined = _NOMINAL
    for part in name.split("+") if isinstance(name, str) else [name]:
        if part not in PRESETS:
            raise ValueError(f"disturbance: unknown preset {part!r}; known: {', '.join(PRESETS)}")
        changed = {
            item.name: getattr(PRESETS[part], item.name)
            for item in fields(Disturbance)
            if getattr(PRESETS[part], item.name) != getattr(_NOMINAL, item.name)
        }
        combined = replace(combined, **changed)
    return combined.to_scale(size)


_NOMINAL = Disturbance()


PRESETS: dict[str, Disturbance] = {
    "nominal": Disturbance(),
    # Widmer et al. 2023 give the torque factors; the impedance and the delay are this project's.
    "paper": Disturbance(
        torque_factor=(0.73, 0.9, 0.73, 0.9), joint_impedance=(-20.0, -0.5), control_delay=1
    ),
    # what was identified on a real Go2 (middle of the published ranges)
    "go2_identified": Disturbance(
        joint_damping=(0.33, 0.33, 0.33), joint_friction=(0.23, 0.22, 0.73), armature=(0.020, 0.023, 0.0365)
    ),
    "payload": Disturbance(payload_mass=2.0, payload_position=(0.03, 0.0, 0.08)),
    "weak_motors": Disturbance(torque_factor=(0.73, 0.9, 0.73, 0.9)),
    "heavy_and_weak": Disturbance(
        torque_factor=(0.8, 0.9, 0.8, 0.9),
        payload_mass=2.0,
        payload_position=(0.03, 0.0, 0.08),
        foot_friction=0.6,
        joint_friction=(0.3, 0.3, 0.3),
        joint_damping=(0.3, 0.3, 0.3),
    ),
    "steps": Disturbance(
        steps=(Step(at=0.8, height=0.04, length=1.0), Step(at=1.1, height=0.08, length=0.4))
    ),
    "rough": Disturbance(rough=RoughGround(amplitude=0.03)),
    "patches": Disturbance(
        friction_patches=(FrictionPatch(at=0.5, length=0.5, friction=0.3), FrictionPatch(1.5, 0.5, 0.3))
    ),
    "jitter": Disturbance(delay_jitter=2),
    "slippery": Disturbance(foot_friction=0.3),
    "socks": Disturbance(foot_friction=0.5, foot_friction_factor=(0.6, 0.6, 0.6, 0.6)),
    # somebody leans on the robot, or drops a load on it, while it walks
    "leaned_on": Disturbance(pushes=(Push(time=2.0, duration=0.5, force=(0.0, 0.0, -180.0)),)),
    "struck_from_above": Disturbance(pushes=(Push(time=2.0, duration=0.1, force=(0.0, 0.0, -300.0)),)),
    "pushed_forward": Disturbance(pushes=(Push(time=2.0, duration=0.1, force=(300.0, 0.0, 0.0)),)),
    "leaned_on_smooth_floor": Disturbance(
        foot_friction=0.4, pushes=(Push(time=2.0, duration=0.5, force=(0.0, 0.0, -180.0)),)
    ),
    "shoved_aside": Disturbance(pushes=(Push(time=2.0, duration=0.3, force=(0.0, 78.0, -156.0)),)),
    "pushed": Disturbance(
        pushes=(
            Push(time=1.5, duration=0.15, force=(0.0, 60.0, 0.0)),
            Push(time=3.0, duration=0.15, force=(-60.0, 0.0, 0.0)),
        )
    ),
}
"""Named gaps of a Go1. Fields of a preset can be changed one by one in a study."""


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise ValueError(f"disturbance: {key} must be a finite number, got {value!r}")
    return float(value)


def _several(key: str, value: Any, names: Sequence[str], missing: float | None) -> tuple[float, ...]:
    """One number per name from a number for all, a list or a mapping."""
    what = f"{len(names)} numbers ({', '.join(names)})"
    if isinstance(value, Mapping):
        lowered = {str(name).lower(): item for name, item in value.items()}
        unknown = sorted(set(lowered) - {name.lower() for name in names})
        if unknown:
            raise ValueError(
                f"disturbance: {key} has no entry {', '.join(unknown)}; allowed: {', '.join(names)}"
            )
        absent = [name for name in names if name.lower() not in lowered]
        if absent and missing is None:
            raise ValueError(f"disturbance: {key} lacks {', '.join(absent)}; needs {what}")
        return tuple(_number(f"{key}.{name}", lowered.get(name.lower(), missing)) for name in names)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != len(names):
            raise ValueError(f"disturbance: {key} needs {what}, got {len(value)}")
        return tuple(_number(f"{key}[{i}]", item) for i, item in enumerate(value))
    return (_number(key, value),) * len(names)


def _push(index: int, value: Any) -> Push:
    where = f"pushes[{index}]"
    needed, possible = {"time", "duration", "force"}, {"frequency", "rise"}
    if not isinstance(value, Mapping) or not needed <= set(value) <= needed | possible:
        raise ValueError(
            f"disturbance: {where} needs time (s), duration (s) and force (N, 3), and may have frequency (Hz) and "
            f"rise (s), got {value!r}"
        )
    force = _several(f"{where}.force", value["force"], ("x", "y", "z"), 0.0)
    numbers = {key: _number(f"{where}.{key}", item) for key, item in value.items() if key != "force"}
    for key in possible & numbers.keys():
        _require(numbers[key] >= 0, f"{where}.{key}", "at least 0", numbers[key])
    return Push(force=(force[0], force[1], force[2]), **numbers)


def _slope(value: Any) -> Two:
    """Degrees ahead and to the left; one number is that ahead."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number("slope", value), 0.0
    ahead, left = _several("slope", value, ("ahead", "left"), 0.0)
    return ahead, left


_PER_LEG = ("torque_factor", "foot_friction_factor")
_PER_JOINT = ("joint_damping", "joint_friction", "armature")
_VECTORS = ("payload_position", "trunk_com_shift")
_TERRAIN = {"steps": parse_steps, "rough": parse_rough, "friction_patches": parse_patches}
_OPTIONAL = (*_PER_JOINT, "foot_friction", "torque_speed_corner")


def _parse(key: str, value: Any) -> Any:
    if value is None and key in _OPTIONAL:
        return None
    if key in _PER_LEG:
        return _several(key, value, LEGS, 1.0)
    if key in _PER_JOINT:
        return _several(key, value, JOINT_TYPES, None)
    if key in _VECTORS:
        return _several(key, value, ("x", "y", "z"), 0.0)
    if key == "joint_impedance":
        return _several(key, value, ("position", "speed"), 0.0)
    if key == "slope":
        return _slope(value)
    if key in _TERRAIN:
        return _TERRAIN[key](value)
    if key == "sensor_noise":
        if not isinstance(value, (bool, Mapping)):
            raise ValueError(f"disturbance: sensor_noise must be true, false or a mapping, got {value!r}")
        return SensorNoise.from_dict(value)
    if key == "pushes":
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"disturbance: pushes must be a list, got {value!r}")
        return tuple(_push(i, item) for i, item in enumerate(value))
    number = _number(key, value)
    return int(number) if key in _TICKS and number == int(number) else number
