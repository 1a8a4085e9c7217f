"""Messages that Foxglove draws and lists by the names of their schemas, as JSON.

Names and fields are those of Foxglove's documentation (docs.foxglove.dev, "Message schemas"): `foxglove.SceneUpdate`,
`foxglove.FrameTransforms`, `foxglove.JointStates`, `foxglove.Log`. Every field that is not optional there is written.
Lengths in m, angles in rad, colours 0 to 1; a quaternion is x, y, z, w there and w first everywhere else here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from safebo.robots.descriptions.body_shapes import BodyShape, ShapeKind
from safebo.types import FloatArray

NANOSECONDS = 1_000_000_000
MAX_TRIANGLES = 5000
"""Of one mesh; a finer one is drawn as the box around it."""

INFO, WARNING, ERROR = 2, 3, 4
"""Levels of a log message."""

Body = dict[str, Any]


def dumped(body: Mapping[str, Any]) -> bytes:
    """A message's bytes.

    Raises:
        ValueError: a number that is not finite, which JSON cannot hold.
    """
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


# -- schemas ----------------------------------------------------------------------------------------------

_NUMBER: Body = {"type": "number"}
_TEXT: Body = {"type": "string"}
_FLAG: Body = {"type": "boolean"}
_COUNT: Body = {"type": "integer", "minimum": 0}
_NANO: Body = {"type": "integer", "minimum": 0, "maximum": NANOSECONDS - 1}
_TIME: Body = {"type": "object", "title": "time", "properties": {"sec": _COUNT, "nsec": _NANO}}
_DURATION: Body = {
    "type": "object",
    "title": "duration",
    "properties": {"sec": {"type": "integer"}, "nsec": _NANO},
}


_OPTIONAL = {"JointState": ("position", "velocity", "acceleration", "effort")}
"""Fields that may be left out, by schema."""


def _object(title: str, **fields: Body) -> Body:
    required = [name for name in fields if name not in _OPTIONAL.get(title, ())]
    return {"title": f"foxglove.{title}", "type": "object", "properties": fields, "required": required}


def _list(items: Body) -> Body:
    return {"type": "array", "items": items}


def _choice(title: str, **values: int) -> Body:
    return {"title": f"foxglove.{title}", "oneOf": [{"title": n, "const": v} for n, v in values.items()]}


_VECTOR = _object("Vector3", x=_NUMBER, y=_NUMBER, z=_NUMBER)
_POINT = _object("Point3", x=_NUMBER, y=_NUMBER, z=_NUMBER)
_QUATERNION = _object("Quaternion", x=_NUMBER, y=_NUMBER, z=_NUMBER, w=_NUMBER)
_POSE = _object("Pose", position=_VECTOR, orientation=_QUATERNION)
_COLOUR = _object("Color", r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)
_ARROW = _object(
    "ArrowPrimitive",
    pose=_POSE,
    shaft_length=_NUMBER,
    shaft_diameter=_NUMBER,
    head_length=_NUMBER,
    head_diameter=_NUMBER,
    color=_COLOUR,
)
_BALL = _object("SpherePrimitive", pose=_POSE, size=_VECTOR, color=_COLOUR)
_BOX = _object("CubePrimitive", pose=_POSE, size=_VECTOR, color=_COLOUR)
_CYLINDER = _object(
    "CylinderPrimitive", pose=_POSE, size=_VECTOR, bottom_scale=_NUMBER, top_scale=_NUMBER, color=_COLOUR
)
_LINE = _object(
    "LinePrimitive",
    type=_choice("LineType", LINE_STRIP=0, LINE_LOOP=1, LINE_LIST=2),
    pose=_POSE,
    thickness=_NUMBER,
    scale_invariant=_FLAG,
    points=_list(_POINT),
    color=_COLOUR,
    colors=_list(_COLOUR),
    indices=_list(_COUNT),
)
_TRIANGLES = _object(
    "TriangleListPrimitive",
    pose=_POSE,
    points=_list(_POINT),
    color=_COLOUR,
    colors=_list(_COLOUR),
    indices=_list(_COUNT),
)
_WORDS = _object(
    "TextPrimitive",
    pose=_POSE,
    billboard=_FLAG,
    font_size=_NUMBER,
    scale_invariant=_FLAG,
    color=_COLOUR,
    text=_TEXT,
)
_MODEL = _object(
    "ModelPrimitive",
    pose=_POSE,
    scale=_VECTOR,
    color=_COLOUR,
    override_color=_FLAG,
    url=_TEXT,
    media_type=_TEXT,
    data={"type": "string", "contentEncoding": "base64"},
)
_PRIMITIVES = {
    "arrows": _ARROW,
    "cubes": _BOX,
    "spheres": _BALL,
    "cylinders": _CYLINDER,
    "lines": _LINE,
    "triangles": _TRIANGLES,
    "texts": _WORDS,
    "models": _MODEL,
}
_ENTITY = _object(
    "SceneEntity",
    timestamp=_TIME,
    frame_id=_TEXT,
    id=_TEXT,
    lifetime=_DURATION,
    frame_locked=_FLAG,
    metadata=_list(_object("KeyValuePair", key=_TEXT, value=_TEXT)),
    **{name: _list(primitive) for name, primitive in _PRIMITIVES.items()},
)
_DELETION = _object(
    "SceneEntityDeletion",
    timestamp=_TIME,
    type=_choice("SceneEntityDeletionType", MATCHING_ID=0, ALL=1),
    id=_TEXT,
)
_TRANSFORM = _object(
    "FrameTransform",
    timestamp=_TIME,
    parent_frame_id=_TEXT,
    child_frame_id=_TEXT,
    translation=_VECTOR,
    rotation=_QUATERNION,
)
_JOINT = _object(
    "JointState",
    name=_TEXT,
    position=_NUMBER,
    velocity=_NUMBER,
    acceleration=_NUMBER,
    effort=_NUMBER,
)
_LEVELS = _choice("LogLevel", UNKNOWN=0, DEBUG=1, INFO=INFO, WARNING=WARNING, ERROR=ERROR, FATAL=5)

SCHEMAS: Mapping[str, Body] = {
    schema["title"]: schema
    for schema in (
        _object("SceneUpdate", deletions=_list(_DELETION), entities=_list(_ENTITY)),
        _object("FrameTransforms", transforms=_list(_TRANSFORM)),
        _object("JointStates", timestamp=_TIME, joints=_list(_JOINT)),
        _object("Log", timestamp=_TIME, level=_LEVELS, message=_TEXT, name=_TEXT, file=_TEXT, line=_COUNT),
    )
}
"""JSON schemas by name."""


# -- messages ---------------------------------------------------------------------------------------------


def stamp(time: int) -> Body:
    """A time in nanoseconds since 1970."""
    return {"sec": time // NANOSECONDS, "nsec": time % NANOSECONDS}


def vector(values: Sequence[float] | FloatArray) -> Body:
    """Three numbers."""
    x, y, z = (float(v) for v in values)
    return {"x": x, "y": y, "z": z}


def quaternion(wxyz: Sequence[float] | FloatArray) -> Body:
    """A rotation, w first."""
    w, x, y, z = (float(v) for v in wxyz)
    return {"x": x, "y": y, "z": z, "w": w}


def transform(time: int, parent: str, child: str, position: FloatArray, rotation: FloatArray) -> Body:
    """Where a frame is in another: `position` m, 3; `rotation` w first, 4."""
    return {
        "timestamp": stamp(time),
        "parent_frame_id": parent,
        "child_frame_id": child,
        "translation": vector(position),
        "rotation": quaternion(rotation),
    }


def joint_states(
    time: int, names: Sequence[str], position: FloatArray, velocity: FloatArray, effort: FloatArray
) -> Body:
    """Joints by name: rad, rad/s, N m."""
    rows = zip(names, position.tolist(), velocity.tolist(), effort.tolist(), strict=True)
    joints = [{"name": n, "position": q, "velocity": v, "effort": t} for n, q, v, t in rows]
    return {"timestamp": stamp(time), "joints": joints}


def log(time: int, level: int, name: str, message: str) -> Body:
    """A line of a log: what `name` says."""
    return {
        "timestamp": stamp(time),
        "level": level,
        "message": message,
        "name": name,
        "file": "",
        "line": 0,
    }


def entity(body: str, shapes: Sequence[BodyShape]) -> Body:
    """A body of a robot, which stays where its frame goes; without its time."""
    drawn: dict[str, list[Body]] = {name: [] for name in _PRIMITIVES}
    for shape in shapes:
        for name, primitive in _primitives(shape):
            drawn[name].append(primitive)
    return {
        "frame_id": body,
        "id": body,
        "lifetime": {"sec": 0, "nsec": 0},
        "frame_locked": True,
        "metadata": [],
        **drawn,
    }


def _primitives(shape: BodyShape) -> list[tuple[str, Body]]:
    r, g, b, a = (float(c) for c in shape.colour)
    look = {"color": {"r": r, "g": g, "b": b, "a": a}}
    place = _pose(shape.position, shape.quaternion)
    size = 2.0 * shape.size
    if shape.kind is ShapeKind.BOX:
        return [("cubes", {"pose": place, "size": vector(size), **look})]
    if shape.kind is ShapeKind.ELLIPSOID:
        return [("spheres", {"pose": place, "size": vector(size), **look})]
    if shape.kind is ShapeKind.MESH:
        return [_mesh(shape, look)]
    wide, long = size[0], size[1]
    full = {"bottom_scale": 1.0, "top_scale": 1.0, **look}
    found = [("cylinders", {"pose": place, "size": vector((wide, wide, long)), **full})]
    if shape.kind is ShapeKind.CAPSULE:
        along = shape.size[1] * _axis(shape.quaternion)
        ends = (shape.position + along, shape.position - along)
        found += [
            ("spheres", {"pose": _pose(end, shape.quaternion), "size": vector((wide,) * 3), **look})
            for end in ends
        ]
    return found


def _mesh(shape: BodyShape, look: Body) -> tuple[str, Body]:
    if len(shape.triangles) > MAX_TRIANGLES:
        low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
        place = _pose(0.5 * (low + high), shape.quaternion)
        return "cubes", {"pose": place, "size": vector(high - low), **look}
    return "triangles", {
        "pose": _pose(shape.position, shape.quaternion),
        "points": [vector(point) for point in shape.vertices],
        "colors": [],
        "indices": shape.triangles.ravel().tolist(),
        **look,
    }


def _pose(position: FloatArray, rotation: FloatArray) -> Body:
    return {"position": vector(position), "orientation": quaternion(rotation)}


def _axis(rotation: FloatArray) -> FloatArray:
    """Where the z axis points after a rotation, w first."""
    w, x, y, z = rotation / np.linalg.norm(rotation)
    return np.array([2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)])
