"""Torque level of whole-body control: a small quadratic program gives stance forces and torques.

The six base accelerations are relaxed by delta (Widmer et al., CoRL 2023, eq. 27-28),

    min |delta|_Q^2 + w |f - f_mpc|^2   s.t.  M_b (a + [delta; 0]) + h_b = sum J_b^T f,  f in the friction
    pyramid,  |tau| <= tau_max in the standing legs

and the torque follows from the joint rows. M_b[:6, :6] is invertible, so delta is eliminated exactly and the
program has the stance forces as its only variables. The torque limits are soft rows, broken only where no force in
the pyramid keeps them; what is left over, and a swinging leg's torque, is cut to the limit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import daqp
import numpy as np
from numba import njit

from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.convex_mpc import friction_pyramid, scatter_forces
from safebo.robots.quadruped.wbc.hierarchy import solve_positive
from safebo.types import BoolArray, FloatArray, IntArray


class TorqueError(RuntimeError):
    """The torque program could not be solved (non-finite state or gains)."""


class TorqueProblem(NamedTuple):
    """What the torques of one tick have to realise.

    Args:
        mass_matrix: `18 x 18`.
        bias: Coriolis, centrifugal and gravity force `18`.
        acceleration: wanted generalised acceleration `18`.
        forces: stance forces the MPC planned `4 x 3`, world, N.
        stance: which feet stand `4`.
        rotation: base to world `3 x 3`.
        local: contact points in the base frame `4 x 3`, m.
        jacobian: of those points in the base frame `4 x 3 x 3`, m/rad.
    """

    mass_matrix: FloatArray
    bias: FloatArray
    acceleration: FloatArray
    forces: FloatArray
    stance: BoolArray
    rotation: FloatArray
    local: FloatArray
    jacobian: FloatArray


class Relaxation(NamedTuple):
    """The base accelerations given up, as a function of the forces: delta = effect u + offset.

    Args:
        effect: `6 x 12`, of which the columns of the stance forces are used.
        offset: `6`.
    """

    effect: FloatArray
    offset: FloatArray


class TorqueProgram:
    """The torque quadratic program of one tick.

    Args:
        mass: of the robot, kg; the unit of force is its weight.
        torque_limit: of every joint, N m, `12`.

    Attributes after `solve`:
        forces: `4 x 3`, world, N. relaxation: delta, `6`. torque: `12`, N m, within the limits.
        max_force: largest vertical force of a foot, N.
    """

    def __init__(self, mass: float, torque_limit: FloatArray) -> None:
        self._unit = mass * GRAVITY
        self.max_force = 3.0 * self._unit
        self._limit = np.minimum(np.asarray(torque_limit, dtype=float), 1e6)
        self._rows, self._offset = np.empty((12, 12)), np.empty(12)
        self.weights = np.ones(6)
        self.regularisation = 1e-4
        self.friction = 0.5
        self._hessian = np.empty(144)
        self._gradient = np.empty(12)
        self._relaxation = tuple(Relaxation(np.empty((6, 12)), np.empty(6)))
        self.forces = np.zeros((4, 3))
        self.relaxation = np.zeros(6)
        self.torque = np.zeros(12)

    def set_gains(self, linear: float, angular: float, regularisation: float, friction: float) -> None:
        """Weights of the linear and angular base acceleration given up, force regularisation, friction."""
        self.weights = np.array([linear] * 3 + [angular] * 3)
        self.regularisation = float(regularisation)
        self.friction = float(friction)

    def solve(self, problem: TorqueProblem) -> FloatArray:
        """Feed-forward torque `12`, N m.

        Raises:
            TorqueError: no optimum was found.
        """
        count = int(np.count_nonzero(problem.stance))
        parts = tuple(problem)
        size = 3 * count
        hessian = self._hessian[: size * size].reshape(size, size)
        gradient = self._gradient[:size]
        _build_torque_program(
            parts,
            self.weights,
            self.regularisation,
            self._unit,
            self._relaxation,
            hessian,
            gradient,
        )
        solution = gradient
        pyramid = friction_pyramid(count, self.friction, self.max_force / self._unit)
        if count:
            solution = _solved(hessian, gradient, *pyramid)
        out = self.forces, self.relaxation, self.torque
        if _torque_from_forces(parts, self._unit, self._relaxation, solution, self._limit, *out) and count:
            # rarely: without the rows the program has half the size, and what keeps them is its optimum with them
            rows = _torque_rows(parts, self._relaxation, self._unit, self._rows, self._offset)
            limit, offset = self._limit[np.repeat(problem.stance, 3)], self._offset[:size]
            # in units of the limit: soft rows weigh alike
            matrix = np.concatenate([pyramid[0], rows / limit[:, None]])
            most = np.concatenate([pyramid[1], 1.0 - offset / limit])
            least = np.concatenate([pyramid[2], -1.0 - offset / limit])
            solution = _solved(hessian, gradient, matrix, most, least, _soft_rows(count))
            _torque_from_forces(parts, self._unit, self._relaxation, solution, self._limit, *out)
        return self.torque


def _solved(*program: FloatArray | IntArray) -> FloatArray:
    solution, _, flag, _ = daqp.solve(*program)
    if flag < 1:
        raise TorqueError(f"whole-body control: no torques found (DAQP exit flag {flag})")
    return solution


@lru_cache(maxsize=4)
def _soft_rows(count: int) -> IntArray:
    """DAQP's kinds of the rows of `count` contacts: bounds and pyramids hard, torque limits soft. Not to be written."""
    return np.array([0] * (5 * count) + [8] * (3 * count), dtype=np.int32)


