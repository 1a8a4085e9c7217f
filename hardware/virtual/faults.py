"""Faults on the robot's own side, by the robot's own clock and a seed: the same file gives the same faults.

A fault is one entry of a YAML list, or of the list `faults` in a mapping that may also name a `seed`:

    - {kind: loss, at: 2.0, for: 1.5, from: walk, value: 0.1}

`KINDS` says what there is, how long each lasts when nothing is said, and what its value means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.unitree.joints import JOINT_NAMES
from safebo.hardware.yaml_file import read_yaml

MARKS: tuple[str, ...] = ("start", "command", "stand", "walk")
"""From what a fault's time counts: the process, the first sound joint command, the trunk first at standing height,
the first step."""

KEYS: tuple[str, ...] = ("kind", "at", "for", "from", "value")
LASTING = math.inf


def _nothing(value: Any) -> None:
    if value is not None:
        raise ValueError("takes no value")


def _number(low: float, high: float, default: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"value must be a number from {low:g} to {high:g}, got {value!r}")
        return float(value)

    return check


def _force(value: Any) -> tuple[float, float, float]:
    if value is None:
        return (0.0, 150.0, 0.0)
    parts = value if isinstance(value, Sequence) and not isinstance(value, str) else [0.0, value, 0.0]
    check = _number(-5000.0, 5000.0, 0.0)
    if len(parts) != 3:
        raise ValueError(f"value must be a force sideways, N, or three numbers, got {value!r}")
    x, y, z = (check(part) for part in parts)
    return (x, y, z)


def _joints(value: Any) -> tuple[int, ...]:
    """Joints by name or by leg; all of them for None."""
    if value is None:
        return tuple(range(12))
    found: list[int] = []
    for name in [value] if isinstance(value, str) else value if isinstance(value, Sequence) else [value]:
        of = [i for i, joint in enumerate(JOINT_NAMES) if joint == name or joint.split("_")[0] == name]
        if not of:
            raise ValueError(f"no joint or leg named {name!r}: joints are {', '.join(JOINT_NAMES)}")
        found += of
    return tuple(found)


def _one_joint(value: Any) -> tuple[int, ...]:
    return _joints("FL_thigh" if value is None else value)


def _leg(value: Any) -> tuple[int, ...]:
    return _joints("FL" if value is None else value)


def _strengths(value: Any) -> tuple[float, ...]:
    """Share of torque per joint, from a number for all or a mapping by joint or leg."""
    share = _number(0.0, 2.0, 0.5)
    if not isinstance(value, Mapping):
        return (share(value),) * 12
    strengths = [1.0] * 12
    for name, part in value.items():
        for joint in _joints(name):
            strengths[joint] = share(part)
    return tuple(strengths)


def _one_of(*names: str) -> Callable[[Any], str]:
    """One of some words; the first for None."""

    def check(value: Any) -> str:
        if value is None:
            return names[0]
        if value not in names:
            raise ValueError(f"value must be one of {', '.join(names)}, got {value!r}")
        return str(value)

    return check


def _per_joint(joint: str, low: float, high: float, default: float) -> Callable[[Any], tuple[float, ...]]:
    """Twelve numbers, from a number for one joint or a mapping by joint or leg."""
    number = _number(low, high, default)

    def check(value: Any) -> tuple[float, ...]:
        amounts = [0.0] * 12
        for name, part in (value if isinstance(value, Mapping) else {joint: value}).items():
            for one in _joints(name):
                amounts[one] = number(part)
        return tuple(amounts)

    return check


def _serial(value: Any) -> tuple[int, int]:
    text = "7-7" if value is None else value
    words = text.split("-") if isinstance(text, str) else []
    if len(words) != 2 or not all(word.isdigit() and int(word) < 1 << 32 for word in words):
        raise ValueError(f"value must be a serial number of two parts such as 7-7, got {value!r}")
    return int(words[0]), int(words[1])


def _name(value: Any) -> str:
    if value is None:
        return "mcf"
    if not isinstance(value, str) or not value:
        raise ValueError(f"value must be the name of a motion service, got {value!r}")
    return value


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Args:
        seconds: how long it lasts when nothing is said.
        value: checks a value and gives the default for None.
        description: what it does and what its value is.
    """

    seconds: float
    value: Callable[[Any], Any]
    description: str

    @property
    def lasting(self) -> str:
        """How long it lasts when nothing is said, for people."""
        if math.isinf(self.seconds):
            return "to the end"
        return f"{self.seconds:g} s" if self.seconds else "once"


