"""Torque level of whole-body control: a small quadratic program gives stance forces and torques.

The six base accelerations are relaxed by delta (Widmer et al., CoRL 2023, eq. 27-28),

    min |delta|_Q^2 + w |f - f_mpc|^2   s.t.  M_b (a + [delta; 0]) + h_b = sum J_b^T f,  f in the friction
    pyramid

and the torque follows from the joint rows. M_b[:6, :6] is invertible, so delta is eliminated exactly and the
program has the stance forces as its only variables.
"""

from __future__ import annotations

import math

import daqp
import numpy as np
from numba import njit
from numpy.typing import NDArray

from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.wbc.hierarchy import solve_positive

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class TorqueError(RuntimeError):
    """The torque program could not be solved (non-finite state or gains)."""


class TorqueProgram:
    """The torque quadratic program of one tick.

    Args:
        mass: of the robot, kg; the unit of force is its weight.
    """

    def __init__(self, mass: float) -> None:
        self._unit = mass * GRAVITY
        self._max_force = 3.0
        self.weights = np.ones(6)
        self.regularisation = 1e-4
        self.friction = 0.5
        self._hessian = np.empty(144)
        self._gradient = np.empty(12)
        self._map = np.empty((6, 12))
        self._offset = np.empty((6, 1))
        self._rows: dict[int, tuple[FloatArray, FloatArray, FloatArray]] = {}
        self.forces = np.zeros((4, 3))
        self.relaxation = np.zeros(6)
        self.torque = np.zeros(12)

    def set_gains(self, linear: float, angular: float, regularisation: float, friction: float) -> None:
        """Weights of the linear and angular base acceleration given up, force regularisation, friction."""
        self.weights = np.array([linear] * 3 + [angular] * 3)
        self.regularisation = float(regularisation)
        self.friction = float(friction)
        self._rows.clear()

    def solve(
        self,
        mass_matrix: FloatArray,
        bias: FloatArray,
        acceleration: FloatArray,
        stance: BoolArray,
        rotation: FloatArray,
        feet: FloatArray,
        jacobians: FloatArray,
        planned: FloatArray,
    ) -> FloatArray:
        """Feed-forward torque `12`, N m; also sets `forces` (`4 x 3`, world, N) and `relaxation` (delta,
        `6`).

        Args:
            mass_matrix: `18 x 18`.
            bias: Coriolis, centrifugal and gravity force `18`.
            acceleration: wanted generalised acceleration `18`.
            stance: which feet stand `4`.
            rotation: base to world `3 x 3`.
            feet: foot centres in the base frame `4 x 3`.
            jacobians: of the feet in the base frame `4 x 3 x 3`.
            planned: stance forces the MPC planned `4 x 3`, world, N.

        Raises:
            TorqueError: no optimum was found.
        """
        count = int(np.count_nonzero(stance))
        size = 3 * count
        hessian = self._hessian[: size * size].reshape(size, size)
        gradient = self._gradient[:size]
        _build_torque_program(
            mass_matrix,
            bias,
            acceleration,
            stance,
            rotation,
            feet,
            planned,
            self.weights,
            self.regularisation,
            self._unit,
            self._map,
            self._offset,
            hessian,
            gradient,
        )
        if count:
            matrix, upper, lower = self._friction_rows(count)
            solution, _, flag, _ = daqp.solve(hessian, gradient, matrix, upper, lower)
            if flag < 1:
                raise TorqueError(f"whole-body control: no torques found (DAQP exit flag {flag})")
        else:
            solution = gradient
        _torque_from_forces(
            mass_matrix,
            bias,
            acceleration,
            stance,
            rotation,
            jacobians,
            self._unit,
            self._map,
            self._offset,
            solution,
            self.forces,
            self.relaxation,
            self.torque,
        )
        return self.torque

    def _friction_rows(self, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        if count not in self._rows:
            matrix = np.zeros((4 * count, 3 * count))
            scale = 1.0 / math.sqrt(1.0 + self.friction**2)
            for c in range(count):
                for row, (axis, sign) in enumerate(((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))):
                    matrix[4 * c + row, count + 2 * c + axis] = sign * scale
                    matrix[4 * c + row, c] = -self.friction * scale
            upper = np.concatenate([np.full(count, self._max_force), np.zeros(4 * count)])
            lower = np.concatenate([np.zeros(count), np.full(4 * count, -1e30)])
            self._rows[count] = (matrix, upper, lower)
        return self._rows[count]


@njit(cache=True)
def _build_torque_program(
    mass_matrix: FloatArray,
    bias: FloatArray,
    acceleration: FloatArray,
    stance: BoolArray,
    rotation: FloatArray,
    feet: FloatArray,
    planned: FloatArray,
    weights: FloatArray,
    regularisation: float,
    unit: float,
    effect: FloatArray,
    offset: FloatArray,
    hessian: FloatArray,
    gradient: FloatArray,
) -> None:
    """Eliminate the relaxation, delta = effect u + offset with u = forces / unit (vertical forces first).

    The program is scaled to a mean diagonal of one.
    """
    count = hessian.shape[0] // 3
    block = np.empty((6, 6))
    right = np.zeros((6, 3 * count + 1))
    for i in range(6):
        for j in range(6):
            block[i, j] = mass_matrix[i, j]
        value = bias[i]
        for j in range(18):
            value += mass_matrix[i, j] * acceleration[j]
        right[i, 3 * count] = -value
    c = 0
    for leg in range(4):
        if not stance[leg]:
            continue
        x, y, z = feet[leg, 0], feet[leg, 1], feet[leg, 2]
        for axis in range(3):
            column = c if axis == 2 else count + 2 * c + axis
            # a unit force along a world axis, seen from the base
            fx, fy, fz = unit * rotation[axis, 0], unit * rotation[axis, 1], unit * rotation[axis, 2]
            right[0, column] = fx
            right[1, column] = fy
            right[2, column] = fz
            right[3, column] = y * fz - z * fy
            right[4, column] = z * fx - x * fz
            right[5, column] = x * fy - y * fx
        c += 1
    solve_positive(block, right)
    n = 3 * count
    diagonal = 0.0
    for i in range(6):
        offset[i, 0] = right[i, n]
        for j in range(n):
            effect[i, j] = right[i, j]
    for a in range(n):
        for b in range(a + 1):
            value = 0.0
            for i in range(6):
                value += weights[i] * effect[i, a] * effect[i, b]
            if a == b:
                value += regularisation * unit * unit
                diagonal += value
            hessian[a, b] = hessian[b, a] = value
        value = 0.0
        for i in range(6):
            value += weights[i] * effect[i, a] * offset[i, 0]
        gradient[a] = value
    c = 0
    for leg in range(4):
        if stance[leg]:
            for axis in range(3):
                column = c if axis == 2 else count + 2 * c + axis
                gradient[column] -= regularisation * unit * planned[leg, axis]
            c += 1
    if n:
        factor = n / diagonal
        for a in range(n):
            gradient[a] *= factor
            for b in range(n):
                hessian[a, b] *= factor


@njit(cache=True)
def _torque_from_forces(
    mass_matrix: FloatArray,
    bias: FloatArray,
    acceleration: FloatArray,
    stance: BoolArray,
    rotation: FloatArray,
    jacobians: FloatArray,
    unit: float,
    effect: FloatArray,
    offset: FloatArray,
    solution: FloatArray,
    forces: FloatArray,
    relaxation: FloatArray,
    torque: FloatArray,
) -> None:
    """Forces, relaxation and torque of a solution: tau = M_j (a + [delta; 0]) + h_j - J_j^T f (eq. 28)."""
    n = solution.shape[0]
    count = n // 3
    for i in range(6):
        value = offset[i, 0]
        for j in range(n):
            value += effect[i, j] * solution[j]
        relaxation[i] = value
    forces[:] = 0.0
    c = 0
    for leg in range(4):
        if stance[leg]:
            forces[leg, 0] = unit * solution[count + 2 * c]
            forces[leg, 1] = unit * solution[count + 2 * c + 1]
            forces[leg, 2] = unit * solution[c]
            c += 1
    for i in range(12):
        value = bias[6 + i]
        for j in range(18):
            value += mass_matrix[6 + i, j] * acceleration[j]
        for j in range(6):
            value += mass_matrix[6 + i, j] * relaxation[j]
        leg = i // 3
        for axis in range(3):
            force = 0.0  # along the base's axis
            for w in range(3):
                force += rotation[w, axis] * forces[leg, w]
            value -= jacobians[leg, axis, i % 3] * force
        torque[i] = value
