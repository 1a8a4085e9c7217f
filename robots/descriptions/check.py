"""Whether a robot that was read is what its file says and can stand: two engines, the file, and sense compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
import pinocchio

from safebo.robots.descriptions.chain import leg_kinematics
from safebo.robots.descriptions.description import LEGS
from safebo.robots.descriptions.own import OwnRobot
from safebo.robots.descriptions.plausible import implausible
from safebo.robots.descriptions.robot import RobotModel, leg_lengths
from safebo.types import FloatArray

TOLERANCE = 1e-8
"""Largest difference between two engines, over the largest entry of what is compared."""
GRAVITY = 9.81
_STATES = 10
_SLOWEST, _FASTEST = 2.0, 120.0  # rad/s
_PLACEHOLDER = 50.0  # times what standing on two legs takes: a motor like that is nobody's


@dataclass
class RobotCheck:
    """What a check found.

    Args:
        problems: one sentence each, with what mends it.
        facts: one line each.
        differences: largest relative difference by what was compared.
    """

    problems: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    differences: dict[str, float] = field(default_factory=dict)


def check_own_robot(own: OwnRobot, seed: int = 0) -> RobotCheck:
    """Compare MuJoCo, Pinocchio, the legs' own kinematics and the file, and look whether the figures make sense."""
    found = RobotCheck()
    rng = np.random.default_rng(seed)
    found.differences = {**compare_engines(own.model, rng), **_compare_with_file(own, rng)}
    for what, difference in found.differences.items():
        if not difference < TOLERANCE:
            found.problems.append(
                f"{what} differ by {difference:.2g} (relative): something of the file is not carried over; please "
                "report it with the file"
            )
    found.problems += [f"{note}" for note in own.model.notes]
    found.problems += _strength(own.model)
    found.problems += implausible(own.skeleton)
    found.facts = _facts(own)
    return found


