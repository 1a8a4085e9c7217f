"""Pictures of a robot of one's own: the shapes of its file on the bodies of its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.description import JOINT_TYPES, LEGS
from safebo.robots.descriptions.layout import LayoutChoices, find_layout
from safebo.robots.descriptions.reading import read_robot_file
from safebo.robots.descriptions.shapes import surface_points

_PLAIN = np.array([0.5, 0.5, 0.5, 1.0])  # MuJoCo's colour of a geom that has none
_GREY = np.array([0.42, 0.44, 0.48, 1.0])
_DRAWN_GROUP = 2
_WHOLE = 0.6
"""Share of a link's size that its visible shapes have to fill; otherwise some are missing and all shapes are shown."""


def draw_robot(path: Path, choices: LayoutChoices, mjcf: str) -> Any:
    """`mjcf` as a `mujoco.MjSpec`, with the shapes that the file at `path` shows, or collides with where it shows none.

    Shapes whose files cannot be read are missing from the picture; a link without any is drawn as a rod.
    """
    source = read_robot_file(path, visuals=True)
    layout = find_layout(source, choices)
    model = source.model
    data = mujoco.MjData(model)
    data.qpos[:] = layout.qpos
    mujoco.mj_kinematics(model, data)
    spec = mujoco.MjSpec.from_string(mjcf)
    plain = mujoco.MjModel.from_xml_string(mjcf)
    at_zero = mujoco.MjData(plain)
    at_zero.qpos[:] = 0.0
    at_zero.qpos[3] = 1.0
    mujoco.mj_kinematics(plain, at_zero)
    links: Mapping[str, list[int]] = {"trunk": layout.trunk_bodies} | {
        f"{leg}_{kind}": layout.leg_bodies[i][k]
        for i, leg in enumerate(LEGS)
        for k, kind in enumerate(JOINT_TYPES)
    }
    meshes: dict[int, str] = {}
    for name, bodies in links.items():
        geoms = [i for i in range(model.ngeom) if int(model.geom_bodyid[i]) in bodies]
        seen = [i for i in geoms if not source.colliding[i]]
        shown = seen if _extent(model, data, seen) > _WHOLE * _extent(model, data, geoms) else geoms
        body, origin = spec.body(name), at_zero.body(name).xpos
        for geom in shown:
            position = layout.into_trunk(data, data.geom_xpos[geom]) - origin
            quaternion = np.zeros(4)
            turned = layout.rotation.T @ data.geom_xmat[geom].reshape(3, 3)
            mujoco.mju_mat2Quat(quaternion, turned.ravel())
            shape: dict[str, Any] = {"type": model.geom_type[geom], "size": model.geom_size[geom]}
            if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
                shape = {"type": mujoco.mjtGeom.mjGEOM_MESH, "meshname": _mesh(spec, model, geom, meshes)}
            body.add_geom(pos=position, quat=quaternion, rgba=_colour(model, geom), **shape, **_SEEN_ONLY)
        if name != "trunk" and not shown:
            _rod(body, plain, name)
        box = plain.geom("trunk")
        if name == "trunk" and _extent(model, data, shown) < _WHOLE * 2.0 * np.linalg.norm(box.size):
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX, pos=box.pos, size=0.9 * box.size, rgba=_GREY, **_SEEN_ONLY
            )
    return spec


_SEEN_ONLY: dict[str, Any] = {"contype": 0, "conaffinity": 0, "mass": 0.0, "group": _DRAWN_GROUP}


def _extent(model: Any, data: Any, geoms: list[int]) -> float:
    """Diagonal of the box around some geoms, m."""
    if not geoms:
        return 0.0
    cloud = np.concatenate([surface_points(model, data, geom) for geom in geoms])
    return float(np.linalg.norm(np.ptp(cloud, axis=0)))


def _mesh(spec: Any, model: Any, geom: int, known: dict[int, str]) -> str:
    mesh = int(model.geom_dataid[geom])
    if mesh not in known:
        known[mesh] = f"drawn_{mesh}"
        first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
        face, faces = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
        spec.add_mesh(
            name=known[mesh],
            uservert=np.array(model.mesh_vert[first : first + count], dtype=float).ravel(),
            userface=np.array(model.mesh_face[face : face + faces]).ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )
    return known[mesh]


def _colour(model: Any, geom: int) -> Any:
    material = int(model.geom_matid[geom])
    rgba = np.array(model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom])
    if np.allclose(rgba, _PLAIN):
        return _GREY
    rgba[3] = 1.0
    return rgba


def _rod(body: Any, plain: Any, name: str) -> None:
    """A rod from a link's joint to the next joint or the foot."""
    number = plain.body(name).id
    below = [i for i in range(plain.nbody) if plain.body_parentid[i] == number]
    end = plain.body_pos[below[0]] if below else plain.geom(f"{name.split('_')[0]}_foot").pos
    length = float(np.linalg.norm(end))
    if length > 1e-3:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[0.0, 0.0, 0.0, *end],
            size=[0.06 * length, 0.0, 0.0],
            rgba=_GREY,
            **_SEEN_ONLY,
        )
