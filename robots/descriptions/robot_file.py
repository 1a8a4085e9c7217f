"""Robot files: a description's path and what a person knows of the robot beside it, in YAML that can be edited.

Every key but `description` may be left out: it is then read from the description, or assumed and said, as for a
description that is given without a robot file.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from safebo.files.problems import did_you_mean, shown
from safebo.files.reading import read_file
from safebo.robots.descriptions.description import LEGS
from safebo.robots.descriptions.layout import HEADINGS, LayoutChoices
from safebo.robots.descriptions.own import OwnChoices, OwnRobot, read_own_robot
from safebo.robots.descriptions.robot import RobotSize
from safebo.types import FloatArray

SUFFIXES = (".yaml", ".yml")
FOLDER_VARIABLE = "SAFEBO_ROBOTS"
"""Environment variable that names one more folder of robot files."""
PROJECT_FOLDER = "robots"
"""Folder of robot files in the working folder."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_ACTUATORS = {
    "torque_limit": "N m",
    "speed_limit": "rad/s",
    "armature": "kg m^2",
    "damping": "N m s/rad",
    "friction": "N m",
}
_KEYS = ("name", "description", "forward", "joints", "held", "feet", "actuators", "pose", "gains")


def user_folder() -> Path:
    """Where a person's own robot files lie, for all projects."""
    data = os.environ.get("XDG_DATA_HOME")
    return Path(data if data else Path.home() / ".local" / "share") / "safebo" / "robots"


def robot_folders() -> list[Path]:
    """Folders in which a robot's name is looked for, in this order."""
    given = os.environ.get(FOLDER_VARIABLE)
    return [*([Path(given)] if given else []), Path(PROJECT_FOLDER), user_folder()]


def named_robot_file(name: str) -> Path | None:
    """The robot file of that name; None where there is none."""
    if NAME.fullmatch(name):
        for folder in robot_folders():
            for suffix in SUFFIXES:
                path = folder / f"{name}{suffix}"
                if path.is_file():
                    return path
    return None


def known_robot_files() -> dict[str, Path]:
    """All robot files that have a name, by name."""
    found: dict[str, Path] = {}
    for folder in robot_folders():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.suffix in SUFFIXES and path.is_file():
                    found.setdefault(path.stem, path)
    return found


def read_robot(path: Path) -> OwnRobot:
    """The robot of a robot file.

    Raises:
        ValueError: the file, its key and value, and what is allowed; or the description cannot be used.
    """
    description, choices = read_choices(path)
    return read_own_robot(description, choices)


