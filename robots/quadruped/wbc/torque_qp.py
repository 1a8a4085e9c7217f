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

import daqp
import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.pyramid import friction_pyramid, inside_pyramid, scatter_step
from safebo.robots.quadruped.wbc.hierarchy import solve_positive
from safebo.robots.quadruped.wbc.torque_parts import (
    TORQUE,
    Relaxation,
    TorqueAnswer,
    TorqueMemory,
    TorqueProblem,
    TorqueRoom,
    TorqueSettings,
    torque_parts,
    torque_room,
)
from safebo.types import FloatArray, IntArray


class TorqueError(RuntimeError):
    """The torque program could not be solved (non-finite state or gains)."""


FOUND, OUTSIDE_PYRAMID, OVER_LIMIT = 0, 1, 2
"""What `free_torques` says: it has the optimum, or a force or a torque is not allowed."""


class TorqueProgram:
    """The torque quadratic program of one tick.

    Args:
        mass: of the robot, kg; the unit of force is its weight.
        torque_limit: of every joint, N m, `12`.

    Attributes:
        memory: settings and answer as compiled functions take them.

    Attributes after `solve`:
        forces: `4 x 3`, world, N. relaxation: delta, `6`. torque: `12`, N m, within the limits.
    """

    def __init__(self, mass: float, torque_limit: FloatArray) -> None:
        self._unit = mass * GRAVITY
        self._rows, self._offset = np.empty((12, 12)), np.empty(12)
        self._limit = np.minimum(np.asarray(torque_limit, dtype=float), 1e6)
        self._record = np.zeros(1, TORQUE)
        self._record["unit"], self._record["torque_limit"] = self._unit, self._limit
        self.set_gains(1.0, 1.0, 1e-4, 0.5)
        self.max_force = 3.0 * self._unit
        self.memory: TorqueMemory = self._record.view(np.uint8)
        answer = (self._record[name][0] for name in ("forces", "relaxation", "torque", "hessian", "gradient"))
        self.forces, self.relaxation, self.torque, self._hessian, self._gradient = answer

    @property
    def max_force(self) -> float:
        """Largest vertical force of a foot, N."""
        return float(self._record["max_force"][0]) * self._unit

    @max_force.setter
    def max_force(self, force: float) -> None:
        self._record["max_force"] = float(force) / self._unit

    def set_gains(self, linear: float, angular: float, regularisation: float, friction: float) -> None:
        """Weights of the linear and angular base acceleration given up, force regularisation, friction."""
        self._record["weights"] = [linear] * 3 + [angular] * 3
        self._record["regularisation"], self._record["friction"] = regularisation, friction

    def solve(self, problem: TorqueProblem) -> FloatArray:
        """Feed-forward torque `12`, N m.

        Raises:
            TorqueError: no optimum was found.
        """
        found = free_torques(tuple(problem), self.memory)
        return self.torque if found == FOUND else self.solve_within_limits(problem, found)

    def solve_within_limits(self, problem: TorqueProblem, reason: int) -> FloatArray:
        """What `solve` does where the free optimum, found by `free_torques`, is not allowed for a `reason`.

        Raises:
            TorqueError: no optimum was found.
        """
        count, parts = int(np.count_nonzero(problem.stance)), tuple(problem)
        size, record = 3 * count, self._record[0]
        hessian, gradient = np.ascontiguousarray(self._hessian[:size, :size]), self._gradient[:size]
        pyramid = friction_pyramid(count, float(record["friction"]), float(record["max_force"]))
        if reason == OUTSIDE_PYRAMID:
            solution = _solved(hessian, gradient, *pyramid)
            if not torque_from_forces(parts, solution, self.memory):
                return self.torque
        # rarely: without the rows the program has half the size, and what keeps them is its optimum with them
        rows = _torque_rows(parts, self.memory, self._rows, self._offset)
        limit, offset = self._limit[np.repeat(problem.stance.astype(bool), 3)], self._offset[:size]
        # in units of the limit: soft rows weigh alike
        matrix = np.concatenate([pyramid[0], rows / limit[:, None]])
        most = np.concatenate([pyramid[1], 1.0 - offset / limit])
        least = np.concatenate([pyramid[2], -1.0 - offset / limit])
        solution = _solved(hessian, gradient, matrix, most, least, _soft_rows(count))
        torque_from_forces(parts, solution, self.memory)
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


