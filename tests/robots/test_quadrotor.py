import numpy as np
import pytest

from safebo.robots.benchmarks.quadrotor.dynamics import (
    CONTROL_UNITS,
    GRAVITY,
    INERTIA,
    MASS,
    euler_step,
    state_rate,
    step_jacobians,
)
from safebo.robots.benchmarks.quadrotor.feedback import _flight, costs_and_heights
from safebo.robots.benchmarks.quadrotor.plan import Flight, plan_flight

DISTURBANCE = np.array([0.0065396142, 0.1491867637, 0.1411171146, 2.7854749913])


def fly(gains, disturbance, flight, plan):
    """States of one flight, `steps + 1 x 12`."""
    states = np.empty_like(plan.states)
    states[0] = flight.start
    _flight(gains, disturbance, plan.controls, flight.target, flight.dt, states)
    return states


@pytest.fixture(scope="module")
def flight():
    return Flight()


@pytest.fixture(scope="module")
def plan(flight):
    return plan_flight(flight)


def attitude(state):
    phi, theta, psi = state[6:9]
    turn_z = np.array([[np.cos(psi), -np.sin(psi), 0], [np.sin(psi), np.cos(psi), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(phi), -np.sin(phi)], [0, np.sin(phi), np.cos(phi)]])
    turn_y = np.array([[np.cos(theta), 0, np.sin(theta)], [0, 1, 0], [-np.sin(theta), 0, np.cos(theta)]])
    return turn_z @ turn_x @ turn_y


def random_state(rng):
    return np.concatenate([rng.normal(size=6), rng.uniform(-1, 1, 3), rng.normal(size=3)])


def test_the_body_turns_as_its_rates_say():
    rng = np.random.default_rng(0)
    for _ in range(5):
        state = random_state(rng)
        rate, h = state_rate(state, np.zeros(4)), 1e-6
        turning = (attitude(state + h * rate) - attitude(state - h * rate)) / (2 * h)
        p, q, r = state[9:]
        skew = np.array([[0, -r, q], [r, 0, -p], [-q, p, 0]])
        np.testing.assert_allclose(turning, attitude(state) @ skew, atol=1e-8)


def test_momenta_change_by_force_and_torque():
    rng = np.random.default_rng(1)
    for _ in range(5):
        state, control = random_state(rng), rng.normal(size=4)
        rate, h = state_rate(state, control), 1e-6
        thrust = attitude(state) @ np.array([0, 0, control[0]])
        np.testing.assert_allclose(MASS * rate[3:6], thrust - np.array([0, 0, MASS * GRAVITY]), atol=1e-12)
        spin = [attitude(s) @ INERTIA @ s[9:] for s in (state + h * rate, state - h * rate)]
        torque = attitude(state) @ (CONTROL_UNITS[1:] * control[1:])
        np.testing.assert_allclose((spin[0] - spin[1]) / (2 * h), torque, atol=1e-11)


def test_jacobians_are_those_of_the_step():
    rng = np.random.default_rng(2)
    state, control, h = random_state(rng), rng.normal(size=4), 1e-6
    by_state, by_control = step_jacobians(state, control, 0.03)
    for j, e in enumerate(h * np.eye(12)):
        slope = (euler_step(state + e, control, 0.03) - euler_step(state - e, control, 0.03)) / (2 * h)
        np.testing.assert_allclose(by_state[:, j], slope, atol=1e-7)
    for j, e in enumerate(h * np.eye(4)):
        slope = (euler_step(state, control + e, 0.03) - euler_step(state, control - e, 0.03)) / (2 * h)
        np.testing.assert_allclose(by_control[:, j], slope, atol=1e-7)


def rolled_out_cost(flight, controls):
    states = [flight.start]
    for control in controls:
        states.append(euler_step(states[-1], control, flight.dt))
    return flight.cost(np.array(states), controls)


def test_the_plan_is_a_minimum(flight, plan):
    assert rolled_out_cost(flight, plan.controls) == pytest.approx(plan.cost, abs=1e-12)
    rng = np.random.default_rng(3)
    for _ in range(20):
        direction = rng.normal(size=plan.controls.shape)
        costs = [rolled_out_cost(flight, plan.controls + h * direction) for h in (-1e-4, 1e-4)]
        assert min(costs) > plan.cost
        assert abs(costs[1] - costs[0]) / 2e-4 < 1e-5


def test_gains_equal_to_the_disturbance_fly_the_plan(flight, plan):
    np.testing.assert_allclose(fly(DISTURBANCE, DISTURBANCE, flight, plan), plan.states, atol=1e-12)
    cost, lowest = costs_and_heights(DISTURBANCE[None], DISTURBANCE, flight, plan)
    assert cost[0] == pytest.approx(plan.cost, abs=1e-12)
    assert lowest[0] == plan.states[:, 2].min()


def test_costs_are_those_of_the_flights(flight, plan):
    gains = np.random.default_rng(4).uniform(5, 20, (4, 4))
    costs, lowest = costs_and_heights(gains, DISTURBANCE, flight, plan)
    for k, g in enumerate(gains):
        states = fly(g, DISTURBANCE, flight, plan)
        assert costs[k] == pytest.approx(flight.cost(states, plan.controls), rel=1e-12)
        assert lowest[k] == max(states[:, 2].min(), 0.0)


def test_feedback_acts_on_height_and_its_rate_with_the_published_sign():
    flight = Flight(start=np.array([0.0, 0.0, 1.0] + [0.0] * 9))
    plan = plan_flight(flight)
    gain, disturbance, z, speed = 3.0, 0.5, 1.0, 0.0
    states = fly(np.array([gain, 1.0, 1.0, 1.0]), np.array([disturbance, 0.0, 0.0, 0.0]), flight, plan)
    for t, control in enumerate(plan.controls):
        assert states[t, 2] == pytest.approx(z, abs=1e-10)
        force = control[0] + (disturbance - gain) * (z - 2.0)
        force += 2.0 * (np.sqrt(disturbance) - np.sqrt(gain)) * speed
        z, speed = z + flight.dt * speed, speed + flight.dt * (force / MASS - GRAVITY)


def test_a_crash_costs_without_bound_and_touches_the_ground(flight, plan):
    costs, lowest = costs_and_heights(np.zeros((1, 4)), DISTURBANCE, flight, plan)
    assert np.isinf(costs[0])
    assert lowest[0] == 0.0
