"""Predictive control of the base as one rigid body pushed by the stance feet (convex MPC).

Model (Di Carlo et al., IROS 2018): orientation error as roll, pitch, yaw with small roll and pitch, centre of
mass, angular and linear velocity in the world frame; every stance force is constant over a step. The dynamics
matrix is nilpotent, so the effect of a force in step j on step k has a closed form and the condensed
quadratic program is written down directly: nothing is discretised or multiplied out numerically. Forces of
swinging feet are no variables at all. A foot that stands for part of a step pushes for that part of it, so that
nothing jumps where a contact changes within a step.
"""

from __future__ import annotations

import daqp
import numpy as np

from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.condensed import (
    NOT_FINITE,
    follow,
    mirror,
    program_in,
    solve_freely,
)
from safebo.robots.quadruped.mpc.problem import MpcError, MpcProblem, RigidBody
from safebo.robots.quadruped.mpc.program import build_program
from safebo.robots.quadruped.mpc.pyramid import friction_pyramid
from safebo.types import FloatArray


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
        self._room = np.empty(size * size), np.empty(size), np.empty(size * size), np.empty(size)
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
        hessian, gradient = program_in(self._room, count)
        build_program(problem, self.body, *self._settings(), hessian, gradient)
        mirror(hessian)
        return hessian, gradient, *friction_pyramid(count, self.friction, self.max_force / self._weight)

    def _settings(self) -> tuple[float, FloatArray, float, float]:
        """What `build_program` is told besides problem and body."""
        return self.step, self.weights, self.regularisation, self._weight

    def solve(self, problem: MpcProblem) -> FloatArray:
        """Forces on the body over the horizon, `steps x 4 x 3`, world frame, N; zero where a foot swings.

        Raises:
            MpcError: no optimum was found.
        """
        allowed, plan = (self.friction, self.max_force / self._weight), (self.forces, self.trajectory)
        parts = tuple(problem), self._body_parts
        count = solve_freely(*parts, *self._settings(), *allowed, self._room, *plan)
        if count == NOT_FINITE:
            raise MpcError("MPC: state, reference or moment arms are not finite")
        if count:
            constraints = friction_pyramid(count, *allowed)
            solution, _, flag, _ = daqp.solve(*program_in(self._room, count), *constraints)
            if flag < 1:
                raise MpcError(f"MPC: the quadratic program has no solution (DAQP exit flag {flag})")
            follow(solution, *parts, self._weight, *plan)
        return self.forces
