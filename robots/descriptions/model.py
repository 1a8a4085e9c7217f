"""A quadruped, described once and loaded twice: MuJoCo's plant and the controller's Pinocchio model.

Everything outside this module speaks of legs and joints in the order of `RobotModel.joint_names` (leg by leg:
hip, thigh, calf). Where a joint sits inside an engine is looked up by its name.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np
import pinocchio

from safebo.robots.descriptions.description import JOINT_TYPES, LEGS
from safebo.robots.descriptions.mjcf import TIMESTEP, write_mjcf
from safebo.robots.descriptions.unitree import ROBOTS
from safebo.types import FloatArray, IntArray


@dataclass(frozen=True)
class JointNaming:
    """How a robot description names its joints.

    Args:
        pattern: joint name with the fields `{leg}` and `{joint}`.
        legs: the description's names of the front left, front right, rear left and rear right.
        joints: its names of the abduction, thigh and knee joint.
    """

    pattern: str = "{leg}_{joint}_joint"
    legs: tuple[str, str, str, str] = ("FL", "FR", "RL", "RR")
    joints: tuple[str, str, str] = ("hip", "thigh", "calf")

    def __post_init__(self) -> None:
        if "{leg}" not in self.pattern or "{joint}" not in self.pattern:
            raise ValueError(f"joint naming: pattern {self.pattern!r} needs the fields {{leg}} and {{joint}}")
        if len(self.legs) != 4 or len(self.joints) != 3:
            raise ValueError("joint naming: needs four leg names and three joint names")

    def names(self) -> tuple[str, ...]:
        """The twelve joint names, leg by leg."""
        return tuple(self.pattern.format(leg=leg, joint=joint) for leg in self.legs for joint in self.joints)


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


@dataclass(frozen=True, eq=False)
class RobotModel:
    """A quadruped with twelve joints: what the plant and the controller have to know.

    Angles in rad, lengths in m, torques in N m, speeds in rad/s, masses in kg. Arrays over joints have 12
    entries in the order of `joint_names`; arrays over legs have 4 in the order of `legs`.

    Args:
        name: shown in messages.
        mjcf: physical description, one text for both engines.
        drawn_mjcf: the same robot with shapes to look at, for pictures.
        naming: how the description names joints.
        legs: FL, FR, RL, RR.
        joint_names: the twelve joints as the description names them.
        hip_offset: hip frame in the trunk frame, 4 x 3.
        thigh_offset: signed lateral distance from hip to thigh frame, 4 (left legs positive).
        thigh_length: from thigh to calf frame.
        calf_length: from calf frame to the centre of the foot, in a straight line.
        calf_angle_offset: added to the calf joint's angle, it makes the foot lie straight below the calf
            frame at zero: foot = R_y(q + offset) (0, 0, -calf_length).
        foot_radius: radius of the foot's ball.
        home_joints: joint angles of the home pose, 12.
        nominal_height: height of the trunk frame above the floor while walking.
        torque_limit, speed_limit, joint_lower, joint_upper: 12 each.
        mass: total.
        timestep: of the description, s.
        imu_position: of the inertial unit in the trunk frame (site `imu`; the origin when there is none), 3.
        assets: mesh and texture files by name.
    """

    name: str
    mjcf: str
    drawn_mjcf: str
    naming: JointNaming
    joint_names: tuple[str, ...]
    hip_offset: FloatArray
    thigh_offset: FloatArray
    thigh_length: float
    calf_length: float
    calf_angle_offset: float
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
    assets: dict[str, bytes] = field(default_factory=dict)

    def load_mujoco(self, drawn: bool = False) -> Any:
        """A fresh `mujoco.MjModel`; `drawn` gives the one for pictures."""
        return mujoco.MjModel.from_xml_string(self.drawn_mjcf if drawn else self.mjcf, self.assets)

    def load_pinocchio(self) -> Any:
        """A fresh `pinocchio.Model` with a floating base. Its armature includes the rotors'."""
        return _pinocchio_from_text(self.mjcf)

    def mujoco_index(self, model: Any) -> MujocoIndex:
        """Indices of this robot in a MuJoCo model, looked up by name."""
        return _mujoco_index(model, self.joint_names)

    def pinocchio_index(self, model: Any) -> PinocchioIndex:
        """Indices of this robot in a Pinocchio model, looked up by name."""
        existing = list(model.names)
        _require_names(self.joint_names, existing, self.name)
        joints = [model.joints[existing.index(name)] for name in self.joint_names]
        frames = [model.getFrameId(f"{leg}_foot") for leg in self.legs]
        if max(frames) >= model.nframes:
            known = [frame.name for frame in model.frames if "foot" in frame.name.lower()]
            raise ValueError(
                f"robot {self.name!r}: no frame '<leg>_foot' for every leg; foot frames: {known}"
            )
        return PinocchioIndex(
            q=np.array([joint.idx_q for joint in joints]),
            v=np.array([joint.idx_v for joint in joints]),
            foot_frame=np.array(frames),
        )

    def foot_positions(self, joint_position: FloatArray) -> FloatArray:
        """Centres of the feet in the trunk frame, 4 x 3, for joint angles (12)."""
        hip, thigh, calf = np.asarray(joint_position, dtype=float).reshape(4, 3).T
        knee_angle = thigh + calf + self.calf_angle_offset
        x = -self.thigh_length * np.sin(thigh) - self.calf_length * np.sin(knee_angle)
        down = -self.thigh_length * np.cos(thigh) - self.calf_length * np.cos(knee_angle)
        y = self.thigh_offset * np.cos(hip) - down * np.sin(hip)
        z = self.thigh_offset * np.sin(hip) + down * np.cos(hip)
        return self.hip_offset + np.stack([x, y, z], axis=1)

    def standing_height(self, joint_position: FloatArray) -> float:
        """Height of a level trunk at which the lowest foot just touches the floor, m."""
        return float(self.foot_radius - self.foot_positions(joint_position)[:, 2].min())