def read_choices(path: Path) -> tuple[Path, OwnChoices]:
    """The description's path and what a robot file says beside it.

    Raises:
        ValueError: the file, its key and value, and what is allowed.
    """
    content = read_file(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected a mapping with at least `description: FILE`")
    keys = _Keys(path)
    keys.known(content, "", _KEYS)
    given = content.get("description")
    if not isinstance(given, str) or not given.strip():
        raise keys.wrong("description", given, "the path of an MJCF or URDF file")
    description = Path(path.parent, Path(given).expanduser())
    if not description.exists():
        raise keys.wrong("description", given, f"an existing MJCF or URDF file; there is no {description}")
    name = content.get("name", path.stem)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise keys.wrong("name", name, "letters, digits, `_`, `-` and `.`")
    feet = keys.mapping(content, "feet", ("radius", "friction"))
    actuators = keys.mapping(content, "actuators", tuple(_ACTUATORS))
    pose = keys.mapping(content, "pose", ("home", "height"))
    gains = keys.mapping(content, "gains", ("scale", "values"))
    layout = LayoutChoices(
        joints=keys.joints(content.get("joints")),
        forward=keys.one_of("forward", content.get("forward"), tuple(HEADINGS)),
        held=keys.numbers_by_name("held", content.get("held")),
    )
    return description, OwnChoices(
        name=name,
        layout=layout,
        foot_radius=keys.number("feet.radius", feet.get("radius"), 1e-4, 1.0, "m"),
        foot_friction=keys.number("feet.friction", feet.get("friction"), 1e-6, 10.0, ""),
        home=keys.per_joint("pose.home", pose.get("home"), -100.0, 100.0, "rad"),
        nominal_height=keys.number("pose.height", pose.get("height"), 1e-3, 10.0, "m"),
        size=keys.size(gains.get("scale")),
        gains=keys.numbers_by_name("gains.values", gains.get("values")),
        **{
            key: keys.per_joint(f"actuators.{key}", actuators.get(key), _least(key), 1e6, unit)
            for key, unit in _ACTUATORS.items()
        },
    )


def _least(key: str) -> float:
    return 1e-6 if key.endswith("_limit") else 0.0


class _Keys:
    """Reads values of one file and says where a wrong one stands."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def wrong(self, key: str, value: object, allowed: str) -> ValueError:
        return ValueError(f"{self._path}: {key}: {shown(value)} is not allowed; expected {allowed}")

    def known(self, value: Mapping[Any, Any], where: str, allowed: Sequence[str]) -> None:
        for key in value:
            if key not in allowed:
                hint = did_you_mean(key, allowed)
                place = f"{where}: " if where else ""
                raise ValueError(f"{self._path}: {place}unknown key {shown(key)}{hint}")

    def mapping(self, content: Mapping[Any, Any], key: str, allowed: Sequence[str]) -> Mapping[str, Any]:
        value = content.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.wrong(key, value, f"a mapping with {', '.join(allowed)}")
        self.known(value, key, allowed)
        return value

    def number(self, key: str, value: object, low: float, high: float, unit: str) -> float | None:
        if value is None:
            return None
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        if not good:
            raise self.wrong(key, value, f"a number from {low:g} to {high:g}{f' {unit}' if unit else ''}")
        return float(value)  # type: ignore[arg-type]

    def one_of(self, key: str, value: object, allowed: Sequence[str]) -> str | None:
        if value is not None and value not in allowed:
            raise self.wrong(key, value, f"one of {', '.join(allowed)}")
        return None if value is None else str(value)

    def numbers_by_name(self, key: str, value: object) -> dict[str, float]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.wrong(key, value, "a mapping of names to numbers")
        found = {}
        for name, item in value.items():
            if not isinstance(item, (int, float)) or isinstance(item, bool) or not math.isfinite(item):
                raise self.wrong(f"{key}.{name}", item, "a number")
            found[str(name)] = float(item)
        return found

    def joints(self, value: object) -> dict[str, tuple[str, ...]]:
        if value is None:
            return {}
        wanted = "three joint names, from the trunk outwards"
        if not isinstance(value, Mapping) or set(value) != set(LEGS):
            raise self.wrong("joints", value, f"a mapping of {', '.join(LEGS)} to {wanted}")
        for leg in LEGS:
            names = value[leg]
            if (
                not isinstance(names, Sequence)
                or isinstance(names, str)
                or len(names) != 3
                or not all(isinstance(name, str) for name in names)
            ):
                raise self.wrong(f"joints.{leg}", names, wanted)
        return {leg: tuple(value[leg]) for leg in LEGS}

    def per_joint(self, key: str, value: object, low: float, high: float, unit: str) -> FloatArray | None:
        """Twelve values from a number, three for hip, thigh and calf, or three for each leg."""
        if value is None:
            return None
        if isinstance(value, Mapping):
            if set(value) != set(LEGS):
                raise self.wrong(key, value, f"three numbers for each of {', '.join(LEGS)}")
            return np.concatenate([self._three(f"{key}.{leg}", value[leg], low, high, unit) for leg in LEGS])
        return np.tile(self._three(key, value, low, high, unit), 4)

    def _three(self, key: str, value: object, low: float, high: float, unit: str) -> FloatArray:
        items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value] * 3
        if len(items) != 3:
            raise self.wrong(key, value, f"one number or three (hip, thigh, calf), {unit}")
        numbers = [self.number(key, item, low, high, unit) for item in items]
        if any(number is None for number in numbers):
            raise self.wrong(key, value, f"one number or three (hip, thigh, calf), {unit}")
        return np.array(numbers, dtype=float)

    def size(self, value: object) -> RobotSize | None:
        if value is None:
            return None
        if not isinstance(value, Mapping) or set(value) != {"mass", "length"}:
            raise self.wrong("gains.scale", value, "mass and length, each over the Go1's")
        mass = self.number("gains.scale.mass", value["mass"], 1e-3, 1e3, "")
        length = self.number("gains.scale.length", value["length"], 1e-2, 1e2, "")
        if mass is None or length is None:
            raise self.wrong("gains.scale", value, "mass and length, each over the Go1's")
        return RobotSize(mass, length)


def write_robot_file(own: OwnRobot, name: str, folder: Path, replace: bool = False) -> Path:
    """Write down what was read of a robot, to be edited; returns where.

    Raises:
        ValueError: a name that is none, or a file that is there already.
        OSError: it cannot be written.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"--name {shown(name)}: letters, digits, `_`, `-` and `.`, at most 64, are allowed")
    path = folder / f"{name}.yaml"
    if path.exists() and not replace:
        raise ValueError(f"{path} exists; give another --name, or --replace to write it anew")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(robot_file_text(own, name, folder), encoding="utf-8")
    return path


