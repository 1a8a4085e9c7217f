"""The open-loop plan of the quadrotor: controls that fly the undisturbed model to a target at least cost.

Iterative linear-quadratic regulator: linearise the dynamics around the present trajectory, solve the
quadratic problem by a Riccati recursion, roll the feedback law out on the true dynamics, halve the step until
the cost falls. The cost is quadratic, so nothing but the dynamics' curvature is neglected.

Source: Li and Todorov 2004; Tassa et al. 2012 (line search on the feed-forward term).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from safebo.boundary.compiled import njit
from safebo.robots.benchmarks.quadrotor.dynamics import CONTROLS, STATES, euler_step, step_jacobians
from safebo.types import FloatArray


@dataclass(frozen=True)
class Flight:
    """What the quadrotor is to do and what it costs: a step of `dt` costs `dt (|s - s*|^2_Q + |u - u*|^2_R)`.

    Args:
        start: first state, `12`.
        target: state to reach and hold, `12`.
        hover: control that costs nothing, `4`.
        dt: length of a step in s.
        steps: number of steps.
        state_cost: diagonal of Q, `12`.
        control_cost: diagonal of R, `4`.
        final_cost: diagonal of the weight of the last state, `12`, without the factor `dt`.
    """

    start: FloatArray = field(default_factory=lambda: np.array([1.0, 1.0, 1.0] + [0.0] * 9))
    target: FloatArray = field(default_factory=lambda: np.array([0.0, 0.0, 2.0] + [0.0] * 9))
    hover: FloatArray = field(default_factory=lambda: np.array([1.766, 0.0, 0.0, 0.0]))
    dt: float = 0.03
    steps: int = 100
    state_cost: FloatArray = field(default_factory=lambda: np.array([1.0] * 6 + [0.1] * 3 + [1.0, 0.1, 0.1]))
    control_cost: FloatArray = field(default_factory=lambda: 1e-2 * np.array([5.0, 0.8, 0.8, 0.3]))
    final_cost: FloatArray = field(default_factory=lambda: np.full(STATES, 5.0))

    def cost(self, states: FloatArray, controls: FloatArray) -> float:
        """Cost of a flight: `steps + 1 x 12` states, `steps x 4` controls."""
        off, effort = states - self.target, controls - self.hover
        running = (off[:-1] ** 2 * self.state_cost).sum() + (effort**2 * self.control_cost).sum()
        return float(self.dt * running + (off[-1] ** 2 * self.final_cost).sum())


@dataclass(frozen=True)
class FlightPlan:
    """Controls `steps x 4`, the states they lead to `steps + 1 x 12`, their cost, and the iterations it took."""

    controls: FloatArray
    states: FloatArray
    cost: float
    iterations: int


@njit(cache=True)
def _follow(
    states: FloatArray,
    controls: FloatArray,
    feedforward: FloatArray,
    feedback: FloatArray,
    part: float,
    dt: float,
) -> tuple[FloatArray, FloatArray]:
    new_states, new_controls = np.empty_like(states), np.empty_like(controls)
    new_states[0] = states[0]
    for t in range(len(controls)):
        change = part * feedforward[t] + feedback[t] @ (new_states[t] - states[t])
        new_controls[t] = controls[t] + change
        new_states[t + 1] = euler_step(new_states[t], new_controls[t], dt)
    return new_states, new_controls


@njit(cache=True)
def _linearise(states: FloatArray, controls: FloatArray, dt: float) -> tuple[FloatArray, FloatArray]:
    by_state = np.empty((len(controls), STATES, STATES))
    by_control = np.empty((len(controls), STATES, CONTROLS))
    for t in range(len(controls)):
        by_state[t], by_control[t] = step_jacobians(states[t], controls[t], dt)
    return by_state, by_control


def _riccati(
    flight: Flight, states: FloatArray, controls: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Feed-forward `steps x 4` and feedback `steps x 4 x 12` terms, and the largest gradient by a control."""
    A, B = _linearise(states, controls, flight.dt)
    Q, R = 2.0 * flight.dt * flight.state_cost, 2.0 * flight.dt * flight.control_cost
    value = np.diag(2.0 * flight.final_cost)
    slope = 2.0 * flight.final_cost * (states[-1] - flight.target)
    adjoint = slope
    feedforward, feedback = np.empty_like(controls), np.empty((len(controls), CONTROLS, STATES))
    largest = 0.0
    for t in range(len(controls) - 1, -1, -1):
        state_slope, control_slope = Q * (states[t] - flight.target), R * (controls[t] - flight.hover)
        largest = max(largest, float(np.abs(control_slope + B[t].T @ adjoint).max()))
        adjoint = state_slope + A[t].T @ adjoint
        by_state, by_control = state_slope + A[t].T @ slope, control_slope + B[t].T @ slope
        both = B[t].T @ value @ A[t]
        curvature = np.diag(R) + B[t].T @ value @ B[t]
        feedforward[t] = -np.linalg.solve(curvature, by_control)
        feedback[t] = -np.linalg.solve(curvature, both)
        slope = by_state + both.T @ feedforward[t]
        value = np.diag(Q) + A[t].T @ value @ A[t] + both.T @ feedback[t]
        value = 0.5 * (value + value.T)
    return feedforward, feedback, largest


def plan_flight(flight: Flight, iterations: int = 1000, tolerance: float = 1e-9) -> FlightPlan:
    """Locally optimal controls, found from zero controls.

    Args:
        flight: what is to be done.
        iterations: at most so many linear-quadratic problems.
        tolerance: stop where no derivative of the cost by a control exceeds it.

    Raises:
        RuntimeError: no step lowers the cost although the derivatives exceed the tolerance a thousandfold,
            or the iterations are used up.
    """
    controls = np.zeros((flight.steps, CONTROLS))
    states = np.tile(flight.start, (flight.steps + 1, 1))
    no_feedback = np.zeros((flight.steps, CONTROLS, STATES))
    states, controls = _follow(states, controls, np.zeros_like(controls), no_feedback, 0.0, flight.dt)
    cost = flight.cost(states, controls)
    for iteration in range(iterations):
        feedforward, feedback, gradient = _riccati(flight, states, controls)
        if gradient <= tolerance:
            return FlightPlan(controls, states, cost, iteration)
        part = 1.0
        while part > 1e-9:
            tried = _follow(states, controls, feedforward, feedback, part, flight.dt)
            with np.errstate(all="ignore"):
                tried_cost = flight.cost(*tried)
            if tried_cost < cost:
                (states, controls), cost = tried, tried_cost
                break
            part *= 0.5
        else:
            if gradient <= 1e3 * tolerance:  # rounding hides what is left to gain
                return FlightPlan(controls, states, cost, iteration)
            raise RuntimeError(
                f"the plan stands still at a gradient of {gradient:.1e} after {iteration} iterations"
            )
    raise RuntimeError(f"no plan within {iterations} iterations")
