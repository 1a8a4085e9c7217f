"""The robot's body as something that can lie, fall and roll over.

A robot model carries just the shapes that walking needs, without friction on all but the feet. A virtual robot
also has to lie on its belly and on its side, so its hips, thighs and calves get shapes here, and everything gets
friction. Masses and feet stay as they are, so a walking robot is the same in both.
"""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from safebo.robots.descriptions.model import RobotModel

HIP_RADIUS, HIP_HALF_LENGTH = 0.046, 0.02  # m
THIGH_RADIUS = 0.018  # m, less than the knee's ball
CALF_RADIUS, CALF_SHARE = 0.012, 0.85  # m; how far down the calf: the foot stands out


def with_body_contacts(robot: RobotModel) -> RobotModel:
    """The same robot with shapes on its legs and friction all over."""
    spec = mujoco.MjSpec.from_string(robot.mjcf)
    feet = {f"{leg}_foot" for leg in robot.legs}
    for geom in spec.geoms:
        if geom.type != mujoco.mjtGeom.mjGEOM_PLANE and geom.name not in feet:
            geom.condim = 3
    sideways = [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    for leg in robot.legs:
        foot = np.array(spec.geom(f"{leg}_foot").pos)
        shapes = {
            "hip": {
                "type": mujoco.mjtGeom.mjGEOM_CYLINDER,
                "size": [HIP_RADIUS, HIP_HALF_LENGTH, 0],
                "quat": sideways,
            },
            "thigh": {
                "type": mujoco.mjtGeom.mjGEOM_CAPSULE,
                "size": [THIGH_RADIUS, 0, 0],
                "fromto": [0, 0, 0, *spec.body(f"{leg}_calf").pos],
            },
            "calf": {
                "type": mujoco.mjtGeom.mjGEOM_CAPSULE,
                "size": [CALF_RADIUS, 0, 0],
                "fromto": [0, 0, 0, *(CALF_SHARE * foot)],
            },
        }
        for part, shape in shapes.items():
            spec.body(f"{leg}_{part}").add_geom(
                name=f"{leg}_{part}_shape", contype=0, conaffinity=1, condim=3, group=3, mass=0, **shape
            )
    spec.compile()
    return replace(robot, mjcf=spec.to_xml())
