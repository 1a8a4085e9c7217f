"""What has to be known of a quadruped to write it down as MJCF.

Everything is given for the front left leg; the other legs are its mirror images: front and rear mirror x, left
and right mirror y. All units are SI: m, kg, kg m^2, rad, N m, rad/s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from safebo.types import FloatArray

LEGS: tuple[str, ...] = ("FL", "FR", "RL", "RR")
JOINT_TYPES: tuple[str, ...] = ("hip", "thigh", "calf")


def fore_sign(leg: str) -> float:
    """+1 for a front leg, -1 for a rear leg."""
    return 1.0 if leg[0] == "F" else -1.0


def side_sign(leg: str) -> float:
    """+1 for a left leg, -1 for a right leg."""
    return 1.0 if leg[1] == "L" else -1.0


@dataclass(frozen=True)
class LinkDescription:
    """A rigid link.

    Args:
        mass: kg.
        com: centre of mass in the link frame, m, front left leg.
        principal_inertia: principal moments about the centre of mass, kg m^2.
        inertia_quaternion: orientation (w, x, y, z) of the principal axes in the link frame.
        mirror_fore: whether rear legs carry the mirror image in x.
        mirror_side: whether right legs carry the mirror image in y.
        tensor: xx, yy, zz, xy, xz, yz of the inertia in link axes, kg m^2, instead of moments and quaternion.
    """

    mass: float
    com: tuple[float, float, float]
    principal_inertia: tuple[float, float, float] = (0.0, 0.0, 0.0)
    inertia_quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    mirror_fore: bool = False
    mirror_side: bool = True
    tensor: tuple[float, float, float, float, float, float] | None = None

    def mirror(self, leg: str) -> FloatArray:
        """The three signs that turn the front left link into the link of `leg`."""
        fore = fore_sign(leg) if self.mirror_fore else 1.0
        side = side_sign(leg) if self.mirror_side else 1.0
        return np.array([fore, side, 1.0])

    def com_of(self, leg: str) -> FloatArray:
        """Centre of mass in the link frame of `leg`, m."""
        return self.mirror(leg) * np.asarray(self.com)

    def inertia_of(self, leg: str) -> FloatArray:
        """Inertia tensor (3 x 3) of the link of `leg` about its centre of mass in link axes, kg m^2."""
        signs = self.mirror(leg)
        if self.tensor is not None:
            xx, yy, zz, xy, xz, yz = self.tensor
            return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) * np.outer(signs, signs)
        w, x, y, z = np.asarray(self.inertia_quaternion) / np.linalg.norm(self.inertia_quaternion)
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        tensor = rotation @ np.diag(self.principal_inertia) @ rotation.T
        return np.asarray(tensor * np.outer(signs, signs))


@dataclass(frozen=True)
class JointDescription:
    """A revolute joint and the motor that drives it.

    Args:
        axis: rotation axis in the link frame.
        front_range: lower and upper angle of the front left leg, rad; infinite for a joint without end.
        rear_range: the same for the rear left leg.
        torque_limit: largest torque at the joint, N m.
        speed_limit: no-load speed at the joint, rad/s.
        mirror_side: whether right legs have the opposite angles.
    """

    axis: tuple[float, float, float]
    front_range: tuple[float, float]
    rear_range: tuple[float, float]
    torque_limit: float
    speed_limit: float
    mirror_side: bool = False

    def range_of(self, leg: str) -> tuple[float, float]:
        """Lower and upper angle on `leg`, rad."""
        low, high = self.front_range if leg[0] == "F" else self.rear_range
        return (-high, -low) if self.mirror_side and side_sign(leg) < 0 else (low, high)


@dataclass(frozen=True)
class RobotDescription:
    """A quadruped whose legs are hip (abduction), thigh and calf, twelve motors in all.

    Args:
        name: identifier in studies and on the command line.
        title: the product's name.
        source: where the numbers come from.
        trunk: the base link.
        hip, thigh, calf: the links of the front left leg; the calf includes the foot.
        hip_position: trunk frame to hip frame of the front left leg, m.
        thigh_position: hip frame to thigh frame of the front left leg, m.
        thigh_length: thigh frame straight down to calf frame, m.
        foot_position: calf frame to the centre of the foot of the front left leg, m.
        foot_radius: m.
        joints: the hip, thigh and calf joints.
        rotor_inertia: of one motor about its own axis, kg m^2.
        gear_ratio: of the hip and thigh motors. The calf's follows from its torque limit: the same motor
            with a further reduction multiplies torque and divides speed.
        joint_damping: viscous friction at the joint, N m s/rad.
        joint_friction: Coulomb friction at the joint, N m.
        foot_friction: sliding friction coefficient of a foot on the floor.
        trunk_box: half sizes of the trunk, m.
        head_box: centre and half sizes of the head, m.
        imu_position: in the trunk frame, m.
        home_joints: hip, thigh and calf angle in the home pose, of every leg or of all four, rad.
        nominal_height: height of the trunk frame above the floor while walking, m.
        colours: rgba of the trunk, of the legs, of the accents, for pictures only.
        knee_offset: thigh frame to calf frame sideways, away from the trunk, m.
        mirror_feet: whether the rear legs' feet lie the other way along x in their calves' frames.
        gains_to_scale: whether the controller's gains are a Go1's to scale by mass and leg length, see
            `safebo.robots.quadruped.gains`; for a robot of a Go1's size they are its own.
    """

    name: str
    title: str
    source: str
    trunk: LinkDescription
    hip: LinkDescription
    thigh: LinkDescription
    calf: LinkDescription
    hip_position: tuple[float, float, float]
    thigh_position: tuple[float, float, float]
    thigh_length: float
    foot_position: tuple[float, float, float]
    foot_radius: float
    joints: tuple[JointDescription, JointDescription, JointDescription]
    rotor_inertia: float
    gear_ratio: float
    trunk_box: tuple[float, float, float]
    head_box: tuple[tuple[float, float, float], tuple[float, float, float]]
    imu_position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    joint_damping: float = 0.1
    joint_friction: float = 0.2
    foot_friction: float = 0.8
    home_joints: tuple[float, ...] = (0.0, 0.9, -1.8)
    nominal_height: float = 0.27
    colours: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    knee_offset: float = 0.0
    mirror_feet: bool = False
    gains_to_scale: bool = False

    def home(self) -> tuple[float, ...]:
        """Joint angles of all legs in the home pose, rad, 12."""
        return self.home_joints if len(self.home_joints) == 12 else self.home_joints * 4

    def knee_of(self, leg: str) -> tuple[float, float, float]:
        """Thigh frame to calf frame of `leg`, m."""
        return 0.0, side_sign(leg) * self.knee_offset + 0.0, -self.thigh_length

    def foot_of(self, leg: str) -> tuple[float, float, float]:
        """Calf frame to the centre of the foot of `leg`, m."""
        x, y, z = self.foot_position
        return x * (fore_sign(leg) if self.mirror_feet else 1.0), side_sign(leg) * y + 0.0, z

    def armature(self) -> tuple[float, float, float]:
        """Rotor inertia felt at hip, thigh and calf: gear ratio squared times rotor inertia, kg m^2."""
        hip_torque = self.joints[0].torque_limit
        ratios = [self.gear_ratio * joint.torque_limit / hip_torque for joint in self.joints]
        hip, thigh, calf = (ratio**2 * self.rotor_inertia for ratio in ratios)
        return hip, thigh, calf