KINDS: dict[str, Kind] = {
    "silence": Kind(LASTING, _nothing, "no states go out"),
    "freeze": Kind(LASTING, _nothing, "states go out, and all are the one before it began"),
    "loss": Kind(LASTING, _number(0.0, 1.0, 0.1), "this share of the states is lost (0.1)"),
    "duplicate": Kind(LASTING, _number(0.0, 1.0, 1.0), "this share of the states goes out twice (1)"),
    "reorder": Kind(LASTING, _number(0.0, 1.0, 1.0), "this share of the states is overtaken by the next (1)"),
    "nan": Kind(0.02, _one_joint, "this joint's angle and the gyroscope are no numbers (FL_thigh)"),
    "impossible": Kind(0.02, _one_joint, "this joint is at 50 rad with 900 rad/s (FL_thigh)"),
    "bad_crc": Kind(LASTING, _number(0.0, 1.0, 1.0), "this share of the states has a wrong checksum (1)"),
    "truncated": Kind(LASTING, _number(0.0, 1.0, 1.0), "this share of the states ends half-way (1); a Go2 loses them"),
    "bad_head": Kind(LASTING, _number(0.0, 1.0, 1.0), "this share of the states has a wrong head (1)"),
    "reboot": Kind(0.3, _nothing, "limp and silent while it lasts, then the clock begins anew at 0"),
    "low_battery": Kind(LASTING, _number(0.0, 100.0, 10.0), "the battery says this charge, per cent (10)"),
    "cell_spread": Kind(LASTING, _number(0.0, 2.0, 0.4), "one cell is lower by this, V (0.4)"),
    "hot_motor": Kind(LASTING, _number(0.0, 125.0, 95.0), "the motor FL_thigh says this, degrees Celsius (95)"),
    "remote_stop": Kind(0.5, _nothing, "L2 and B are pressed on the remote: the joints damp meanwhile"),
    "push": Kind(0.1, _force, "a force on the trunk, N: sideways, or three numbers in the world (150)"),
    "tip_over": Kind(0.3, _number(-500.0, 500.0, 90.0), "a torque about the trunk's long axis, N m (90)"),
    "joint_stuck": Kind(LASTING, _one_joint, "this joint does not move, or these (FL_thigh)"),
    "motor_weak": Kind(LASTING, _strengths, "share of the torque that arrives: a number, or by joint or leg (0.5)"),
    "imu_frozen": Kind(
        LASTING, _one_of("all",
        "attitude", "gyroscope", "accelerometer"), "the inertial unit, or this part of it, says what it "
        "said before (all)",
    ),
    "gyro_scale": Kind(LASTING, _number(-3.0, 3.0, -1.0), "the gyroscope says its rates times this (-1)"),
    "attitude_offset": Kind(LASTING, _number(-1.5, 1.5, 0.3), "the attitude is told rolled by this, rad (0.3)"),
    "accelerometer_scale": Kind(LASTING, _number(-3.0, 3.0, 1.3), "the accelerometer says its values times this (1.3)"),
    "encoder_frozen": Kind(LASTING, _one_joint, "this joint's angle and speed stay what they were before (FL_thigh)"),
    "encoder_offset": Kind(
        LASTING, _per_joint("FL_calf", -3.0, 3.0, 0.35),
        "FL_calf's encoder, or those in a mapping, is off by this, rad, and its drive goes by it (0.35)",
    ),
    "encoder_drift": Kind(
        LASTING, _per_joint("FL_calf", -3.0, 3.0, 0.2),
        "the same, growing by this every second, rad/s (0.2)",
    ),
    "angle_offset": Kind(
        LASTING, _per_joint("FL_calf", -3.0, 3.0, 0.35),
        "FL_calf's angle, or those in a mapping, is told off by this, rad; its drive knows better (0.35)",
    ),
    "motor_off": Kind(LASTING, _one_joint, "this motor gives no torque, and says so by its mode (FL_thigh)"),
    "leg_missing": Kind(LASTING, _leg, "the motors of this leg, or joint, say nothing but zeros (FL)"),
    "no_temperature": Kind(LASTING, _one_joint, "this motor says 0 degrees Celsius (FL_thigh)"),
    "body_frozen": Kind(LASTING, _nothing, "the feet's forces and the battery stay what they were before"),
    "serial": Kind(LASTING, _serial, "the states bear this serial number (7-7)"),
    "clock_rate": Kind(LASTING, _number(0.0, 10.0, 2.0), "the robot's clock runs at this rate (2)"),
    "clock_back": Kind(LASTING, _nothing, "the robot's clock runs backwards"),
    "rarer": Kind(LASTING, _number(2.0, 100.0, 2.0), "of so many states one goes out, regularly (2)"),
    "motor_lost": Kind(
        LASTING, _number(0.0, 1e6, 1000.0),
        "the motors' counters of lost packets rise by this every tick (1000, Go2)",
    ),
    "replay": Kind(
        LASTING, _number(0.01, 10.0, 1.0),
        "the states of the last seconds, so many, come again and again under new ticks (1)",
    ),
    "second_publisher": Kind(LASTING, _nothing, "another program publishes joint commands' topic (Go2)"),
    "second_robot": Kind(LASTING, _nothing, "another robot publishes its states on the same network (Go2)"),
    "motion_service_on": Kind(0.0, _name, "the vendor's motion service of this name takes the joints (mcf, Go2)"),
}  # fmt: skip
"""What there is."""


