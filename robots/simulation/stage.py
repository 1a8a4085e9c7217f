"""The robot of a footage on its floor, drawn without a screen at any recorded moment.

MuJoCo draws through EGL, which needs no GPU where Mesa is installed (Debian: libegl1 and libgl1-mesa-dri). Where no
OpenGL is found `RenderingUnavailable` says so.
"""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from safebo.robots import OPENGL
from safebo.robots.simulation.floor import floor_axes, floor_rise, model_on_floor
from safebo.robots.simulation.footage import GRAVITY, Footage, floor_normal, forces_over_time
from safebo.types import FloatArray

Frame = NDArray[np.uint8]

HINT = (
    "no OpenGL was found to draw with (MUJOCO_GL={backend}); on Debian and Ubuntu `apt-get install libegl1 "
    "libgl1-mesa-dri` gives one that needs neither screen nor GPU"
)

FOLLOW = 0.5
"""Seconds over which the camera averages the robot's position: about a stride."""

FORCE_LENGTH = 2.0
"""Length of the arrow of a force as large as the weight, in heights of the trunk."""

AROUND = 6.0
"""m of rough ground that are drawn before and behind a walk, for a robot as large as a Go1."""

MAX_FORCE = 1.2
"""Weights from which on an arrow grows no more: the peak of an impact."""

FORCE_COLOUR = (0.96, 0.45, 0.10, 1.0)
ESTIMATED_COLOUR = (0.96, 0.70, 0.16, 1.0)
PUSH_COLOUR = (0.83, 0.13, 0.20, 1.0)
LOAD_COLOUR = (0.80, 0.30, 0.12, 1.0)
LOAD_DENSITY = 2700.0
"""kg/m^3 of a load as it is drawn: a block of aluminium."""


class RenderingUnavailable(RuntimeError):
    """No OpenGL, or no encoder, on this machine; the message says what would help."""


def force_scale(footage: Footage) -> float:
    """Length of an arrow for every newton, m."""
    return FORCE_LENGTH * footage.robot.nominal_height / (footage.robot.mass * GRAVITY)


class Actor:
    """A footage in MuJoCo: poses of its model, and arrows and loads beside it.

    Args:
        footage: what is shown.

    Attributes:
        model, data: MuJoCo's, to be drawn after `pose`.
        forces: on the feet in every row, N, `n x 4 x 3`.
    """

    def __init__(self, footage: Footage) -> None:
        self.footage = footage
        self.model = model_on_floor(footage.world, footage.robot, drawn=True, along=_seen(footage))
        self.index = footage.robot.mujoco_index(self.model)
        self.data = mujoco.MjData(self.model)
        self.forces: FloatArray = forces_over_time(footage)
        self._longest = MAX_FORCE * footage.robot.mass * GRAVITY
        self._length = force_scale(footage)
        self._down = -footage.robot.foot_radius * floor_normal(footage.world)

    def pose(self, row: int) -> None:
        """Put the robot where it was in a row."""
        record, base, data = self.footage.record, self.index.base_qpos, self.data
        data.qpos[base : base + 3] = record.base_position[row]
        data.qpos[base + 3 : base + 7] = record.base_orientation[row]
        data.qpos[self.index.qpos] = record.joint_position[row]
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_comPos(self.model, data)  # the light follows the robot's centre of mass
        mujoco.mj_camlight(self.model, data)

    def feet(self) -> FloatArray:
        """Points of the feet on the floor, world, m, `4 x 3`."""
        return np.asarray(self.data.geom_xpos[self.index.foot_geom] + self._down)

    def pushes(self, row: int) -> FloatArray:
        """Force of the pushes that act in a row, world, N, `3`."""
        now, total = self.footage.record.time[row], np.zeros(3)
        for push in self.footage.world.pushes:
            total += push.at(now)
        return total

    def add_to(self, scene: Any, row: int) -> None:
        """Arrows of forces and the load, into a scene that shows this row."""
        width = 0.012 * self.footage.robot.nominal_height / 0.27
        colour = ESTIMATED_COLOUR if self.footage.estimated else FORCE_COLOUR
        for foot, force in zip(self.feet(), self.forces[row], strict=True):
            share = min(1.0, self._longest / max(float(np.linalg.norm(force)), 1e-9))
            _arrow(scene, foot, foot + share * self._length * force, width, colour)
        base = self.data.xpos[self.index.base_body]
        push = self.pushes(row)
        if push.any():
            _arrow(scene, base - self._length * push, base, 1.5 * width, PUSH_COLOUR)
        world = self.footage.world
        if world.payload_mass > 0.0:
            turn = self.data.xmat[self.index.base_body].reshape(3, 3)
            side = 0.5 * (world.payload_mass / LOAD_DENSITY) ** (1.0 / 3.0)
            _block(scene, base + turn @ np.asarray(world.payload_position), turn, side)


