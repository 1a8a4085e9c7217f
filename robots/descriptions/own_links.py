"""Links of a robot that was read: legs and feet, masses, the trunk's box, from its compiled file."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.layout import Layout
from safebo.robots.descriptions.reading import (
    MASSLESS,
    TINY_INERTIA,
    CompiledFile,
    DescriptionError,
    few,
    read_robot_file,
)
from safebo.robots.descriptions.shapes import find_foot, trunk_box
from safebo.robots.descriptions.unitree import GO1
from safebo.types import BoolArray, FloatArray


def legs(
    source: CompiledFile,
    layout: Layout,
    data: Any,
    radius: float | None,
    friction: float | None,
    notes: list[str],
) -> tuple[FloatArray, float, float]:
    """Axes, anchors and foot of every leg, and the feet's radius and friction.

    Args:
        source: the compiled file.
        layout: where the robot is in it.
        data: kinematics of its model.
        radius: of the feet that was chosen, m; None for what the file shows.
        friction: of the feet that was chosen; None for what the file says.
        notes: gets how feet were found.
    """
    chains = np.zeros((4, 7, 3))
    radii, seen, how = np.zeros(4), None, set()
    for leg, joints in enumerate(layout.joints):
        chains[leg, :3] = data.xaxis[joints] @ layout.rotation
        chains[leg, 3:6] = layout.into_trunk(data, data.xanchor[joints])
        bodies = layout.leg_bodies[leg][2]
        foot = find_foot(source.model, data, bodies, data.xanchor[joints[2]], source.colliding)
        if (foot is None or foot.how) and seen is None:  # shapes that are only seen may show more
            seen = _seen(source, layout)
        if seen is not None and (foot is None or "frame" in foot.how):
            model, kinematics, colliding = seen
            foot = find_foot(model, kinematics, bodies, kinematics.xanchor[joints[2]], colliding) or foot
        if foot is None:
            raise DescriptionError(
                source.path,
                f"nothing lies beyond the last joint of the leg: {source.joint_name(joints[2])!r}",
            )
        chains[leg, 6] = layout.into_trunk(data, foot.centre)
        radii[leg] = foot.radius
        if foot.how:
            how.add(foot.how)
    radius = float(radius or np.round(radii.mean(), 5))
    if how:
        notes.append(f"feet of {radius:.3g} m: {'; '.join(sorted(how))}")
    elif np.ptp(radii) > 1e-3:
        notes.append(f"feet of {few(f'{r:.3g}' for r in radii)} m; all get {radius:.3g} m")
    if friction is None:
        friction = _foot_friction(source, layout)
    return chains, radius, float(friction)


def _seen(source: CompiledFile, layout: Layout) -> tuple[Any, Any, BoolArray]:
    """The file with all shapes: model, kinematics, colliding."""
    full = read_robot_file(source.path, visuals=True)
    data = mujoco.MjData(full.model)
    data.qpos[:] = layout.qpos
    mujoco.mj_kinematics(full.model, data)
    return full.model, data, full.colliding


def _foot_friction(source: CompiledFile, layout: Layout) -> float:
    """An MJCF says a ball's friction; a URDF none, and the Go1's feet serve."""
    model = source.model
    if source.urdf:
        return GO1.foot_friction
    bodies = {body for leg in layout.leg_bodies for body in leg[2]}
    found = [
        float(model.geom_friction[i, 0])
        for i in range(model.ngeom)
        if source.colliding[i]
        and int(model.geom_bodyid[i]) in bodies
        and model.geom_type[i] == mujoco.mjtGeom.mjGEOM_SPHERE
    ]
    return float(np.mean(found)) if found else GO1.foot_friction


def inertias(model: Any, layout: Layout, data: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mass, centre of mass and inertia of the trunk and the twelve links, see `Skeleton`."""
    groups = [layout.trunk_bodies, *(bodies for leg in layout.leg_bodies for bodies in leg)]
    anchors = [np.zeros(3), *layout.into_trunk(data, data.xanchor[layout.joints.ravel()])]
    mass, com, inertia = np.zeros(13), np.array(anchors), np.tile(1e-9 * np.eye(3), (13, 1, 1))
    for link, bodies in enumerate(groups):
        heavy = [
            body
            for body in bodies
            if model.body_mass[body] > 1.001 * MASSLESS
            or model.body_inertia[body].max() > 1.001 * TINY_INERTIA
        ]
        if not heavy:
            continue
        masses = model.body_mass[heavy]
        centres = layout.into_trunk(data, data.xipos[heavy])
        mass[link] = masses.sum()
        com[link] = masses @ centres / mass[link]
        total = np.zeros((3, 3))
        for body, part, centre in zip(heavy, masses, centres, strict=True):
            axes = layout.rotation.T @ data.ximat[body].reshape(3, 3)
            arm = centre - com[link]
            total += axes @ np.diag(model.body_inertia[body]) @ axes.T
            total += part * (arm @ arm * np.eye(3) - np.outer(arm, arm))
        inertia[link] = total
    return mass, com, inertia


def box(source: CompiledFile, layout: Layout, data: Any, chains: FloatArray, height: float) -> FloatArray:
    """Centre and half sizes of the trunk's box: around the hips and what collides of the base, clear of the ground."""
    still = [body for body in layout.trunk_bodies if _rigid_with(source.model, body, layout.base)]
    found = trunk_box(source.model, data, still, source.colliding, layout.rotation)
    hips, thick = chains[:, 3], 0.1 * height * np.array([0.0, 0.0, 1.0])
    low, high = hips.min(axis=0) - thick, hips.max(axis=0) + thick
    if found is not None:
        centre = layout.into_trunk(data, found[0] @ layout.rotation.T)
        low, high = np.minimum(low, centre - found[1]), np.maximum(high, centre + found[1])
    low[2] = max(low[2], -0.6 * height)
    high[2] = max(high[2], low[2] + 0.1 * height)
    return np.array([0.5 * (low + high), np.maximum(0.5 * (high - low), 0.01)])


def _rigid_with(model: Any, body: int, base: int) -> bool:
    """Whether no joint lies between a body and the base above it."""
    while body != base:
        if model.body_jntnum[body] or body == 0:
            return False
        body = int(model.body_parentid[body])
    return True


def imu_position(model: Any, layout: Layout, data: Any) -> FloatArray:
    """Position of what is called an inertial unit on the trunk, in its frame; its origin where there is none."""
    for i in range(model.nsite):
        if "imu" in model.site(i).name.lower() and int(model.site_bodyid[i]) in layout.trunk_bodies:
            return layout.into_trunk(data, np.array(data.site_xpos[i]))
    for body in layout.trunk_bodies:
        if "imu" in model.body(body).name.lower():
            return layout.into_trunk(data, np.array(data.xpos[body]))
    return np.zeros(3)
