from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from present import present
from scipy.integrate import solve_ivp

from safebo.robots.benchmarks.pendulum.dynamics import (
    Pendulum,
    largest_speed_and_cost,
    motor_torque,
    step,
    trajectory,
)
from safebo.robots.benchmarks.pendulum.evaluator import PendulumEvaluator
from safebo.types import Evaluator, Trial

SEED = {"kp": 3.0, "kd": 4.8}
SOFT = {"kp": -5.0, "kd": 4.8}
FALLING = {"kp": -2.0, "kd": 4.2}


def trial(parameters, seed=1, phase="local"):
    return Trial(1, parameters, {}, "default", phase, seed, True)


class At:
    """Switches to its gains at the given tick."""

    def __init__(self, tick, gains):
        self.tick, self.backups, self.seen = tick, (gains,), []

    def check(self, state):
        self.seen.append(np.array(state))
        return 0 if len(self.seen) > self.tick else -1


def reference(p, gains, start, times):
    """The equation of motion written down again, integrated by scipy with the torque applied continuously."""
    kp, kd = gains

    def rates(_, s):
        torque = np.clip(
            kp * (p.target_angle + p.encoder_offset - s[0]) - kd * s[1], -p.torque_limit, p.torque_limit
        )
        cord = p.cord_stiffness * max(p.cord_slack_angle - s[0], 0.0)
        weight = p.mass * p.gravity * p.length * np.sin(s[0])
        return [s[1], (weight + cord - p.damping * s[1] + torque) / (p.mass * p.length**2)]

    return solve_ivp(rates, (0.0, times[-1]), start, t_eval=times, rtol=1e-10, atol=1e-10).y.T


@pytest.mark.parametrize("gains", [(3.0, 4.8), (-5.0, 4.2), (-2.0, 4.2), (6.0, 4.0)])
def test_trajectory_against_scipy(gains):
    p = Pendulum(control_period=1e-4, ticks=10_000, mass=1.3, length=0.8)
    states = trajectory(*gains, p.start, p.constants())
    times = np.arange(0, p.ticks + 1, 1000) * p.control_period
    expected = reference(p, gains, p.start, times)
    # What is left is the torque held for a tenth of a millisecond.
    assert states[::1000] == pytest.approx(expected, abs=2e-3)


def test_energy_is_kept_without_control_cord_and_damping():
    p = Pendulum(cord_stiffness=0.0, damping=0.0, mass=0.7, length=1.4, ticks=5000)
    states = trajectory(0.0, 0.0, p.start, p.constants())
    energy = 0.5 * p.mass * p.length**2 * states[:, 1] ** 2 + p.mass * p.gravity * p.length * np.cos(
        states[:, 0]
    )
    assert np.ptp(states[:, 0]) > 1.0
    assert energy == pytest.approx(np.full(len(energy), energy[0]), abs=1e-8)


def test_one_step_is_of_fourth_order():
    def error(period):
        p = Pendulum(control_period=period)
        once = step(0.9, 1.5, 3.0, p.constants())
        fine, h = (0.9, 1.5), replace(p, control_period=period / 256).constants()
        for _ in range(256):
            fine = step(*fine, 3.0, h)
        return np.hypot(once[0] - fine[0], once[1] - fine[1])

    assert error(0.2) / error(0.1) == pytest.approx(32, rel=0.25)


def test_motor_torque_is_limited_and_measures_the_wrong_angle():
    p = Pendulum(torque_limit=5.0)
    held = p.target_angle + p.encoder_offset
    assert motor_torque(held, 0.0, 7.0, 4.0, p.constants()) == pytest.approx(0.0)
    assert motor_torque(held - 0.1, 0.5, 7.0, 4.0, p.constants()) == pytest.approx(0.7 - 2.0)
    assert motor_torque(held, -9.0, 7.0, 4.0, p.constants()) == 5.0
    assert motor_torque(held, 9.0, 7.0, 4.0, p.constants()) == -5.0


def test_measurement_of_a_completed_trial():
    evaluator = PendulumEvaluator({"objective_noise_std": 0.0, "speed_noise_std": 0.0})
    assert isinstance(evaluator, Evaluator)
    m = evaluator.evaluate(trial(SEED))
    p = evaluator.pendulum
    states = trajectory(SEED["kp"], SEED["kd"], p.start, p.constants())
    assert m.outcome == "completed"
    assert m.margins["speed"] == present(m.true_margins)["speed"] == min(2.65 - abs(v) for v in states[:, 1])
    cost = np.mean([0.5 * ((a - p.target_angle) ** 2 + v**2) for a, v in states])
    assert m.objective == m.true_objective == pytest.approx(-cost)
    assert m.states == pytest.approx(states[:1751:10])
    expected = [min(2.65 - abs(v) for v in states[t:, 1]) for t in range(0, 1751, 10)]
    assert present(m.margins_to_go)["speed"].tolist() == expected
    assert largest_speed_and_cost(3.0, 4.8, p.start, p.constants()) == pytest.approx(
        (2.65 - m.margins["speed"], cost)
    )


