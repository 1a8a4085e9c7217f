"""Nonlinear predictive control on the variable-height inverted pendulum, with footholds among its decisions.

Model (Kang et al., IROS 2022; the MPC of Widmer et al., CoRL 2023): the robot is a point mass at c that is pushed away
from a centre of pressure, along the line through both, so that no moment arises about the centre of mass. With a share
lambda of the weight at every standing foot p,

    c'' = (g / z0) sum lambda (c - p) - g e_z,      lambda >= 0,

whose stiffness is sum lambda, and whose centre of pressure sum lambda p / sum lambda. Height and stiffness vary, and a
foot that lands within the horizon may land elsewhere than the foothold rule says. All of that is bilinear: solved by
Gauss-Newton steps on the condensed program, each a quadratic program with bounds alone.

The orientation is left to the base task of the whole-body control.
"""

from __future__ import annotations

import math

import daqp
import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.convex_mpc import ConvexMpc
from safebo.robots.quadruped.mpc.problem import MpcError, MpcProblem, RigidBody
from safebo.types import FloatArray, IntArray

ITERATIONS = 6
"""Gauss-Newton steps at most; three are the rule."""

CONVERGED = 1e-5
"""Largest change of a share of the weight, or of a foothold in m, with which a solution is taken."""

MAX_SHARE = 3.0
"""Of the weight at one foot."""

MAX_SHIFT = 0.12
"""m, of a foothold from where the foothold rule puts it, along each axis."""

FRICTION_COST = 20.0
"""Of the horizontal force beyond the friction cone, in squares of the weight."""

Pendulum = tuple[MpcProblem, FloatArray, tuple[float, float, float, float, float]]
"""What the compiled functions are told: the problem; weights `12`; mass, regularisation (1/N^2), cost of a foothold's
shift (1/m^2), friction coefficient, step dt (s)."""


class PendulumMpc:
    """Stance forces, base trajectory and footholds over a horizon; a drop-in for `ConvexMpc`.

    Minimises, over the shares lambda of the standing feet and the shifts s of the footholds to come,

        sum_k h_k/dt ((c_k - r_k)^T Q (c_k - r_k) + (v_k - w_k)^T R (v_k - w_k))
          + alpha (m g)^2 sum d/dt (lambda - lambda_even)^2 + beta sum |s|^2 + friction

    with the position and velocity weights of the convex MPC, h_k the length of a step, d the time in which a foot
    stands in it, and a quadratic penalty on horizontal forces beyond the friction cone of a step.

    Args:
        body: mass and inertia.
        horizon: number of steps dt.
        step: dt, s.

    Attributes after `solve`:
        forces: on the feet, `steps x 4 x 3`, world, N. trajectory: states `steps + 1 x 12`.
        shift: of the next foothold of every foot, world x and y, `4 x 2`, m. solution: shares and shifts, `n + 2 L`.
        iterations: Gauss-Newton steps taken.
    """

    def __init__(self, body: RigidBody, horizon: int = 10, step: float = 0.03) -> None:
        self.body, self.horizon, self.step = body, horizon, float(step)
        self.steps = horizon + 1
        self.max_force = MAX_SHARE * body.mass * GRAVITY
        self.weights = np.ones(12)
        self.regularisation, self.foothold_cost, self.friction = 1e-5, 100.0, 0.5
        self.forces = np.zeros((self.steps, 4, 3))
        self.trajectory = np.zeros((self.steps + 1, 12))
        self.shift = np.zeros((4, 2))
        self.iterations, self.solution = 0, np.zeros(0)

    def set_gains(
        self, weights: FloatArray, regularisation: float, friction: float, foothold_cost: float
    ) -> None:
        """Weights `12` in the order of the state, of which those of angles count for nothing here, regularisation alpha
        (1/N^2), friction coefficient, cost of a foothold away from the rule's (1/m^2).
        """
        self.weights = np.ascontiguousarray(weights, dtype=float)
        self.regularisation, self.friction = float(regularisation), float(friction)
        self.foothold_cost = float(foothold_cost)

    def parts(self, problem: MpcProblem) -> Pendulum:
        """What the compiled functions are told."""
        constants = self.body.mass, self.regularisation, self.foothold_cost, self.friction, self.step
        return problem, self.weights, constants

    def solve(self, problem: MpcProblem) -> FloatArray:
        """Forces on the body over the horizon, `steps x 4 x 3`, world frame, N; zero where a foot swings.

        Raises:
            MpcError: state, reference or feet are not finite, or no optimum was found.
        """
        numbers = (float(part.sum()) for part in (problem.state, problem.reference, problem.points))
        if not all(map(math.isfinite, numbers)):
            raise MpcError("MPC: state, reference or feet are not finite")
        contacts, landings = arrange(tuple(problem))
        count, size = len(contacts), len(contacts) + 2 * int(landings.max(initial=-1) + 1)
        parts = tuple(problem), *self.parts(problem)[1:]
        lower, upper = np.zeros(size), np.full(size, MAX_SHARE)
        lower[count:], upper[count:] = -MAX_SHIFT, MAX_SHIFT
        found = even_shares(tuple(problem), contacts, size)
        none, sense = np.zeros((0, size)), np.zeros(size, dtype=np.int32)
        self.iterations = 0
        for _ in range(ITERATIONS if size else 0):
            hessian, gradient = gauss_newton(parts, contacts, landings, found)
            change, _, flag, _ = daqp.solve(hessian, gradient, none, upper - found, lower - found, sense)
            if flag < 1:
                raise MpcError(f"MPC: the quadratic program has no solution (DAQP exit flag {flag})")
            found = np.clip(found + change, lower, upper)
            self.iterations += 1
            if np.abs(change).max() < CONVERGED:
                break
        self.solution = found
        write_plan(parts, contacts, landings, found, (self.forces, self.trajectory, self.shift))
        return self.forces


