"""What a laboratory may set in place of the shipped thresholds: tighter ones anywhere, looser ones only by name.

Limits that stand for a stop, or for something that has happened or not (a restart, a failed controller, another
commander), have no other threshold than the shipped one: nothing switches them off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safebo.hardware.constants import LEASE_TIMEOUT_S
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.limits import LIMITS, Limit
from safebo.hardware.yaml_file import read_yaml

RANGES: Mapping[str, tuple[float, float]] = {
    "tilt": (0.1, 1.0),
    "body_rate": (1.0, 12.0),
    "height": (0.25, 0.08),
    "joint_range": (0.0, 0.2),
    "joint_speed": (0.1, 1.2),
    "overspeed": (0.2, 2.0),
    "joint_torque": (0.3, 0.995),
    "tracking": (0.1, 1.5),
    "state_age": (0.01, 0.25),
    "state_silence": (0.02, 1.0),
    "rejected": (0.5, 10.5),
    "damaged": (1.0, 200.0),
    "command_gap": (0.005, 0.05),
    "command_silence": (0.01, 0.25),
    "cycle": (0.001, 0.01),
    "stall": (0.002, 0.05),
    "battery_low": (90.0, 15.0),
    "battery_empty": (80.0, 10.0),
    "cell_spread": (0.02, 0.5),
    "motor_warm": (40.0, 90.0),
    "motor_hot": (45.0, 100.0),
    "tuner_silence": (0.05, 0.5),
    "tuner_gone": (0.1, LEASE_TIMEOUT_S),
    "tilt_at_rest": (0.05, 0.8),
    "imu_frozen": (0.01, 0.2),
    "encoders": (0.01, 0.2),
    "encoder": (0.02, 0.5),
    "angle": (0.05, 1.0),
    "reach": (6.0, 50.0),
    "gyro": (0.01, 0.3),
    "gravity_moving": (0.4, 1.5),
    "gravity": (0.03, 0.5),
    "weight": (0.3, 5.0),
    "joint_law": (0.01, 0.5),
    "feet": (0.001, 0.1),
    "feet_slope": (0.02, 0.5),
    "strides": (0.01, 0.2),
    "state_step": (0.0021, 0.01),
    "clock_slow": (0.0019, 0.0005),
    "clock_rate": (0.02, 0.5),
    "replayed": (1.5, 50.5),
    "motor_lost": (10.0, 5000.0),
    "body_frozen": (0.2, 10.0),
    "motor_mode": (0.5, 11.5),
}
"""Tightest and loosest threshold that may be set, in the limit's unit. A limit that is missing here is fixed."""

_BY_NAME = {limit.name: limit for limit in LIMITS}
_AMOUNT = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*)")


def allowed(limit: Limit) -> str:
    """Which thresholds of a limit may be set, for people."""
    if limit.name not in RANGES:
        return "fixed"
    tightest, loosest = RANGES[limit.name]
    low, high = sorted((tightest, limit.threshold))
    way = "down to" if limit.below else "up to"
    return f"{low:g} .. {limit.amount(high)}, loosened {way} {limit.amount(loosest)}"


def with_thresholds(
    tightened: Mapping[str, Any], loosened: Mapping[str, Any] | None = None
) -> tuple[Limit, ...]:
    """The limits with some thresholds changed.

    Args:
        tightened: thresholds by name, none looser than the shipped one: numbers, or texts with the limit's unit.
        loosened: the same for limits that a person loosens knowingly.

    Raises:
        HardwareInputError: an unknown name, a threshold that is no finite number of the limit's unit or outside its
            range, a looser one in `tightened`, a tighter one in `loosened`, a limit in both.
    """
    loosened = loosened or {}
    changed: dict[str, float] = {}
    for name, given in tightened.items():
        limit, value = _limit(name), _number(_limit(name), given)
        if limit.name in RANGES and limit.looser(value) and not _beyond(limit, value):
            raise HardwareInputError(
                f"limit {name}: {limit.amount(value)} is looser than the shipped {limit.amount(limit.threshold)}, and "
                f"only tighter ones are taken here. To loosen it knowingly, start with --loosen {name}={value:g}"
            )
        changed[name] = _in_range(limit, value)
    for name, given in loosened.items():
        limit, value = _limit(name), _number(_limit(name), given)
        if name in changed:
            raise HardwareInputError(f"limit {name}: both tightened and loosened")
        changed[name] = _in_range(limit, value)
        if not limit.looser(value):
            raise HardwareInputError(
                f"--loosen {name}: {limit.amount(value)} is not looser than the shipped "
                f"{limit.amount(limit.threshold)}; use --tighten"
            )
    return tuple(replace(limit, threshold=changed.get(limit.name, limit.threshold)) for limit in LIMITS)


def assignments(option: str, pairs: Iterable[str]) -> dict[str, str]:
    """Thresholds by name from an option's `NAME=VALUE`.

    Raises:
        HardwareInputError: no such pair, or one name twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise HardwareInputError(f"{option} {pair!r}: expected NAME=VALUE, for example {option} tilt=0.4")
        if name in found:
            raise HardwareInputError(f"{option} {name}: given twice")
        found[name] = value
    return found


def read_limits(
    path: Path | None, tighten: Iterable[str] = (), loosen: Iterable[str] = ()
) -> tuple[Limit, ...]:
    """The limits with thresholds from a file and from options.

    Args:
        path: a YAML mapping of limits to tighter thresholds; None for no file.
        tighten: `NAME=VALUE` each.
        loosen: the same.

    Raises:
        HardwareInputError: what is wrong with which limit, and what is allowed.
    """
    tightened, loosened = assignments("--tighten", tighten), assignments("--loosen", loosen)
    in_file = {} if path is None else _file(path)
    for name in in_file:
        for option, given in (("--tighten", tightened), ("--loosen", loosened)):
            if name in given:
                raise HardwareInputError(f"limit {name}: both in {path} and as {option}; say it once")
    return with_thresholds({**in_file, **tightened}, loosened)


def _file(path: Path) -> Mapping[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise HardwareInputError(f"{path}: expected a mapping of limits to thresholds, such as `tilt: 0.4`")
    try:
        with_thresholds(content)  # an error names the file
    except HardwareInputError as error:
        raise HardwareInputError(f"{path}: {error}") from None
    return content


def _limit(name: str) -> Limit:
    if name not in _BY_NAME:
        raise HardwareInputError(f"unknown limit {name!r}: known are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def _number(limit: Limit, given: Any) -> float:
    """A threshold as a number; a text may hold the limit's own unit behind it."""
    text, unit = given, limit.unit
    if isinstance(given, str) and (match := _AMOUNT.fullmatch(given.strip())):
        text, unit = match[1], match[2] or limit.unit
    try:
        value = math.nan if isinstance(given, bool) else float(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value) or unit != limit.unit:
        of = f" of {limit.unit}" if limit.unit else ""
        raise HardwareInputError(f"limit {limit.name}: expected a finite number{of}, got {given!r}")
    return value


def _beyond(limit: Limit, value: float) -> bool:
    """Whether no flag allows this threshold."""
    low, high = sorted(RANGES.get(limit.name, (limit.threshold, limit.threshold)))
    return not low <= value <= high


def _in_range(limit: Limit, value: float) -> float:
    if not _beyond(limit, value):
        return value
    if limit.name not in RANGES:
        raise HardwareInputError(
            f"limit {limit.name}: {limit.amount(value)}: this limit is always {limit.amount(limit.threshold)} and "
            "cannot be changed or switched off"
        )
    raise HardwareInputError(f"limit {limit.name}: {limit.amount(value)}: allowed are {allowed(limit)}")