@njit(cache=True)
def _build_torque_program(
    problem: TorqueProblem,
    weights: FloatArray,
    regularisation: float,
    unit: float,
    relaxation: Relaxation,
    hessian: FloatArray,
    gradient: FloatArray,
) -> None:
    """Eliminate the relaxation, delta = effect u + offset with u = forces / unit (vertical forces first).

    With M_b[:, :6] = M_6 the base rows M_b a + M_6 delta + h_b = J_b^T f give

        effect = unit M_6^-1 J_b^T,   offset = -M_6^-1 (M_b a + h_b)
        H = effect^T Q effect + w unit^2,   g = effect^T Q offset - w unit f_mpc.

    The program is scaled to a mean diagonal of one.
    """
    problem, relaxation = TorqueProblem(*problem), Relaxation(*relaxation)
    mass_matrix, stance, rotation = problem.mass_matrix, problem.stance, problem.rotation
    effect, offset = relaxation.effect, relaxation.offset
    count = hessian.shape[0] // 3
    block = np.empty((6, 6))
    right = np.zeros((6, 3 * count + 1))
    for i in range(6):
        for j in range(6):
            block[i, j] = mass_matrix[i, j]
        value = problem.bias[i]
        for j in range(18):
            value += mass_matrix[i, j] * problem.acceleration[j]
        right[i, 3 * count] = -value
    c = 0
    for leg in range(4):
        if not stance[leg]:
            continue
        x, y, z = problem.local[leg, 0], problem.local[leg, 1], problem.local[leg, 2]
        for axis in range(3):
            column = c if axis == 2 else count + 2 * c + axis
            # a unit force along a world axis, seen from the base: force f and moment l x f
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
        offset[i] = right[i, n]
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
            value += weights[i] * effect[i, a] * offset[i]
        gradient[a] = value
    c = 0
    for leg in range(4):
        if stance[leg]:
            for axis in range(3):
                column = c if axis == 2 else count + 2 * c + axis
                gradient[column] -= regularisation * unit * problem.forces[leg, axis]
            c += 1
    if n:
        factor = n / diagonal
        for a in range(n):
            gradient[a] *= factor
            for b in range(n):
                hessian[a, b] *= factor


@njit(cache=True)
def _torque_rows(
    problem: TorqueProblem, elimination: Relaxation, unit: float, rows: FloatArray, offset: FloatArray
) -> FloatArray:
    """Torque of the standing legs' joints as a function of the forces u of the program: tau = rows u + offset.

    tau = M_j (a + [effect u + offset; 0]) + h_j - unit J_j^T u, see `_torque_from_forces`. Returns the used part of
    `rows`, `3 n x 3 n` of n standing legs.
    """
    problem, elimination = TorqueProblem(*problem), Relaxation(*elimination)
    mass_matrix, rotation, jacobian = problem.mass_matrix, problem.rotation, problem.jacobian
    count = 0
    for leg in range(4):
        count += 1 if problem.stance[leg] else 0
    c = 0
    for leg in range(4):
        if not problem.stance[leg]:
            continue
        for joint in range(3):
            i, row = 3 * leg + joint, 3 * c + joint
            value = problem.bias[6 + i]
            for j in range(18):
                value += mass_matrix[6 + i, j] * problem.acceleration[j]
            for j in range(6):
                value += mass_matrix[6 + i, j] * elimination.offset[j]
            offset[row] = value
            for column in range(3 * count):
                value = 0.0
                for j in range(6):
                    value += mass_matrix[6 + i, j] * elimination.effect[j, column]
                rows[row, column] = value
            for w in range(3):
                pull = 0.0
                for axis in range(3):
                    pull += jacobian[leg, axis, joint] * rotation[w, axis]
                rows[row, c if w == 2 else count + 2 * c + w] -= unit * pull
        c += 1
    return rows[: 3 * count, : 3 * count]


@njit(cache=True)
def _torque_from_forces(
    problem: TorqueProblem,
    unit: float,
    elimination: Relaxation,
    solution: FloatArray,
    limit: FloatArray,
    forces: FloatArray,
    relaxation: FloatArray,
    torque: FloatArray,
) -> bool:
    """Forces, relaxation and torque of a solution: tau = M_j (a + [delta; 0]) + h_j - J_j^T f (eq. 28).

    The torque is cut to the limits; returns whether a standing leg's had to be.
    """
    problem, elimination = TorqueProblem(*problem), Relaxation(*elimination)
    mass_matrix, rotation, jacobian = problem.mass_matrix, problem.rotation, problem.jacobian
    for i in range(6):
        value = elimination.offset[i]
        for j in range(solution.shape[0]):
            value += elimination.effect[i, j] * solution[j]
        relaxation[i] = value
    scatter_forces(solution, problem.stance.reshape(1, 4), unit, forces.reshape(1, 4, 3))
    exceeded = False
    for i in range(12):
        value = problem.bias[6 + i]
        for j in range(18):
            value += mass_matrix[6 + i, j] * problem.acceleration[j]
        for j in range(6):
            value += mass_matrix[6 + i, j] * relaxation[j]
        leg = i // 3
        for axis in range(3):
            force = 0.0  # along the base's axis
            for w in range(3):
                force += rotation[w, axis] * forces[leg, w]
            value -= jacobian[leg, axis, i % 3] * force
        torque[i] = min(limit[i], max(-limit[i], value))
        exceeded = exceeded or (problem.stance[leg] and torque[i] != value)
    return exceeded