def robot_file_text(own: OwnRobot, name: str, folder: Path) -> str:
    """A robot file with everything that was found."""
    model, bones = own.model, own.skeleton
    description = own.source.path.resolve()
    place = folder.resolve()
    shown_path = description.relative_to(place) if description.is_relative_to(place) else description
    held = _held(own)
    notes = "".join(f"# - {note}\n" for note in model.notes)
    joints = np.array(model.joint_names).reshape(4, 3)
    return f"""# A robot for safebo, written from its description. Correct here what is wrong; a key that is deleted is
# read from the description again. Units: m, kg, rad, N m, s.
{f"# Noted while it was read:{chr(10)}{notes}" if notes else ""}name: {name}
description: {_quoted(str(shown_path))}  # MJCF or URDF; a relative path is one beside this file
forward: "{own.layout.forward}"  # which way it faces in the description's axes: +x, -x, +y or -y
joints:  # hip, thigh and calf joint of every leg, from the trunk outwards
{_by_leg([f"[{', '.join(_quoted(joint) for joint in row)}]" for row in joints])}
{held}feet:
  radius: {_figure(bones.foot_radius)}
  friction: {_figure(bones.foot_friction)}  # of a foot on the floor, whatever the floor's is
actuators:  # one number, [hip, thigh, calf], or three for each leg
{_actuator("torque_limit", model.torque_limit, "N m")}
{_actuator("speed_limit", model.speed_limit, "rad/s, without load")}
{_actuator("armature", bones.armature, "rotor inertia felt at the joint, kg m^2")}
{_actuator("damping", bones.damping, "viscous friction, N m s/rad")}
{_actuator("friction", bones.friction, "dry friction, N m")}
pose:
  home:  # angles in which it stands, rad
{_by_leg([_list(row) for row in model.home_joints.reshape(4, 3)], "    ")}
  height: {_figure(model.nominal_height)}  # of the base frame over the floor while walking
gains:
  scale: {{mass: {_figure(model.size.mass)}, length: {_figure(model.size.length)}}}  # over the Go1's: default gains \
go with it
  values: {{}}  # gains of its own, by the names of `safebo robots gains`
"""


def _held(own: OwnRobot) -> str:
    items = [f"{_quoted(name)}: {_figure(value)}" for name, value in own.layout.held.items()]
    return f"held: {{{', '.join(items)}}}  # joints beside the legs', and their angles\n" if items else ""


def _by_leg(rows: Sequence[str], indent: str = "  ") -> str:
    return "\n".join(f"{indent}{leg}: {row}" for leg, row in zip(LEGS, rows, strict=True))


def _actuator(key: str, values: FloatArray, what: str) -> str:
    rows = values.reshape(4, 3)
    if np.ptp(rows, axis=0).max() == 0.0:
        return f"  {key}: {_list(rows[0])}  # {what}"
    return f"  {key}:  # {what}\n{_by_leg([_list(row) for row in rows], '    ')}"


def _list(values: Sequence[float] | FloatArray) -> str:
    return f"[{', '.join(_figure(value) for value in values)}]"


def _figure(value: float) -> str:
    return f"{float(value):.8g}"


_PLAIN: Callable[[str], Any] = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*").fullmatch
_RESERVED = ("null", "true", "false", "~")


def _quoted(text: str) -> str:
    """A text as YAML takes it."""
    if _PLAIN(text) and text.lower() not in _RESERVED:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
