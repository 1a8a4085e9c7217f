"""Unitree Go1 and Go2: masses, lengths, limits.

Inertial figures and geometry as in the manufacturer's published descriptions and in MuJoCo Menagerie (both
BSD-3-Clause); torque and speed limits from the manufacturer's URDF. Joint damping is the bearings' (order
0.1 N m s/rad): the 1 to 2 N m s/rad seen elsewhere stabilise a position servo and are not the robot's.
"""

from __future__ import annotations

from safebo.robots.descriptions.description import JointDescription, LinkDescription, RobotDescription

GO1 = RobotDescription(
    name="go1",
    title="Unitree Go1",
    source="manufacturer's description and MuJoCo Menagerie, BSD-3-Clause",
    trunk=LinkDescription(
        mass=5.204,
        com=(0.0223, 0.002, -0.0005),
        principal_inertia=(0.0716565, 0.0630105, 0.0168101),
        inertia_quaternion=(-0.00342088, 0.705204, 0.000106698, 0.708996),
    ),
    hip=LinkDescription(
        mass=0.68,
        com=(-0.0049166, -0.00762615, -8.865e-05),
        principal_inertia=(0.000734064, 0.000468438, 0.000398719),
        inertia_quaternion=(0.482891, 0.495027, 0.514169, 0.507341),
        mirror_fore=True,
    ),
    thigh=LinkDescription(
        mass=1.009,
        com=(-0.00304722, -0.019315, -0.0305004),
        principal_inertia=(0.00478717, 0.00460903, 0.000709268),
        inertia_quaternion=(0.753383, 0.0775126, -0.0272313, 0.65243),
    ),
    calf=LinkDescription(
        mass=0.195862,
        com=(0.00429862, 0.000976676, -0.146197),
        principal_inertia=(0.00149767, 0.00148468, 3.58427e-05),
        inertia_quaternion=(0.691246, 0.00357467, 0.00511118, 0.722592),
        mirror_side=False,
    ),
    hip_position=(0.1881, 0.04675, 0.0),
    thigh_position=(0.0, 0.08, 0.0),
    thigh_length=0.213,
    foot_position=(0.0, 0.0, -0.213),
    foot_radius=0.023,
    joints=(
        JointDescription((1, 0, 0), (-0.863, 0.863), (-0.863, 0.863), 23.7, 30.1),
        JointDescription((0, 1, 0), (-0.686, 4.501), (-0.686, 4.501), 23.7, 30.1),
        JointDescription((0, 1, 0), (-2.818, -0.888), (-2.818, -0.888), 35.55, 20.06),
    ),
    rotor_inertia=1.11842e-4,
    gear_ratio=6.0,
    trunk_box=(0.125, 0.045, 0.057),
    head_box=((0.25, 0.0, -0.005), (0.035, 0.06, 0.045)),
    imu_position=(-0.01592, -0.06659, -0.00617),
    colours={
        "shell": (0.13, 0.14, 0.16, 1.0),
        "leg": (0.20, 0.21, 0.24, 1.0),
        "accent": (0.80, 0.82, 0.84, 1.0),
        "light": (0.35, 0.75, 0.95, 1.0),
    },
)

GO2 = RobotDescription(
    name="go2",
    title="Unitree Go2",
    source="manufacturer's description and MuJoCo Menagerie, BSD-3-Clause",
    trunk=LinkDescription(
        mass=6.921,
        com=(0.021112, 0.0, -0.005366),
        principal_inertia=(0.107027, 0.0980771, 0.0244531),
        inertia_quaternion=(-0.000543471, 0.713435, -0.00173769, 0.700719),
    ),
    hip=LinkDescription(
        mass=0.678,
        com=(-0.0054, 0.00194, -0.000105),
        principal_inertia=(0.00088403, 0.000596003, 0.000479967),
        inertia_quaternion=(0.497014, 0.499245, 0.505462, 0.498237),
        mirror_fore=True,
    ),
    thigh=LinkDescription(
        mass=1.152,
        com=(-0.00374, -0.0223, -0.0327),
        principal_inertia=(0.00594973, 0.00584149, 0.000878787),
        inertia_quaternion=(0.829533, 0.0847635, -0.0200632, 0.551623),
    ),
    calf=LinkDescription(
        mass=0.241352,
        com=(0.00629595, -0.000622121, -0.141417),
        principal_inertia=(0.0014901, 0.00146356, 5.31397e-05),
        inertia_quaternion=(0.710672, 0.00154099, -0.00450087, 0.703508),
    ),
    hip_position=(0.1934, 0.0465, 0.0),
    thigh_position=(0.0, 0.0955, 0.0),
    thigh_length=0.213,
    foot_position=(-0.002, 0.0, -0.213),
    foot_radius=0.022,
    joints=(
        JointDescription((1, 0, 0), (-1.0472, 1.0472), (-1.0472, 1.0472), 23.7, 30.1),
        JointDescription((0, 1, 0), (-1.5708, 3.4907), (-0.5236, 4.5379), 23.7, 30.1),
        JointDescription((0, 1, 0), (-2.7227, -0.83776), (-2.7227, -0.83776), 45.43, 15.70),
    ),
    rotor_inertia=1.11842e-4,
    gear_ratio=6.33,
    trunk_box=(0.1881, 0.04675, 0.057),
    head_box=((0.293, 0.0, -0.006), (0.04, 0.045, 0.042)),
    imu_position=(-0.02557, 0.0, 0.04232),
    colours={
        "shell": (0.78, 0.80, 0.82, 1.0),
        "leg": (0.16, 0.17, 0.19, 1.0),
        "accent": (0.62, 0.64, 0.67, 1.0),
        "light": (0.95, 0.97, 1.00, 1.0),
    },
)
