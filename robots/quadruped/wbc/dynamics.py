"""The robot's equations of motion: mass matrix and bias force, from Pinocchio.

Coordinates are Pinocchio's: base velocity (linear, then angular, in the base frame), then joints leg by leg.
"""

from __future__ import annotations

import numpy as np
import pinocchio

from safebo.boundary.compiled import njit
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.mpc.convex_mpc import RigidBody
from safebo.types import FloatArray, IntArray


class Dynamics:
    """Mass matrix and bias force of the controller's own model, in robot order."""

    def __init__(self, robot: RobotModel) -> None:
        self._model = robot.load_pinocchio()
        self._data = self._model.createData()
        index = robot.pinocchio_index(self._model)
        self._q = pinocchio.neutral(self._model)
        self._v = np.zeros(self._model.nv)
        self._joint_q, self._joint_v = index.q, index.v
        order = np.concatenate([np.arange(6), index.v]).astype(np.int64)
        self._order: IntArray = order
        self.mass_matrix = np.zeros((18, 18))
        self.bias = np.zeros(18)

    def composite(self, joints: FloatArray) -> RigidBody:
        """The whole robot as one rigid body, its joints locked at `joints` `12`."""
        q = pinocchio.neutral(self._model)
        q[self._joint_q] = joints
        pinocchio.ccrba(self._model, self._data, q, np.zeros(self._model.nv))
        whole = self._data.Ig
        inverse_inertia = np.linalg.inv(np.ascontiguousarray(whole.inertia))
        return RigidBody(float(whole.mass), np.array(self._data.com[0]), inverse_inertia)

    def update(self, quaternion: FloatArray, base: FloatArray, q: FloatArray, qd: FloatArray) -> None:
        """Evaluate `mass_matrix` and `bias`.

        Args:
            quaternion: base orientation w, x, y, z.
            base: base velocity in the base frame `6`, linear then angular.
            q: joint angles `12`.
            qd: joint speeds `12`.
        """
        _fill(quaternion, base, q, qd, self._joint_q, self._joint_v, self._q, self._v)
        pinocchio.crba(self._model, self._data, self._q)
        pinocchio.nonLinearEffects(self._model, self._data, self._q, self._v)
        _ordered(self._data.M, self._data.nle, self._order, self.mass_matrix, self.bias)


@njit(cache=True)
def _fill(
    quaternion: FloatArray,
    base: FloatArray,
    q: FloatArray,
    qd: FloatArray,
    joint_q: IntArray,
    joint_v: IntArray,
    out_q: FloatArray,
    out_v: FloatArray,
) -> None:
    out_q[3], out_q[4], out_q[5], out_q[6] = quaternion[1], quaternion[2], quaternion[3], quaternion[0]
    for i in range(6):
        out_v[i] = base[i]
    for i in range(12):
        out_q[joint_q[i]] = q[i]
        out_v[joint_v[i]] = qd[i]


@njit(cache=True)
def _ordered(
    upper: FloatArray, bias: FloatArray, order: IntArray, mass_matrix: FloatArray, out: FloatArray
) -> None:
    """Put Pinocchio's upper triangle into robot order and make it symmetric."""
    for i in range(18):
        out[i] = bias[order[i]]
        for j in range(18):
            a, b = order[i], order[j]
            mass_matrix[i, j] = upper[a, b] if a <= b else upper[b, a]