def load_robot(robot: str | Path, naming: JointNaming | None = None) -> RobotModel:
    """A robot by name (`go1`, `go2`) or from the path of an MJCF or URDF file.

    A file needs twelve hinge joints named after `naming`, a ball-shaped collision geom at the end of every
    leg, joint force or actuator force ranges as torque limits (URDF: effort), and speed limits (URDF: velocity;
    MJCF: a custom number `speed_limit`). A floating base and a floor are added when they are missing; actuators
    are replaced by torque motors. An MJCF's first keyframe is the home pose.

    Raises:
        ValueError: unknown robot, unreadable file or names that the file does not have; the message lists
            what exists.
    """
    name = str(robot)
    if name in ROBOTS:
        return _from_description(name)
    path = Path(robot)
    if not path.exists():
        known = ", ".join(sorted(ROBOTS))
        raise ValueError(f"robot {name!r}: neither a known robot ({known}) nor an existing MJCF or URDF file")
    return _from_file(path, naming or JointNaming())


def _from_description(name: str) -> RobotModel:
    description = ROBOTS[name]
    return _describe(
        name=description.name,
        mjcf=write_mjcf(description),
        drawn_mjcf=write_mjcf(description, drawn=True),
        naming=JointNaming(),
        home_joints=np.tile(np.asarray(description.home_joints, dtype=float), 4),
        nominal_height=description.nominal_height,
        speed_limit=np.array([joint.speed_limit for joint in description.joints] * 4),
        assets={},
    )


def _from_file(path: Path, naming: JointNaming) -> RobotModel:
    try:
        spec = mujoco.MjSpec.from_file(str(path))
        roots = spec.worldbody.bodies
        if len(roots) != 1:
            raise ValueError(f"robot {path}: expected one body in the world, found {len(roots)}")
        if not any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in roots[0].joints):
            roots[0].add_freejoint(name="floating_base")
        if not any(geom.type == mujoco.mjtGeom.mjGEOM_PLANE for geom in spec.worldbody.geoms):
            spec.worldbody.add_geom(
                name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.5], rgba=[0.7, 0.72, 0.75, 1]
            )
            spec.worldbody.add_light(pos=[0, 0, 4], dir=[-0.3, 0.2, -1])
        assets = _mesh_files(spec, path.parent)
        spec.option.timestep = TIMESTEP
        model = spec.compile(assets) if assets else spec.compile()
    except (ValueError, OSError) as error:
        raise ValueError(f"robot {path}: {error}") from error
    names = naming.names()
    index = _mujoco_index(model, names, str(path))
    existing_sites = {site.name for site in spec.sites}
    for leg, geom in zip(LEGS, index.foot_geom, strict=True):
        if f"{leg}_foot" not in existing_sites:
            body = spec.body(model.body(int(model.geom_bodyid[geom])).name)
            body.add_site(name=f"{leg}_foot", pos=model.geom_pos[geom])
    _replace_actuators(spec, names, _torque_limits(model, names, index.actuator, str(path)))
    if assets:
        spec.compile(assets)
    else:
        spec.compile()
    text = spec.to_xml()
    home = model.key_qpos[0][index.qpos] if model.nkey else np.tile([0.0, 0.9, -1.8], 4)
    return _describe(
        name=path.stem,
        mjcf=text,
        drawn_mjcf=text,
        naming=naming,
        home_joints=np.array(home),
        nominal_height=0.0,
        speed_limit=_speed_limits(path, spec, names),
        assets=assets,
    )


