r"""Flights under feedback gains and a disturbance that has the form of feedback.

The control applied at each step is the planned one plus

    (x* - x) (e - e*) + (2 sqrt(x*) - 2 sqrt(x)) (e' - e'*)

for the height and the three angles `e` with their rates `e'` (for the angles the body rates), one
proportional gain `x` for each and a rate gain `2 sqrt(x)`. Gains stabilise, the disturbance `x*` destabilises,
and gains equal to it cancel it exactly, so that the plan is flown as planned.

Source: Hübotter et al. 2024, K.4.2, equations (49) to (52), with the sign of its published code (the printed
one is opposite). The code counts the planned controls into the cost, not the applied ones: that term is the
same for all gains.
"""

from __future__ import annotations

import numpy as np

from safebo.boundary.compiled import njit
from safebo.robots.benchmarks.quadrotor.dynamics import CONTROLS, euler_step
from safebo.robots.benchmarks.quadrotor.plan import Flight, FlightPlan
from safebo.types import FloatArray

FED_BACK = np.array([2, 6, 7, 8])
"""Height and angles among the states, in the order of the controls; their rates lie three further on."""


@njit(cache=True)
def _flight(
    gains: FloatArray,
    disturbance: FloatArray,
    controls: FloatArray,
    target: FloatArray,
    dt: float,
    states: FloatArray,
) -> None:
    """Fill `states`, whose first row is the start."""
    rate_gains, rate_disturbance = 2.0 * np.sqrt(gains), 2.0 * np.sqrt(disturbance)
    applied = np.empty(CONTROLS)
    for t in range(len(controls)):
        for i in range(CONTROLS):
            place = FED_BACK[i]
            off = states[t, place] - target[place]
            rate_off = states[t, place + 3] - target[place + 3]
            proportional = (disturbance[i] - gains[i]) * off
            applied[i] = controls[t, i] + proportional + (rate_disturbance[i] - rate_gains[i]) * rate_off
        states[t + 1] = euler_step(states[t], applied, dt)


@njit(cache=True)
def _costs_and_heights(
    gains: FloatArray,
    disturbance: FloatArray,
    controls: FloatArray,
    start: FloatArray,
    target: FloatArray,
    dt: float,
    weights: FloatArray,
) -> FloatArray:
    found = np.empty((len(gains), 2))
    states = np.empty((len(controls) + 1, len(start)))
    for k in range(len(gains)):
        states[0] = start
        _flight(gains[k], disturbance, controls, target, dt, states)
        cost, lowest = 0.0, np.inf
        for t in range(len(states)):
            for i in range(len(start)):
                cost += weights[t, i] * (states[t, i] - target[i]) ** 2
            lowest = min(lowest, states[t, 2] if states[t, 2] > 0.0 else 0.0)
        found[k, 0], found[k, 1] = cost, lowest
    return found


def costs_and_heights(
    gains: FloatArray, disturbance: FloatArray, flight: Flight, plan: FlightPlan
) -> tuple[FloatArray, FloatArray]:
    """Costs and lowest heights (m, at least 0) of flights under gains `n x 4`, each `n`.

    A flight that ends in numbers too large to count costs infinitely much and has touched the ground.
    """
    weights = np.tile(flight.dt * flight.state_cost, (flight.steps + 1, 1))
    weights[-1] = flight.final_cost
    effort = flight.dt * float(((plan.controls - flight.hover) ** 2 * flight.control_cost).sum())
    found = _costs_and_heights(
        np.ascontiguousarray(gains, dtype=float),
        np.asarray(disturbance, dtype=float),
        plan.controls,
        flight.start,
        flight.target,
        flight.dt,
        weights,
    )
    return np.nan_to_num(found[:, 0] + effort, nan=np.inf, posinf=np.inf), found[:, 1]
