"""A robot of one's own: from a file of any make to the model that plant and controller share.

The file is compiled (`reading`), its legs are found (`layout`), and what walking needs is written down anew
(`skeleton`): four legs of three links, a ball for every foot and knee, a box for the trunk. What a file leaves open
gets a default that is scaled from the Go1's by mass and leg length, and is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import mujoco
import numpy as np

from safebo.robots.descriptions.chain import feet_in_base, leg_kinematics
from safebo.robots.descriptions.description import LEGS
from safebo.robots.descriptions.layout import Layout, LayoutChoices, find_layout
from safebo.robots.descriptions.own_actuators import joint_figures
from safebo.robots.descriptions.own_links import box, imu_position, inertias, legs
from safebo.robots.descriptions.pictures import draw_robot
from safebo.robots.descriptions.posture import home_pose, why_not_standing
from safebo.robots.descriptions.reading import (
    MASSLESS,
    CompiledFile,
    DescriptionError,
    few,
    read_robot_file,
)
from safebo.robots.descriptions.robot import (
    STANDING_SHARE,
    RobotModel,
    RobotSize,
    Walking,
    leg_lengths,
    robot_from_mjcf,
)
from safebo.robots.descriptions.skeleton import Skeleton, write_skeleton
from safebo.robots.descriptions.unitree import GO1
from safebo.types import FloatArray

GO1_MASS = GO1.trunk.mass + 4.0 * (GO1.hip.mass + GO1.thigh.mass + GO1.calf.mass)
GO1_LEG = GO1.thigh_length - GO1.foot_position[2]
LEGS_FROM, LEGS_TO = 0.03, 5.0  # m
MASS_FROM, MASS_TO = 0.1, 5000.0  # kg
_SINGULAR = 0.02  # of the leg length cubed: a Jacobian's determinant of less cannot carry the robot


@dataclass(frozen=True)
class OwnChoices:
    """What a person says of a robot beside its file; what is None or empty is taken from the file.

    Args:
        name: of the robot.
        layout: joints by leg, direction, joints that are held.
        torque_limit, speed_limit, armature, damping, friction: N m, rad/s, kg m^2, N m s/rad, N m; 12 each.
        foot_radius: m.
        foot_friction: sliding friction of a foot on the floor.
        home: joint angles of the home pose, rad, 12.
        nominal_height: height of the trunk frame while walking, m.
        size: mass and leg length over the Go1's, with which the controller's default gains are scaled.
        gains: gains that the robot wants otherwise.
    """

    name: str = ""
    layout: LayoutChoices = field(default_factory=LayoutChoices)
    torque_limit: FloatArray | None = None
    speed_limit: FloatArray | None = None
    armature: FloatArray | None = None
    damping: FloatArray | None = None
    friction: FloatArray | None = None
    foot_radius: float | None = None
    foot_friction: float | None = None
    home: FloatArray | None = None
    nominal_height: float | None = None
    size: RobotSize | None = None
    gains: Mapping[str, float] = field(default_factory=dict)

    @property
    def of_joints(self) -> dict[str, FloatArray | None]:
        """Figures of joints, by name."""
        names = ("torque_limit", "speed_limit", "armature", "damping", "friction")
        return {name: getattr(self, name) for name in names}


@dataclass(eq=False)
class OwnRobot:
    """A robot that was read, with what the reading was based on.

    Args:
        model: the robot.
        skeleton: masses, axes, limits.
        source: the compiled file.
        layout: where the robot is in it.
    """

    model: RobotModel
    skeleton: Skeleton
    source: CompiledFile
    layout: Layout


def read_own_robot(path: Path, choices: OwnChoices | None = None) -> OwnRobot:
    """Read an MJCF or URDF file.

    Raises:
        DescriptionError: the file cannot be read or holds no quadruped; a sentence that says why.
    """
    choices = choices or OwnChoices()
    source = read_robot_file(path)
    layout = find_layout(source, choices.layout)
    data = mujoco.MjData(source.model)
    data.qpos[:] = layout.qpos
    mujoco.mj_kinematics(source.model, data)
    mujoco.mj_comPos(source.model, data)
    notes = [*source.notes, *layout.notes]
    chains, radius, friction = legs(source, layout, data, choices.foot_radius, choices.foot_friction, notes)
    mass, com, inertia = inertias(source.model, layout, data)
    if mass[0] <= MASSLESS:
        raise DescriptionError(path, "its trunk has no mass: give it an <inertial>")
    _plausible(path, float(mass.sum()), float(leg_lengths(chains).mean()))
    size = choices.size or robot_size(float(mass.sum()), chains)
    joints: list[int] = layout.joints.ravel().tolist()
    limited = source.model.jnt_limited[joints].astype(bool)
    lower = np.where(limited, source.model.jnt_range[joints, 0], -np.inf)
    upper = np.where(limited, source.model.jnt_range[joints, 1], np.inf)
    if (lower >= upper).any():
        where = [source.joint_name(joints[i]) for i in np.flatnonzero(lower >= upper)]
        raise DescriptionError(path, f"the range of {few(where)} is empty: give lower below upper")
    home = _home(source, layout, chains, lower, upper, choices.home, notes)
    names = tuple(source.joint_name(joint) for joint in joints)
    _check_legs(path, chains, home)
    figures = joint_figures(source, layout, names, size, choices.of_joints, notes)
    height = choices.nominal_height or STANDING_SHARE * float(radius - feet_in_base(chains, home)[:, 2].min())
    if height <= 0:
        raise DescriptionError(path, "its feet are above its trunk in the home pose; give another home pose")
    skeleton = Skeleton(
        name=choices.name or path.stem,
        joint_names=names,
        chains=chains,
        mass=np.maximum(mass, MASSLESS),
        com=com,
        inertia=inertia,
        lower=lower,
        upper=upper,
        torque=figures["torque_limit"],
        armature=figures["armature"],
        damping=figures["damping"],
        friction=figures["friction"],
        foot_radius=radius,
        foot_friction=friction,
        box=box(source, layout, data, chains, height),
        imu=imu_position(source.model, layout, data),
        home=home,
    )
    model = robot_from_mjcf(
        skeleton.name,
        write_skeleton(skeleton, height),
        names,
        Walking(figures["speed_limit"], home, height),
        size=size,
        gains=choices.gains,
        draw=partial(draw_robot, path, choices.layout, write_skeleton(skeleton, height)),
        notes=tuple(notes),
    )
    return OwnRobot(model, skeleton, source, layout)


def _plausible(path: Path, mass: float, leg: float) -> None:
    """Figures in other units than kg and m are far from any robot's."""
    if not LEGS_FROM <= leg <= LEGS_TO:
        raise DescriptionError(path, f"its legs are {leg:.4g} m long: lengths have to be in metres")
    if not MASS_FROM <= mass <= MASS_TO:
        raise DescriptionError(path, f"its mass is {mass:.4g} kg: masses have to be in kilograms")


