"""A quadruped of any make as numbers, and the MJCF that is written from them.

All frames are parallel to the trunk's with the joints at zero, so nothing in the text is turned: a link's frame sits on
its joint's axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import numpy as np

from safebo.robots.descriptions.description import JOINT_TYPES, LEGS
from safebo.robots.descriptions.mjcf import numbers, write_document
from safebo.robots.descriptions.robot import leg_lengths
from safebo.types import FloatArray

KNEE_RADIUS = 0.047
"""Radius of the ball that stands for a knee, in leg lengths."""


@dataclass(eq=False)
class Skeleton:
    """Masses, axes and limits of a quadruped. Arrays over joints have 12 entries, leg by leg.

    Args:
        name: of the robot.
        joint_names: as the description has them.
        chains: axes, anchors and foot of every leg, `4 x 7 x 3`.
        mass: of the trunk, then of the links leg by leg, kg, `13`.
        com: their centres of mass in the trunk frame with the joints at zero, m, `13 x 3`.
        inertia: tensors about them in the trunk's axes, kg m^2, `13 x 3 x 3`.
        lower, upper: joint ranges, rad; infinite without a limit.
        torque: limits, N m.
        armature: rotor inertia at the joint, kg m^2.
        damping: N m s/rad.
        friction: Coulomb friction at the joint, N m.
        foot_radius: m.
        foot_friction: sliding friction of a foot on the floor.
        box: centre and half sizes of the trunk, m, `2 x 3`.
        imu: position of the inertial unit in the trunk frame, m, `3`.
        home: joint angles of the home pose, rad.
    """

    name: str
    joint_names: tuple[str, ...]
    chains: FloatArray
    mass: FloatArray
    com: FloatArray
    inertia: FloatArray
    lower: FloatArray
    upper: FloatArray
    torque: FloatArray
    armature: FloatArray
    damping: FloatArray
    friction: FloatArray
    foot_radius: float
    foot_friction: float
    box: FloatArray
    imu: FloatArray
    home: FloatArray


def write_skeleton(robot: Skeleton, height: float) -> str:
    """The robot on a floor as MJCF text, its trunk at `height` (m) in the home pose; see `mjcf.write_document`."""
    box_centre, box_size = robot.box
    body = f"""{_inertial(robot, 0, np.zeros(3))}
      <geom name="trunk" class="collision" type="box" pos="{numbers(box_centre)}" size="{numbers(box_size)}"/>
      <site name="imu" pos="{numbers(robot.imu)}" size="0.005" group="5"/>"""
    body += "".join(_leg(robot, leg) for leg in range(4))
    return write_document(
        robot.name, robot.foot_friction, body, robot.joint_names, height, robot.home.tolist()
    )


def _leg(robot: Skeleton, leg: int) -> str:
    name, anchors = LEGS[leg], robot.chains[leg, 3:6]
    knee = anchors[2] - anchors[1]
    radius = KNEE_RADIUS * float(leg_lengths(robot.chains).mean())
    foot = robot.chains[leg, 6] - anchors[2]
    inside = (
        "",
        f'<geom name="{name}_knee" class="collision" type="sphere" size="{radius!r}" pos="{numbers(knee)}"/>',
        f'<geom name="{name}_foot" class="foot" size="{float(robot.foot_radius)!r}" pos="{numbers(foot)}"/>\n'
        f'      <site name="{name}_foot" pos="{numbers(foot)}" size="0.005" group="5"/>',
    )
    text, before = "", np.zeros(3)
    for k, kind in enumerate(JOINT_TYPES):
        text += f"""
      <body name="{name}_{kind}" pos="{numbers(anchors[k] - before)}">
      {_inertial(robot, 1 + 3 * leg + k, anchors[k])}
      {_joint(robot, leg, k)}
      {inside[k]}"""
        before = anchors[k]
    return text + "</body>" * 3


def _inertial(robot: Skeleton, link: int, origin: FloatArray) -> str:
    tensor = robot.inertia[link]
    entries = [tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[0, 1], tensor[0, 2], tensor[1, 2]]
    return (
        f'<inertial pos="{numbers(robot.com[link] - origin)}" mass="{float(robot.mass[link])!r}" '
        f'fullinertia="{numbers(entries)}"/>'
    )


def _joint(robot: Skeleton, leg: int, k: int) -> str:
    i = 3 * leg + k
    limit = float(robot.torque[i])
    limited = bool(np.isfinite(robot.lower[i]) and np.isfinite(robot.upper[i]))
    span = f'range="{numbers((robot.lower[i], robot.upper[i]))}" ' if limited else ""
    return (
        f'<joint name={quoteattr(robot.joint_names[i])} type="hinge" axis="{numbers(robot.chains[leg, k])}" '
        f'{span}limited="{str(limited).lower()}" armature="{float(robot.armature[i])!r}" '
        f'damping="{float(robot.damping[i])!r}" frictionloss="{float(robot.friction[i])!r}" '
        f'actuatorfrcrange="{numbers((-limit, limit))}"/>'
    )
