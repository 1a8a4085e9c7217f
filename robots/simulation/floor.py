"""The floor of a walk: how high it is, where, and what MuJoCo gets of it.

The floor is a plane through the start that may rise (`slope`). In its own axes, ahead and to the left, there may be
blocks (`steps`) and a height field (`rough`) on it; the highest of them counts. Feet on a strip of `friction_patches`
have the friction of the strip. Everybody who asks how high the floor is asks here.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.robot import RobotModel
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.terrain import HeightField, friction_at, height_field, step_rise
from safebo.types import FloatArray

FAR = 200.0
"""m to which a step goes that has no end."""

HALF_WIDTH = 20.0
"""Half of the width of steps, m."""

DEPTH = 0.5
"""How far steps and rough ground reach under the floor, m: a foot inside them is pushed out upward."""

_TOUCHED: dict[str, Any] = {"contype": 1, "conaffinity": 0, "condim": 1, "friction": (0.6, 0.02, 0.01)}
"""Contact of the floor, as `safebo.robots.descriptions.mjcf.write_document` has it."""

_TINTED: dict[str, Any] = {"material": "floor", "rgba": (0.95, 0.86, 0.72, 1.0), "group": 0}
_PAINT: dict[str, Any] = {"rgba": (0.35, 0.62, 0.90, 0.55), "group": 0}
_UNTOUCHED: dict[str, Any] = {"contype": 0, "conaffinity": 0}
PAINT = 0.002
"""Thickness of the paint of a strip, m."""
UNSEEN = 0.005
"""How far the plane is drawn under rough ground, m."""


def slope_quaternion(gap: Disturbance) -> FloatArray:
    """From the world to the floor's own axes, w, x, y, z."""
    ahead, left = np.radians(gap.slope)
    pitch, roll, both = np.zeros(4), np.zeros(4), np.zeros(4)
    mujoco.mju_axisAngle2Quat(pitch, np.array([0.0, 1.0, 0.0]), -ahead)
    mujoco.mju_axisAngle2Quat(roll, np.array([1.0, 0.0, 0.0]), left)
    mujoco.mju_mulQuat(both, pitch, roll)
    return both


def floor_axes(gap: Disturbance) -> FloatArray:
    """The floor's own axes as columns: ahead, to the left, normal; `3 x 3`."""
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, slope_quaternion(gap))
    return axes.reshape(3, 3)


def floor_gradient(gap: Disturbance) -> FloatArray:
    """How the floor rises along the world's x and y, `2`."""
    ahead, left = np.radians(gap.slope)
    return np.array([math.tan(ahead), math.tan(left) / math.cos(ahead)])


def floor_rise(gap: Disturbance, position: FloatArray) -> FloatArray:
    """Height of the floor under positions in the world (`... x 3`), m."""
    plane = np.asarray(position[..., :2] @ floor_gradient(gap))
    if not gap.uneven:
        return plane
    axes = floor_axes(gap)
    point = np.concatenate([position[..., :2], plane[..., None]], axis=-1)
    rise = _over_plane(gap, point @ axes)
    if any(gap.slope):  # straight up is not along the normal: look where the vertical meets what was found
        for _ in range(3):
            point[..., 2] = plane + rise / axes[2, 2]
            rise = _over_plane(gap, point @ axes)
    return np.asarray(plane + rise / axes[2, 2])


def _over_plane(gap: Disturbance, own: FloatArray) -> FloatArray:
    """How far steps and rough ground are over the plane, at points in the floor's axes (`... x 3`), m."""
    rise = step_rise(gap.steps, own[..., 0])
    if gap.rough is not None:
        rise = np.maximum(rise, height_field(gap.rough).rise(own[..., 0], own[..., 1]))
    return rise


def floor_under(
    gap: Disturbance, robot: RobotModel, position: FloatArray, orientation: FloatArray
) -> FloatArray:
    """Height of the floor from which the height of a robot's trunk counts, m, `...`.

    On a plane that under the trunk, otherwise the mean of those where the feet belong: a robot half-way up a step is
    neither lower nor higher for it.

    Args:
        gap: the floor.
        robot: whose feet.
        position: of the trunk, world, m, `... x 3`.
        orientation: quaternion w, x, y, z, `... x 4`; its heading counts.
    """
    if not gap.uneven:
        return floor_rise(gap, position)
    w, x, y, z = np.moveaxis(orientation, -1, 0)
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    c, s = np.cos(yaw)[..., None], np.sin(yaw)[..., None]
    ahead, left = robot.stance_points[:, 0], robot.stance_points[:, 1]
    feet = np.stack(
        [position[..., 0, None] + c * ahead - s * left, position[..., 1, None] + s * ahead + c * left],
        axis=-1,
    )
    return np.asarray(floor_rise(gap, feet).mean(axis=-1))


def foot_friction(gap: Disturbance, feet: FloatArray, otherwise: FloatArray) -> FloatArray:
    """Coefficient of friction under feet at places in the world (`4 x 3`, m), `4`.

    A contact has the friction of the foot, whatever it stands on (see `mjcf.write_document`), so the strip on which a
    foot is decides by the foot's own.

    Args:
        gap: the floor.
        feet: where they are.
        otherwise: coefficients beside the strips, with the factor of every leg.
    """
    factor = np.asarray(gap.foot_friction_factor)
    return factor * friction_at(gap.friction_patches, feet @ floor_axes(gap)[:, 0], otherwise / factor)


