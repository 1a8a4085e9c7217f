"""Objectives and margins of walks made up by hand, whose numbers are known in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.metrics import (
    MARGINS,
    OBJECTIVES,
    WALKING_SCALES,
    Limits,
    margins,
    margins_over_time,
    objectives,
    walk_signals,
)
from safebo.robots.simulation.rollout import WalkRecording

ROBOT = load_robot("go1")
SETTLE, WALK = 5, 1000
COMMAND = np.array([0.5, 0.1])
RAMP = 0.5


def perfect_walk() -> WalkRecording:
    """Level, at nominal height, on speed from the first tick on along its heading, joints on their targets."""
    record = WalkRecording.allocate(SETTLE + WALK, SETTLE, 0.002)
    record.time[:] = (np.arange(SETTLE + WALK) - SETTLE) * 0.002
    share = np.clip(record.time / RAMP, 0.0, 1.0)
    for who in ("base", "estimated"):
        getattr(record, f"{who}_orientation")[:, 0] = 1.0
        getattr(record, f"{who}_position")[:, 2] = ROBOT.nominal_height
        getattr(record, f"{who}_velocity")[:, :2] = share[:, None] * COMMAND
    for name in ("joint_position", "measured_position", "desired_position"):
        getattr(record, name)[:] = ROBOT.home_joints
    return record


def numbers(record, true=True, limits=None):
    seen = walk_signals(record, true, COMMAND, RAMP)
    return objectives(seen, ROBOT), margins(seen, ROBOT, limits or Limits())


def test_a_perfect_walk_costs_nothing_and_keeps_every_margin_whole():
    limits = Limits()
    values, distances = numbers(perfect_walk())
    assert set(values) == set(OBJECTIVES)
    assert set(distances) == set(MARGINS)
    assert all(value == pytest.approx(0.0, abs=1e-12) for value in values.values())
    assert distances["tracking"] == pytest.approx(limits.tracking)
    assert distances["attitude"] == pytest.approx(limits.attitude)
    assert distances["height"] == pytest.approx(ROBOT.nominal_height - limits.height)
    assert distances["torque"] == pytest.approx(limits.torque * ROBOT.torque_limit.min())
    assert distances["speed"] == pytest.approx(limits.speed * ROBOT.speed_limit.min())
    assert distances["velocity"] == pytest.approx(limits.velocity)


def test_margins_over_time_are_those_of_every_tick_alone():
    rng = np.random.default_rng(0)
    record = perfect_walk()
    for name in ("joint_position", "joint_velocity", "commanded_torque", "base_velocity", "base_position"):
        values = getattr(record, name)
        values += 0.1 * rng.standard_normal(values.shape)
    course = margins_over_time(walk_signals(record, True, COMMAND, RAMP), ROBOT, Limits())
    late = SETTLE + WALK - 1
    for row in (SETTLE + 20, late):
        alone = record.truncated(row + 1)
        alone = dataclasses.replace(alone, walk_start=row)
        single = numbers(alone)[1]
        assert {name: values[row - SETTLE] for name, values in course.items()} == pytest.approx(single)


def test_tracking_is_the_papers_sum_over_joints_and_mean_over_time():
    record = perfect_walk()
    record.joint_position[SETTLE:, 0] += 0.1
    record.joint_position[SETTLE:, 5] -= 0.2
    record.joint_velocity[SETTLE:, 7] = 3.0
    record.desired_velocity[SETTLE:, 7] = 1.0
    values, distances = numbers(record)
    assert values["tracking"] == pytest.approx(-(0.01 + 0.04 + 4.0))
    assert values["tracking_sum"] == pytest.approx(-WALK * (0.01 + 0.04 + 4.0))
    assert values["tracking_angle"] == pytest.approx(-(0.01 + 0.04 + 0.5 * 9.0))
    assert distances["tracking"] == pytest.approx(0.1 - 0.05)


def test_a_margin_is_the_minimum_over_time_and_settling_does_not_count():
    record = perfect_walk()
    record.joint_position[SETTLE + 300, 3] += 0.4
    record.base_position[SETTLE + 100, 2] = 0.15
    record.commanded_torque[SETTLE + 7, 2] = -30.0
    record.joint_velocity[SETTLE + 9, 4] = -29.0
    half = 0.5 * 0.3
    record.base_orientation[SETTLE + 500] = [np.cos(half), 0.0, np.sin(half), 0.0]
    # all of this while settling must not matter
    record.joint_position[:SETTLE] += 1.0
    record.base_position[:SETTLE, 2] = 0.0
    record.commanded_torque[:SETTLE] = 50.0
    values, distances = numbers(record)
    assert distances["tracking"] == pytest.approx(0.1 - 0.16)
    assert distances["height"] == pytest.approx(0.15 - Limits().height)
    assert distances["torque"] == pytest.approx(
        min(0.95 * ROBOT.torque_limit[2] - 30.0, 0.95 * ROBOT.torque_limit[0])
    )
    assert distances["speed"] == pytest.approx(0.95 * ROBOT.speed_limit[4] - 29.0)
    assert distances["attitude"] == pytest.approx(Limits().attitude - 0.3)
    assert values["tracking"] == pytest.approx(-(0.16 + 29.0**2) / WALK)


def test_velocity_is_judged_in_the_heading_frame_and_only_at_speed():
    record = perfect_walk()
    yaw = 1.2
    record.base_orientation[:] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    record.base_velocity[:, :2] = record.base_velocity[:, :2] @ turn.T
    values, distances = numbers(record)
    assert values["walking"] == pytest.approx(0.0, abs=1e-9)
    assert distances["velocity"] == pytest.approx(0.5)
    record.base_velocity[SETTLE + 100] += 5.0  # during the ramp
    assert numbers(record)[1]["velocity"] == pytest.approx(0.5)
    record.base_velocity[SETTLE + 700, :2] += turn @ [0.0, 0.2]
    assert numbers(record)[1]["velocity"] == pytest.approx(0.3)


def test_one_unit_of_the_walking_cost_is_what_its_scales_say():
    unit = WALKING_SCALES
    record = perfect_walk()
    record.base_velocity[:, 1] += unit["velocity"]
    record.base_position[:, 2] -= 2 * unit["height"]
    record.base_rate[:, 0] = unit["tilt_rate"]
    half = 0.5 * unit["tilt"]
    record.base_orientation[:] = [np.cos(half), np.sin(half), 0.0, 0.0]
    assert numbers(record)[0]["walking"] == pytest.approx(-(1.0 + 4.0 + 1.0 + 1.0), rel=1e-6)


def test_the_robots_own_view_comes_from_sensors_and_estimate_only():
    record = perfect_walk()
    record.measured_position[:, 0] += 0.2
    record.estimated_position[:, 2] = 0.2
    seen, real = numbers(record, true=False), numbers(record, true=True)
    assert seen[1]["tracking"] == pytest.approx(0.1 - 0.04)
    assert real[1]["tracking"] == pytest.approx(0.1)
    assert seen[1]["height"] == pytest.approx(0.2 - Limits().height)
    assert real[1]["height"] == pytest.approx(ROBOT.nominal_height - Limits().height)


def test_limits_move_the_margins_and_a_fall_is_under_zero_for_each():
    limits = Limits.from_dict({"tracking": 0.3, "height": 0.1})
    assert numbers(perfect_walk(), limits=limits)[1]["tracking"] == pytest.approx(0.3)
    assert set(limits.fallen(ROBOT)) == set(MARGINS)
    assert all(np.isfinite(value) and value < 0 for value in limits.fallen(ROBOT).values())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tracing": 1}, "unknown key 'tracing'; known: tracking"),
        ({"height": 0}, "height must be a number > 0, got 0"),
        ({"torque": "high"}, "torque must be a number > 0"),
        ({"speed": True}, "speed must be a number > 0"),
    ],
)
def test_a_wrong_limit_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        Limits.from_dict(values)


def test_a_walk_that_ends_within_the_ramp_still_has_all_margins():
    short = perfect_walk().truncated(SETTLE + 10)
    assert dataclasses.is_dataclass(short)
    values, distances = numbers(short)
    assert all(np.isfinite(v) for v in (*values.values(), *distances.values()))