Mpc = ConvexMpc | PendulumMpc
"""What plans the base's motion and the feet's forces."""


@njit(cache=True)
def arrange(problem: MpcProblem) -> tuple[IntArray, IntArray]:
    """Contacts in time order as rows (step, leg), `n x 2`, and landings, `steps x 4`: which foothold to come a contact
    stands on, -1 where that is fixed: the foot stands there now. All landings of a foot share one number.
    """
    problem = MpcProblem(*problem)
    durations = problem.durations
    steps, count = durations.shape[0], 0
    landings = np.full((steps, 4), -1)
    numbers = 0
    for leg in range(4):
        number, stood = -1, True  # what stands from now on stands where it is
        for k in range(steps):
            stands = durations[k, leg] > 0.0
            if stands and not stood and number < 0:
                number = numbers
                numbers += 1
            if stands:
                count += 1
                landings[k, leg] = number
            elif problem.ends[k] > (problem.ends[k - 1] if k else 0.0):
                stood = False
    contacts = np.empty((count, 2), np.int64)
    c = 0
    for k in range(steps):
        for leg in range(4):
            if durations[k, leg] > 0.0:
                contacts[c, 0], contacts[c, 1] = k, leg
                c += 1
    return contacts, landings


@njit(cache=True)
def even_shares(problem: MpcProblem, contacts: IntArray, size: int) -> FloatArray:
    """The weight spread evenly: in the first step over the feet that stand now, else over the horizon's contacts."""
    problem = MpcProblem(*problem)
    out, now = np.zeros(size), 0
    standing = problem.durations.sum()
    for c in range(contacts.shape[0]):
        now += 1 if contacts[c, 0] == 0 else 0
    for c in range(contacts.shape[0]):
        out[c] = 1.0 / now if contacts[c, 0] == 0 else problem.ends[-1] / standing
    return out


