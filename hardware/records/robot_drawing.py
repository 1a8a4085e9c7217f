"""A robot as viewers draw it: its bodies' shapes once, and where every body is at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from safebo.hardware.records import foxglove
from safebo.robots.descriptions.body_shapes import body_name, body_shapes
from safebo.robots.descriptions.model import RobotModel
from safebo.types import FloatArray

WORLD = "world"


class RobotDrawing:
    """Shapes and frames of one robot, by the names of its bodies.

    Args:
        robot: its model.
    """

    def __init__(self, robot: RobotModel) -> None:
        self.joint_names = robot.joint_names
        self._model = model = robot.load_mujoco(drawn=True)
        self._data = mujoco.MjData(model)
        self._index = robot.mujoco_index(model)
        self._bodies = range(1, model.nbody)
        self._names = [WORLD, *(body_name(model, body) for body in self._bodies)]
        shapes = body_shapes(model)
        entities = [foxglove.entity(name, [s for s in shapes if s.body == name]) for name in self._names[1:]]
        self._entities: list[dict[str, Any]] = entities

    def scene(self, time: int) -> bytes:
        """All shapes, a `foxglove.SceneUpdate`; `time` in nanoseconds since 1970."""
        stamp = foxglove.stamp(time)
        return foxglove.dumped(
            {"deletions": [], "entities": [{"timestamp": stamp, **entity} for entity in self._entities]}
        )

    def frames(self, time: int, position: FloatArray, orientation: FloatArray, joints: FloatArray) -> bytes:
        """Every body in the one that carries it, a `foxglove.FrameTransforms`.

        Args:
            time: nanoseconds since 1970.
            position: of the trunk in the world, m, 3.
            orientation: of the trunk, w first, 4.
            joints: angles in robot order, rad, 12.
        """
        places = self.places(position, orientation, joints)
        return foxglove.dumped({"transforms": [foxglove.transform(time, *place) for place in places]})

    def places(
        self, position: FloatArray, orientation: FloatArray, joints: FloatArray
    ) -> Iterator[tuple[str, str, FloatArray, FloatArray]]:
        """Every body in the one that carries it: that one, the body, its offset, m, and its orientation, w first.

        Arguments as in `frames`.
        """
        data, base = self._data, self._index.base_qpos
        data.qpos[base : base + 3], data.qpos[base + 3 : base + 7] = position, orientation
        data.qpos[self._index.qpos] = joints
        mujoco.mj_kinematics(self._model, data)
        for body in self._bodies:
            parent = int(self._model.body_parentid[body])
            back, offset, turn = np.empty(4), np.empty(3), np.empty(4)
            mujoco.mju_negQuat(back, data.xquat[parent])
            mujoco.mju_rotVecQuat(offset, data.xpos[body] - data.xpos[parent], back)
            mujoco.mju_mulQuat(turn, back, data.xquat[body])
            yield self._names[parent], self._names[body], offset, turn
