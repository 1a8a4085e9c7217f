"""Write a quadruped's description as MJCF: one text for MuJoCo (plant) and Pinocchio (controller's model).

The physical text carries few collision shapes, because their number decides how fast a step is: a box for the
trunk, one for the head, a ball for each knee and each foot. They touch the floor only, not one another. The
drawn text adds shapes that have neither mass nor contact (group 2); the dynamics are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import quoteattr

import numpy as np

from safebo.robots.descriptions.description import (
    JOINT_TYPES,
    LEGS,
    LinkDescription,
    RobotDescription,
    fore_sign,
    side_sign,
)
from safebo.robots.descriptions.drawing import drawn_calf, drawn_hip, drawn_thigh, drawn_trunk

TIMESTEP = 0.002
"""Seconds of one simulation step."""


def numbers(values: Iterable[float]) -> str:
    """Numbers as MJCF writes them, without loss."""
    return " ".join(repr(float(value)) for value in values)


def _inertial(link: LinkDescription, leg: str) -> str:
    tensor = link.inertia_of(leg)
    entries = [tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[0, 1], tensor[0, 2], tensor[1, 2]]
    return (
        f'<inertial pos="{numbers(link.com_of(leg))}" mass="{link.mass!r}" fullinertia="{numbers(entries)}"/>'
    )


def _joint(description: RobotDescription, leg: str, index: int) -> str:
    joint = description.joints[index]
    limit, span = joint.torque_limit, joint.range_of(leg)
    limited = f'range="{numbers(span)}" limited="true"' if math.isfinite(span[1]) else 'limited="false"'
    return (
        f'<joint name="{leg}_{JOINT_TYPES[index]}_joint" type="hinge" axis="{numbers(joint.axis)}" '
        f'{limited} armature="{description.armature()[index]!r}" '
        f'damping="{description.joint_damping!r}" frictionloss="{description.joint_friction!r}" '
        f'actuatorfrcrange="{numbers((-limit, limit))}"/>'
    )


def _leg(description: RobotDescription, leg: str, drawn: bool) -> str:
    fore, side = fore_sign(leg), side_sign(leg)
    mirror = np.array([fore, side, 1.0])
    hip_position = mirror * description.hip_position
    thigh_position = mirror * description.thigh_position
    knee, foot = description.knee_of(leg), description.foot_of(leg)
    draw_hip = drawn_hip(description, leg) if drawn else ""
    draw_thigh = drawn_thigh(description, leg) if drawn else ""
    draw_calf = drawn_calf(description, leg) if drawn else ""
    return f"""
      <body name="{leg}_hip" pos="{numbers(hip_position)}">
        {_inertial(description.hip, leg)}
        {_joint(description, leg, 0)}
        {draw_hip}
        <body name="{leg}_thigh" pos="{numbers(thigh_position)}">
          {_inertial(description.thigh, leg)}
          {_joint(description, leg, 1)}
          <geom name="{leg}_knee" class="collision" type="sphere" size="0.02" pos="{numbers(knee)}"/>
          {draw_thigh}
          <body name="{leg}_calf" pos="{numbers(knee)}">
            {_inertial(description.calf, leg)}
            {_joint(description, leg, 2)}
            <geom name="{leg}_foot" class="foot" size="{description.foot_radius!r}" \
pos="{numbers(foot)}"/>
            <site name="{leg}_foot" pos="{numbers(foot)}" size="0.005" group="5"/>
            {draw_calf}
          </body>
        </body>
      </body>"""


def write_mjcf(description: RobotDescription, drawn: bool = False) -> str:
    """The robot on a floor as MJCF text; `drawn` adds the shapes of pictures."""
    legs = "".join(_leg(description, leg, drawn) for leg in LEGS)
    head_centre, head_size = description.head_box
    trunk = f"""{_inertial(description.trunk, "FL")}
      <geom name="trunk" class="collision" type="box" size="{numbers(description.trunk_box)}"/>
      <geom name="head" class="collision" type="box" pos="{numbers(head_centre)}" \
