"""Predictive control of the base as one rigid body pushed by the stance feet (convex MPC).

Model (Di Carlo et al., IROS 2018): orientation error as roll, pitch, yaw with small roll and pitch, centre of
mass, angular and linear velocity in the world frame; every stance force is constant over a step. The dynamics
matrix is nilpotent, so the effect of a force in step j on step k has a closed form and the condensed
quadratic program is written down directly: nothing is discretised or multiplied out numerically. Forces of
swinging feet are no variables at all. A foot that stands for part of a step pushes for that part of it, so that
nothing jumps where a contact changes within a step.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import daqp
import numpy as np

from safebo.boundary.compiled import njit
from safebo.robots.quadruped.interface import GRAVITY
from safebo.types import BoolArray, FloatArray

STATE_NAMES = ("roll", "pitch", "yaw", "x", "y", "z", "wx", "wy", "wz", "vx", "vy", "vz")


class MpcError(RuntimeError):
    """The quadratic program could not be solved (non-finite state or gains)."""


class RigidBody(NamedTuple):
    """The robot as one body.

    Args:
        mass: kg.
        centre: of mass, in the base frame, m, `3`.
        inverse_inertia: of the inertia about the centre of mass in the base frame, `3 x 3`, 1/(kg m^2).
    """

    mass: float
    centre: FloatArray
    inverse_inertia: FloatArray


class MpcProblem(NamedTuple):
    """What one solution of the MPC starts from; `steps` is one more than its horizon, as the first step and the last
    one share the time of one where a contact changes soon.

    Args:
        state: present state `12`, see `STATE_NAMES`.
        reference: wanted states at the end of every step, `steps x 12`.
        ends: of every step, s from now, `steps`; the first step ends early where a contact changes within it.
        durations: how long every foot is planned to stand in every step, s, `steps x 4`.
        centres: the middle of that time, s from now, `steps x 4`.
        moment_arms: feet relative to the centre of mass in every step, `steps x 4 x 3`, world, m.
        points: where those feet stand, `steps x 4 x 3`, world, m.
    """

    state: FloatArray
    reference: FloatArray
    ends: FloatArray
    durations: FloatArray
    centres: FloatArray
    moment_arms: FloatArray
    points: FloatArray

    @classmethod
    def allocate(cls, steps: int) -> MpcProblem:
        """Room for a horizon."""
        return cls(
            np.zeros(12),
            np.zeros((steps, 12)),
            np.zeros(steps),
            np.zeros((steps, 4)),
            np.zeros((steps, 4)),
            np.zeros((steps, 4, 3)),
            np.zeros((steps, 4, 3)),
        )

    def copy(self) -> MpcProblem:
        """An independent copy."""
        return MpcProblem(*(part.copy() for part in self))


@lru_cache(maxsize=128)
def friction_pyramid(
    count: int, friction: float, max_force: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Constraints (A, upper, lower) of `count` contact forces in DAQP's form; not to be written to.

    The variables are the vertical forces of all contacts, then x and y of each contact. Bounds on the first
    `count` keep 0 <= fz <= max_force; the rows of A, of unit length, keep +-fx - mu fz <= 0 and
    +-fy - mu fz <= 0.
    """
    matrix = np.zeros((4 * count, 3 * count))
    scale = 1.0 / math.sqrt(1.0 + friction**2)
    for c in range(count):
        for row, (axis, sign) in enumerate(((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))):
            matrix[4 * c + row, count + 2 * c + axis] = sign * scale
            matrix[4 * c + row, c] = -friction * scale
    upper = np.concatenate([np.full(count, max_force), np.zeros(4 * count)])
    lower = np.concatenate([np.zeros(count), np.full(4 * count, -1e30)])
    return matrix, upper, lower


TOLERANCE = 1e-6
"""By how much forces may break a row of the constraints, which has unit length: DAQP's own."""


