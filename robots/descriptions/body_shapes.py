"""The shapes of a robot's bodies as a viewer draws them, each in its body's frame, whatever way MuJoCo stores them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import mujoco
import numpy as np

from safebo.types import FloatArray, IntArray

LAST_DRAWN_GROUP = 2
"""MuJoCo's groups above hold what only collides."""


class ShapeKind(StrEnum):
    """What a shape is."""

    BOX = "box"
    ELLIPSOID = "ellipsoid"
    CAPSULE = "capsule"
    CYLINDER = "cylinder"
    MESH = "mesh"


@dataclass(frozen=True, eq=False)
class BodyShape:
    """One shape.

    Args:
        body: name of the body that it belongs to. geom: its number in the model.
        kind: what it is.
        size: m, 3. Half the sides of a box, the half axes of an ellipsoid; radius, half the length (of a capsule
            without its caps) and 0 of the round ones, which lie along z; 0 of a mesh.
        position: in the body's frame, m, 3. quaternion: of the shape in that frame, w first, 4. For a mesh those of
            the body itself.
        colour: red, green, blue, opacity, 0 to 1, 4.
        vertices: of a mesh in the body's frame, m, `n x 3`. triangles: their corners, `k x 3`.
    """

    body: str
    geom: int
    kind: ShapeKind
    size: FloatArray
    position: FloatArray
    quaternion: FloatArray
    colour: FloatArray
    vertices: FloatArray
    triangles: IntArray


def body_name(model: Any, body: int) -> str:
    """Name of a body; its number where it has none."""
    return str(model.body(body).name) or f"body_{body}"


def body_shapes(model: Any) -> list[BodyShape]:
    """What is drawn of a `mujoco.MjModel`: everything that can be seen but planes."""
    found = []
    for geom in range(model.ngeom):
        if model.geom_group[geom] <= LAST_DRAWN_GROUP and _colour(model, geom)[3] > 0:
            shape = _shape(model, geom)
            if shape is not None:
                found.append(shape)
    return found


def _colour(model: Any, geom: int) -> FloatArray:
    material = int(model.geom_matid[geom])
    return np.asarray(model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom], dtype=float)


_KINDS = {
    mujoco.mjtGeom.mjGEOM_BOX: (ShapeKind.BOX, 3),
    mujoco.mjtGeom.mjGEOM_SPHERE: (ShapeKind.ELLIPSOID, 1),
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: (ShapeKind.ELLIPSOID, 3),
    mujoco.mjtGeom.mjGEOM_CAPSULE: (ShapeKind.CAPSULE, 2),
    mujoco.mjtGeom.mjGEOM_CYLINDER: (ShapeKind.CYLINDER, 2),
    mujoco.mjtGeom.mjGEOM_MESH: (ShapeKind.MESH, 0),
    mujoco.mjtGeom.mjGEOM_HFIELD: (ShapeKind.MESH, 0),
}
"""By MuJoCo's kind: ours, and how many of its sizes count."""


def _shape(model: Any, geom: int) -> BodyShape | None:
    number = mujoco.mjtGeom(int(model.geom_type[geom]))
    if number not in _KINDS:  # a plane, or what neither robots nor floors have
        return None
    kind, sizes = _KINDS[number]
    size = np.zeros(3)
    size[:sizes] = model.geom_size[geom][:sizes]
    if number == mujoco.mjtGeom.mjGEOM_SPHERE:
        size[:] = size[0]
    position = np.array(model.geom_pos[geom], dtype=float)
    quaternion = np.array(model.geom_quat[geom], dtype=float)
    vertices, triangles = np.empty((0, 3)), np.empty((0, 3), dtype=np.int64)
    if kind is ShapeKind.MESH:
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, quaternion)
        surface = _field if number == mujoco.mjtGeom.mjGEOM_HFIELD else _mesh
        vertices, triangles = surface(model, int(model.geom_dataid[geom]))
        vertices = vertices @ turn.reshape(3, 3).T + position
        position, quaternion = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    body = body_name(model, int(model.geom_bodyid[geom]))
    return BodyShape(body, geom, kind, size, position, quaternion, _colour(model, geom), vertices, triangles)


def _mesh(model: Any, mesh: int) -> tuple[FloatArray, IntArray]:
    """Corners (`n x 3`, m) and triangles (`k x 3`) of a mesh, in its own frame."""
    first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
    face, faces = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    vertices = np.asarray(model.mesh_vert[first : first + count], dtype=float)
    return vertices, np.array(model.mesh_face[face : face + faces], dtype=np.int64)


def _field(model: Any, field: int) -> tuple[FloatArray, IntArray]:
    """Corners (`n x 3`, m) and triangles (`k x 3`) of a height field, in its own frame."""
    rows, columns = int(model.hfield_nrow[field]), int(model.hfield_ncol[field])
    first, (x, y, high, _) = int(model.hfield_adr[field]), model.hfield_size[field]
    heights = high * np.asarray(model.hfield_data[first : first + rows * columns], dtype=float)
    across, along = np.meshgrid(np.linspace(-x, x, columns), np.linspace(-y, y, rows))
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    far = corner + columns + 1
    triangles = np.concatenate(
        [
            np.stack([corner, corner + 1, far], axis=1),
            np.stack([corner, far, corner + columns], axis=1),
        ]
    )
    return np.column_stack([across.ravel(), along.ravel(), heights]), triangles
