"""Whole-body control: a hierarchy of tasks gives joint targets, a small quadratic program gives torques.

Kinematic level (Kim et al. 2019, as used by Widmer et al., CoRL 2023): joint position, velocity and
acceleration by iterative null-space projection with the priorities (1) stance feet do not move, (2) base
orientation, (3) base position, (4) swing feet. A lower task acts only in the null space of all higher ones.

Torque level (Widmer et al., eq. 27-28): the six base accelerations are relaxed by delta,

    min |delta|_Q^2 + w |f - f_mpc|^2   s.t.  M_b (a + [delta; 0]) + h_b = sum J_b^T f,  f in the friction
    pyramid

and the torque follows from the joint rows. M_b[:6, :6] is invertible, so delta is eliminated exactly and the
program has the stance forces as its only variables.

Coordinates are Pinocchio's: base velocity (linear, then angular, in the base frame), then joints leg by leg.
"""

from __future__ import annotations

import math

import daqp
import numpy as np
import pinocchio
from numba import njit
from numpy.typing import NDArray

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.mpc.convex_mpc import GRAVITY

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DAMPING = 1e-3  # of the pseudo-inverses: bounds the answer where a leg is nearly straight
RANK_TOLERANCE = 1e-6  # a direction shorter than that, relative to its row, adds nothing to the span


class TorqueError(RuntimeError):
    """The torque program could not be solved (non-finite state or gains)."""


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

    def composite(self, joints: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Total mass (kg), centre of mass (m) and inertia about it (kg m^2) in the base frame at `joints`
        `12`.
        """
        q = pinocchio.neutral(self._model)
        q[self._joint_q] = joints
        pinocchio.ccrba(self._model, self._data, q, np.zeros(self._model.nv))
        whole = self._data.Ig
        return float(whole.mass), np.array(self._data.com[0]), np.array(whole.inertia)

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


@njit(cache=True, fastmath={"contract", "nsz"})
def solve_hierarchy(
    tasks: FloatArray, sizes: IntArray, targets: FloatArray, damping: float, solution: FloatArray
) -> None:
    """Solve stacked tasks in strict order of priority, for several right-hand sides at once.

    Level i contributes `P_i^+ (t_i - J_i x)` with `P_i = J_i N` and N the projector onto the null space of
    all higher levels. The pseudo-inverse is damped; the projector is not (it comes from an orthonormal basis
    of the rows so far), so damping never lets a lower task disturb a higher one.

    Args:
        tasks: Jacobians of all levels stacked, `rows x n`, highest priority first.
        sizes: rows of every level.
        targets: wanted values, `rows x k`.
        damping: of the pseudo-inverses, in the unit of a singular value.
        solution: out, `n x k`.
    """
    n, columns = tasks.shape[1], targets.shape[1]
    basis = np.empty((n, n))
    known = 0
    solution[:] = 0.0
    row = 0
    for level in range(sizes.shape[0]):
        m = sizes[level]
        if m == 0:
            continue
        projected = np.empty((m, n))
        lengths = np.empty(m)
        residual = np.empty((m, columns))
        for i in range(m):
            length, left = 0.0, 0.0
            for j in range(n):
                projected[i, j] = tasks[row + i, j]
                length += tasks[row + i, j] ** 2
            _remove(projected[i], basis, known)
            for j in range(n):
                left += projected[i, j] ** 2
            lengths[i] = length
            if left <= RANK_TOLERANCE**2 * length:  # higher levels leave nothing of this row
                projected[i] = 0.0
            for c in range(columns):
                value = targets[row + i, c]
                for j in range(n):
                    value -= tasks[row + i, j] * solution[j, c]
                residual[i, c] = value
        gram = np.empty((m, m))
        for i in range(m):
            for j in range(i + 1):
                value = 0.0
                for k in range(n):
                    value += projected[i, k] * projected[j, k]
                gram[i, j] = value
            gram[i, i] += damping * damping
        _solve_positive(gram, residual)
        for i in range(m):
            for j in range(n):
                for c in range(columns):
                    solution[j, c] += projected[i, j] * residual[i, c]
        for i in range(m):
            if known == n:
                break
            for j in range(n):
                basis[known, j] = projected[i, j]
            _remove(basis[known], basis, known)
            left = 0.0
            for j in range(n):
                left += basis[known, j] ** 2
            if left > RANK_TOLERANCE**2 * lengths[i]:
                scale = 1.0 / math.sqrt(left)
                for j in range(n):
                    basis[known, j] *= scale
                known += 1
        row += m


@njit(cache=True, fastmath={"contract", "nsz"})
def _remove(vector: FloatArray, basis: FloatArray, known: int) -> None:
    """Take out of `vector` its part in the span of the first `known` rows of `basis` (twice, for
    rounding).
    """
    for _ in range(2):
        for b in range(known):
            value = 0.0
            for j in range(vector.shape[0]):
                value += basis[b, j] * vector[j]
            for j in range(vector.shape[0]):
                vector[j] -= value * basis[b, j]


@njit(cache=True)
def _solve_positive(matrix: FloatArray, right: FloatArray) -> None:
    """Solve `matrix x = right` in place by Cholesky; only the lower triangle of `matrix` is read.

    A direction in which the matrix is zero gets the answer zero.
    """
    m, columns = right.shape
    for j in range(m):
        value = matrix[j, j]
        for k in range(j):
            value -= matrix[j, k] * matrix[j, k]
        pivot = math.sqrt(value) if value > 1e-300 else 1e150
        matrix[j, j] = pivot
        for i in range(j + 1, m):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = value / pivot
    for c in range(columns):
        for i in range(m):
            value = right[i, c]
            for k in range(i):
                value -= matrix[i, k] * right[k, c]
            right[i, c] = value / matrix[i, i]
        for i in range(m - 1, -1, -1):
            value = right[i, c]
            for k in range(i + 1, m):
                value -= matrix[k, i] * right[k, c]
            right[i, c] = value / matrix[i, i]


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
    _solve_positive(block, right)
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