def check_start(gap: Disturbance, robot: RobotModel) -> None:
    """Refuse a floor that is not level under the robot at its start.

    Raises:
        ValueError: names what is in the way, and from where on it may be.
    """
    feet = robot.foot_positions(robot.home_joints)
    ahead = float(feet[:, 0].max()) + robot.foot_radius
    for i, step in enumerate(gap.steps):
        if step.at < ahead:
            raise ValueError(
                f"disturbance: steps[{i}] begins {step.at:g} m ahead, and the feet of {robot.name} reach "
                f"{ahead:.2f} m at the start, which has to be level: give at least that"
            )
    reach = float(np.linalg.norm(feet[:, :2], axis=1).max()) + robot.foot_radius
    if gap.rough is not None and gap.rough.level < reach:
        raise ValueError(
            f"disturbance: rough.level is {gap.rough.level:g} m, and the feet of {robot.name} reach {reach:.2f} m "
            "around the start, which has to be level: give at least that"
        )


# -- in MuJoCo ---------------------------------------------------------------------------------------------


def model_on_floor(
    gap: Disturbance, robot: RobotModel, drawn: bool = False, along: tuple[float, float] | None = None
) -> Any:
    """A `mujoco.MjModel` of a robot with all of the floor in it but strips of friction, which are only drawn.

    Args:
        gap: the floor.
        robot: what stands on it.
        drawn: for pictures.
        along: from where to where ahead the floor is needed, m; None for all of it.
    """
    if not gap.uneven and not (drawn and gap.friction_patches):
        model = robot.load_mujoco(drawn)
    else:
        spec = robot.load_spec(drawn)
        turn = slope_quaternion(gap)
        _add_steps(spec, gap, along)
        if gap.rough is not None:
            field = height_field(gap.rough)
            _add_field(spec, field if along is None else field.part(along), turn, "rough", **_TOUCHED)
        if drawn:
            _paint_patches(spec, gap, turn, along or (-FAR, FAR))
        model = spec.compile()
    planes = robot.mujoco_index(model).floor_geoms
    if any(gap.slope):
        model.geom_quat[planes] = slope_quaternion(gap)
    if drawn and gap.rough is not None:  # where both are level only one can be seen
        model.geom_pos[planes] -= UNSEEN * floor_axes(gap)[:, 2]
    mujoco.mj_setConst(model, mujoco.MjData(model))  # a floor that has moved
    return model


def _add_steps(spec: Any, gap: Disturbance, along: tuple[float, float] | None) -> None:
    axes, turn = floor_axes(gap), slope_quaternion(gap)
    for i, step in enumerate(gap.steps):
        begin, end = step.at, step.at + min(step.length, FAR)
        if along is not None:
            begin, end = max(begin, along[0]), min(end, along[1])
        if begin >= end:
            continue
        length = end - begin
        centre = axes @ np.array([begin + 0.5 * length, 0.0, 0.5 * (step.height - DEPTH)])
        spec.worldbody.add_geom(
            name=f"step_{i}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=centre,
            quat=turn,
            size=[0.5 * length, HALF_WIDTH, 0.5 * (step.height + DEPTH)],
            **_TOUCHED,
            **_TINTED,
        )


def _add_field(
    spec: Any, field: HeightField, turn: FloatArray, name: str, lift: float = 0.0, **contact: Any
) -> None:
    """A height field, in the axes of the floor."""
    rows, columns = field.heights.shape
    (x0, x1), (y0, y1) = field.x, field.y
    lowest = float(field.heights.min())  # MuJoCo stretches what it is given to 0..1
    span = max(float(field.heights.max()) - lowest, 1e-6)
    look = contact.pop("look", None) or _TINTED
    spec.add_hfield(
        name=name,
        nrow=rows,
        ncol=columns,
        size=[0.5 * (x1 - x0), 0.5 * (y1 - y0), span, DEPTH],
        userdata=(field.heights.ravel() - lowest) / span,
    )
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, turn)
    spec.worldbody.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_HFIELD,
        hfieldname=name,
        pos=axes.reshape(3, 3) @ np.array([0.5 * (x0 + x1), 0.5 * (y0 + y1), lift + lowest]),
        quat=turn,
        **contact,
        **look,
    )


def _paint_patches(spec: Any, gap: Disturbance, turn: FloatArray, along: tuple[float, float]) -> None:
    """Strips of other friction, as thin layers on whatever is there."""
    axes = floor_axes(gap)
    for i, patch in enumerate(gap.friction_patches):
        begin, end = max(patch.at, along[0]), min(patch.at + patch.length, along[1])
        if begin >= end:
            continue
        if gap.rough is not None:
            part = height_field(gap.rough).part((begin, end))
            _add_field(spec, part, turn, f"patch_{i}", PAINT, look=_PAINT, **_UNTOUCHED)
        edges = [begin, end, *(x for step in gap.steps for x in (step.at, step.at + step.length))]
        edges = sorted({x for x in edges if begin <= x <= end})
        for k, (left, right) in enumerate(itertools.pairwise(edges)):
            rise = float(step_rise(gap.steps, np.array(0.5 * (left + right))))
            if rise == 0.0 and gap.rough is not None:
                continue
            spec.worldbody.add_geom(
                name=f"patch_{i}_{k}",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=axes @ np.array([0.5 * (left + right), 0.0, rise]),
                quat=turn,
                size=[0.5 * (right - left), HALF_WIDTH, PAINT],
                **_PAINT,
                **_UNTOUCHED,
            )