def random_state(
    robot: RobotModel, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Joint angles `12` within their ranges, joint speeds `12`, a quaternion w, x, y, z, base velocity `6`."""
    low, high = np.maximum(robot.joint_lower, -np.pi), np.minimum(robot.joint_upper, np.pi)
    low, high = np.where(low < high, low, robot.joint_lower), np.where(low < high, high, robot.joint_upper)
    quaternion = rng.normal(size=4)
    return (
        rng.uniform(low, high),
        rng.normal(0, 2, 12),
        quaternion / np.linalg.norm(quaternion),
        rng.normal(size=6),
    )


def compare_engines(robot: RobotModel, rng: np.random.Generator) -> dict[str, float]:
    """Largest relative differences between MuJoCo, Pinocchio and the legs' kinematics at random states."""
    plant, model = robot.load_mujoco(), robot.load_pinocchio()
    plant.dof_damping[:] = 0.0
    plant.dof_frictionloss[:] = 0.0
    state, data = mujoco.MjData(plant), model.createData()
    at, where = robot.mujoco_index(plant), robot.pinocchio_index(model)
    worst = {"mass matrices": 0.0, "bias forces": 0.0, "feet": 0.0, "Jacobians of the feet": 0.0}
    position, jacobian, axes, drift = np.empty(3), np.empty((3, 3)), np.empty((3, 3)), np.empty((2, 3))
    for _ in range(_STATES):
        joints, speeds, quaternion, velocity = random_state(robot, rng)
        state.qpos[:] = 0.0
        state.qpos[at.base_qpos + 3 : at.base_qpos + 7] = quaternion
        state.qpos[at.qpos] = joints
        state.qvel[at.base_dof : at.base_dof + 6] = velocity
        state.qvel[at.dof] = speeds
        mujoco.mj_forward(plant, state)
        mass = np.zeros((18, 18))
        mujoco.mj_fullM(plant, state, mass)
        rotation = state.xmat[at.base_body].reshape(3, 3)
        # MuJoCo's free joint moves along the world's axes, Pinocchio's along the base's
        turn = np.zeros((18, 18))
        turn[:3, at.base_dof : at.base_dof + 3] = rotation.T
        turn[3:6, at.base_dof + 3 : at.base_dof + 6] = np.eye(3)
        turn[where.v, at.dof] = 1.0
        q, v, acceleration = pinocchio.neutral(model), turn @ state.qvel, np.zeros(18)
        q[3:7], q[where.q] = np.roll(quaternion, -1), joints
        acceleration[:3] = -np.cross(v[3:6], v[:3])
        upper = np.triu(pinocchio.crba(model, data, q))
        _worse(worst, "mass matrices", turn.T @ (upper + np.triu(upper, 1).T) @ turn, mass)
        bias = turn.T @ pinocchio.rnea(model, data, q, v, acceleration)
        _worse(worst, "bias forces", bias, state.qfrc_bias)
        pinocchio.computeJointJacobians(model, data, q)
        pinocchio.updateFramePlacements(model, data)
        for leg in range(4):
            part = slice(3 * leg, 3 * leg + 3)
            leg_kinematics(robot.chains[leg], joints[part], speeds[part], position, jacobian, axes, drift)
            frame = int(where.foot_frame[leg])
            _worse(worst, "feet", rotation @ position, data.oMf[frame].translation)
            _worse(worst, "feet", rotation @ position, state.geom_xpos[at.foot_geom[leg]])
            kind = pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
            full = pinocchio.getFrameJacobian(model, data, frame, kind)[:3, where.v[part]]
            _worse(worst, "Jacobians of the feet", rotation @ jacobian, full)
    return worst


def _compare_with_file(own: OwnRobot, rng: np.random.Generator) -> dict[str, float]:
    """The same robot as the file has it: feet, and mass matrix of the legs' joints, with the rest held still."""
    model, layout, robot = own.source.model, own.layout, own.model
    data, joints = mujoco.MjData(model), layout.joints.ravel()
    at, dof = model.jnt_qposadr[joints], model.jnt_dofadr[joints]
    plant = robot.load_mujoco()
    state, index = mujoco.MjData(plant), robot.mujoco_index(plant)
    last = model.jnt_bodyid[layout.joints[:, 2]]
    data.qpos[:] = layout.qpos
    mujoco.mj_kinematics(model, data)
    feet = robot.chains[:, 6] @ layout.rotation.T + data.xpos[layout.base] + layout.shift
    inside = [
        data.xmat[b].reshape(3, 3).T @ (foot - data.xpos[b]) for b, foot in zip(last, feet, strict=True)
    ]
    worst = {"feet in the file": 0.0, "mass matrices of the legs in the file": 0.0}
    for _ in range(_STATES):
        angles, _, _, _ = random_state(robot, rng)
        data.qpos[at] = angles
        mujoco.mj_forward(model, data)
        there = [
            layout.into_trunk(data, data.xpos[b] + data.xmat[b].reshape(3, 3) @ p)
            for b, p in zip(last, inside, strict=True)
        ]
        _worse(worst, "feet in the file", np.array(there), robot.foot_positions(angles))
        full, ours = np.zeros((model.nv, model.nv)), np.zeros((18, 18))
        mujoco.mj_fullM(model, data, full)
        state.qpos[index.qpos] = angles
        mujoco.mj_forward(plant, state)
        mujoco.mj_fullM(plant, state, ours)
        legs = full[np.ix_(dof, dof)] - np.diag(model.dof_armature[dof])
        mine = ours[np.ix_(index.dof, index.dof)] - np.diag(plant.dof_armature[index.dof])
        # a link without mass stands with a millionth of a kilogram in the model
        _worse(worst, "mass matrices of the legs in the file", legs, mine, slack=1e-6)
    return worst


def _worse(worst: dict[str, float], what: str, one: Any, other: Any, slack: float = 0.0) -> None:
    scale = max(float(np.abs(other).max()), 1e-9)
    difference = float(np.abs(np.asarray(one) - np.asarray(other)).max()) - slack
    worst[what] = max(worst[what], difference / scale)


def standing_torques(robot: RobotModel) -> FloatArray:
    """Torques `12` with which two legs in the home pose carry the robot, N m: half of the weight on each foot."""
    position, jacobian, axes, drift = np.empty(3), np.empty((3, 3)), np.empty((3, 3)), np.empty((2, 3))
    torques = np.zeros(12)
    for leg in range(4):
        part = slice(3 * leg, 3 * leg + 3)
        q = np.ascontiguousarray(robot.home_joints[part])
        leg_kinematics(robot.chains[leg], q, np.zeros(3), position, jacobian, axes, drift)
        torques[part] = np.abs(jacobian[2]) * 0.5 * robot.mass * GRAVITY
    return torques


def _strength(robot: RobotModel) -> list[str]:
    need, have = standing_torques(robot), robot.torque_limit
    problems = []
    weak = np.flatnonzero(need > have)
    if len(weak):
        i = int(weak[np.argmax((need - have)[weak])])
        problems.append(
            f"joint {robot.joint_names[i]!r} has {have[i]:g} N m and needs {need[i]:.3g} N m to carry the robot on two "
            "legs in the home pose: check mass and torque limit, or give a home pose with straighter legs"
        )
    odd = np.flatnonzero((robot.speed_limit > _FASTEST) | (robot.speed_limit < _SLOWEST))
    if len(odd):
        i = int(odd[0])
        problems.append(
            f"speed limit of joint {robot.joint_names[i]!r} is {robot.speed_limit[i]:g} rad/s, that of built robots "
            "7 to 50: it has to be in rad/s"
        )
    knees = slice(2, 12, 3)
    if (have[knees] > _PLACEHOLDER * need[knees].max()).all():
        problems.append(
            f"torque limits of {have[2]:g} N m are {have[2] / need[2]:.0f} times what standing takes and look like "
            "placeholders: margins about torque mean nothing until they are the motors'"
        )
    return problems


def _facts(own: OwnRobot) -> list[str]:
    robot, bones = own.model, own.skeleton
    lengths = leg_lengths(robot.chains)
    lines = [
        f"{robot.name}: {robot.mass:.2f} kg, trunk {bones.mass[0]:.2f} kg; faces along "
        f"{own.layout.forward} of the file's axes",
        f"legs {lengths.mean():.3f} m from thigh joint to foot, feet of {robot.foot_radius:.4g} m, friction "
        f"{bones.foot_friction:g}",
        f"home pose: base {robot.standing_height(robot.home_joints):.3f} m high, walks at {robot.nominal_height:.3f} "
        f"m; default gains to scale with {robot.size.mass:.3g} times the Go1's mass, {robot.size.length:.3g} times its "
        "legs",
    ]
    for i, name in enumerate(robot.joint_names):
        low, high = robot.joint_lower[i], robot.joint_upper[i]
        span = f"{low:.3f} .. {high:.3f} rad" if np.isfinite(low) else "no limit"
        lines.append(
            f"{LEGS[i // 3]} {('hip', 'thigh', 'calf')[i % 3]:5s} {name}: {span}, home {robot.home_joints[i]:.3f}, "
            f"{robot.torque_limit[i]:g} N m, {robot.speed_limit[i]:g} rad/s"
        )
    return lines
