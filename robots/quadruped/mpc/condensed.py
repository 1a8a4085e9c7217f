"""The convex MPC's quadratic program, condensed to the forces of the stance feet: solved, and rolled out."""

from __future__ import annotations

import math

import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc, put
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.problem import MpcProblem, RigidBody
from safebo.robots.quadruped.mpc.program import build_program, turned_inertia
from safebo.robots.quadruped.mpc.pyramid import inside_pyramid, scatter_forces
from safebo.types import FloatArray


@njit(cache=True, fastmath={"contract"})
def free_optimum(
    hessian: FloatArray,
    gradient: FloatArray,
    friction: float,
    max_force: float,
    factor: FloatArray,
    solution: FloatArray,
) -> bool:
    """Solve a program without its constraints, H u = -g, by elimination; returns whether it keeps them.

    Most programs of a robot that walks well have their optimum inside the constraints.

    Args:
        hessian: symmetric and positive, `n x n`, of which the left lower half is not read; left as it is.
        gradient: `n`.
        friction: coefficient.
        max_force: largest vertical force.
        factor: room for `n n` numbers.
        solution: out, `n`.
    """
    n = gradient.shape[0]
    rows = factor[: n * n].reshape(n, n)
    for i in range(n):
        solution[i] = -gradient[i]
        for j in range(i, n):
            rows[i, j] = hessian[i, j]
    for first in range(0, n, 4):  # symmetric: only what is right of the diagonal is used
        last = min(first + 4, n)
        for k in range(first, last):
            if not rows[k, k] > 0.0:
                return False
            for i in range(k + 1, last):
                share = rows[k, i] / rows[k, k]
                row, above = rows[i, i:], rows[k, i:]
                for j in range(row.shape[0]):
                    row[j] -= share * above[j]
                solution[i] -= share * solution[k]
        for i in range(
            last, n
        ):  # then four rows go off every later one at once, which is read and written once
            a = rows[first, i] / rows[first, first]
            b = rows[first + 1, i] / rows[first + 1, first + 1]
            c = rows[first + 2, i] / rows[first + 2, first + 2]
            d = rows[first + 3, i] / rows[first + 3, first + 3]
            row = rows[i, i:]
            row_a, row_b, row_c, row_d = (
                rows[first, i:],
                rows[first + 1, i:],
                rows[first + 2, i:],
                rows[first + 3, i:],
            )
            for j in range(row.shape[0]):
                row[j] -= a * row_a[j] + b * row_b[j] + c * row_c[j] + d * row_d[j]
            solution[i] -= a * solution[first] + b * solution[first + 1]
            solution[i] -= c * solution[first + 2] + d * solution[first + 3]
    for k in range(n - 1, -1, -1):
        value = solution[k]
        for j in range(k + 1, n):
            value -= rows[k, j] * solution[j]
        solution[k] = value / rows[k, k]
    return inside_pyramid(solution, friction, max_force)


NOT_FINITE = -1