def test_noise_comes_from_the_trials_seed():
    evaluator = PendulumEvaluator()
    first, again, other = (evaluator.evaluate(trial(SEED, s)) for s in (1, 1, 2))
    assert first.objective == again.objective
    assert first.margins == again.margins
    assert first.margins != other.margins
    assert present(first.margins_to_go)["speed"][0] == first.margins["speed"]
    assert first.true_margins == other.true_margins
    drawn = [evaluator.evaluate(trial(SEED, s)) for s in range(200)]
    margins = [m.margins["speed"] - present(m.true_margins)["speed"] for m in drawn]
    objectives = [present(m.objective) - present(m.true_objective) for m in drawn]
    assert np.std(margins) == pytest.approx(0.01, rel=0.2)
    assert np.std(objectives) == pytest.approx(0.01, rel=0.2)


def test_backup_gains_take_over_at_once():
    evaluator = PendulumEvaluator()
    p = evaluator.pendulum
    monitor = At(400, SEED)
    m = evaluator.evaluate(trial(FALLING, phase="global"), monitor)
    before = trajectory(FALLING["kp"], FALLING["kd"], p.start, p.constants())[:401]
    after = trajectory(SEED["kp"], SEED["kd"], before[-1], p.constants())[: 1750 + 1]
    assert m.outcome == "backup"
    assert m.objective is None
    assert m.backup_time == pytest.approx(0.4)
    assert np.array_equal(present(m.backup_state), before[-1])
    assert np.array_equal(np.array(monitor.seen), before)
    whole = np.concatenate([before, after[1:]])
    assert present(m.true_margins)["speed"] == 2.65 - np.abs(whole[:, 1]).max()
    assert np.array_equal(present(m.states), whole[:1751:10])
    assert m.margins_to_go is None
    assert m.duration == pytest.approx(2.15)


def test_a_violation_under_the_backup_is_seen():
    evaluator = PendulumEvaluator()
    assert present(evaluator.evaluate(trial(SEED)).true_margins)["speed"] > 0
    m = evaluator.evaluate(trial(SEED), At(100, {"kp": -20.0, "kd": 0.0}))
    assert m.outcome == "backup"
    assert present(m.true_margins)["speed"] < 0


def test_a_silent_monitor_changes_nothing():
    evaluator = PendulumEvaluator()
    alone, watched = evaluator.evaluate(trial(SOFT)), evaluator.evaluate(trial(SOFT), At(10**9, SEED))
    assert alone.true_margins == watched.true_margins
    assert np.array_equal(present(alone.states), present(watched.states))
    assert watched.outcome == "completed"


@settings(max_examples=60, deadline=None)
@given(
    kp=st.one_of(st.floats(-7.0, -2.5), st.floats(0.0, 6.0)),
    kd=st.floats(4.0, 5.0),
    at=st.floats(0.0, 1.0),
    direction=st.floats(0.0, 2 * np.pi),
    share=st.floats(0.0, 1.0),
)
def test_the_declared_constants_protect(kp, kd, at, direction, share):
    """From any state that the boundary condition lets pass, the backup keeps the limit for as long as it lasts."""
    evaluator = PendulumEvaluator()
    p = evaluator.pendulum
    m = evaluator.evaluate(trial({"kp": kp, "kd": kd}))
    reach = present(m.true_margins)["speed"] / 7.0
    if reach <= 0:
        return
    states = present(m.states)
    visited = states[int(at * (len(states) - 1))]
    start = visited + share * reach * np.array([np.cos(direction), np.sin(direction)])
    half = replace(p, ticks=p.ticks // 2)
    assert largest_speed_and_cost(kp, kd, start, half.constants())[0] <= evaluator.speed_limit


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speed_limt": 2.0}, ["speed_limt", "did you mean 'speed_limit'", "objective_noise_std"]),
        ({"mass": 0.0}, ["mass = 0.0", "number > 0"]),
        ({"gravity": "9.81"}, ["gravity = '9.81'", "finite number"]),
        ({"damping": float("nan")}, ["damping = nan", "finite number"]),
        ({"ticks": 10.5}, ["ticks = 10.5", "whole number"]),
        ({"speed_noise_std": -0.1}, ["speed_noise_std = -0.1", ">= 0"]),
        ({"speed_limit": True}, ["speed_limit = True", "number > 0"]),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError) as caught:
        PendulumEvaluator(options)
    for word in words:
        assert word in str(caught.value)


def test_bad_gains():
    with pytest.raises(ValueError, match=r"unknown: \['ki'\], missing: \['kd'\]"):
        PendulumEvaluator().evaluate(trial({"kp": 1.0, "ki": 2.0}))
