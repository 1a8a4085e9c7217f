"""Feet and trunk from the shapes of a description: what of them touches the ground, as a ball and as a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from safebo.types import BoolArray, FloatArray

_GEOM = mujoco.mjtGeom
_REACHES = 0.85  # a foot's surface is at least that far down the way from the knee to the farthest point
_TIP = 0.08  # of that way: what of a mesh counts as its tip
_RADIUS = (0.03, 0.12)  # of that way: how thin and how thick a foot's ball is
DEFAULT_RADIUS = 0.1  # of that way, where a frame is all there is


@dataclass(frozen=True)
class Foot:
    """The ball on which a leg stands.

    Args:
        centre: in the frame of the data, m.
        radius: m.
        how: from what it was made, for people.
    """

    centre: FloatArray
    radius: float
    how: str


def find_foot(
    model: Any, data: Any, bodies: Sequence[int], knee: FloatArray, colliding: BoolArray
) -> Foot | None:
    """The foot of one leg, from the shapes of its last link and what is welded to it.

    A ball at the tip, the end of a capsule, or a ball fitted to the tip of another shape; without colliding shapes the
    ones that are only seen, without any the farthest frame. None where there is nothing beyond the knee.

    Args:
        model: compiled description.
        data: its kinematics.
        bodies: that move with the last joint.
        knee: a point on the last joint's axis.
        colliding: which geoms touch something.
    """
    geoms = [i for i in range(model.ngeom) if int(model.geom_bodyid[i]) in bodies]
    for kind in ([i for i in geoms if colliding[i]], [i for i in geoms if not colliding[i]]):
        foot = _from_geoms(model, data, kind, knee)
        if foot is not None:
            return foot
    frames = [data.xpos[body] for body in bodies]
    frames += [data.site_xpos[i] for i in range(model.nsite) if int(model.site_bodyid[i]) in bodies]
    far = max(frames, key=lambda point: float(np.linalg.norm(point - knee)))
    reach = float(np.linalg.norm(far - knee))
    if reach < 1e-3:
        return None
    return Foot(np.array(far), DEFAULT_RADIUS * reach, "no shape at its end: a ball around its last frame")


def _from_geoms(model: Any, data: Any, geoms: Sequence[int], knee: FloatArray) -> Foot | None:
    if not geoms:
        return None
    clouds = {geom: surface_points(model, data, geom) for geom in geoms}
    farthest = {geom: float(np.linalg.norm(cloud - knee, axis=1).max()) for geom, cloud in clouds.items()}
    reach = max(farthest.values())
    balls = [
        (_distance(data, geom, knee) + float(model.geom_size[geom, 0]), geom)
        for geom in geoms
        if model.geom_type[geom] == _GEOM.mjGEOM_SPHERE
    ]
    if balls and max(balls)[0] > _REACHES * reach:
        geom = max(balls)[1]
        return Foot(np.array(data.geom_xpos[geom]), float(model.geom_size[geom, 0]), "")
    tip = max(geoms, key=lambda geom: farthest[geom])
    size, axes = model.geom_size[tip], data.geom_xmat[tip].reshape(3, 3)
    centre = np.array(data.geom_xpos[tip])
    if model.geom_type[tip] == _GEOM.mjGEOM_CAPSULE:
        ends = [centre + sign * size[1] * axes[:, 2] for sign in (1.0, -1.0)]
        return Foot(max(ends, key=lambda end: float(np.linalg.norm(end - knee))), float(size[0]), "")
    lying = abs(axes[:, 2] @ (centre - knee)) < 0.5 * np.linalg.norm(centre - knee)
    if model.geom_type[tip] == _GEOM.mjGEOM_CYLINDER and lying and farthest[tip] - size[0] > 0.5 * reach:
        return Foot(centre, float(size[0]), "a ball as thick as its roller")
    return _fitted(np.concatenate(list(clouds.values())), knee, reach)


def _fitted(cloud: FloatArray, knee: FloatArray, reach: float) -> Foot:
    """A ball that touches the tip of a cloud of points from inside, as thick as the tip is."""
    away = np.linalg.norm(cloud - knee, axis=1)
    near_tip = cloud[away > (1.0 - _TIP) * reach]
    middle = near_tip.mean(axis=0)
    along = (middle - knee) / np.linalg.norm(middle - knee)
    across = near_tip - middle
    across = across - np.outer(across @ along, along)
    moments = np.linalg.eigvalsh(across.T @ across / len(across))
    thickness = float(np.sqrt(2.0 * max(moments[1], 0.0)))  # of the thinner direction across
    radius = float(np.clip(thickness, _RADIUS[0] * reach, _RADIUS[1] * reach))
    end = float(((near_tip - knee) @ along).max())
    sideways = middle - knee - ((middle - knee) @ along) * along
    return Foot(knee + sideways + (end - radius) * along, radius, "a ball fitted to the tip of its shape")


def _distance(data: Any, geom: int, knee: FloatArray) -> float:
    return float(np.linalg.norm(data.geom_xpos[geom] - knee))


def surface_points(model: Any, data: Any, geom: int) -> FloatArray:
    """Points on a geom's surface in the frame of the data, `n x 3`: enough to bound it."""
    kind, size = int(model.geom_type[geom]), np.array(model.geom_size[geom])
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    if kind == _GEOM.mjGEOM_MESH:
        mesh = int(model.geom_dataid[geom])
        first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
        local = np.array(model.mesh_vert[first : first + count], dtype=float)
    elif kind == _GEOM.mjGEOM_BOX:
        local = corners * size
    elif kind in (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_ELLIPSOID):
        half = size if kind == _GEOM.mjGEOM_ELLIPSOID else np.full(3, size[0])
        around = np.concatenate([np.eye(3), -np.eye(3), corners / np.sqrt(3.0)])
        local = around * half
    else:  # capsule, cylinder: rings at both ends, and the ends of a capsule
        angles = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
        ring = np.stack([size[0] * np.cos(angles), size[0] * np.sin(angles), np.zeros(16)], axis=1)
        up = np.array([0.0, 0.0, size[1]])
        local = np.concatenate([ring + up, ring - up])
        if kind == _GEOM.mjGEOM_CAPSULE:
            end = np.array([0.0, 0.0, size[1] + size[0]])
            local = np.concatenate([local, [end, -end]])
    return np.asarray(local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])


def trunk_box(
    model: Any, data: Any, bodies: Sequence[int], colliding: BoolArray, rotation: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Centre and half sizes of the box around what collides of some bodies, in axes `rotation`; None without any."""
    geoms = [
        i
        for i in range(model.ngeom)
        if int(model.geom_bodyid[i]) in bodies
        and colliding[i]
        and model.geom_type[i] not in (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_HFIELD)
    ]
    if not geoms:
        return None
    cloud = np.concatenate([surface_points(model, data, geom) for geom in geoms]) @ rotation
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    return 0.5 * (low + high), 0.5 * (high - low)