@njit(cache=True)
def inside_pyramid(forces: FloatArray, friction: float, max_force: float) -> bool:
    """Whether forces, in the order and units of `friction_pyramid`, keep its constraints; NaN does not."""
    count = forces.shape[0] // 3
    scale = 1.0 / math.sqrt(1.0 + friction**2)
    for c in range(count):
        up, across = forces[c], max(abs(forces[count + 2 * c]), abs(forces[count + 2 * c + 1]))
        within = -TOLERANCE <= up <= max_force + TOLERANCE
        if not (within and scale * (across - friction * up) <= TOLERANCE):
            return False
    return True


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
        hessian: symmetric and positive, `n x n`; left as it is.
        gradient: `n`.
        friction: coefficient.
        max_force: largest vertical force.
        factor: room for `n n` numbers.
        solution: out, `n`.
    """
    n = gradient.shape[0]
    rows = factor[: n * n].reshape(n, n)
    rows[:] = hessian
    for i in range(n):
        solution[i] = -gradient[i]
    for k in range(n):
        pivot = rows[k]
        if not pivot[k] > 0.0:
            return False
        for i in range(k + 1, n):  # symmetric: only what is right of the diagonal is used
            share = pivot[i] / pivot[k]
            row, above = rows[i, i:], pivot[i:]
            for j in range(row.shape[0]):
                row[j] -= share * above[j]
            solution[i] -= share * solution[k]
    for k in range(n - 1, -1, -1):
        value = solution[k]
        for j in range(k + 1, n):
            value -= rows[k, j] * solution[j]
        solution[k] = value / rows[k, k]
    return inside_pyramid(solution, friction, max_force)


class ConvexMpc:
    """Stance forces and base trajectory over a horizon.

    States are `12`: roll, pitch, yaw (rad), centre of mass (m), angular velocity (rad/s) and velocity (m/s),
    all in the world frame. Minimises, over the forces f of the stance feet,

        sum_k h_k/dt (x_k - r_k)^T Q (x_k - r_k) + alpha sum d/dt |f - f_share|^2

    subject to |fx|, |fy| <= mu fz and 0 <= fz <= f_max,

    where h_k is the length of a step and d the time in which its foot stands in it. f_share spreads the weight evenly,
    in the first step over the feet that stand now, else over the contacts of the horizon, so that the regularisation
    does not sink the body.

    Args:
        body: mass and inertia.
        horizon: number of steps dt.
        step: dt, s.
    """

    def __init__(self, body: RigidBody, horizon: int = 10, step: float = 0.03) -> None:
        self.body = body
        self._body_parts = tuple(body)
        self.horizon = horizon
        self.step = float(step)
        self.weights = np.ones(12)
        self.regularisation = 1e-5
        self.friction = 0.5
        self._weight = body.mass * GRAVITY
        self.max_force = 3.0 * body.mass * GRAVITY
        self.steps = horizon + 1
        size = 12 * self.steps  # of the program with all feet standing throughout
        self._hessian = np.empty(size * size)
        self._gradient = np.empty(size)
        self._factor, self._free = np.empty(size * size), np.empty(size)
        self.forces = np.zeros((self.steps, 4, 3))
        self.trajectory = np.zeros((self.steps + 1, 12))

    def set_gains(self, weights: FloatArray, regularisation: float, friction: float) -> None:
        """Weights `12` in the order of the state, regularisation alpha (1/N^2) and friction coefficient."""
        self.weights = np.ascontiguousarray(weights, dtype=float)
        self.regularisation = float(regularisation)
        self.friction = float(friction)

    def build(self, problem: MpcProblem) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """The quadratic program (H, g, A, upper, lower) in DAQP's form, in units of the weight; see `solve`.

        Variables are the vertical forces of all contacts in time order, then x and y of each contact. H and g
        are scaled to a mean diagonal of one. H and g are views of buffers that the next call overwrites.
        """
        count = int(np.count_nonzero(problem.durations))
        size = 3 * count
        hessian = self._hessian[: size * size].reshape(size, size)
        gradient = self._gradient[:size]
        _build_qp(
            tuple(problem),
            self._body_parts,
            self.step,
            self.weights,
            self.regularisation,
            self._weight,
            hessian,
            gradient,
        )
        return hessian, gradient, *friction_pyramid(count, self.friction, self.max_force / self._weight)

    def solve(self, problem: MpcProblem) -> FloatArray:
        """Forces on the body over the horizon, `steps x 4 x 3`, world frame, N; zero where a foot swings.

        Raises:
            MpcError: no optimum was found.
        """
        if not _finite(problem.state, problem.reference, problem.moment_arms):
            raise MpcError("MPC: state, reference or moment arms are not finite")
        if not problem.durations.any():
            self.forces[:] = 0.0
        else:
            program = self.build(problem)
            hessian, gradient = program[:2]
            solution = self._free[: len(gradient)]
            most = self.max_force / self._weight
            if not free_optimum(hessian, gradient, self.friction, most, self._factor, solution):
                solution, _, flag, _ = daqp.solve(*program)
                if flag < 1:
                    raise MpcError(f"MPC: the quadratic program has no solution (DAQP exit flag {flag})")
            scatter_forces(solution, problem.durations, self._weight, self.forces)
        _predict(tuple(problem), self._body_parts, self.forces, self.trajectory)
        return self.forces


@njit(cache=True)
def _finite(state: FloatArray, reference: FloatArray, arms: FloatArray) -> bool:
    """Whether all numbers are finite."""
    return math.isfinite(np.sum(state) + np.sum(reference) + np.sum(arms))


@njit(cache=True)
def _turned(inverse_inertia: FloatArray, yaw: float, inverse: FloatArray, to_rates: FloatArray) -> None:
    """Write the inverse inertia in the world frame, and Rz(yaw)^T, which takes world rates to rpy rates.

    I_world^-1 = Rz(yaw) I_base^-1 Rz(yaw)^T: roll and pitch are small (Di Carlo et al. 2018, eq. 13-16).
    """
    c, s = math.cos(yaw), math.sin(yaw)
    to_rates[:] = 0.0
    to_rates[0, 0], to_rates[0, 1], to_rates[1, 0], to_rates[1, 1], to_rates[2, 2] = c, s, -s, c, 1.0
    for i in range(3):
        for j in range(3):
            value = 0.0
            for m in range(3):
                for n in range(3):
                    value += to_rates[m, i] * inverse_inertia[m, n] * to_rates[n, j]
            inverse[i, j] = value


@njit(cache=True, fastmath={"contract", "arcp", "nsz"})
def _build_qp(
    problem: MpcProblem,
    body: RigidBody,
    dt: float,
    weights: FloatArray,
    regularisation: float,
    unit: float,
    hessian: FloatArray,
    gradient: FloatArray,
) -> None:
    """Write the condensed program of `ConvexMpc.build` into `hessian` and `gradient`.

    With W = [I^-1 [r]x ; 1/m] and T = diag(Rz^T, 1), a force f that acts for d seconds around the time c moves the
    velocities at a later end t_k of a step by d W f and the positions by d (t_k - c) T W f, hence

        H_ab = p_ab (T W_a)^T Q_pos (T W_b) + v_ab W_a^T Q_vel W_b + alpha d_a/dt delta_ab
        p_ab = d_a d_b sum_k h_k/dt (t_k - c_a)(t_k - c_b),   v_ab = d_a d_b sum_k h_k/dt   (steps k from both on)
        g_a = d_a (sum_k h_k/dt ((t_k - c_a) (T W_a)^T Q_pos e_pos,k + W_a^T Q_vel e_vel,k) - alpha/dt f_share)

    where e_k is what the free motion leaves of the error at the end of step k. Half of the cost is written,
    as DAQP minimises u^T H u / 2 + g^T u.
    """
    problem, body = MpcProblem(*problem), RigidBody(*body)
    state, reference, ends, arms = problem.state, problem.reference, problem.ends, problem.moment_arms
    durations, steps = problem.durations, problem.ends.shape[0]
    inverse = np.empty((3, 3))
    to_rates = np.empty((3, 3))
    _turned(body.inverse_inertia, state[2], inverse, to_rates)
    total, standing, stand_now = 0, 0.0, 0
    for j in range(steps):
        for leg in range(4):
            if durations[j, leg] > 0.0:
                total += 1
                standing += durations[j, leg]
                stand_now += 1 if j == 0 else 0
    part = np.empty(steps)  # h_k / dt
    for k in range(steps):
        part[k] = (ends[k] - (ends[k - 1] if k else 0.0)) / dt
    # Free motion x_k = exp(A k dt) x_0 with A^3 = 0, in closed form: p + t v - g t^2 / 2 and v - g t. The error
    # it leaves, weighted: ep for positions, ev for velocities.
    ep = np.zeros((steps, 6))
    ev = np.zeros((steps, 6))
    for k in range(steps):
        t = ends[k]
        for i in range(3):
            rate = 0.0
            for m in range(3):
                rate += to_rates[i, m] * state[6 + m]
            ep[k, i] = part[k] * weights[i] * (state[i] + t * rate - reference[k, i])
            p = state[3 + i] + t * state[9 + i]
            v = state[9 + i]
            if i == 2:
                p -= 0.5 * GRAVITY * t * t
                v -= GRAVITY * t
            ep[k, 3 + i] = part[k] * weights[3 + i] * (p - reference[k, 3 + i])
            ev[k, i] = part[k] * weights[6 + i] * (state[6 + i] - reference[k, 6 + i])
            ev[k, 3 + i] = part[k] * weights[9 + i] * (v - reference[k, 9 + i])
    # Per contact: angular effect on velocities, w = I^-1 [r]x, and on roll, pitch, yaw, tw = Rz^T w, raw and
    # weighted. The linear effect is 1/m on the diagonal and needs no storage.
    w = np.empty((total, 3, 3))
    tw = np.empty((total, 3, 3))
    qw = np.empty((total, 3, 3))
    qtw = np.empty((total, 3, 3))
    when = np.empty(total, dtype=np.int64)
    lasts, centre = np.empty(total), np.empty(total)  # d and c
    index = np.empty((total, 3), dtype=np.int64)
    c = 0
    for j in range(steps):
        for leg in range(4):
            if durations[j, leg] <= 0.0:
                continue
            when[c], lasts[c], centre[c] = j, durations[j, leg], problem.centres[j, leg]
            index[c, 0], index[c, 1], index[c, 2] = total + 2 * c, total + 2 * c + 1, c
            rx, ry, rz = arms[j, leg, 0], arms[j, leg, 1], arms[j, leg, 2]
            for i in range(3):
                a0, a1, a2 = inverse[i, 0], inverse[i, 1], inverse[i, 2]
                w[c, i, 0] = a1 * rz - a2 * ry
                w[c, i, 1] = a2 * rx - a0 * rz
                w[c, i, 2] = a0 * ry - a1 * rx
            for i in range(3):
                for m in range(3):
                    value = 0.0
                    for n in range(3):
                        value += to_rates[i, n] * w[c, n, m]
                    tw[c, i, m] = value
                    qtw[c, i, m] = weights[i] * value
                    qw[c, i, m] = weights[6 + i] * w[c, i, m]
            c += 1
    even = unit * ends[steps - 1] / standing
    even_now = unit / max(1, stand_now)
    inverse_mass = 1.0 / body.mass
    diagonal = 0.0
    for a in range(total):
        i = when[a]
        for b in range(a, total):
            j = when[b]
            p, v = 0.0, 0.0
            for k in range(j, steps):
                p += part[k] * (ends[k] - centre[a]) * (ends[k] - centre[b])
                v += part[k]
            p *= lasts[a] * lasts[b]
            v *= lasts[a] * lasts[b]
            for m in range(3):
                for n in range(3):
                    value = 0.0
                    for r in range(3):
                        value += p * tw[a, r, m] * qtw[b, r, n] + v * w[a, r, m] * qw[b, r, n]
                    if m == n:
                        value += inverse_mass * inverse_mass * (p * weights[3 + m] + v * weights[9 + m])
                        if a == b:
                            value += regularisation * lasts[a] / dt
                            diagonal += value
                    hessian[index[a, m], index[b, n]] = value
                    hessian[index[b, n], index[a, m]] = value
        for m in range(3):
            value = 0.0
            for k in range(i, steps):
                lag = ends[k] - centre[a]
                for r in range(3):
                    value += lag * tw[a, r, m] * ep[k, r] + w[a, r, m] * ev[k, r]
                value += inverse_mass * (lag * ep[k, 3 + m] + ev[k, 3 + m])
            if m == 2:
                value -= regularisation / dt * (even_now if i == 0 else even)
            gradient[index[a, m]] = lasts[a] * value
    # Forces in units of the weight, cost of unit mean diagonal: u = f / unit.
    factor = 3.0 * total / diagonal
    n = 3 * total
    for i in range(n):
        gradient[i] *= factor / unit
        for j in range(n):
            hessian[i, j] *= factor


@njit(cache=True)
def scatter_forces(
    solution: FloatArray, contacts: BoolArray | FloatArray, unit: float, forces: FloatArray
) -> None:
    """Copy the solver's variables into `forces` (`steps x 4 x 3`), in N; zero without contact."""
    total = solution.shape[0] // 3
    c = 0
    for j in range(contacts.shape[0]):
        for leg in range(4):
            if contacts[j, leg]:
                forces[j, leg, 0] = unit * solution[total + 2 * c]
                forces[j, leg, 1] = unit * solution[total + 2 * c + 1]
                forces[j, leg, 2] = unit * solution[c]
                c += 1
            else:
                forces[j, leg, 0] = forces[j, leg, 1] = forces[j, leg, 2] = 0.0


@njit(cache=True)
def _predict(problem: MpcProblem, body: RigidBody, forces: FloatArray, trajectory: FloatArray) -> None:
    """Roll the model out under `forces`; `trajectory` is `steps + 1 x 12` with the present state first.

    Exact for forces that are constant for the d seconds around c in which their foot stands in a step that ends at t:
    p += h v + sum d (t - c) a - h^2 g/2, v += sum d a - h g.
    """
    problem, body = MpcProblem(*problem), RigidBody(*body)
    state, durations, arms, mass = problem.state, problem.durations, problem.moment_arms, body.mass
    inverse = np.empty((3, 3))
    to_rates = np.empty((3, 3))
    _turned(body.inverse_inertia, state[2], inverse, to_rates)
    trajectory[0] = state
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
