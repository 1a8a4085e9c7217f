"""The boundary condition and the controller in the guardian's core: what is watched, and what damps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lone_fixtures import lone, measured, refuse_gains, scene
from lone_guardian import BACKUPS, TRIAL, Lone, walking

from safebo.experiments.robustness.guardian_world import PERIOD, go1
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.states import State
from safebo.hardware.link import messages as m
from safebo.robots.quadruped.interface import JointCommand

__all__ = ["lone", "scene"]  # the fixtures

# -- the boundary condition ------------------------------------------------------------------------------


@pytest.mark.parametrize(("seen", "backup"), [(-0.51, 0), (2.61, 1)])
def test_the_backup_of_the_nearest_state_takes_over_the_first_one_too(
    lone: Lone, seen: float, backup: int
) -> None:
    walking(lone, monitored=True)
    lone.walker.seen = np.array([-0.49 if backup == 0 else 2.59, 0.0])
    lone.tick()
    assert (lone.guardian.run.backup, lone.stiffness) == (-1, TRIAL)
    lone.walker.seen = np.array([seen, 0.0])
    lone.tick()
    assert (lone.guardian.run.backup, lone.stiffness) == (backup, BACKUPS[backup])
    assert any(row.kind == "backup" for row in lone.step.events)
    assert lone.state is State.RUNNING
    # It is not asked again: this backup was certified from here on, another one was not.
    lone.walker.seen = np.array([-9.0 if backup else 9.0, 0.0])
    lone.tick()
    assert (lone.guardian.run.backup, lone.stiffness) == (backup, BACKUPS[backup])


def test_the_boundary_is_watched_once_the_gait_begins(lone: Lone) -> None:
    lone.walker.seen = np.array([9.0, 0.0])
    lone.arm(monitored=True)
    lone.start(5.0)
    while lone.guardian.run.elapsed(lone.now) < -1e-9:
        lone.tick()
        assert lone.guardian.run.backup == -1
    lone.run(2 * PERIOD)
    assert lone.guardian.run.backup == 1


def test_a_boundary_that_cannot_be_watched_damps(lone: Lone) -> None:
    walking(lone, monitored=True)
    lone.walker.seen = np.zeros(3)
    lone.tick()
    assert lone.state is State.DAMP_LATCHED
    assert "the controller failed: ValueError" in lone.guardian.latch.message
    assert not lone.step.command.kp.any()


def test_a_trial_without_a_boundary_keeps_its_gains(lone: Lone) -> None:
    walking(lone)
    lone.walker.seen = np.array([99.0, 0.0])
    lone.run(0.02)
    assert (lone.guardian.run.backup, lone.stiffness) == (-1, TRIAL)


def test_after_a_trial_its_boundary_is_watched_no_more(lone: Lone) -> None:
    walking(lone, monitored=True)
    lone.ask(m.Abort(trial=4))
    lone.walker.seen = np.array([9.0, 0.0])
    lone.run(0.02)
    assert lone.guardian.run.backup == -1


# -- the controller --------------------------------------------------------------------------------------


def test_a_controller_that_cannot_begin_damps(lone: Lone) -> None:
    lone.arm()

    def refuse(*unused: object) -> None:
        raise ArithmeticError("singular")

    lone.walker.begin = refuse  # type: ignore[method-assign,assignment]
    lone.ask(m.Start(token=11, duration=5.0))
    assert lone.state is State.DAMP_LATCHED
    assert lone.guardian.latch.message == "the controller failed: ArithmeticError: singular"
    lone.tick()
    assert not lone.step.command.kp.any()


def test_a_slow_controller_is_counted_and_a_stalled_one_damps(lone: Lone) -> None:
    walking(lone)
    lone.cycle = 2.0 * PERIOD
    lone.run(3 * PERIOD)
    assert lone.guardian.machine.counters.overruns == 0
    lone.cycle = 2.01 * PERIOD
    lone.run(4 * PERIOD)
    assert lone.guardian.machine.counters.overruns == 4
    assert lone.state is State.RUNNING
    lone.cycle = 0.0
    lone.tick()
    lone.cycle = 0.021
    lone.tick()
    assert lone.guardian.machine.counters.overruns == 5
    assert lone.guardian.latch.cause.name == "stall"
    assert not lone.step.command.kp.any()


def test_slow_cycles_of_an_earlier_walk_count_no_more(lone: Lone) -> None:
    walking(lone)
    lone.cycle = 0.0045
    lone.run(4 * PERIOD)
    lone.walker.switch = refuse_gains  # type: ignore[assignment, method-assign]
    lone.ask(m.Abort(trial=4))  # it stands at once, and no quick cycle follows
    lone.run(0.02)
    assert math.isnan(measured(lone, "cycle"))
    lone.arm()
    lone.cycle = 0.0045
    lone.ask(m.Start(token=11, duration=1.0))
    lone.run(3 * PERIOD)
    assert lone.state is State.RUNNING
    lone.run(2 * PERIOD)
    assert lone.guardian.latch.cause.name == "cycle"


@pytest.mark.parametrize("name", ["position", "velocity", "torque", "kp", "kd"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_command_that_is_not_finite_is_never_given(lone: Lone, name: str, value: float) -> None:
    command = lone.step.command
    wrong = getattr(command, name).copy()
    wrong[5] = value
    given = lone.guardian._guarded(JointCommand(**{**command.__dict__, name: wrong}))
    assert lone.state is State.DAMP_LATCHED
    assert "not finite" in lone.guardian.latch.message
    assert not given.kp.any()
    assert np.isfinite([*given.position, *given.velocity, *given.torque, *given.kd]).all()


def test_no_command_is_beyond_what_the_motors_may_be_told(lone: Lone) -> None:
    robot, big = go1(), np.full(12, 1e4)
    for sign in (1.0, -1.0):
        given = lone.guardian._guarded(
            JointCommand(sign * big, sign * big, sign * big, sign * big, sign * big)
        )
        np.testing.assert_array_equal(given.position, robot.joint_upper if sign > 0 else robot.joint_lower)
        np.testing.assert_array_equal(given.velocity, sign * robot.speed_limit * np.ones(12))
        np.testing.assert_array_equal(given.torque, sign * robot.torque_limit * np.ones(12))
        np.testing.assert_array_equal(given.kp, np.full(12, 250.0 if sign > 0 else 0.0))
        np.testing.assert_array_equal(given.kd, np.full(12, 12.0 if sign > 0 else 0.0))
    same = JointCommand(robot.home_joints, np.ones(12), np.ones(12), np.ones(12), np.ones(12))
    assert {k: v.tolist() for k, v in lone.guardian._guarded(same).__dict__.items()} == {
        k: v.tolist() for k, v in same.__dict__.items()
    }


class Preparation:
    """A controller in a process of its own, as the guardian sees it."""

    def __init__(self) -> None:
        self.unfit, self.said, self.calls = "", ["brought in"], list[tuple[Any, ...]]()

    def poll(self, *seen: Any) -> str:
        self.calls.append(seen)
        return self.unfit

    def events(self) -> list[str]:
        said, self.said = self.said, []
        return said

    def prepare(self, *unused: Any) -> str:
        return ""

    def holds(self, values: Any) -> bool:
        return True


def prepared(lone: Lone) -> Preparation:
    """From now on the controller is in a process of its own."""
    other = Preparation()
    lone.guardian.controller = replace(lone.guardian.controller, preparation=other)
    return other


def test_a_controller_in_another_process_is_looked_after_at_every_tick(lone: Lone) -> None:
    other = prepared(lone)
    lone.tick()
    assert EventRow(lone.now - PERIOD, "gains", "brought in") in lone.step.events
    now, reading, walking_now, resting = other.calls[-1]
    assert (now, walking_now, resting) == (lone.now - PERIOD, False, True)
    assert reading is lone.guardian.stream.newest.reading  # type: ignore[union-attr]
    lone.arm()
    lone.tick()
    assert other.calls[-1][2:] == (False, False)
    lone.start(5.0)
    lone.tick()
    assert other.calls[-1][2:] == (True, False)
    lone.ask(m.Abort(trial=4))
    lone.tick()
    assert other.calls[-1][2:] == (True, False)  # it brakes
    lone.run(0.9)
    assert other.calls[-1][2:] == (False, True)
    other.unfit = "its process ended"
    lone.tick()
    assert lone.state is State.DAMP_LATCHED
    assert lone.guardian.latch.message == "the controller failed: its process ended"


def test_before_the_first_robot_state_there_is_no_reading() -> None:
    lone = Lone()
    other = prepared(lone)
    lone.robot.silent = True
    lone.tick()
    assert other.calls[-1][1] is None
