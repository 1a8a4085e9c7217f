"""A1, ANYmal C and Mini Cheetah: masses, lengths, limits as published.

What nobody publishes is the Go1's to scale: rotor inertia of the A1 and of the ANYmal's drives, bearing friction.
"""

from __future__ import annotations

import math

from safebo.robots.descriptions.description import JointDescription, LinkDescription, RobotDescription
from safebo.robots.descriptions.unitree import GO1, GO2

_ENDLESS = (-math.inf, math.inf)

A1 = RobotDescription(
    name="a1",
    title="Unitree A1",
    source="manufacturer's description and MuJoCo Menagerie, BSD-3-Clause",
    trunk=LinkDescription(
        mass=4.713,
        com=(0.0, 0.0041, -0.0005),
        tensor=(0.0158533, 0.0377999, 0.0456542, -3.66e-5, -6.11e-5, -2.75e-5),
    ),
    hip=LinkDescription(
        mass=0.696,
        com=(-0.003311, 0.000635, 3.1e-05),
        tensor=(0.000469246, 0.00080749, 0.000552929, -9.409e-06, -3.42e-07, -4.66e-07),
        mirror_fore=True,
    ),
    thigh=LinkDescription(
        mass=1.013,
        com=(-0.003237, -0.022327, -0.027326),
        tensor=(0.005529065, 0.005139339, 0.001367788, 4.825e-06, 0.000343869, 2.2448e-05),
    ),
    calf=LinkDescription(
        mass=0.226,
        com=(0.0047266, 0.0, -0.1319753),
        tensor=(0.0033856, 0.0034034, 4.39e-05, 0.0, -0.0001674, 0.0),
        mirror_side=False,
    ),
    hip_position=(0.183, 0.047, 0.0),
    thigh_position=(0.0, 0.08505, 0.0),
    thigh_length=0.2,
    foot_position=(0.0, 0.0, -0.2),
    foot_radius=0.02,
    joints=(
        JointDescription((1, 0, 0), (-0.802851, 0.802851), (-0.802851, 0.802851), 33.5, 21.0),
        JointDescription((0, 1, 0), (-1.0472, 4.18879), (-1.0472, 4.18879), 33.5, 21.0),
        JointDescription((0, 1, 0), (-2.69653, -0.916298), (-2.69653, -0.916298), 33.5, 21.0),
    ),
    rotor_inertia=0.0035,
    gear_ratio=1.0,
    trunk_box=(0.1335, 0.097, 0.057),
    head_box=((0.245, 0.0, -0.004), (0.035, 0.055, 0.045)),
    nominal_height=0.255,
    gains_to_scale=True,
    colours={
        "shell": (0.16, 0.17, 0.19, 1.0),
        "leg": (0.24, 0.25, 0.28, 1.0),
        "accent": (0.72, 0.74, 0.77, 1.0),
        "light": (0.35, 0.75, 0.95, 1.0),
    },
)