def _seen(footage: Footage) -> tuple[float, float]:
    """From where to where ahead the floor is in the picture, m."""
    ahead = footage.record.base_position @ floor_axes(footage.world)[:, 0]
    around = AROUND * max(1.0, footage.robot.size.length)
    return float(ahead.min()) - around, float(ahead.max()) + around


def _next_geom(scene: Any) -> Any:
    """The next free shape of a scene; None where it is full."""
    if scene.ngeom >= scene.maxgeom:
        return None
    scene.ngeom += 1
    return scene.geoms[scene.ngeom - 1]


def _arrow(scene: Any, start: FloatArray, end: FloatArray, width: float, colour: tuple[float, ...]) -> None:
    if np.linalg.norm(end - start) < 2.0 * width or not np.isfinite(end).all():
        return
    geom = _next_geom(scene)
    if geom is not None:
        kind, nothing = mujoco.mjtGeom.mjGEOM_ARROW, np.zeros(3)
        mujoco.mjv_initGeom(geom, kind, nothing, nothing, np.eye(3).ravel(), np.array(colour, np.float32))
        mujoco.mjv_connector(geom, kind, width, start, end)
        geom.emission = 0.5  # seen in the robot's shadow as well


def _block(scene: Any, place: FloatArray, turn: FloatArray, side: float) -> None:
    geom = _next_geom(scene)
    if geom is not None:
        size, colour = np.full(3, side), np.array(LOAD_COLOUR, np.float32)
        mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_BOX, size, place, turn.ravel(), colour)


class Stage:
    """Draws one footage, the camera following the robot.

    Args:
        footage: what is shown.
        width, height: of the pictures, pixels.
        above: share of the picture's height by which the robot is above its middle, to leave room below it.
        room: distance of the camera over the one from which the robot just fits.

    Raises:
        RenderingUnavailable: no OpenGL.
    """

    def __init__(
        self, footage: Footage, width: int, height: int, above: float = 0.0, room: float = 1.0
    ) -> None:
        self.actor = Actor(footage)
        model, record = self.actor.model, footage.record
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        model.vis.headlight.diffuse[:] = 0.4
        model.vis.headlight.ambient[:] = 0.36
        model.vis.headlight.specular[:] = 0.25
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # MuJoCo raises whatever its OpenGL binding does
            raise RenderingUnavailable(HINT.format(backend=OPENGL or "unset")) from error
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.azimuth, self._camera.elevation = 125.0, -16.0
        self._camera.distance = room * self._distance(width / height)
        self._lower = (
            above * 2.0 * self._camera.distance * math.tan(math.radians(0.5 * model.vis.global_.fovy))
        )
        width = round(FOLLOW / record.period)
        self._focus = _smooth(record.base_position[:, :2], width)
        self._heights = _smooth(floor_rise(footage.world, record.base_position)[:, None], width)[:, 0]

    def _distance(self, aspect: float) -> float:
        """From how far the whole robot is seen, m."""
        model, data, robot = self.actor.model, self.actor.data, self.actor.footage.robot
        data.qpos[self.actor.index.qpos] = robot.home_joints
        mujoco.mj_kinematics(model, data)
        drawn = [g for g in range(model.ngeom) if model.geom_bodyid[g] != 0]
        reach = np.linalg.norm(data.geom_xpos[drawn] - data.xpos[self.actor.index.base_body], axis=1)
        radius = float(np.max(reach + np.minimum(model.geom_rbound[drawn], 0.5 * reach)))
        half = math.radians(0.5 * model.vis.global_.fovy)
        across = math.atan(math.tan(half) * aspect)
        return radius / math.sin(min(half, across))

    def draw(self, row: int) -> Frame:
        """The picture of a row, `height x width x 3`."""
        footage = self.actor.footage
        self.actor.pose(row)
        ground = np.array([*self._focus[row], 0.0])
        if footage.world.uneven:
            ground[2] = self._heights[row]
        elif any(footage.world.slope):
            ground[2] = float(floor_rise(footage.world, ground))
        # The camera follows smoothly and keeps its height over the floor, so that the trunk's own motion can be seen.
        self._camera.lookat[:] = (
            ground[0],
            ground[1],
            ground[2] + 0.6 * footage.robot.nominal_height - self._lower,
        )
        self._renderer.update_scene(self.actor.data, self._camera)
        self.actor.add_to(self._renderer.scene, row)
        return np.asarray(self._renderer.render())

    def close(self) -> None:
        """Give the OpenGL context back."""
        self._renderer.close()


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred moving average over `width` rows (fewer at the ends) of `n x k` values: no lag."""
    width = max(1, min(width, len(values)))
    summed = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    rows = np.arange(len(values))
    half = np.minimum(width // 2, np.minimum(rows, len(values) - 1 - rows))
    return np.asarray((summed[rows + half + 1] - summed[rows - half]) / (2 * half + 1)[:, None])