Room = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""For H, g, what is left of H on the way to a solution, and the solution."""


@njit(cache=True)
def program_in(room: Room, count: int) -> tuple[FloatArray, FloatArray]:
    """H and g of `count` contacts."""
    n = 3 * count
    return room[0][: n * n].reshape(n, n), room[1][:n]


@njit(cache=True)
def solve_freely(
    problem: MpcProblem,
    body: RigidBody,
    dt: float,
    weights: FloatArray,
    regularisation: float,
    unit: float,
    friction: float,
    max_force: float,
    room: Room,
    forces: FloatArray,
    trajectory: FloatArray,
) -> int:
    """Write the plan of `ConvexMpc`, if the optimum without constraints keeps them.

    Args:
        problem: where it starts, as a plain tuple.
        body: the robot, as a plain tuple.
        dt: length of a step, s.
        weights: of the states `12`.
        regularisation: alpha, 1/N^2.
        unit: of force, N.
        friction: coefficient.
        max_force: largest vertical force of a foot, in `unit`.
        room: for the program.
        forces: out, `steps x 4 x 3`, N.
        trajectory: out, `steps + 1 x 12`.

    Returns:
        0 where it is written; `NOT_FINITE`, and nothing is written; else the number of contacts of a program, left in
        `room`, that has to be solved with its constraints.
    """
    parts = MpcProblem(*problem)
    if not math.isfinite(np.sum(parts.state) + np.sum(parts.reference) + np.sum(parts.moment_arms)):
        return NOT_FINITE
    count = int(np.count_nonzero(parts.durations))
    hessian, gradient = program_in(room, count)
    solution = room[3][: 3 * count]
    if count:
        build_program(parts, RigidBody(*body), dt, weights, regularisation, unit, hessian, gradient)
        if not free_optimum(hessian, gradient, friction, max_force, room[2], solution):
            mirror(hessian)
            return count
    follow(solution, problem, body, unit, forces, trajectory)
    return 0


@njit_no_alloc
def follow(
    solution: FloatArray,
    problem: MpcProblem,
    body: RigidBody,
    unit: float,
    forces: FloatArray,
    trajectory: FloatArray,
) -> None:
    """Write forces and trajectory of a solution."""
    parts = MpcProblem(*problem)
    scatter_forces(solution, parts.durations, unit, forces)
    predict(parts, RigidBody(*body), forces, trajectory)


@njit_no_alloc
def mirror(matrix: FloatArray) -> None:
    """Complete a symmetric matrix left of its diagonal."""
    for i in range(matrix.shape[0]):
        for j in range(i):
            matrix[i, j] = matrix[j, i]


@njit(cache=True)
def predict(problem: MpcProblem, body: RigidBody, forces: FloatArray, trajectory: FloatArray) -> None:
    """Roll the model out under `forces`; `trajectory` is `steps + 1 x 12` with the present state first.

    Exact for forces that are constant for the d seconds around c in which their foot stands in a step that ends at t:
    p += h v + sum d (t - c) a - h^2 g/2, v += sum d a - h g.
    """
    state, durations, arms, mass = problem.state, problem.durations, problem.moment_arms, body.mass
    inverse = np.empty((3, 3))
    to_rates = np.empty((3, 3))
    turned_inertia(body.inverse_inertia, state[2], inverse, to_rates)
    put(state, trajectory[0])
    # what moves velocities, and what moves positions
    moment, linear, angular = np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3))
    start = 0.0
    for k in range(durations.shape[0]):
        end = problem.ends[k]
        length = end - start
        moment[:] = 0.0
        linear[:] = 0.0
        linear[0, 2], linear[1, 2] = -GRAVITY * length, -0.5 * GRAVITY * length * length
        for leg in range(4):
            if durations[k, leg] > 0.0:
                fx, fy, fz = forces[k, leg, 0], forces[k, leg, 1], forces[k, leg, 2]
                rx, ry, rz = arms[k, leg, 0], arms[k, leg, 1], arms[k, leg, 2]
                d = durations[k, leg]
                for moved in range(2):
                    moment[moved, 0] += d * (ry * fz - rz * fy)
                    moment[moved, 1] += d * (rz * fx - rx * fz)
                    moment[moved, 2] += d * (rx * fy - ry * fx)
                    linear[moved, 0] += d * fx / mass
                    linear[moved, 1] += d * fy / mass
                    linear[moved, 2] += d * fz / mass
                    d *= end - problem.centres[k, leg]
        for moved in range(2):
            for i in range(3):
                angular[moved, i] = 0.0
                for m in range(3):
                    angular[moved, i] += inverse[i, m] * moment[moved, m]
        x, y = trajectory[k], trajectory[k + 1]
        for i in range(3):
            rate = 0.0
            for m in range(3):
                rate += to_rates[i, m] * (x[6 + m] * length + angular[1, m])
            y[i] = x[i] + rate
            y[3 + i] = x[3 + i] + length * x[9 + i] + linear[1, i]
            y[6 + i] = x[6 + i] + angular[0, i]
            y[9 + i] = x[9 + i] + linear[0, i]
        start = end
