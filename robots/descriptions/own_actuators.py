"""Joints of a robot that was read: limits, rotor inertia and friction, from its file or the Go1's to scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.layout import Layout
from safebo.robots.descriptions.reading import CompiledFile, few
from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.descriptions.unitree import GO1
from safebo.types import FloatArray


def joint_figures(
    source: CompiledFile,
    layout: Layout,
    names: tuple[str, ...],
    size: RobotSize,
    choices: Mapping[str, FloatArray | None],
    notes: list[str],
) -> dict[str, FloatArray]:
    """Limits and friction of the joints: as chosen, from the file, or the Go1's to scale.

    Args:
        source: the compiled file.
        layout: where the robot is in it.
        names: of its twelve joints.
        size: mass and leg length over the Go1's.
        choices: by figure, what was chosen, 12 each; None for what the file says.
        notes: gets what is left out or assumed.
    """
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
        chosen = choices[key]
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
    idle = [name for name, joint in zip(names, joints, strict=True) if not _motors(model, joint)]
    if model.nu and idle:
        notes.append(
            f"no motor of the file drives {few(idle)}: taken as driven, for every joint of a leg is here"
        )
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
    for i in _motors(model, joint):
        gear = abs(float(model.actuator_gear[i, 0]))
        if model.actuator_forcelimited[i]:
            motors = max(motors, gear * _both_ways(model.actuator_forcerange[i]))
        elif model.actuator_ctrllimited[i] and model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE:
            gain = abs(float(model.actuator_gainprm[i, 0]))
            motors = max(motors, gear * gain * _both_ways(model.actuator_ctrlrange[i]))
    own = _both_ways(model.jnt_actfrcrange[joint]) if model.jnt_actfrclimited[joint] else 0.0
    return min((limit for limit in (own, motors) if limit > 0.0), default=0.0)


def _motors(model: Any, joint: int) -> list[int]:
    """Actuators that act on a joint; one of gear 0 does not. Those of tendons and sites were taken out."""
    return [
        i for i in range(model.nu) if int(model.actuator_trnid[i, 0]) == joint and model.actuator_gear[i, 0]
    ]


def _both_ways(given: FloatArray) -> float:
    """What a range from below 0 to above it holds in both directions; its larger end where one of them is 0."""
    low, high = np.abs(given)
    return float(min(low, high) or max(low, high))