def _replace_actuators(spec: Any, names: Sequence[str], limits: FloatArray) -> None:
    """Torque motors instead of whatever drove the joints (a description may come with position servos)."""
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for i, (name, limit) in enumerate(zip(names, limits, strict=True)):
        motor = spec.add_actuator(name=f"{LEGS[i // 3]}_{JOINT_TYPES[i % 3]}", target=name)
        motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
        joint = spec.joint(name)
        joint.actfrclimited = True
        joint.actfrcrange = [-limit, limit]


def _speed_limits(path: Path, spec: Any, names: Sequence[str]) -> FloatArray:
    """No-load speeds: from a URDF's joint limits, or from a custom number `speed_limit` of an MJCF (1, 3 or 12
    values, rad/s). MJCF has no attribute for them.
    """
    if path.suffix.lower() == ".urdf":
        root = ElementTree.parse(path).getroot()
        found = {
            joint.get("name"): float(limit.get("velocity", "nan"))
            for joint in root.iter("joint")
            if (limit := joint.find("limit")) is not None
        }
        limits = np.array([found.get(name, np.nan) for name in names])
    else:
        custom = [numeric for numeric in spec.numerics if numeric.name == "speed_limit"]
        values = np.array(custom[0].data, dtype=float) if custom else np.zeros(0)
        limits = np.tile(values, 12 // len(values)) if len(values) in (1, 3, 12) else np.full(12, np.nan)
    if not np.all(limits > 0):
        raise ValueError(
            f"robot {path}: no speed limit for every joint; give <limit velocity=...> (URDF) or "
            '<custom><numeric name="speed_limit" data="..."/></custom> (MJCF; 1, 3 or 12 values in rad/s)'
        )
    return limits


def _mesh_files(spec: Any, folder: Path) -> dict[str, bytes]:
    """The bytes of every mesh and texture file, so that the model no longer depends on where it came from."""
    assets: dict[str, bytes] = {}
    for item, base in [(m, spec.meshdir) for m in spec.meshes] + [
        (t, spec.texturedir) for t in spec.textures
    ]:
        if item.file:
            assets[item.file] = (folder / (base or "") / item.file).read_bytes()
    return assets


def _describe(
    name: str,
    mjcf: str,
    drawn_mjcf: str,
    naming: JointNaming,
    home_joints: FloatArray,
    nominal_height: float,
    speed_limit: FloatArray,
    assets: dict[str, bytes],
) -> RobotModel:
    """Read the lengths and limits that the controller needs out of the compiled description."""
    model = mujoco.MjModel.from_xml_string(mjcf, assets)
    names = naming.names()
    index = _mujoco_index(model, names, name)
    joints = [model.joint(joint_name).id for joint_name in names]
    bodies = np.array([model.jnt_bodyid[joint] for joint in joints]).reshape(4, 3)
    hip_offset = model.body_pos[bodies[:, 0]].copy()
    thigh_offset = model.body_pos[bodies[:, 1]][:, 1].copy()
    knee = model.body_pos[bodies[:, 2]]
    foot = model.geom_pos[index.foot_geom]
    _require_same(np.linalg.norm(knee, axis=1), f"robot {name!r}: thigh lengths")
    _require_same(np.linalg.norm(foot[:, [0, 2]], axis=1), f"robot {name!r}: calf lengths")
    if np.abs(knee[:, :2]).max() > 1e-6 or np.abs(foot[:, 1]).max() > 1e-6:
        raise ValueError(
            f"robot {name!r}: the calf frame must lie straight below the thigh frame and the foot in its "
            "x-z plane"
        )
    limits = _torque_limits(model, names, index.actuator, name)
    robot = RobotModel(
        name=name,
        mjcf=mjcf,
        drawn_mjcf=drawn_mjcf,
        naming=naming,
        joint_names=names,
        hip_offset=hip_offset,
        thigh_offset=thigh_offset,
        thigh_length=float(-knee[0, 2]),
        calf_length=float(np.hypot(foot[0, 0], foot[0, 2])),
        calf_angle_offset=math.atan2(-foot[0, 0], -foot[0, 2]) + 0.0,
        foot_radius=float(model.geom_size[index.foot_geom[0], 0]),
        home_joints=home_joints,
        nominal_height=nominal_height,
        torque_limit=limits,
        speed_limit=speed_limit,
        joint_lower=model.jnt_range[joints, 0].copy(),
        joint_upper=model.jnt_range[joints, 1].copy(),
        mass=float(model.body_subtreemass[index.base_body]),
        timestep=float(model.opt.timestep),
        imu_position=_imu_position(model),
        assets=assets,
    )
    if nominal_height > 0:
        return robot
    values = {**robot.__dict__, "nominal_height": 0.94 * robot.standing_height(home_joints)}
    return RobotModel(**values)


def _imu_position(model: Any) -> FloatArray:
    site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, "imu")
    return np.array(model.site_pos[site]) if site >= 0 else np.zeros(3)


