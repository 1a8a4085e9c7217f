"""A robot as a URDF that viewers of ROS draw: its bodies with their masses, joints and shapes.

Links have the names and frames of the robot's bodies, which the bridge publishes on `/tf`. URDF has no capsule, which
is drawn as a cylinder between two balls, and no ellipsoid, which is drawn as its box unless it is a ball. Meshes are
left out: a URDF only points at files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import mujoco
import numpy as np

from safebo.robots.descriptions.body_shapes import BodyShape, ShapeKind, body_name, body_shapes
from safebo.robots.descriptions.model import RobotModel
from safebo.types import FloatArray


def urdf_of(robot: RobotModel) -> str:
    """The text of a robot's URDF; lengths in m, angles in rad, masses in kg."""
    model = robot.load_mujoco(drawn=True)
    root = Element("robot", name=robot.name)
    shapes = body_shapes(model)
    for body in range(1, model.nbody):
        link = SubElement(root, "link", name=body_name(model, body))
        _weigh(link, model, body)
        for shape in shapes:
            if shape.body == body_name(model, body):
                _draw(link, shape)
    for body in range(1, model.nbody):
        parent = int(model.body_parentid[body])
        if parent:
            _join(root, model, body, parent)
    indent(root)
    return tostring(root, encoding="unicode")


def _join(root: Element, model: Any, body: int, parent: int) -> None:
    count, first = int(model.body_jntnum[body]), int(model.body_jntadr[body])
    turns = count == 1 and model.jnt_type[first] == mujoco.mjtJoint.mjJNT_HINGE
    name = str(model.joint(first).name) if turns else f"{body_name(model, body)}_fixed"
    joint = SubElement(root, "joint", name=name, type="revolute" if turns else "fixed")
    _origin(joint, model.body_pos[body], model.body_quat[body])
    SubElement(joint, "parent", link=body_name(model, parent))
    SubElement(joint, "child", link=body_name(model, body))
    if turns:
        lower, upper = model.jnt_range[first] if model.jnt_limited[first] else (-math.pi, math.pi)
        SubElement(joint, "axis", xyz=_text(model.jnt_axis[first]))
        # effort and velocity have to be there; nothing that only draws uses them
        SubElement(joint, "limit", lower=f"{lower:.6g}", upper=f"{upper:.6g}", effort="0", velocity="0")


def _weigh(link: Element, model: Any, body: int) -> None:
    inertial = SubElement(link, "inertial")
    _origin(inertial, model.body_ipos[body], model.body_iquat[body])
    SubElement(inertial, "mass", value=f"{model.body_mass[body]:.9g}")
    xx, yy, zz = (f"{value:.9g}" for value in model.body_inertia[body])
    SubElement(inertial, "inertia", ixx=xx, iyy=yy, izz=zz, ixy="0", ixz="0", iyz="0")


def _draw(link: Element, shape: BodyShape) -> None:
    for kind, sizes, offset in _pieces(shape):
        visual = SubElement(link, "visual")
        turn = np.zeros(3)
        mujoco.mju_rotVecQuat(turn, offset, shape.quaternion)
        _origin(visual, shape.position + turn, shape.quaternion)
        SubElement(SubElement(visual, "geometry"), kind, sizes)
        material = SubElement(visual, "material", name=f"shape_{shape.geom}")
        SubElement(material, "color", rgba=_text(shape.colour))


def _pieces(shape: BodyShape) -> Iterator[tuple[str, dict[str, str], FloatArray]]:
    """Kinds of URDF with their sizes, and where they are in the shape's own frame."""
    here, (first, second, _) = np.zeros(3), shape.size
    if shape.kind is ShapeKind.BOX or (
        shape.kind is ShapeKind.ELLIPSOID and np.ptp(shape.size) > 1e-9 * first
    ):
        yield "box", {"size": _text(2.0 * shape.size)}, here
    elif shape.kind is ShapeKind.ELLIPSOID:
        yield "sphere", {"radius": f"{first:.6g}"}, here
    elif shape.kind in (ShapeKind.CYLINDER, ShapeKind.CAPSULE):
        yield "cylinder", {"radius": f"{first:.6g}", "length": f"{2.0 * second:.6g}"}, here
        if shape.kind is ShapeKind.CAPSULE:
            for end in (-second, second):
                yield "sphere", {"radius": f"{first:.6g}"}, np.array([0.0, 0.0, end])


def _origin(where: Element, position: FloatArray, quaternion: FloatArray) -> None:
    SubElement(where, "origin", xyz=_text(position), rpy=_text(roll_pitch_yaw(quaternion)))


def roll_pitch_yaw(quaternion: FloatArray) -> FloatArray:
    """Angles about the fixed axes x, y, z, rad, of a unit quaternion, w first."""
    w, x, y, z = (float(value) for value in quaternion)
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    if abs(pitch) > math.pi / 2.0 - 1e-6:  # roll and yaw are about the same axis
        return np.array([math.copysign(2.0, pitch) * math.atan2(x, w), pitch, 0.0])
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    return np.array([roll, pitch, math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))])


def _text(values: FloatArray) -> str:
    return " ".join(f"{value:.6g}" for value in values)
