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
from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.chain import feet_in_base, leg_kinematics
from safebo.robots.descriptions.description import LEGS
from safebo.robots.descriptions.layout import Layout, LayoutChoices, find_layout
from safebo.robots.descriptions.pictures import draw_robot
from safebo.robots.descriptions.posture import home_pose, why_not_standing
from safebo.robots.descriptions.reading import (
    MASSLESS,
    TINY_INERTIA,
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
from safebo.robots.descriptions.shapes import find_foot, trunk_box
from safebo.robots.descriptions.skeleton import Skeleton, write_skeleton
from safebo.robots.descriptions.unitree import GO1
from safebo.types import BoolArray, FloatArray

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
    chains, radius, friction = _legs(source, layout, data, choices, notes)
    mass, com, inertia = _inertias(source.model, layout, data)
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
    actuators = _actuators(source, layout, names, size, choices, notes)
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
        torque=actuators["torque_limit"],
        armature=actuators["armature"],
        damping=actuators["damping"],
        friction=actuators["friction"],
        foot_radius=radius,
        foot_friction=friction,
        box=_box(source, layout, data, chains, height),
        imu=_imu(source.model, layout, data),
        home=home,
    )
    model = robot_from_mjcf(
        skeleton.name,
        write_skeleton(skeleton, height),
        names,
        Walking(actuators["speed_limit"], home, height),
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


def _legs(
    source: CompiledFile, layout: Layout, data: Any, choices: OwnChoices, notes: list[str]
) -> tuple[FloatArray, float, float]:
    """Axes, anchors and foot of every leg, and the feet's radius and friction."""
    chains = np.zeros((4, 7, 3))
    radii, seen, how = np.zeros(4), None, set()
    for leg, joints in enumerate(layout.joints):
        chains[leg, :3] = data.xaxis[joints] @ layout.rotation
        chains[leg, 3:6] = layout.into_trunk(data, data.xanchor[joints])
        bodies = layout.leg_bodies[leg][2]
        foot = find_foot(source.model, data, bodies, data.xanchor[joints[2]], source.colliding)
        if (foot is None or foot.how) and seen is None:  # shapes that are only seen may show more
            seen = _seen(source, layout)
        if seen is not None and (foot is None or "frame" in foot.how):
            model, kinematics, colliding = seen
            foot = find_foot(model, kinematics, bodies, kinematics.xanchor[joints[2]], colliding) or foot
        if foot is None:
            raise DescriptionError(
                source.path,
                f"nothing lies beyond the last joint of the leg: {source.joint_name(joints[2])!r}",
            )
        chains[leg, 6] = layout.into_trunk(data, foot.centre)
        radii[leg] = foot.radius
        if foot.how:
            how.add(foot.how)
    radius = float(choices.foot_radius or np.round(radii.mean(), 5))
    if how:
        notes.append(f"feet of {radius:.3g} m: {'; '.join(sorted(how))}")
    elif np.ptp(radii) > 1e-3:
        notes.append(f"feet of {few(f'{r:.3g}' for r in radii)} m; all get {radius:.3g} m")
    friction = choices.foot_friction
    if friction is None:
        friction = _foot_friction(source, layout)
    return chains, radius, float(friction)


def _seen(source: CompiledFile, layout: Layout) -> tuple[Any, Any, BoolArray]:
    """The file with all shapes: model, kinematics, colliding."""
    full = read_robot_file(source.path, visuals=True)
    data = mujoco.MjData(full.model)
    data.qpos[:] = layout.qpos
    mujoco.mj_kinematics(full.model, data)
    return full.model, data, full.colliding


def _foot_friction(source: CompiledFile, layout: Layout) -> float:
    """An MJCF says a ball's friction; a URDF none, and the Go1's feet serve."""
    model = source.model
    if source.urdf:
        return GO1.foot_friction
    bodies = {body for leg in layout.leg_bodies for body in leg[2]}
    found = [
        float(model.geom_friction[i, 0])
        for i in range(model.ngeom)
        if source.colliding[i]
        and int(model.geom_bodyid[i]) in bodies
        and model.geom_type[i] == mujoco.mjtGeom.mjGEOM_SPHERE
    ]
    return float(np.mean(found)) if found else GO1.foot_friction


def _inertias(model: Any, layout: Layout, data: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mass, centre of mass and inertia of the trunk and the twelve links, see `Skeleton`."""
    groups = [layout.trunk_bodies, *(bodies for leg in layout.leg_bodies for bodies in leg)]
    anchors = [np.zeros(3), *layout.into_trunk(data, data.xanchor[layout.joints.ravel()])]
    mass, com, inertia = np.zeros(13), np.array(anchors), np.tile(1e-9 * np.eye(3), (13, 1, 1))
    for link, bodies in enumerate(groups):
        heavy = [
            body
            for body in bodies
            if model.body_mass[body] > 1.001 * MASSLESS
            or model.body_inertia[body].max() > 1.001 * TINY_INERTIA
        ]
        if not heavy:
            continue
        masses = model.body_mass[heavy]
        centres = layout.into_trunk(data, data.xipos[heavy])
        mass[link] = masses.sum()
        com[link] = masses @ centres / mass[link]
        total = np.zeros((3, 3))
        for body, part, centre in zip(heavy, masses, centres, strict=True):
            axes = layout.rotation.T @ data.ximat[body].reshape(3, 3)
            arm = centre - com[link]
            total += axes @ np.diag(model.body_inertia[body]) @ axes.T
            total += part * (arm @ arm * np.eye(3) - np.outer(arm, arm))
        inertia[link] = total
    return mass, com, inertia


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


def _actuators(
    source: CompiledFile,
    layout: Layout,
    names: tuple[str, ...],
    size: RobotSize,
    choices: OwnChoices,
    notes: list[str],
) -> dict[str, FloatArray]:
    """Limits and friction of the joints: as chosen, from the file, or the Go1's to scale."""
    model = source.model
    joints: list[int] = layout.joints.ravel().tolist()
    dof = model.jnt_dofadr[joints]
    strength = size.mass * size.length
    torque = np.array([_torque_limit(model, joint) for joint in joints])
    speed = np.array([source.speed.get(name, source.speed.get(f"#{i}", 0.0)) for i, name in enumerate(names)])
    torques, speeds = ([getattr(j, kind) for j in GO1.joints] for kind in ("torque_limit", "speed_limit"))
    defaults = {
        "torque_limit": (torque, strength * np.array(torques), "N m"),
        "speed_limit": (speed, np.array(speeds), "rad/s"),
        "armature": (model.dof_armature[dof], strength * size.length * np.array(GO1.armature()), "kg m^2"),
        "damping": (model.dof_damping[dof], np.full(3, strength * GO1.joint_damping), "N m s/rad"),
        "friction": (model.dof_frictionloss[dof], np.full(3, strength * GO1.joint_friction), "N m"),
    }
    words = {"torque_limit": "torque limit", "speed_limit": "speed limit", "armature": "rotor inertia"}
    values, assumed = {}, []
    for key, (given, default, unit) in defaults.items():
        chosen = getattr(choices, key)
        if chosen is not None:
            values[key] = np.array(chosen, dtype=float)
            continue
        missing = ~(np.asarray(given) > 0.0)
        rounded = np.array([float(f"{value:.3g}") for value in np.tile(default, 4)])
        values[key] = np.where(missing, rounded, given)
        if missing.any():
            shown = "/".join(f"{value:g}" for value in dict.fromkeys(rounded[:3]))
            count = "" if missing.all() else f" ({int(missing.sum())} of 12 joints)"
            assumed.append(f"{words.get(key, f'joint {key}')} {shown} {unit}{count}")
    if np.any(model.jnt_stiffness[joints]):
        notes.append("left out: springs of joints")
    if assumed:
        notes.append(f"not in the file and taken from the Go1 to scale: {', '.join(assumed)}")
    return values


def _torque_limit(model: Any, joint: int) -> float:
    """A joint's torque limit in N m, both ways; 0 where the file gives none.

    The least of what the joint and its motors say, as a simulation of the file obeys both.
    """
    motors = 0.0
    for i in range(model.nu):
        if int(model.actuator_trnid[i, 0]) != joint:
            continue
        gear = abs(float(model.actuator_gear[i, 0]))
        if model.actuator_forcelimited[i]:
            motors = max(motors, gear * _both_ways(model.actuator_forcerange[i]))
        elif model.actuator_ctrllimited[i] and model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE:
            gain = abs(float(model.actuator_gainprm[i, 0]))
            motors = max(motors, gear * gain * _both_ways(model.actuator_ctrlrange[i]))
    own = _both_ways(model.jnt_actfrcrange[joint]) if model.jnt_actfrclimited[joint] else 0.0
    return min((limit for limit in (own, motors) if limit > 0.0), default=0.0)


def _both_ways(given: FloatArray) -> float:
    """What a range from below 0 to above it holds in both directions; its larger end where one of them is 0."""
    low, high = np.abs(given)
    return float(min(low, high) or max(low, high))


def _box(source: CompiledFile, layout: Layout, data: Any, chains: FloatArray, height: float) -> FloatArray:
    """Centre and half sizes of the trunk's box: around the hips and what collides of the base, clear of the ground."""
    still = [body for body in layout.trunk_bodies if _rigid_with(source.model, body, layout.base)]
    found = trunk_box(source.model, data, still, source.colliding, layout.rotation)
    hips, thick = chains[:, 3], 0.1 * height * np.array([0.0, 0.0, 1.0])
    low, high = hips.min(axis=0) - thick, hips.max(axis=0) + thick
    if found is not None:
        centre = layout.into_trunk(data, found[0] @ layout.rotation.T)
        low, high = np.minimum(low, centre - found[1]), np.maximum(high, centre + found[1])
    low[2] = max(low[2], -0.6 * height)
    high[2] = max(high[2], low[2] + 0.1 * height)
    return np.array([0.5 * (low + high), np.maximum(0.5 * (high - low), 0.01)])


def _rigid_with(model: Any, body: int, base: int) -> bool:
    """Whether no joint lies between a body and the base above it."""
    while body != base:
        if model.body_jntnum[body] or body == 0:
            return False
        body = int(model.body_parentid[body])
    return True


def _imu(model: Any, layout: Layout, data: Any) -> FloatArray:
    """Position of what is called an inertial unit on the trunk, in its frame; its origin where there is none."""
    for i in range(model.nsite):
        if "imu" in model.site(i).name.lower() and int(model.site_bodyid[i]) in layout.trunk_bodies:
            return layout.into_trunk(data, np.array(data.site_xpos[i]))
    for body in layout.trunk_bodies:
        if "imu" in model.body(body).name.lower():
            return layout.into_trunk(data, np.array(data.xpos[body]))
    return np.zeros(3)
