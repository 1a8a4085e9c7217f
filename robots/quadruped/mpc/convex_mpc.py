"""Predictive control of the base as one rigid body pushed by the stance feet (convex MPC).

Model (Di Carlo et al., IROS 2018): orientation error as roll, pitch, yaw with small roll and pitch, centre of
mass, angular and linear velocity in the world frame; every stance force is constant over a step. The dynamics
matrix is nilpotent, so the effect of a force in step j on step k has a closed form and the condensed
quadratic program is written down directly: nothing is discretised or multiplied out numerically. Forces of
swinging feet are no variables at all.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import daqp
import numpy as np
from numba import njit

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
    """What one solution of the MPC starts from; `steps` is its horizon.

    Args:
        state: present state `12`, see `STATE_NAMES`.
        reference: wanted states at the end of every step, `steps x 12`.
        contacts: planned contacts `steps x 4`.
        moment_arms: feet relative to the centre of mass in every step, `steps x 4 x 3`, world, m.
    """

    state: FloatArray
    reference: FloatArray
    contacts: BoolArray
    moment_arms: FloatArray

    @classmethod
    def allocate(cls, steps: int) -> MpcProblem:
        """Room for a horizon."""
        return cls(
            np.zeros(12), np.zeros((steps, 12)), np.zeros((steps, 4), np.bool_), np.zeros((steps, 4, 3))
        )

    def copy(self) -> MpcProblem:
        """An independent copy."""
        return MpcProblem(
            self.state.copy(), self.reference.copy(), self.contacts.copy(), self.moment_arms.copy()
        )


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


class ConvexMpc:
    """Stance forces and base trajectory over a horizon.

    States are `12`: roll, pitch, yaw (rad), centre of mass (m), angular velocity (rad/s) and velocity (m/s),
    all in the world frame. Minimises, over the forces f of the stance feet,

        sum_k (x_k - r_k)^T Q (x_k - r_k) + alpha sum |f - f_share|^2

    subject to |fx|, |fy| <= mu fz and 0 <= fz <= f_max,

    where f_share spreads the weight evenly over the contacts of the horizon, so that the regularisation does
    not sink the body.

    Args:
        body: mass and inertia.
        horizon: number of steps.
        step: seconds of one step.
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
        size = 12 * horizon  # of the program with all feet standing throughout
        self._hessian = np.empty(size * size)
        self._gradient = np.empty(size)
        self.forces = np.zeros((horizon, 4, 3))
        self.trajectory = np.zeros((horizon + 1, 12))

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
        count = int(np.count_nonzero(problem.contacts))
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
        """Forces on the body over the horizon, `horizon x 4 x 3`, world frame, N; zero where a foot swings.

        Raises:
            MpcError: no optimum was found.
        """
        if not problem.contacts.any():
            self.forces[:] = 0.0
        else:
            solution, _, flag, _ = daqp.solve(*self.build(problem))
            if flag < 1:
                raise MpcError(f"MPC: the quadratic program has no solution (DAQP exit flag {flag})")
            scatter_forces(solution, problem.contacts, self._weight, self.forces)
        _predict(tuple(problem), self._body_parts, self.step, self.forces, self.trajectory)
        return self.forces


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

    With W_j = [I^-1 [r]x ; 1/m] and T = diag(Rz^T, 1), a force u_j moves the velocities at step k > j by
    dt W_j u_j and the positions by (k - j - 1/2) dt^2 T W_j u_j, hence

        H_ij = a_ij (T W_i)^T Q_pos (T W_j) + b_ij W_i^T Q_vel W_j + alpha delta_ij
        a_ij = dt^4 sum_{k > max(i,j)} (k - i - 1/2)(k - j - 1/2),   b_ij = dt^2 (N - max(i,j))
        g_i = sum_{k > i} (k - i - 1/2) dt^2 (T W_i)^T Q_pos e_pos,k + dt W_i^T Q_vel e_vel,k - alpha f_share

    where e_k is what the free motion leaves of the error at the end of step k. Half of the cost is written,
    as DAQP minimises u^T H u / 2 + g^T u.
    """
    problem, body = MpcProblem(*problem), RigidBody(*body)
    state, reference, contacts, arms = problem.state, problem.reference, problem.contacts, problem.moment_arms
    steps = contacts.shape[0]
    inverse = np.empty((3, 3))
    to_rates = np.empty((3, 3))
    _turned(body.inverse_inertia, state[2], inverse, to_rates)
    total = 0
    for j in range(steps):
        for leg in range(4):
            if contacts[j, leg]:
                total += 1
    # Free motion x_k = exp(A k dt) x_0 with A^3 = 0, in closed form: p + t v - g t^2 / 2 and v - g t. The error
    # it leaves, weighted: ep for positions, ev for velocities.
    ep = np.zeros((steps, 6))
    ev = np.zeros((steps, 6))
    for k in range(steps):
        t = (k + 1) * dt
        for i in range(3):
            rate = 0.0
            for m in range(3):
                rate += to_rates[i, m] * state[6 + m]
            ep[k, i] = weights[i] * (state[i] + t * rate - reference[k, i])
            p = state[3 + i] + t * state[9 + i]
            v = state[9 + i]
            if i == 2:
                p -= 0.5 * GRAVITY * t * t
                v -= GRAVITY * t
            ep[k, 3 + i] = weights[3 + i] * (p - reference[k, 3 + i])
            ev[k, i] = weights[6 + i] * (state[6 + i] - reference[k, 6 + i])
            ev[k, 3 + i] = weights[9 + i] * (v - reference[k, 9 + i])
    # Per contact: angular effect on velocities, w = I^-1 [r]x, and on roll, pitch, yaw, tw = Rz^T w, raw and
    # weighted. The linear effect is 1/m on the diagonal and needs no storage.
    w = np.empty((total, 3, 3))
    tw = np.empty((total, 3, 3))
    qw = np.empty((total, 3, 3))
    qtw = np.empty((total, 3, 3))
    when = np.empty(total, dtype=np.int64)
    index = np.empty((total, 3), dtype=np.int64)
    c = 0
    for j in range(steps):
        for leg in range(4):
            if not contacts[j, leg]:
                continue
            when[c] = j
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
    # a_ij and b_ij for all pairs of steps: (k - i - 1/2) dt^2 is how far a unit acceleration of step i has
    # moved a position by the end of step k.
    pos = np.empty((steps, steps))
    vel = np.empty((steps, steps))
    for i in range(steps):
        for j in range(i, steps):
            value = 0.0
            for k in range(j + 1, steps + 1):
                value += (k - i - 0.5) * (k - j - 0.5)
            pos[i, j] = pos[j, i] = value * dt**4
            vel[i, j] = vel[j, i] = (steps - j) * dt * dt
    share = unit * steps / total
    inverse_mass = 1.0 / body.mass
    diagonal = 0.0
    for a in range(total):
        i = when[a]
        for b in range(a, total):
            j = when[b]
            p, v = pos[i, j], vel[i, j]
            for m in range(3):
                for n in range(3):
                    value = 0.0
                    for r in range(3):
                        value += p * tw[a, r, m] * qtw[b, r, n] + v * w[a, r, m] * qw[b, r, n]
                    if m == n:
                        value += inverse_mass * inverse_mass * (p * weights[3 + m] + v * weights[9 + m])
                        if a == b:
                            value += regularisation
                            diagonal += value
                    hessian[index[a, m], index[b, n]] = value
                    hessian[index[b, n], index[a, m]] = value
        for m in range(3):
            value = 0.0
            for k in range(i, steps):
                lag = (k - i + 0.5) * dt * dt
                for r in range(3):
                    value += lag * tw[a, r, m] * ep[k, r] + dt * w[a, r, m] * ev[k, r]
                value += inverse_mass * (lag * ep[k, 3 + m] + dt * ev[k, 3 + m])
            if m == 2:
                value -= regularisation * share
            gradient[index[a, m]] = value
    # Forces in units of the weight, cost of unit mean diagonal: u = f / unit.
    factor = 3.0 * total / diagonal
    n = 3 * total
    for i in range(n):
        gradient[i] *= factor / unit
        for j in range(n):
            hessian[i, j] *= factor


@njit(cache=True)
def scatter_forces(solution: FloatArray, contacts: BoolArray, unit: float, forces: FloatArray) -> None:
    """Copy the solver's variables into `forces` (`steps x 4 x 3`), in N."""
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
def _predict(
    problem: MpcProblem, body: RigidBody, dt: float, forces: FloatArray, trajectory: FloatArray
) -> None:
    """Roll the model out under `forces`; `trajectory` is `steps + 1 x 12` with the present state first.

    Exact for forces that are constant over a step: p += dt v + dt^2/2 a, v += dt a.
    """
    problem, body = MpcProblem(*problem), RigidBody(*body)
    state, contacts, arms, mass = problem.state, problem.contacts, problem.moment_arms, body.mass
    inverse = np.empty((3, 3))
    to_rates = np.empty((3, 3))
    _turned(body.inverse_inertia, state[2], inverse, to_rates)
    trajectory[0] = state
    moment = np.empty(3)
    linear = np.empty(3)
    angular = np.empty(3)
    for k in range(contacts.shape[0]):
        moment[:] = 0.0
        linear[:] = 0.0
        linear[2] = -GRAVITY
        for leg in range(4):
            if contacts[k, leg]:
                fx, fy, fz = forces[k, leg, 0], forces[k, leg, 1], forces[k, leg, 2]
                rx, ry, rz = arms[k, leg, 0], arms[k, leg, 1], arms[k, leg, 2]
                moment[0] += ry * fz - rz * fy
                moment[1] += rz * fx - rx * fz
                moment[2] += rx * fy - ry * fx
                linear[0] += fx / mass
                linear[1] += fy / mass
                linear[2] += fz / mass
        for i in range(3):
            angular[i] = inverse[i, 0] * moment[0] + inverse[i, 1] * moment[1] + inverse[i, 2] * moment[2]
        x, y = trajectory[k], trajectory[k + 1]
        for i in range(3):
            rate = 0.0
            for m in range(3):
                rate += to_rates[i, m] * (x[6 + m] * dt + 0.5 * angular[m] * dt * dt)
            y[i] = x[i] + rate
            y[3 + i] = x[3 + i] + dt * x[9 + i] + 0.5 * dt * dt * linear[i]
            y[6 + i] = x[6 + i] + dt * angular[i]
            y[9 + i] = x[9 + i] + dt * linear[i]