def _torque_limits(model: Any, names: Sequence[str], actuators: IntArray, robot: str) -> FloatArray:
    limits = np.zeros(len(names))
    for i, name in enumerate(names):
        joint, actuator = model.joint(name).id, actuators[i]
        if model.jnt_actfrclimited[joint]:
            limits[i] = model.jnt_actfrcrange[joint, 1]
        elif actuator >= 0 and model.actuator_forcelimited[actuator]:
            limits[i] = model.actuator_forcerange[actuator, 1] * abs(model.actuator_gear[actuator, 0])
        elif (
            actuator >= 0
            and model.actuator_ctrllimited[actuator]
            and model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_NONE
        ):
            limits[i] = model.actuator_ctrlrange[actuator, 1] * abs(model.actuator_gear[actuator, 0])
        else:
            raise ValueError(
                f"robot {robot!r}: joint {name!r} has no torque limit; give it "
                "actuatorfrcrange (MJCF), effort (URDF) or a motor with a force range"
            )
    return limits


def _mujoco_index(model: Any, joint_names: Sequence[str], robot: str = "") -> MujocoIndex:
    existing = [model.joint(i).name for i in range(model.njnt)]
    _require_names(joint_names, existing, robot)
    joints = [model.joint(name).id for name in joint_names]
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    if len(free) != 1:
        raise ValueError(f"robot {robot!r}: expected one free joint, found {len(free)}; joints: {existing}")
    motor_of = {int(model.actuator_trnid[i, 0]): i for i in range(model.nu)}
    calves = [int(model.jnt_bodyid[joint]) for joint in joints[2::3]]
    return MujocoIndex(
        qpos=model.jnt_qposadr[joints].astype(np.int64),
        dof=model.jnt_dofadr[joints].astype(np.int64),
        actuator=np.array([motor_of.get(joint, -1) for joint in joints]),
        base_qpos=int(model.jnt_qposadr[free[0]]),
        base_dof=int(model.jnt_dofadr[free[0]]),
        base_body=int(model.jnt_bodyid[free[0]]),
        foot_geom=np.array([_foot_geom(model, body, robot) for body in calves]),
        floor_geoms=np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE),
    )


def _foot_geom(model: Any, calf: int, robot: str) -> int:
    """The lowest ball among the colliding geoms of a calf."""
    balls = [
        i
        for i in range(model.ngeom)
        if model.geom_bodyid[i] == calf
        and model.geom_type[i] == mujoco.mjtGeom.mjGEOM_SPHERE
        and (model.geom_contype[i] or model.geom_conaffinity[i])
    ]
    if not balls:
        raise ValueError(f"robot {robot!r}: body {model.body(calf).name!r} has no colliding ball as its foot")
    return min(balls, key=lambda i: float(model.geom_pos[i, 2]))


def _pinocchio_from_text(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "robot.xml"
        path.write_text(text)
        loaded = pinocchio.buildModelFromMJCF(str(path))
    return loaded[0] if isinstance(loaded, tuple) else loaded


def _require_names(wanted: Sequence[str], existing: Sequence[str], robot: str) -> None:
    missing = [name for name in wanted if name not in existing]
    if missing:
        raise ValueError(
            f"robot {robot!r}: no joint named {', '.join(map(repr, missing))}; joints that exist: "
            f"{', '.join(name for name in existing if name)}. Declare how they are named with "
            "JointNaming(pattern, legs, joints)"
        )


def _require_same(values: FloatArray, what: str) -> None:
    if np.ptp(values) > 1e-6:
        raise ValueError(f"{what} differ between legs: {np.round(values, 6).tolist()}")