@njit_no_alloc
def _roll_out(
    pendulum: Pendulum,
    contacts: IntArray,
    landings: IntArray,
    values: FloatArray,
    path: FloatArray,
    arms: FloatArray,
) -> None:
    """Write positions and velocities at the start and after every step (`steps + 1 x 2 x 3`), and the centre of mass
    relative to every contact's foot in the middle of the contact (`n x 3`).

    A force that acts for d seconds around the time t moves the velocity by d a and, at the end e of its step, the
    position by d (e - t) a, with a = (g / z0) lambda (c(t) - p) and c(t) on the straight line from the step's start.
    """
    problem = MpcProblem(*pendulum[0])
    ends, count = problem.ends, contacts.shape[0]
    for i in range(3):
        path[0, 0, i], path[0, 1, i] = problem.state[3 + i], problem.state[9 + i]
    c, start = 0, 0.0
    for k in range(ends.shape[0]):
        length = ends[k] - start
        stiffness = GRAVITY / max(0.05, problem.reference[k, 5])
        for i in range(3):
            path[k + 1, 0, i] = path[k, 0, i] + length * path[k, 1, i]
            path[k + 1, 1, i] = path[k, 1, i]
        path[k + 1, 0, 2] -= 0.5 * GRAVITY * length * length
        path[k + 1, 1, 2] -= GRAVITY * length
        while c < count and contacts[c, 0] == k:
            leg = contacts[c, 1]
            lasts, centre, landing = problem.durations[k, leg], problem.centres[k, leg], landings[k, leg]
            for i in range(3):
                arm = path[k, 0, i] + (centre - start) * path[k, 1, i] - problem.points[k, leg, i]
                if landing >= 0 and i < 2:
                    arm -= values[count + 2 * landing + i]
                arms[c, i] = arm
                push = lasts * stiffness * values[c] * arm
                path[k + 1, 0, i] += (ends[k] - centre) * push
                path[k + 1, 1, i] += push
            c += 1
        start = ends[k]


@njit(cache=True)
def cost(pendulum: Pendulum, contacts: IntArray, landings: IntArray, values: FloatArray) -> float:
    """Half of the cost in `PendulumMpc` at shares and shifts `values` (`n + 2 L`)."""
    problem = MpcProblem(*pendulum[0])
    weights, (mass, regularisation, foothold_cost, friction, dt) = pendulum[1], pendulum[2]
    steps, count = problem.ends.shape[0], contacts.shape[0]
    path, arms = np.empty((steps + 1, 2, 3)), np.empty((count, 3))
    _roll_out(pendulum, contacts, landings, values, path, arms)
    even = even_shares(pendulum[0], contacts, values.shape[0])
    total, start, c = 0.0, 0.0, 0
    for k in range(steps):
        part = (problem.ends[k] - start) / dt
        for i in range(3):
            for j in range(2):
                error = path[k + 1, j, i] - problem.reference[k, 3 + 6 * j + i]
                total += part * weights[3 + 6 * j + i] * error * error
        push = np.zeros(3)
        z0 = max(0.05, problem.reference[k, 5])
        while c < count and contacts[c, 0] == k:
            lasts = problem.durations[k, contacts[c, 1]]
            total += regularisation * (mass * GRAVITY) ** 2 * lasts / dt * (values[c] - even[c]) ** 2
            for i in range(3):
                push[i] += lasts / dt * values[c] * arms[c, i] / z0
            c += 1
        for i in range(2):
            beyond = abs(push[i]) - friction * push[2]
            if beyond > 0.0:
                total += FRICTION_COST * beyond * beyond
        start = problem.ends[k]
    for i in range(count, values.shape[0]):
        total += foothold_cost * values[i] * values[i]
    return 0.5 * total