size="{numbers(head_size)}"/>
      <site name="imu" pos="{numbers(description.imu_position)}" size="0.005" group="5"/>
      {drawn_trunk(description) if drawn else ""}"""
    joints = [f"{leg}_{kind}_joint" for leg in LEGS for kind in JOINT_TYPES]
    return write_document(
        description.name,
        description.foot_friction,
        trunk + legs,
        joints,
        description.nominal_height,
        description.home(),
    )


def write_document(
    name: str, foot_friction: float, body: str, joints: Sequence[str], height: float, home: Sequence[float]
) -> str:
    """A robot on a floor as MJCF text, with all that is the same for every robot.

    A contact has the friction of the foot: feet have the higher priority, otherwise MuJoCo takes the larger of both.

    Args:
        name: of the robot.
        foot_friction: sliding friction of a foot on the floor.
        body: what is in the trunk.
        joints: the twelve joints, leg by leg.
        height: of the trunk in the home pose, m.
        home: joint angles there, 12, rad.
    """
    kinds = [f"{leg}_{kind}" for leg in LEGS for kind in JOINT_TYPES]
    motors = "\n    ".join(
        f'<motor name="{kind}" joint={quoteattr(joint)} gear="1"/>'
        for kind, joint in zip(kinds, joints, strict=True)
    )
    return f"""<mujoco model={quoteattr(name)}>
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP!r}" cone="elliptic" impratio="10" integrator="Euler"/>
  <statistic center="0 0 0.2" extent="1"/>
  <visual>
    <headlight ambient="0.35 0.35 0.36" diffuse="0.35 0.35 0.35" specular="0.1 0.1 0.1"/>
    <rgba haze="0.80 0.86 0.92 1"/>
    <quality shadowsize="2048" offsamples="2"/>
    <map znear="0.02" zfar="30" shadowclip="2.0" shadowscale="0.9"/>
    <global offwidth="1920" offheight="1080"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.62 0.75 0.90" rgb2="0.94 0.96 0.98" \
width="128" height="768"/>
    <texture name="checker" type="2d" builtin="checker" rgb1="0.66 0.69 0.72" rgb2="0.76 0.79 0.82" \
width="256" height="256" mark="edge" markrgb="0.86 0.88 0.90"/>
    <material name="floor" texture="checker" texrepeat="4 4" texuniform="true" reflectance="0"/>
  </asset>
  <default>
    <geom contype="0" conaffinity="1" condim="1" friction="0.6 0.02 0.01" group="3" rgba="0.9 0.3 0.3 0.4"/>
    <default class="collision"/>
    <default class="foot">
      <geom type="sphere" condim="3" priority="1" friction="{foot_friction!r} 0.02 0.01" \
solimp="0.9 0.95 0.002" solref="0.01 1"/>
    </default>
    <default class="drawn">
      <geom contype="0" conaffinity="0" group="2" mass="0"/>
    </default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 0.5" material="floor" contype="1" conaffinity="0" \
friction="0.6 0.02 0.01" group="0" rgba="1 1 1 1"/>
    <body name="trunk" pos="0 0 {height!r}">
      <freejoint name="floating_base"/>
      <camera name="track" mode="trackcom" pos="0.42 -0.98 0.22" xyaxes="0.92 0.39 0 -0.09 0.21 0.97" fovy="42"/>
      <light name="sun" mode="trackcom" pos="0.4 -0.5 2" dir="-0.2 0.25 -1" directional="true" \
diffuse="0.6 0.6 0.58" specular="0.25 0.25 0.25" castshadow="true"/>
      {body}
    </body>
  </worldbody>
  <actuator>
    {motors}
  </actuator>
  <keyframe>
    <key name="home" qpos="{numbers((0.0, 0.0, height, 1.0, 0.0, 0.0, 0.0, *home))}"/>
  </keyframe>
</mujoco>
"""