@dataclass(frozen=True)
class InjectedFault:
    """One fault.

    Args:
        kind: of `KINDS`.
        at: s after `since`.
        lasts: s.
        since: of `MARKS`.
        value: checked, as its kind says.
    """

    kind: str
    at: float = 0.0
    lasts: float = LASTING
    since: str = "command"
    value: Any = None


def fault(entry: Mapping[str, Any]) -> InjectedFault:
    """A fault from an entry of a file.

    Raises:
        HardwareInputError: an unknown key, kind or mark, or a value that its kind does not take.
    """
    if not isinstance(entry, Mapping):
        raise HardwareInputError(f"expected a mapping with the keys {', '.join(KEYS)}, got {entry!r}")
    unknown = [str(key) for key in entry if key not in KEYS]
    if unknown:
        raise HardwareInputError(f"unknown key {unknown[0]!r}: allowed are {', '.join(KEYS)}")
    name = entry.get("kind")
    if name not in KINDS:
        raise HardwareInputError(f"kind {name!r} does not exist: kinds are {', '.join(KINDS)}")
    since = entry.get("from", "command")
    if since not in MARKS:
        raise HardwareInputError(f"{name}: from {since!r} does not exist: allowed are {', '.join(MARKS)}")
    kind = KINDS[name]
    times = {"at": entry.get("at", 0.0), "for": entry.get("for", kind.seconds)}
    for key, value in times.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise HardwareInputError(f"{name}: {key} must be seconds, at least 0, got {value!r}")
    try:
        checked = kind.value(entry.get("value"))
    except ValueError as error:
        raise HardwareInputError(f"{name}: {error}") from None
    return InjectedFault(name, float(times["at"]), float(times["for"]), since, checked)


def faults_of(content: Any) -> tuple[tuple[InjectedFault, ...], int]:
    """Faults and seed from a file's content.

    Raises:
        HardwareInputError: what is wrong, with the number of the entry.
    """
    seed = 0
    if isinstance(content, Mapping):
        unknown = [str(key) for key in content if key not in ("seed", "faults")]
        if unknown:
            raise HardwareInputError(f"unknown key {unknown[0]!r}: allowed are seed, faults")
        seed = content.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise HardwareInputError(f"seed must be a whole number, at least 0, got {seed!r}")
        content = content.get("faults", [])
    if not isinstance(content, list):
        raise HardwareInputError("expected a list of faults, such as `- {kind: silence, at: 2.0, for: 0.5}`")
    found = []
    for number, entry in enumerate(content, 1):
        try:
            found.append(fault(entry))
        except HardwareInputError as error:
            raise HardwareInputError(f"fault {number}: {error}") from None
    return tuple(found), seed


def read_faults(path: Path) -> tuple[tuple[InjectedFault, ...], int]:
    """Faults and seed from a YAML file.

    Raises:
        HardwareInputError: which file, and what in it is wrong.
    """
    content = read_yaml(path)
    try:
        return faults_of(content)
    except HardwareInputError as error:
        raise HardwareInputError(f"{path}: {error}") from None