@njit(cache=True)
def gauss_newton(
    pendulum: Pendulum, contacts: IntArray, landings: IntArray, values: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gauss-Newton matrix and gradient of `cost`, `size x size` and `size`.

    The axes of the pendulum move apart once lambda is given, so that a sensitivity of one axis is two vectors over the
    variables, of position and velocity; they are carried along the steps as the state is.
    """
    problem = MpcProblem(*pendulum[0])
    weights, (mass, regularisation, foothold_cost, friction, dt) = pendulum[1], pendulum[2]
    ends, steps, count, size = problem.ends, problem.ends.shape[0], contacts.shape[0], values.shape[0]
    path, arms = np.empty((steps + 1, 2, 3)), np.empty((count, 3))
    _roll_out(pendulum, contacts, landings, values, path, arms)
    even = even_shares(pendulum[0], contacts, size)
    hessian, gradient = np.zeros((size, size)), np.zeros(size)
    slope = np.zeros((2, 3, size))  # of position and velocity at the start of a step
    later = np.zeros((2, 3, size))
    pushed = np.zeros((3, size))
    start, c = 0.0, 0
    for k in range(steps):
        length = ends[k] - start
        z0 = max(0.05, problem.reference[k, 5])
        stiffness = GRAVITY / z0
        push = np.zeros(3)
        pushed[:] = 0.0
        for i in range(3):
            for n in range(size):
                later[0, i, n] = slope[0, i, n] + length * slope[1, i, n]
                later[1, i, n] = slope[1, i, n]
        while c < count and contacts[c, 0] == k:
            leg = contacts[c, 1]
            lasts, centre, landing = problem.durations[k, leg], problem.centres[k, leg], landings[k, leg]
            share, lag, ahead = values[c], ends[k] - centre, centre - start
            for i in range(3):
                for n in range(size):
                    change = share * (slope[0, i, n] + ahead * slope[1, i, n])  # of lambda (c - p)
                    if n == c:
                        change += arms[c, i]
                    elif landing >= 0 and i < 2 and n == count + 2 * landing + i:
                        change -= share
                    later[0, i, n] += lag * lasts * stiffness * change
                    later[1, i, n] += lasts * stiffness * change
                    pushed[i, n] += lasts / dt * change / z0
                push[i] += lasts / dt * share * arms[c, i] / z0
            size_of_share = regularisation * (mass * GRAVITY) ** 2 * lasts / dt
            hessian[c, c] += size_of_share
            gradient[c] += size_of_share * (share - even[c])
            c += 1
        part = length / dt
        for j in range(2):
            for i in range(3):
                weight = part * weights[3 + 6 * j + i]
                error = path[k + 1, j, i] - problem.reference[k, 3 + 6 * j + i]
                _add_square(weight, error, later[j, i], hessian, gradient)
        for i in range(2):
            beyond = abs(push[i]) - friction * push[2]
            if beyond > 0.0:
                sign = 1.0 if push[i] > 0.0 else -1.0
                _add_square(FRICTION_COST, beyond, sign * pushed[i] - friction * pushed[2], hessian, gradient)
        slope, later = later, slope
        start = ends[k]
    for n in range(count, size):
        hessian[n, n] += foothold_cost
        gradient[n] += foothold_cost * values[n]
    return hessian, gradient


@njit_no_alloc
def _add_square(
    weight: float, error: float, slope: FloatArray, hessian: FloatArray, gradient: FloatArray
) -> None:
    """Add weight error^2 / 2 in a least-squares problem: its gradient, and w s s^T."""
    for a in range(slope.shape[0]):
        scaled = weight * slope[a]
        if scaled == 0.0:
            continue
        gradient[a] += scaled * error
        for b in range(slope.shape[0]):
            hessian[a, b] += scaled * slope[b]


@njit(cache=True)
def write_plan(
    pendulum: Pendulum,
    contacts: IntArray,
    landings: IntArray,
    values: FloatArray,
    out: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    """Forces on the feet, trajectory and shifts of footholds, see `PendulumMpc`.

    Feet share a step's force by their lambda, all along its own direction: that has no moment about the centre of mass.
    """
    problem, mass = MpcProblem(*pendulum[0]), pendulum[2][0]
    forces, trajectory, shift = out
    steps, count = problem.ends.shape[0], contacts.shape[0]
    path, arms = np.empty((steps + 1, 2, 3)), np.empty((count, 3))
    _roll_out(pendulum, contacts, landings, values, path, arms)
    forces[:] = 0.0
    shift[:] = 0.0
    c = 0
    for k in range(steps):
        stiffness = mass * GRAVITY / max(0.05, problem.reference[k, 5])
        first, total, force = c, 0.0, np.zeros(3)
        while c < count and contacts[c, 0] == k:
            total += values[c]
            for i in range(3):
                force[i] += stiffness * values[c] * arms[c, i]
            c += 1
        for n in range(first, c):
            leg = contacts[n, 1]
            for i in range(3):
                forces[k, leg, i] = values[n] / total * force[i] if total > 0.0 else 0.0
            if landings[k, leg] >= 0:
                shift[leg, 0] = values[count + 2 * landings[k, leg]]
                shift[leg, 1] = values[count + 2 * landings[k, leg] + 1]
    trajectory[0] = problem.state
    for k in range(steps):
        for i in range(3):
            trajectory[k + 1, i] = problem.reference[k, i]
            trajectory[k + 1, 6 + i] = problem.reference[k, 6 + i]
            trajectory[k + 1, 3 + i] = path[k + 1, 0, i]
            trajectory[k + 1, 9 + i] = path[k + 1, 1, i]
