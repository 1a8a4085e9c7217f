"""Robots by name or by path: those that come with this package, robot files, and descriptions of any make."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from safebo.files.problems import did_you_mean, shown
from safebo.robots.descriptions.description import JOINT_TYPES, LEGS
from safebo.robots.descriptions.mjcf import write_mjcf
from safebo.robots.descriptions.own import OwnRobot, read_own_robot, robot_size
from safebo.robots.descriptions.published import ROBOTS
from safebo.robots.descriptions.robot import (
    MujocoIndex,
    PinocchioIndex,
    RobotModel,
    RobotSize,
    Walking,
    robot_from_mjcf,
)
from safebo.robots.descriptions.robot_file import (
    SUFFIXES,
    known_robot_files,
    named_robot_file,
    read_robot,
    robot_folders,
)

__all__ = [
    "MujocoIndex",
    "PinocchioIndex",
    "RobotModel",
    "RobotSize",
    "load_robot",
    "own_robot",
    "shipped_robot",
]


def load_robot(robot: str | Path) -> RobotModel:
    """A robot by its name, or from the path of a robot file or of an MJCF or URDF file.

    Names are those of the robots that come with this package, and of robot files in the folders of
    `safebo.robots.descriptions.robot_file.robot_folders`.

    Raises:
        ValueError: unknown robot, or a file that cannot be used; the message says why.
    """
    name = str(robot)
    if name in ROBOTS:
        return shipped_robot(name)
    return own_robot(robot).model


def own_robot(robot: str | Path) -> OwnRobot:
    """A robot that does not come with this package, with how it was read; see `load_robot`.

    Raises:
        ValueError: unknown robot, or a file that cannot be used; the message says why.
    """
    text = str(robot)
    path = named_robot_file(text) or Path(robot).expanduser()
    if not path.exists():
        known = [*ROBOTS, *known_robot_files()]
        if "/" in text or path.suffix:
            raise ValueError(f"robot {shown(text)}: no such file")
        folders = ", ".join(str(folder) for folder in robot_folders())
        raise ValueError(
            f"robot {shown(text)}: no robot of that name{did_you_mean(text, known)}; robot files are looked for in "
            f"{folders}; a robot of your own is given as the path of its MJCF or URDF file"
        )
    return read_robot(path) if path.suffix in SUFFIXES else read_own_robot(path)


def shipped_robot(name: str) -> RobotModel:
    """A robot whose description comes with this package."""
    description = ROBOTS[name]
    walking = Walking(
        np.array([joint.speed_limit for joint in description.joints] * 4),
        np.array(description.home()),
        description.nominal_height,
    )
    names = tuple(f"{leg}_{kind}_joint" for leg in LEGS for kind in JOINT_TYPES)
    robot = robot_from_mjcf(name, write_mjcf(description), names, walking, draw=partial(_drawn, name))
    return replace(robot, size=robot_size(robot.mass, robot.chains)) if description.gains_to_scale else robot


def _drawn(name: str) -> Any:
    return mujoco.MjSpec.from_string(write_mjcf(ROBOTS[name], drawn=True))
