"""A quadruped, described once and loaded twice: MuJoCo's plant and the controller's Pinocchio model.

Everything outside this module speaks of legs and joints in the order of `RobotModel.joint_names` (leg by leg:
hip, thigh, calf). Where a joint sits inside an engine is looked up by its name.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
import pinocchio

from safebo.robots.descriptions.chain import feet_in_base, joint_places
from safebo.robots.descriptions.description import LEGS
from safebo.robots.descriptions.mjcf import TIMESTEP
from safebo.types import FloatArray, IntArray

STANDING_SHARE = 0.94
"""Height of the trunk while walking, as a share of its height in the home pose, where nothing else is known."""
STANCE_SHIFT = 0.05
"""A home pose whose feet are further from under their thigh joints, in leg lengths, says where the feet belong."""


@dataclass(frozen=True, eq=False)
class MujocoIndex:
    """Where MuJoCo keeps the robot: indices into qpos, qvel and ctrl, in robot order."""

    qpos: IntArray
    dof: IntArray
    actuator: IntArray
    base_qpos: int
    base_dof: int
    base_body: int
    foot_geom: IntArray
    floor_geoms: IntArray


@dataclass(frozen=True, eq=False)
class PinocchioIndex:
    """Where Pinocchio keeps the robot: indices into q and v and foot frame ids, in robot order."""

    q: IntArray
    v: IntArray
    foot_frame: IntArray


class RobotSize(NamedTuple):
    """How large a robot is beside the one for which the controller's gains were chosen, a Go1.

    Args:
        mass: its mass over the Go1's.
        length: its legs' length over the Go1's.
    """

    mass: float = 1.0
    length: float = 1.0


@dataclass(frozen=True, eq=False)
class RobotModel:
    """A quadruped with twelve joints: what the plant and the controller have to know.

    Angles in rad, lengths in m, torques in N m, speeds in rad/s, masses in kg. Arrays over joints have 12
    entries in the order of `joint_names`; arrays over legs have 4 in the order of `legs`.

    Args:
        name: shown in messages.
        mjcf: physical description, one text for both engines.
        joint_names: the twelve joints as the description names them.
        chains: axes, anchors and foot of every leg, see `safebo.robots.descriptions.chain`, 4 x 7 x 3.
        stance_points: where the feet stand under a level trunk, in its frame, 4 x 3.
        foot_radius: radius of the foot's ball.
        home_joints: joint angles of the home pose, 12.
        nominal_height: height of the trunk frame above the floor while walking.
        torque_limit, speed_limit: 12 each.
        joint_lower, joint_upper: 12 each; infinite where a joint turns without end.
        mass: total.
        timestep: of the description, s.
        legs: FL, FR, RL, RR.
        imu_position: of the inertial unit in the trunk frame (site `imu`; the origin when there is none), 3.
        size: what the controller's default gains are scaled with.
        gains: gains that this robot wants otherwise than the scaled defaults.
        draw: gives a `mujoco.MjSpec` of the same robot with shapes to look at; None where `mjcf` has all there are.
        notes: what was assumed or left out when the robot was read, one sentence each.
    """

    name: str
    mjcf: str = field(repr=False)
    joint_names: tuple[str, ...]
    chains: FloatArray = field(repr=False)
    stance_points: FloatArray = field(repr=False)
    foot_radius: float
    home_joints: FloatArray
    nominal_height: float
    torque_limit: FloatArray
    speed_limit: FloatArray
    joint_lower: FloatArray
    joint_upper: FloatArray
    mass: float
    timestep: float = TIMESTEP
    legs: tuple[str, ...] = LEGS
    imu_position: FloatArray = field(default_factory=lambda: np.zeros(3))
    size: RobotSize = field(default_factory=RobotSize)
    gains: Mapping[str, float] = field(default_factory=dict)
    draw: Callable[[], Any] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def leg_length(self) -> float:
        """Thigh and calf in a line, from thigh joint to foot, m: the mean of the legs."""
        return float(leg_lengths(self.chains).mean())

    def load_mujoco(self, drawn: bool = False) -> Any:
        """A fresh `mujoco.MjModel`; `drawn` gives the one for pictures."""
        if drawn and self.draw is not None:
            return self.draw().compile()
        return copy.copy(_mujoco_from_text(self.mjcf))

    def load_spec(self, drawn: bool = False) -> Any:
        """A fresh `mujoco.MjSpec`, to which more can be added; `drawn` gives the one for pictures."""
        if drawn and self.draw is not None:
            return self.draw()
        return mujoco.MjSpec.from_string(self.mjcf)

    def load_pinocchio(self) -> Any:
        """A fresh `pinocchio.Model` with a floating base. Its armature includes the rotors'."""
        return _pinocchio_from_text(self.mjcf).copy()

    def mujoco_index(self, model: Any) -> MujocoIndex:
        """Indices of this robot in a MuJoCo model, looked up by name."""
        return _mujoco_index(model, self.joint_names, self.name)

    def pinocchio_index(self, model: Any) -> PinocchioIndex:
        """Indices of this robot in a Pinocchio model, looked up by name."""
        existing = list(model.names)
        joints = [model.joints[existing.index(name)] for name in self.joint_names]
        return PinocchioIndex(
            q=np.array([joint.idx_q for joint in joints]),
            v=np.array([joint.idx_v for joint in joints]),
            foot_frame=np.array(
                [model.getFrameId(f"{leg}_foot", pinocchio.FrameType.OP_FRAME) for leg in self.legs]
            ),
        )

    def foot_positions(self, joint_position: FloatArray) -> FloatArray:
        """Centres of the feet in the trunk frame, 4 x 3, for joint angles (12)."""
        return feet_in_base(self.chains, np.ascontiguousarray(joint_position, dtype=float))

    def standing_height(self, joint_position: FloatArray) -> float:
        """Height of a level trunk at which the lowest foot just touches the floor, m."""
        return float(self.foot_radius - self.foot_positions(joint_position)[:, 2].min())


