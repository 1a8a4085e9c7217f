"""A motor's cascade and linear plants, against a second simulation, a Riccati solver and what is published of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_are

from safebo.robots.benchmarks import motor
from safebo.robots.benchmarks.linear_plants import (
    AIRCRAFT,
    REACTOR,
    LinearPlant,
    abscissae,
    free_motions,
    lqr_gains,
    with_actuators,
)

RNG = np.random.default_rng(5)


def test_the_published_poles() -> None:
    """Open loop: the reactor's are in every text on it; the aircraft's altitude integrates."""
    poles = np.sort(np.linalg.eigvals(REACTOR.a).real)
    np.testing.assert_allclose(poles, [-8.665, -5.057, 0.0635, 1.991], atol=2e-3)
    found = np.sort_complex(np.linalg.eigvals(AIRCRAFT.a))
    np.testing.assert_allclose(found[:2], [-0.780 - 1.030j, -0.780 + 1.030j], atol=2e-3)
    assert np.abs(found).min() < 1e-12


@pytest.mark.parametrize("plant", [REACTOR, AIRCRAFT], ids=lambda p: p.name)
def test_lqr_gains_are_those_of_a_riccati_solver(plant: LinearPlant) -> None:
    n, m = plant.b.shape
    roots = RNG.normal(size=(6, n, n))
    costs = roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(n)
    inputs = RNG.uniform(0.01, 10.0, (6, 1, 1)) * np.eye(m)
    for gain, q, r in zip(lqr_gains(plant, costs, inputs), costs, inputs, strict=True):
        riccati = solve_continuous_are(plant.a, plant.b, q, r)
        np.testing.assert_allclose(gain, np.linalg.solve(r, plant.b.T @ riccati), rtol=1e-6, atol=1e-7)


def test_motions_behind_actuators_are_those_of_an_integrator() -> None:
    gains = RNG.normal(size=(2, 3))
    a, b = with_actuators(
        LinearPlant("spring", np.array([[0.0, 1.0], [-2.0, -0.3]]), np.eye(2, 2), np.eye(2)), 0.1
    )
    closed = a - b @ np.pad(gains[None, :, :2], ((0, 0), (0, 0), (0, 2)))
    states = free_motions(closed, np.array([1.0, 0.0, 0.0, 0.0]), 0.05, 40)

    def slope(_t: float, s: np.ndarray) -> np.ndarray:
        x, u = s[:2], s[2:]
        wanted = -gains[:, :2] @ x
        return np.concatenate([[x[1] + u[0], -2.0 * x[0] - 0.3 * x[1] + u[1]], (wanted - u) / 0.1])

    shown = solve_ivp(slope, (0.0, 2.0), [1.0, 0, 0, 0], rtol=1e-9, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(states[-1, 0], shown, rtol=1e-6, atol=1e-7)
    assert abscissae(closed)[0] == pytest.approx(np.linalg.eigvals(closed[0]).real.max())


def test_a_motor_at_rest_stays_and_a_driven_one_ends_where_statics_say() -> None:
    speeds, currents = motor.step_responses(np.array([[1.0, 200.0, 0.5, 10.0], [0.0, 0.0, 0.0, 0.0]]))
    assert speeds.shape == currents.shape == (2, motor.TICKS)
    before_load = slice(None, motor.LOAD_FROM + 1)
    assert not speeds[1, before_load].any()
    assert speeds[1, -1] < 0  # only the load acts
    # The integrators leave no error; the current holds the load: K i = 0.3 N m.
    assert speeds[0, -1] == pytest.approx(200.0, abs=2.0)
    assert currents[0, -1] == pytest.approx(motor.LOAD / motor.TORQUE_CONSTANT, abs=0.5)
    assert np.abs(currents[0]).max() < 1.3 * motor.CURRENT_COMMAND
