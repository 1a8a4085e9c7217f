"""Trials of the walking robot: what a study may ask, what it is told, and what it can rely on."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from present import present

from safebo.boundary.subset import informative_rows
from safebo.evaluators.outcome import remarks_on
from safebo.robots.evaluation.conditions import CONDITION_CONTEXTS
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.visited import SCALES
from safebo.robots.simulation.rollout import STATE_NAMES
from safebo.robots.simulation.trajectory import Trajectory
from safebo.types import Evaluator, Trial

SHORT = {"seconds": 1.2}
SOFT = {
    f"joint.{kind}.{gain}": value
    for kind in ("hip", "thigh", "calf")
    for gain, value in (("kp", 8.0), ("kd", 0.3))
}
FIRM = {
    f"joint.{kind}.{gain}": value
    for kind in ("hip", "thigh", "calf")
    for gain, value in (("kp", 70.0), ("kd", 3.2))
}


def trial(parameters=None, seed=0, context=None, number=0):
    return Trial(number, parameters or {}, context or {}, "trot", "manual", seed, False)


class Switch:
    """A monitor that switches when asked to and remembers what it saw."""

    def __init__(self, at, backups):
        self.at, self.backups, self.seen = at, backups, []

    def check(self, state):
        self.seen.append(np.array(state))
        return 0 if len(self.seen) - 1 == self.at else -1


def same(first, second):
    assert first.objective == second.objective
    assert first.margins == second.margins
    assert first.true_objective == second.true_objective
    assert np.array_equal(first.states, second.states)


def test_a_walk_is_measured_twice_by_the_robot_and_by_the_plant():
    evaluator = LeggedEvaluator({**SHORT, "disturbance": "paper"})
    measured = evaluator.evaluate(trial(FIRM))
    assert measured.outcome == "completed"
    assert not measured.fell
    assert measured.duration == pytest.approx(1.2)
    assert present(measured.objective) < 0
    # encoder noise alone adds 12 (0.002^2 + 0.04^2) to the observed cost
    added = present(measured.true_objective) - present(measured.objective)
    assert added == pytest.approx(12 * (0.002**2 + 0.04**2), abs=0.3)
    info = evaluator.info()
    assert isinstance(evaluator, Evaluator)
    assert set(measured.margins) == set(present(measured.true_margins)) == {q.name for q in info.margins}
    assert all(math.isfinite(value) for value in measured.margins.values())


def test_same_seed_same_measurement_bit_for_bit_also_in_another_process():
    evaluator = LeggedEvaluator({**SHORT, "disturbance": "paper"})
    first = evaluator.evaluate(trial(FIRM, seed=3))
    same(first, evaluator.evaluate(trial(FIRM, seed=3)))
    same(first, pickle.loads(pickle.dumps(evaluator)).evaluate(trial(FIRM, seed=3)))
    assert evaluator.evaluate(trial(FIRM, seed=4)).objective != first.objective


def test_without_noise_the_seed_does_not_matter_and_both_views_agree():
    evaluator = LeggedEvaluator({**SHORT, "disturbance": "paper", "noise_free": True, "estimator": "truth"})
    first = evaluator.evaluate(trial(FIRM, seed=1))
    same(first, evaluator.evaluate(trial(FIRM, seed=2)))
    assert first.objective == first.true_objective
    assert first.margins == pytest.approx(first.true_margins)


def test_a_fall_is_aborted_without_objective_and_with_clearly_negative_margins():
    evaluator = LeggedEvaluator(
        {"disturbance": {"preset": "paper", "joint_impedance": [-40, -1]}, "seconds": 4}
    )
    measured = evaluator.evaluate(trial(SOFT))
    assert measured.outcome == "aborted"
    assert measured.fell
    assert measured.objective is None
    assert measured.true_objective is None
    assert measured.message
    assert measured.duration < 4.0
    for values in (measured.margins, present(measured.true_margins)):
        assert all(math.isfinite(value) for value in values.values())
        assert values["tracking"] < -1.0
        assert all(value < 0 for value in values.values())


def test_states_are_what_the_monitor_saw_every_so_many_ticks():
    evaluator = LeggedEvaluator({**SHORT, "state_every": 20, "state_choice": "even"})
    watch = Switch(at=-1, backups=[])
    measured = evaluator.evaluate(trial(), watch)
    assert measured.outcome == "completed"
    assert len(watch.seen) == 600
    states, margins_to_go = present(measured.states), present(measured.margins_to_go)
    assert states.shape == (30, len(STATE_NAMES))
    assert np.array_equal(states, np.array(watch.seen)[::20])
    assert margins_to_go.keys() == measured.margins.keys()
    for name, to_go in margins_to_go.items():
        assert to_go.shape == (30,)
        assert to_go[0] == measured.margins[name]
        assert (np.diff(to_go) >= 0).all()
    names = [quantity.name for quantity in evaluator.info().states]
    assert names == list(STATE_NAMES)
    assert all(quantity.scale > 0 for quantity in evaluator.info().states)
    standing = states[0]
    assert standing[names.index("height")] == pytest.approx(0.27, abs=0.03)
    assert abs(standing[names.index("roll")]) < 0.05
    assert standing[names.index("angle.fl.calf")] == pytest.approx(-1.9, abs=0.2)


def test_reported_states_are_the_most_informative_of_the_walk():
    watch = Switch(at=-1, backups=[])
    measured = LeggedEvaluator({**SHORT, "state_every": 20}).evaluate(trial(), watch)
    states, margins_to_go = present(measured.states), present(measured.margins_to_go)
    seen = np.array(watch.seen)
    candidates = np.arange(0, 600, 4)
    rows = np.sort(candidates[informative_rows(seen[candidates] / SCALES, 30, spared=0.0).rows])
    assert np.array_equal(states, seen[rows])
    assert states[0].tolist() == seen[0].tolist()
    every = LeggedEvaluator({**SHORT, "state_every": 1}).evaluate(trial())
    for name, to_go in margins_to_go.items():
        assert np.array_equal(to_go, present(every.margins_to_go)[name][rows])


def test_a_monitor_switches_gains_at_once_and_for_good():
    evaluator = LeggedEvaluator({"seconds": 2.0, "disturbance": "paper"})
    watch = Switch(at=40, backups=[FIRM])
    measured = evaluator.evaluate(trial(SOFT), watch)
    assert measured.outcome == "backup"
    assert measured.backup_time == pytest.approx(40 * 0.002)
    assert np.array_equal(present(measured.backup_state), watch.seen[40])
    assert len(watch.seen) == 41
    # switching to the same gains changes nothing but the outcome
    plain = evaluator.evaluate(trial(FIRM))
    switched = evaluator.evaluate(trial(FIRM), Switch(at=150, backups=[FIRM]))
    assert switched.outcome == "backup"
    assert switched.objective == plain.objective


def test_the_context_is_the_gait():
    evaluator = LeggedEvaluator({**SHORT, "gait": "crawl"})
    trot = {
        "gait.duty_factor": 0.5,
        "gait.stride_duration": 0.5,
        "gait.offset.fl": 0.5,
        "gait.offset.rr": 0.5,
        "gait.offset.rl": 0.0,
    }
    known = {quantity.name for quantity in evaluator.info().contexts}
    assert known == set(trot) | set(CONDITION_CONTEXTS)
    walked = evaluator.walk({}, trot, 0)
    planned = walked.planned_contact[walked.walk_start :]
    assert np.array_equal(planned[:, 0], planned[:, 3])  # FL with RR
    assert np.array_equal(planned[:, 1], planned[:, 2])  # FR with RL
    default = evaluator.walk({}, {}, 0)
    assert default.planned_contact[default.walk_start :].sum(axis=1).min() == 3
    with pytest.raises(ValueError, match=r"gait\.duty'.*gait\.duty_factor"):
        evaluator.gait({"gait.duty": 0.5})


def test_gains_of_the_options_hold_where_a_trial_says_nothing():
    evaluator = LeggedEvaluator({**SHORT, "gains": FIRM})
    defaults = {p.name: p.default for p in evaluator.info().parameters}
    assert defaults["joint.thigh.kp"] == 70.0
    same(evaluator.evaluate(trial()), LeggedEvaluator(SHORT).evaluate(trial(FIRM)))


def test_a_command_that_the_gait_cannot_follow_is_shortened_and_that_is_said():
    evaluator = LeggedEvaluator({**SHORT, "gait": "crawl", "velocity": [0.9, 0.0, 0.0]})
    measured = evaluator.evaluate(trial())
    assert "0.90 m/s is shortened to 0.56 m/s: a foot stands for 0.90 s" in measured.message
    assert remarks_on(measured) == [measured.message]
    assert evaluator.evaluate(trial(context={"velocity.forward": 0.5})).message == ""
    record = evaluator.walk({"swing.max_speed": 1.2}, {}, 0)
    np.testing.assert_allclose(record.command[-1], [0.3, 0.0, 0.0])


def test_the_objective_is_the_one_that_was_asked_for():
    values = LeggedEvaluator(SHORT).evaluate(trial()).extra
    for name in ("tracking_sum", "tracking_angle", "walking"):
        evaluator = LeggedEvaluator({**SHORT, "objective": name})
        assert evaluator.info().objectives[0].name == name
        assert evaluator.evaluate(trial()).objective == values[f"objective.{name}"]


def test_what_is_not_tuned_is_measured_as_well():
    evaluator = LeggedEvaluator(SHORT)
    measured, record = evaluator.evaluate(trial()), evaluator.walk({}, {}, 0)
    rows = slice(record.walk_start, None)
    w, x, y, z = record.estimated_orientation[rows].T
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    forward, left = record.estimated_velocity[rows, :2].T
    heading = np.array(
        [np.cos(yaw) * forward + np.sin(yaw) * left, np.cos(yaw) * left - np.sin(yaw) * forward]
    )
    error = np.hypot(*(heading - record.command[rows, :2].T))
    assert measured.extra["watched.body_velocity"] == pytest.approx(-error.mean(), rel=1e-9)
    rate = np.diff(record.commanded_torque[rows], axis=0) / record.period
    assert measured.extra["watched.torque_rate"] == pytest.approx(
        -np.linalg.norm(rate, axis=1).mean(), rel=0.01
    )


def test_telemetry_is_written_where_the_run_says_with_units(tmp_path):
    evaluator = LeggedEvaluator({**SHORT, "telemetry": True})
    assert evaluator.evaluate(trial()).telemetry is None  # nobody said where
    evaluator.record_into(tmp_path / "run" / "telemetry", tmp_path / "run")
    measured = evaluator.evaluate(trial(number=7))
    loaded = Trajectory.load(tmp_path / "run" / measured.telemetry)
    record = evaluator.walk({}, {}, 0)
    assert len(loaded) == len(record)
    assert loaded.units["joint_position.FL_hip_joint"] == "rad"
    assert loaded.units["joint_torque_applied.RR_calf_joint"] == "N m"
    assert np.allclose(loaded.columns["time"], record.time)
    for column, values in (
        ("joint_position.FR_calf_joint", record.joint_position[:, 5]),
        ("joint_position_desired.FR_calf_joint", record.desired_position[:, 5]),
        ("base_velocity.x", record.base_velocity[:, 0]),
        ("contact.RL", record.contact[:, 2]),
        ("velocity_command.forward", record.command[:, 0]),
    ):
        assert np.allclose(loaded.columns[column], values, atol=1e-6), column
    assert not list((tmp_path / "run" / "telemetry").glob("*.partial"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"secnods": 3}, "unknown option 'secnods', did you mean 'seconds'"),
        ({"seconds": "long"}, "seconds must be a number from"),
        ({"seconds": -1}, "seconds must be a number from"),
        ({"seconds": float("nan")}, "seconds must be a number from"),
        ({"velocity": 0.5}, r"velocity must be \[forward m/s, leftward m/s, yaw rate rad/s\]"),
        ({"velocity": [0.5, 0, "left"]}, r"velocity\[2\]"),
        ({"gait": "galopp"}, "unknown gait 'galopp'"),
        ({"gait": 3}, "gait must be a text"),
        ({"robot": "go3"}, "go1, go2"),
        ({"estimator": "kalmann"}, "estimator must be kalman or truth"),
        ({"objective": "speed"}, "objective must be tracking or"),
        ({"disturbance": 3}, "disturbance must be a preset's name or a mapping"),
        ({"disturbance": {"payload": 3}}, "unknown key 'payload'"),
        ({"gains": {"joint.hip.k": 3}}, "joint.hip.kp"),
        ({"gains": 3}, "gains must be a mapping"),
        ({"limits": {"tilt": 1}}, "unknown key 'tilt'"),
        ({"noise_free": 1}, "noise_free must be true or false"),
        ({"state_every": 2.5}, "state_every must be a whole number"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, words):
    with pytest.raises(ValueError, match=words):
        LeggedEvaluator(options)


def test_a_gain_outside_its_bounds_or_unknown_is_refused_by_name():
    with pytest.raises(ValueError, match=r"joint\.hip\.kp"):
        LeggedEvaluator(SHORT).evaluate(trial({"joint.hip.kp": -1.0}))
    with pytest.raises(ValueError, match=r"did you mean joint\.hip\.kp"):
        LeggedEvaluator(SHORT).evaluate(trial({"joint.hipp.kp": 10.0}))