def leg_lengths(chains: FloatArray) -> FloatArray:
    """From thigh joint to knee and on to the foot, of every leg, m, `4`, for legs `4 x 7 x 3`."""
    thigh = np.linalg.norm(chains[:, 5] - chains[:, 4], axis=1)
    return np.asarray(thigh + np.linalg.norm(chains[:, 6] - chains[:, 5], axis=1))


def stance_points(chains: FloatArray, home: FloatArray) -> FloatArray:
    """Where the feet stand: under the thigh joints as the home pose has them, `4 x 3`, m, trunk frame.

    Lengthwise it is straight under the joint, unless the home pose puts the foot clearly somewhere else; sideways it
    is where the home pose has the foot, which the width of the leg decides.
    """
    points = feet_in_base(chains, np.ascontiguousarray(home, dtype=float))
    lengths = leg_lengths(chains)
    for leg in range(4):
        _, anchors = joint_places(chains[leg], home[3 * leg : 3 * leg + 3])
        if abs(points[leg, 0] - anchors[1, 0]) < STANCE_SHIFT * lengths[leg]:
            points[leg, 0] = anchors[1, 0]
    return points


class Walking(NamedTuple):
    """What a description's text does not say.

    Args:
        speed_limit: rad/s, 12.
        home_joints: rad, 12.
        nominal_height: m; 0: a share of the height in the home pose.
    """

    speed_limit: FloatArray
    home_joints: FloatArray
    nominal_height: float = 0.0


def robot_from_mjcf(
    name: str, mjcf: str, joint_names: tuple[str, ...], walking: Walking, **rest: Any
) -> RobotModel:
    """Read out of a text of `safebo.robots.descriptions.mjcf` what the controller needs.

    Args:
        name: of the robot.
        mjcf: the text.
        joint_names: twelve, leg by leg.
        walking: what the text does not say.
        rest: further fields of `RobotModel`.
    """
    model = mujoco.MjModel.from_xml_string(mjcf)
    index = _mujoco_index(model, joint_names, name)
    data = mujoco.MjData(model)
    data.qpos[:] = 0.0
    data.qpos[index.base_qpos + 3] = 1.0
    mujoco.mj_kinematics(model, data)
    joints = np.array([model.joint(joint).id for joint in joint_names])
    chains = np.concatenate(
        [
            data.xaxis[joints].reshape(4, 3, 3),
            data.xanchor[joints].reshape(4, 3, 3),
            data.geom_xpos[index.foot_geom][:, None],
        ],
        axis=1,
    )
    limited = model.jnt_limited[joints].astype(bool)
    imu = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, "imu")
    home = np.array(walking.home_joints, dtype=float)
    radius = float(model.geom_size[index.foot_geom[0], 0])
    height = walking.nominal_height or STANDING_SHARE * (radius - feet_in_base(chains, home)[:, 2].min())
    return RobotModel(
        name=name,
        mjcf=mjcf,
        joint_names=joint_names,
        chains=chains,
        stance_points=stance_points(chains, home),
        foot_radius=radius,
        home_joints=home,
        nominal_height=float(height),
        torque_limit=model.jnt_actfrcrange[joints, 1].copy(),
        speed_limit=np.array(walking.speed_limit, dtype=float),
        joint_lower=np.where(limited, model.jnt_range[joints, 0], -np.inf),
        joint_upper=np.where(limited, model.jnt_range[joints, 1], np.inf),
        mass=float(model.body_subtreemass[index.base_body]),
        timestep=float(model.opt.timestep),
        imu_position=np.array(model.site_pos[imu]) if imu >= 0 else np.zeros(3),
        **rest,
    )


def _mujoco_index(model: Any, joint_names: Sequence[str], robot: str) -> MujocoIndex:
    joints = [model.joint(name).id for name in joint_names]
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    if len(free) != 1:
        raise ValueError(f"robot {robot!r}: expected one free joint, found {len(free)}")
    motor_of = {int(model.actuator_trnid[i, 0]): i for i in range(model.nu)}
    return MujocoIndex(
        qpos=model.jnt_qposadr[joints].astype(np.int64),
        dof=model.jnt_dofadr[joints].astype(np.int64),
        actuator=np.array([motor_of[joint] for joint in joints]),
        base_qpos=int(model.jnt_qposadr[free[0]]),
        base_dof=int(model.jnt_dofadr[free[0]]),
        base_body=int(model.jnt_bodyid[free[0]]),
        foot_geom=np.array([model.geom(f"{leg}_foot").id for leg in LEGS]),
        floor_geoms=np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE),
    )


_KEPT_MODELS = 8
"""Robots whose models are kept, to be copied: every walk takes new ones, and reading a text takes longer."""


@lru_cache(_KEPT_MODELS)
def _mujoco_from_text(text: str) -> Any:
    return mujoco.MjModel.from_xml_string(text)


@lru_cache(_KEPT_MODELS)
def _pinocchio_from_text(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "robot.xml"
        path.write_text(text, encoding="utf-8")
        loaded = pinocchio.buildModelFromMJCF(str(path))
    return loaded[0] if isinstance(loaded, tuple) else loaded