def robot_size(mass: float, chains: FloatArray) -> RobotSize:
    """Mass (kg) and leg length over the Go1's."""
    return RobotSize(mass / GO1_MASS, float(leg_lengths(chains).mean()) / GO1_LEG)


def _home(
    source: CompiledFile,
    layout: Layout,
    chains: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    chosen: FloatArray | None,
    notes: list[str],
) -> FloatArray:
    """The home pose: the one chosen, a keyframe that stands, or one that is computed."""
    model = source.model
    if chosen is not None:
        why = why_not_standing(chains, lower, upper, chosen)
        if why:
            raise DescriptionError(source.path, f"the home pose that was given does not stand: {why}")
        return np.array(chosen, dtype=float)
    where = model.jnt_qposadr[layout.joints.ravel()]
    keys = sorted(
        range(model.nkey), key=lambda k: not ("home" in model.key(k).name or "stand" in model.key(k).name)
    )
    reason = ""
    for key in keys:
        joints = np.array(model.key_qpos[key][where])
        why = why_not_standing(chains, lower, upper, joints)
        if not why:
            return np.clip(joints, lower, upper)
        reason = reason or f"{model.key(key).name or 'keyframe'!r}: {why}"
    home = home_pose(chains, lower, upper)
    notes.append(
        "home pose computed"
        + (
            f" (no keyframe stands; {reason})"
            if reason
            else " (the file has no keyframe)"
            if not source.urdf
            else ""
        )
    )
    why = why_not_standing(chains, lower, upper, home)
    if why:
        raise DescriptionError(
            source.path,
            f"no pose was found in which it stands within its joints' ranges: {why}; give a home pose",
        )
    return home


def _check_legs(path: Path, chains: FloatArray, home: FloatArray) -> None:
    """A leg whose foot cannot be moved in all directions cannot walk."""
    position, jacobian, axes, drift = np.empty(3), np.empty((3, 3)), np.empty((3, 3)), np.empty((2, 3))
    for leg, length in enumerate(leg_lengths(chains)):
        q = np.ascontiguousarray(home[3 * leg : 3 * leg + 3])
        leg_kinematics(chains[leg], q, np.zeros(3), position, jacobian, axes, drift)
        if abs(np.linalg.det(jacobian)) < _SINGULAR * length**3:
            raise DescriptionError(
                path,
                f"leg {LEGS[leg]}: its three joints cannot move the foot in all directions in the home pose",
            )
