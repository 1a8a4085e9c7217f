"""Mechanisms under linear feedback: many at once move as one alone, and as the textbook says."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from safebo.robots.benchmarks import cartpole as cart
from safebo.robots.benchmarks import furuta as arm
from safebo.robots.benchmarks.cartpole import cartpole
from safebo.robots.benchmarks.feedback import COPIES, roll_out
from safebo.robots.benchmarks.furuta import furuta

CARTS = np.array([[5.0, 60.0, 8.0, 10.0], [2.0, 40.0, 5.0, 8.0], [0.0, 0.0, 0.0, 0.0]])
ARMS = -np.array([[-2.0, 35.0, -1.5, 3.0], [-6.0, 80.0, -0.9, 6.9], [-6.0, 80.0, -1.7, 4.7]])


@pytest.mark.parametrize(("mechanism", "gains"), [(cartpole(), CARTS), (furuta(3), ARMS)])
def test_copies_move_as_each_would_alone(mechanism, gains):
    start = np.array([0.0, 0.1, 0.2, 0.0])
    together = roll_out(mechanism, gains, start, 150)
    for i in range(len(gains)):
        alone = roll_out(mechanism, gains[i : i + 1], start, 150)
        np.testing.assert_array_equal(together.states[:, i], alone.states[:, 0])
        np.testing.assert_array_equal(together.controls[:, i], alone.controls[:, 0])


def test_more_gains_than_one_model_holds_keep_their_order():
    gains = np.repeat(CARTS, COPIES, axis=0)[: COPIES + 7]
    gains[-1] = CARTS[1]
    shown = roll_out(cartpole(), gains, np.array([0.0, 0.1, 0.0, 0.0]), 20)
    wanted = roll_out(cartpole(), CARTS[1:2], np.array([0.0, 0.1, 0.0, 0.0]), 20)
    assert shown.states.shape == (21, COPIES + 7, 4)
    np.testing.assert_array_equal(shown.states[:, -1], wanted.states[:, 0])


def test_the_controller_sees_states_late_and_is_limited():
    gains = np.array([[0.0, 1000.0, 0.0, 0.0]])
    shown = roll_out(cartpole(), gains, np.array([0.0, 0.001, 0.0, 0.0]), 60)
    delay = cart.DELAY
    wanted = np.clip(1000.0 * shown.states[:, 0, 1], -cart.FORCE_LIMIT, cart.FORCE_LIMIT)
    np.testing.assert_allclose(shown.controls[delay:, 0], wanted[: 60 - delay])
    np.testing.assert_allclose(shown.controls[:delay, 0], wanted[0])
    assert np.abs(shown.controls).max() == cart.FORCE_LIMIT


def test_the_cart_pole_obeys_its_textbook_equations():
    m, half = cart.POLE_MASS, cart.POLE_LENGTH / 2.0
    inertia = m * cart.POLE_LENGTH**2 / 12.0
    total = cart.CART_MASS + m

    def rate(_t, s):
        _x, theta, v, omega = s
        mass = np.array(
            [[total, m * half * np.cos(theta)], [m * half * np.cos(theta), inertia + m * half**2]]
        )
        force = np.array(
            [
                m * half * omega**2 * np.sin(theta) - cart.CART_DAMPING * v,
                m * 9.81 * half * np.sin(theta) - cart.POLE_DAMPING * omega,
            ]
        )
        return [v, omega, *np.linalg.solve(mass, force)]

    start = np.array([0.0, 0.1, 0.3, 0.0])
    shown = roll_out(cartpole(), np.zeros((1, 4)), start, 60)
    exact = solve_ivp(rate, (0.0, 0.6), start, rtol=1e-9, atol=1e-10).y[:, -1]
    # The rod has round ends and the integrator is of first order.
    np.testing.assert_allclose(shown.states[-1, 0], exact, rtol=0.03, atol=2e-3)
    assert abs(shown.states[-1, 0, 1]) > 0.3


def test_the_furuta_pendulum_accelerates_as_its_linear_equations_say():
    # A positive rod angle tilts against the way that a positive arm angle moves the rod's foot.
    m, length, r = arm.ROD_MASS, arm.ROD_LENGTH, arm.ARM_LENGTH
    about_arm = arm.ARM_MASS * r**2 / 3.0 + m * r**2
    coupling = -m * r * length / 2.0
    about_rod = m * length**2 / 3.0
    mass = np.array([[about_arm, coupling], [coupling, about_rod]])
    back = arm.ARM_DAMPING + arm.TORQUE_CONSTANT * arm.BACK_EMF / arm.RESISTANCE
    theta, alpha, theta_rate, alpha_rate = start = np.array([0.2, 0.01, 0.3, -0.1])
    volts = 2.0
    gains = np.array([[volts / theta, 0.0, 0.0, 0.0]])
    force = np.array(
        [
            volts * arm.TORQUE_CONSTANT / arm.RESISTANCE - back * theta_rate,
            m * 9.81 * length / 2.0 * alpha - arm.ROD_DAMPING * alpha_rate,
        ]
    )
    wanted = np.linalg.solve(mass, force)
    shown = roll_out(furuta(0), gains, start, 1)
    found = (shown.states[1, 0, 2:] - start[2:]) / arm.CONTROL_PERIOD
    # Arm and rod have round ends, and the step is 4 ms.
    np.testing.assert_allclose(found, wanted, rtol=0.08)


def test_known_gains_hold_the_rod_upright_and_none_let_it_fall():
    start = np.array([0.0, 0.1, 0.2, 0.0])
    held = roll_out(furuta(0), ARMS[:1], start, 1000)
    assert np.abs(held.states[-100:, 0, :2]).max() < 0.02
    fallen = roll_out(furuta(0), np.zeros((1, 4)), start, 1000)
    assert np.abs(fallen.states[:, 0, 1]).max() > np.pi / 2.0
