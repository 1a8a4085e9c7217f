"""The convex MPC's quadratic program, condensed to the forces of the stance feet: how it is written."""

from __future__ import annotations

import math

import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.problem import MpcProblem, RigidBody
from safebo.types import FloatArray, IntArray


@njit_no_alloc(fastmath={"contract", "arcp", "nsz"})
def turned_inertia(
    inverse_inertia: FloatArray, yaw: float, inverse: FloatArray, to_rates: FloatArray
) -> None:
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


@njit_no_alloc
def _contacts(durations: FloatArray) -> tuple[int, float, int]:
    """How many contacts there are, how long they last together, and how many of them are of the first step."""
    total, standing, now = 0, 0.0, 0
    for j in range(durations.shape[0]):
        for leg in range(4):
            if durations[j, leg] > 0.0:
                total += 1
                standing += durations[j, leg]
                now += 1 if j == 0 else 0
    return total, standing, now


@njit(cache=True, fastmath={"contract", "arcp", "nsz"})
def _step_sums(
    problem: MpcProblem, weights: FloatArray, to_rates: FloatArray, dt: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sums over the steps from every one on, `steps + 1` rows: of h/dt times 1, t and t^2, and of weighted errors.

    The errors are those that the free motion leaves: of positions, of positions times t, of velocities.
    """
    state, reference, ends = problem.state, problem.reference, problem.ends
    steps = ends.shape[0]
    horizon = ends[steps - 1]
    # Free motion x_k = exp(A k dt) x_0 with A^3 = 0, in closed form: p + t v - g t^2 / 2 and v - g t. The error
    # it leaves, weighted: ep for positions, ev for velocities. Sums from every step on: `later` of h/dt times 1, t and
    # t^2, `ep` and `ev` of the errors, `lag` of t ep.
    later, ep, lag, ev = (
        np.zeros((steps + 1, 3)),
        np.zeros((steps + 1, 6)),
        np.zeros((steps + 1, 6)),
        np.zeros((steps + 1, 6)),
    )
    for k in range(steps - 1, -1, -1):
        t, part = ends[k], (ends[k] - (ends[k - 1] if k else 0.0)) / dt
        back = t - horizon
        later[k, 0] = later[k + 1, 0] + part
        later[k, 1] = later[k + 1, 1] + part * back
        later[k, 2] = later[k + 1, 2] + part * back * back
        for i in range(3):
            rate = 0.0
            for m in range(3):
                rate += to_rates[i, m] * state[6 + m]
            ep[k, i] = part * weights[i] * (state[i] + t * rate - reference[k, i])
            p = state[3 + i] + t * state[9 + i]
            v = state[9 + i]
            if i == 2:
                p -= 0.5 * GRAVITY * t * t
                v -= GRAVITY * t
            ep[k, 3 + i] = part * weights[3 + i] * (p - reference[k, 3 + i])
            ev[k, i] = part * weights[6 + i] * (state[6 + i] - reference[k, 6 + i])
            ev[k, 3 + i] = part * weights[9 + i] * (v - reference[k, 9 + i])
        for i in range(6):
            lag[k, i] = lag[k + 1, i] + back * ep[k, i]
            ep[k, i] += ep[k + 1, i]
            ev[k, i] += ev[k + 1, i]
    return later, ep, lag, ev


@njit(cache=True, fastmath={"contract", "arcp", "nsz"})
def _contact_effects(
    problem: MpcProblem, weights: FloatArray, inverse: FloatArray, to_rates: FloatArray, total: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray, FloatArray, FloatArray]:
    """What a force of each of `total` contacts does, raw and weighted; its step, duration and centre in time."""
    durations, arms, steps = problem.durations, problem.moment_arms, problem.ends.shape[0]
    horizon = problem.ends[steps - 1]
    # Per contact, which comes last so that inner loops run along contacts: angular effect of a force along an axis m on
    # velocities, w = I^-1 [r]x, and on roll, pitch, yaw, tw = Rz^T w, raw and weighted. The linear effect is 1/m on the
    # diagonal and needs no storage.
    w, tw = np.empty((3, 3, total)), np.empty((3, 3, total))  # effect, axis of the force, contact
    qw, qtw = np.empty((3, 3, total)), np.empty((3, 3, total))
    when = np.empty(total, dtype=np.int64)
    lasts, centre = np.empty(total), np.empty(total)  # d and c
    c = 0
    for j in range(steps):
        for leg in range(4):
            if durations[j, leg] <= 0.0:
                continue
            when[c], lasts[c], centre[c] = j, durations[j, leg], problem.centres[j, leg] - horizon
            rx, ry, rz = arms[j, leg, 0], arms[j, leg, 1], arms[j, leg, 2]
            for i in range(3):
                a0, a1, a2 = inverse[i, 0], inverse[i, 1], inverse[i, 2]
                w[i, 0, c] = a1 * rz - a2 * ry
                w[i, 1, c] = a2 * rx - a0 * rz
                w[i, 2, c] = a0 * ry - a1 * rx
            for i in range(3):
                for m in range(3):
                    value = 0.0
                    for n in range(3):
                        value += to_rates[i, n] * w[n, m, c]
                    tw[i, m, c] = value
                    qtw[i, m, c] = weights[i] * value
                    qw[i, m, c] = weights[6 + i] * w[i, m, c]
            c += 1
    return w, tw, qw, qtw, when, lasts, centre


@njit(cache=True, fastmath={"contract", "arcp", "nsz"})
def build_program(
    problem: MpcProblem,
    body: RigidBody,
    dt: float,
    weights: FloatArray,
    regularisation: float,
    unit: float,
    hessian: FloatArray,
    gradient: FloatArray,
) -> None:
    """Write the condensed program of `ConvexMpc.build`; `unit` is that of force, N.

    Of `hessian` only what is on the diagonal and right of it is written, see `mirror`.

    With W = [I^-1 [r]x ; 1/m] and T = diag(Rz^T, 1), a force f that acts for d seconds around the time c moves the
    velocities at a later end t_k of a step by d W f and the positions by d (t_k - c) T W f, hence

        H_ab = p_ab (T W_a)^T Q_pos (T W_b) + v_ab W_a^T Q_vel W_b + alpha d_a/dt delta_ab
        p_ab = d_a d_b sum_k h_k/dt (t_k - c_a)(t_k - c_b),   v_ab = d_a d_b sum_k h_k/dt   (steps k from both on)
        g_a = d_a (sum_k h_k/dt ((t_k - c_a) (T W_a)^T Q_pos e_pos,k + W_a^T Q_vel e_vel,k) - alpha/dt f_share)

    where e_k is what the free motion leaves of the error at the end of step k. Half of the cost is written,
    as DAQP minimises u^T H u / 2 + g^T u. Sums over the steps from one on are made once for every step; times count
    from the end of the horizon, so that late steps, whose sums are small, lose nothing to rounding.
    """
    inverse, to_rates = np.empty((3, 3)), np.empty((3, 3))
    turned_inertia(body.inverse_inertia, problem.state[2], inverse, to_rates)
    total, standing, stand_now = _contacts(problem.durations)
    horizon = problem.ends[-1]
    later, ep, lag, ev = _step_sums(problem, weights, to_rates, dt)
    w, tw, qw, qtw, when, lasts, centre = _contact_effects(problem, weights, inverse, to_rates, total)
    even = unit * horizon / standing
    even_now = unit / max(1, stand_now)
    inverse_mass = 1.0 / body.mass
    diagonal = 0.0
    p, v, line = np.empty(total), np.empty(total), np.empty(total)
    for a in range(total):
        i = when[a]
        for b in range(a, total):
            both, from_b = lasts[a] * lasts[b], later[when[b]]
            moments = from_b[2] - (centre[a] + centre[b]) * from_b[1] + centre[a] * centre[b] * from_b[0]
            p[b], v[b] = both * moments, both * from_b[0]
        for m in range(3):
            row = a if m == 2 else total + 2 * a + m
            x, y, z = tw[0, m, a], tw[1, m, a], tw[2, m, a]
            wx, wy, wz = w[0, m, a], w[1, m, a], w[2, m, a]
            for n in range(3):
                linear = inverse_mass * inverse_mass if m == n else 0.0
                position, velocity = linear * weights[3 + m], linear * weights[9 + m]
                for b in range(a, total):
                    turned = x * qtw[0, n, b] + y * qtw[1, n, b] + z * qtw[2, n, b]
                    spun = wx * qw[0, n, b] + wy * qw[1, n, b] + wz * qw[2, n, b]
                    line[b] = p[b] * (turned + position) + v[b] * (spun + velocity)
                if m == n:
                    line[a] += regularisation * lasts[a] / dt
                    diagonal += line[a]
                for b in range(a, total):
                    column = b if n == 2 else total + 2 * b + n
                    if row <= column:
                        hessian[row, column] = line[b]
                    else:
                        hessian[column, row] = line[b]
            value = inverse_mass * (lag[i, 3 + m] - centre[a] * ep[i, 3 + m] + ev[i, 3 + m])
            for r in range(3):
                value += tw[r, m, a] * (lag[i, r] - centre[a] * ep[i, r]) + w[r, m, a] * ev[i, r]
            if m == 2:
                value -= regularisation / dt * (even_now if i == 0 else even)
            gradient[row] = lasts[a] * value
    # Forces in units of the weight, cost of unit mean diagonal: u = f / unit.
    factor = 3.0 * total / diagonal
    n = 3 * total
    for i in range(n):
        gradient[i] *= factor / unit
        for j in range(i, n):
            hessian[i, j] *= factor