@njit_no_alloc(forceinline=True)
def free_torques(problem: TorqueProblem, memory: TorqueMemory) -> int:
    """Solve the program without its constraints, and say whether what comes out keeps them.

    Most programs of a robot that walks well have their optimum inside the constraints: u = -H^-1 g. What is allowed is
    what the solver of the constrained program allows too (`inside_pyramid`).

    Returns:
        `FOUND`, or why the program has to be solved with its constraints: `OUTSIDE_PYRAMID` or `OVER_LIMIT`.
    """
    problem, (settings, answer) = TorqueProblem(*problem), torque_parts(memory)
    count = 0
    for leg in range(4):
        count += 1 if problem.stance[leg] else 0
    size, room = 3 * count, torque_room(memory)
    hessian, gradient = answer.program
    _build_torque_program(count, problem, settings, answer.elimination, room, hessian, gradient)
    for i in range(size):
        room.column[i, 0] = -gradient[i]
        for j in range(i + 1):
            room.factor[i, j] = hessian[i, j]
    solve_positive(size, 1, room.factor, room.column)
    forces = room.solution[:size]
    for i in range(size):
        forces[i] = room.column[i, 0]
    if not inside_pyramid(forces, settings.friction, settings.max_force):
        return OUTSIDE_PYRAMID
    exceeded = _torque_from_forces(problem, settings, forces, answer)
    return OVER_LIMIT if exceeded else FOUND


@njit_no_alloc(forceinline=True)
def _build_torque_program(
    count: int,
    problem: TorqueProblem,
    settings: TorqueSettings,
    relaxation: Relaxation,
    room: TorqueRoom,
    hessian: FloatArray,
    gradient: FloatArray,
) -> None:
    """Write H and g for `count` standing legs, without the relaxation: delta = effect u + offset with u = forces / unit
    (vertical forces first).

    With M_b[:, :6] = M_6 the base rows M_b a + M_6 delta + h_b = J_b^T f give

        effect = unit M_6^-1 J_b^T,   offset = -M_6^-1 (M_b a + h_b)
        H = effect^T Q effect + w unit^2,   g = effect^T Q offset - w unit f_mpc.

    The program is scaled to a mean diagonal of one.
    """
    mass_matrix, stance, rotation = problem.mass_matrix, problem.stance, problem.rotation
    weights, regularisation, unit = settings.weights, settings.regularisation, settings.unit
    effect, offset = relaxation.effect, relaxation.offset
    block, right = room.base_block, room.base_right
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
    solve_positive(6, 3 * count + 1, block, right)
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
    problem: TorqueProblem, memory: TorqueMemory, rows: FloatArray, offset: FloatArray
) -> FloatArray:
    """Torque of the standing legs' joints as a function of the forces u of the program: tau = rows u + offset.

    tau = M_j (a + [effect u + offset; 0]) + h_j - unit J_j^T u, see `_torque_from_forces`. Returns the used part of
    `rows`, `3 n x 3 n` of n standing legs.
    """
    problem, (settings, answer) = TorqueProblem(*problem), torque_parts(memory)
    unit, elimination = settings.unit, answer.elimination
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


@njit_no_alloc
def torque_from_forces(problem: TorqueProblem, solution: FloatArray, memory: TorqueMemory) -> bool:
    """Write the answer of a solution; returns whether a standing leg's torque had to be cut."""
    settings, answer = torque_parts(memory)
    return _torque_from_forces(TorqueProblem(*problem), settings, solution, answer)


@njit_no_alloc(forceinline=True)
def _torque_from_forces(
    problem: TorqueProblem, settings: TorqueSettings, solution: FloatArray, answer: TorqueAnswer
) -> bool:
    """Forces, relaxation and torque of a solution: tau = M_j (a + [delta; 0]) + h_j - J_j^T f (eq. 28).

    The torque is cut to the limits; returns whether a standing leg's had to be.
    """
    elimination = answer.elimination
    mass_matrix, rotation, jacobian = problem.mass_matrix, problem.rotation, problem.jacobian
    forces, relaxation, limit = answer.forces, answer.relaxation, settings.torque_limit
    for i in range(6):
        value = elimination.offset[i]
        for j in range(solution.shape[0]):
            value += elimination.effect[i, j] * solution[j]
        relaxation[i] = value
    scatter_step(solution, 0, problem.stance, settings.unit, forces)
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
        answer.torque[i] = min(limit[i], max(-limit[i], value))
        exceeded = exceeded or (problem.stance[leg] and answer.torque[i] != value)
    return exceeded
