"""A disturbance from what a person gives: presets by name, fields as in a study, or a file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from safebo.files.reading import plain_data, read_file
from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.simulation.disturbance import PRESETS, Disturbance, preset

HELP = (
    "How the robot differs from its model: presets joined by + (`safebo robots list`), fields as in a study "
    "('{preset: paper, slope: 5}'), or a YAML file that has them, as `safebo identify --out` writes."
)
"""Of an option that takes one."""

FILES = (".yaml", ".yml")


def named_disturbance(text: str | Mapping[str, Any], size: RobotSize) -> Disturbance:
    """A disturbance of a robot of some size.

    Args:
        text: presets by name, joined by `+`; fields as a study has them, also as a text in YAML, `{payload_mass: 2}`;
            or the path of a file (`.yaml`) with such fields, by themselves or under `disturbance`.
        size: of the robot, for presets.

    Raises:
        ValueError: an unknown preset, key or value, or a file that cannot be read; says which, and what is allowed.
    """
    if isinstance(text, Mapping):
        return Disturbance.from_dict(text, size)
    if text.lstrip().startswith("{"):
        return _of_fields(plain_data(text, "--disturbance"), "--disturbance", size)
    if text.endswith(FILES):
        return _of_fields(read_file(text), text, size)
    for part in text.split("+"):
        if part not in PRESETS:
            close = difflib.get_close_matches(part, PRESETS, n=1)
            hint = f", did you mean {close[0]}" if close else ""
            raise ValueError(f"unknown disturbance {part!r}{hint}? Known are {', '.join(PRESETS)}")
    return preset(text, size)


def _of_fields(data: object, source: str, size: RobotSize) -> Disturbance:
    if isinstance(data, Mapping) and "disturbance" in data:
        data = data["disturbance"]
    if not isinstance(data, Mapping | str):
        raise ValueError(
            f"{source}: holds no disturbance: a mapping of its fields, itself or under `disturbance`"
        )
    try:
        return Disturbance.from_dict(data, size)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