# The front knees bend backwards and the rear ones forwards. Links in the trunk's axes with the joints at zero; the
# trunk is base, hatch, battery and sensors together.
ANYMAL_C = RobotDescription(
    name="anymal_c",
    title="ANYbotics ANYmal C",
    source="manufacturer's description, BSD-3-Clause",
    trunk=LinkDescription(
        mass=26.37317,
        com=(-0.0177939, -0.0001782, 0.0085043),
        tensor=(0.2184097, 1.7868597, 1.8360878, 0.0087238, 0.0584332, -0.0006638),
    ),
    hip=LinkDescription(
        mass=2.781,
        com=(0.0567633, 0.0173939, -0.0004608),
        tensor=(0.0032955, 0.0049401, 0.0058348, -4.5e-05, -9.9e-05, 0.0001358),
        mirror_fore=True,
    ),
    thigh=LinkDescription(
        mass=3.071,
        com=(-4.65e-05, 0.0308147, -0.2456957),
        tensor=(0.029904, 0.0295638, 0.0048611, -4.43e-05, -0.0001046, 0.0041424),
        mirror_fore=True,
    ),
    calf=LinkDescription(
        mass=0.58842,
        com=(0.0612528, 0.005462, -0.0806598),
        tensor=(0.0088104, 0.0101611, 0.0015498, 5.36e-05, 0.0018194, -2.27e-05),
        mirror_fore=True,
    ),
    hip_position=(0.2999, 0.104, 0.0),
    thigh_position=(0.0599, 0.08381, 0.0),
    thigh_length=0.285,
    knee_offset=0.1003,
    foot_position=(0.08795, 0.01305, -0.31547),
    mirror_feet=True,
    foot_radius=0.03,
    joints=(
        JointDescription((1, 0, 0), (-0.72, 0.49), (-0.72, 0.49), 80.0, 7.5, mirror_side=True),
        JointDescription((0, 1, 0), (-9.42478, 9.42478), (-9.42478, 9.42478), 80.0, 7.5),
        JointDescription((0, 1, 0), (-9.42478, 9.42478), (-9.42478, 9.42478), 80.0, 7.5),
    ),
    rotor_inertia=0.035,
    gear_ratio=1.0,
    joint_damping=0.5,
    joint_friction=1.0,
    trunk_box=(0.30, 0.12, 0.10),
    head_box=((0.47, 0.0, 0.0), (0.04, 0.075, 0.06)),
    home_joints=(0.0, 0.6, -1.0, 0.0, 0.6, -1.0, 0.0, -0.6, 1.0, 0.0, -0.6, 1.0),
    nominal_height=0.50,
    gains_to_scale=True,
    colours={
        "shell": (0.62, 0.10, 0.10, 1.0),
        "leg": (0.16, 0.17, 0.19, 1.0),
        "accent": (0.30, 0.31, 0.34, 1.0),
        "light": (0.55, 0.80, 0.95, 1.0),
    },
)

# Positive thigh and calf angles turn the other way round than on the Unitree robots. The published products of inertia
# of the thigh are left out: with them no body can have its moments.
MINI_CHEETAH = RobotDescription(
    name="mini_cheetah",
    title="MIT Mini Cheetah",
    source="Cheetah-Software of the MIT Biomimetic Robotics Lab, MIT licence",
    trunk=LinkDescription(
        mass=3.3, com=(0.0, 0.0, 0.0), tensor=(0.011253, 0.036203, 0.042673, 0.0, 0.0, 0.0)
    ),
    hip=LinkDescription(
        mass=0.54, com=(0.0, 0.036, 0.0), tensor=(0.000381, 0.00056, 0.000444, 5.8e-05, 4.5e-07, 9.5e-07)
    ),
    thigh=LinkDescription(
        mass=0.634, com=(0.0, 0.016, -0.02), tensor=(0.001983, 0.002103, 0.000408, 0.0, 0.0, 0.0)
    ),
    calf=LinkDescription(
        mass=0.064,
        com=(0.0, 0.0, -0.061),
        tensor=(0.000245, 0.000248, 6e-06, 0.0, 0.0, 0.0),
        mirror_side=False,
    ),
    hip_position=(0.19, 0.049, 0.0),
    thigh_position=(0.0, 0.062, 0.0),
    thigh_length=0.209,
    foot_position=(0.0, 0.0, -0.195),
    foot_radius=0.018,
    joints=(
        JointDescription((1, 0, 0), _ENDLESS, _ENDLESS, 18.0, 40.0),
        JointDescription((0, -1, 0), _ENDLESS, _ENDLESS, 18.0, 40.0),
        JointDescription((0, -1, 0), _ENDLESS, _ENDLESS, 28.0, 25.7),
    ),
    rotor_inertia=6.3e-5,
    gear_ratio=6.0,
    joint_damping=0.01,
    trunk_box=(0.15, 0.049, 0.05),
    head_box=((0.22, 0.0, 0.0), (0.02, 0.05, 0.045)),
    home_joints=(0.0, -0.85, 1.75),
    nominal_height=0.25,
    gains_to_scale=True,
    colours={
        "shell": (0.20, 0.21, 0.23, 1.0),
        "leg": (0.55, 0.57, 0.60, 1.0),
        "accent": (0.20, 0.45, 0.25, 1.0),
        "light": (0.35, 0.75, 0.95, 1.0),
    },
)

ROBOTS: dict[str, RobotDescription] = {
    description.name: description for description in (GO1, GO2, A1, ANYMAL_C, MINI_CHEETAH)
}
"""The robots that come with this package, by name."""
