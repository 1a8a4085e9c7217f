"""Trials in the guardian's core: armed, walked, ended, recorded; and what holds exactly on the border."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from lone_fixtures import STAND, baseline, limit, lone, measured, refuse_gains, scene
from lone_guardian import BACKUPS, SESSION, SETTLE, TRIAL, WALK, Lone, walking

from safebo.experiments.robustness.guardian_world import PERIOD
from safebo.hardware.guardian.motion import Curve, Waypoint
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import State
from safebo.hardware.link import messages as m
from safebo.hardware.link.server import Inbound

__all__ = ["baseline", "lone", "scene"]  # the fixtures

# -- trials ----------------------------------------------------------------------------------------------


def test_an_armed_trial_is_void_after_a_minute(lone: Lone) -> None:
    lone.arm()
    lone.guardian.run.armed = lone.now - 59.99
    lone.run(0.004)
    assert lone.state is State.ARMED
    lone.run(0.02)
    assert lone.state is State.HOLD


def test_a_trial_walks_for_its_duration_to_the_tick(lone: Lone) -> None:
    lone.arm()
    lone.start(0.2)
    ticks = 1 + lone.until(State.HOLD)
    assert ticks == round((SETTLE + 0.2) / PERIOD) + 1
    assert lone.guardian.run.outcome == 1
    assert any(row.message == "4 completed" for row in lone.step.events)
    assert len(lone.guardian.telemetry.rows()) == ticks - 1


def test_a_trial_that_is_aborted_was_ended_on_request(lone: Lone) -> None:
    walking(lone)
    assert lone.guardian.run.outcome == 0
    assert lone.ask(m.Abort(trial=4)).code == m.Code.OK
    assert lone.state is State.HOLD
    assert lone.guardian.run.outcome == 2
    assert any(row.message == "4 ended on request" for row in lone.step.events)
    lone.guardian.machine.end(1)  # nothing runs any more
    assert lone.guardian.run.outcome == 2


@pytest.mark.parametrize(("name", "outcome"), [("tracking", 3), ("tilt", 3)])
def test_a_trial_that_trouble_ends_says_so(lone: Lone, name: str, outcome: int) -> None:
    walking(lone)
    lone.guardian.machine.fault(limit(name))
    assert lone.guardian.run.outcome == outcome


def test_trouble_before_a_trial_does_not_end_it(lone: Lone) -> None:
    lone.arm()
    lone.guardian.machine.fault(limit("tracking"))
    assert lone.guardian.run.outcome == 0


def test_the_trials_gains_are_at_work_only_while_it_runs(lone: Lone, baseline: float) -> None:
    g = lone.guardian.machine
    assert g.gains_at_work() == lone.table.baseline
    lone.arm()
    assert g.gains_at_work() == lone.table.baseline
    lone.start(5.0)
    assert g.gains_at_work() == lone.gains(TRIAL)
    for backup, stiffness in enumerate(BACKUPS):
        g.run.backup = backup
        assert g.gains_at_work() == lone.gains(stiffness)
    g.end(2)
    assert g.gains_at_work() == lone.table.baseline


def test_after_a_trial_the_robot_steps_to_rest_on_baseline_gains_then_stands(
    lone: Lone, baseline: float
) -> None:
    walking(lone)
    lone.ask(m.Abort(trial=4))
    assert lone.walker.braked
    assert lone.stiffness == baseline
    assert lone.step.command.torque.any()  # the walker's, not the guardian's own standing
    lone.run(0.78)
    assert lone.step.command.torque.any()
    lone.run(0.03)
    assert not lone.step.command.torque.any()
    assert lone.stiffness == STAND
    assert not lone.guardian.calm()
    lone.run(0.4 + 0.46)
    assert not lone.guardian.calm()
    lone.run(0.05)
    assert lone.guardian.calm()


def test_a_walker_that_cannot_change_gains_in_a_tick_stands_instead(lone: Lone) -> None:
    walking(lone)
    lone.walker.switch = refuse_gains  # type: ignore[assignment, method-assign]
    lone.ask(m.Abort(trial=4))
    assert lone.state is State.HOLD
    lone.tick()
    assert (lone.stiffness, lone.walker.braked) == (STAND, False)


def test_a_robot_that_falls_silent_while_it_brakes_stands_at_once(lone: Lone) -> None:
    walking(lone)
    lone.ask(m.Abort(trial=4))
    lone.robot.silent = True
    lone.run(0.09)
    assert lone.step.command.torque.any()
    lone.run(0.02)
    assert not lone.step.command.torque.any()
    assert lone.stiffness == STAND


def test_a_robot_that_falls_silent_in_a_trial_stands_without_braking(lone: Lone) -> None:
    walking(lone)
    lone.robot.silent = True
    lone.run(0.11)
    assert lone.state is State.HOLD_LATCHED
    assert (lone.stiffness, lone.walker.braked) == (STAND, False)


def test_the_pose_of_a_silent_robot_is_the_commanded_one(lone: Lone) -> None:
    def moved(seen: RobotObservation) -> None:
        seen.reading.joint_position += 0.05

    lone.robot.edit = moved
    lone.tick()
    np.testing.assert_allclose(lone.guardian._position(), lone.robot.position + 0.05, atol=1e-5)
    lone.robot.silent = True
    lone.run(0.09)
    np.testing.assert_allclose(lone.guardian._position(), lone.robot.position + 0.05, atol=1e-5)
    lone.run(0.02)
    np.testing.assert_allclose(lone.guardian._position(), lone.step.command.position)


def test_a_second_trial_is_recorded_from_its_beginning(lone: Lone) -> None:
    walking(lone)
    assert lone.guardian.telemetry.trial == 4
    first = len(lone.guardian.telemetry.rows())
    lone.walker.switch = refuse_gains  # type: ignore[assignment, method-assign]
    lone.ask(m.Abort(trial=4))
    lone.arm(5)
    lone.start(5.0)
    lone.run(0.01)
    assert lone.guardian.telemetry.trial == 5
    assert len(lone.guardian.telemetry.rows()) == 6 < first


def test_the_longest_trial_is_recorded_as_a_whole(lone: Lone) -> None:
    settling, walk, ticks_per_second = 10, 60, 500  # s at most, as docs/link.md says
    assert len(lone.guardian.telemetry._rows) >= (settling + walk) * ticks_per_second


# -- on the border -------------------------------------------------------------------------------------------


def test_a_second_of_states_is_enough_and_two_without_are_not_too_many() -> None:
    lone = Lone()
    lone.run(0.01)
    lone.at(64.0)
    lone.guardian.stream.since = 63.0
    lone.tick()
    assert lone.state is State.REST
    lone.robot.silent = True
    lone.at(70.0)
    lone.guardian.stream.advanced = 68.0
    lone.tick()
    assert lone.state is State.REST
    lone.tick()
    assert lone.state is State.DISCONNECTED


def test_a_trial_is_armed_for_the_whole_minute(lone: Lone) -> None:
    lone.arm()
    lone.at(64.0)
    lone.guardian.run.armed = 4.0
    lone.tick()
    assert lone.state is State.ARMED
    lone.tick()
    assert lone.state is State.HOLD


def test_half_a_second_of_standing_is_calm(lone: Lone) -> None:
    g = lone.guardian
    g._curve = Curve(63.0, lone.robot.position, [Waypoint(lone.robot.position, 0.5)], 80.0, 3.0)
    for now, calm in ((64.0, True), (63.999, False)):
        g.machine.now = now
        assert g.calm() == calm


def test_braking_ends_in_its_last_tick(lone: Lone) -> None:
    walking(lone)
    lone.ask(m.Abort(trial=4))
    lone.at(64.0)
    lone.guardian._brake_end = 64.0
    lone.tick()
    assert lone.stiffness == STAND


def test_a_state_of_a_tenth_of_a_second_is_still_used(lone: Lone) -> None:
    walking(lone)
    g = lone.guardian
    for now, used in ((0.1, True), (0.1001, False)):
        g.stream.advanced, g.machine.now = 0.0, now
        assert (g._position() is g.stream.newest.reading.joint_position) == used  # type: ignore[union-attr]
        one = lone.copy()
        one.guardian.machine.end(2)
        assert one.walker.braked == used
        assert one.guardian._blind(now) != used


def test_a_gait_without_settling_is_watched_from_its_first_tick(lone: Lone) -> None:
    lone.walker.seen = np.array([9.0, 0.0])
    lone.arm(monitored=True, walk=replace(WALK, settle=0.0))
    lone.start(5.0)
    assert lone.guardian.run.backup == 1


def test_a_tick_without_more_to_say_stops_nothing(lone: Lone) -> None:
    beat = Inbound(SESSION, m.Heartbeat(lone.guardian.lease.epoch, 0, 1), 1, True)
    step = lone.guardian.step(lone.now, lone.robot.observe(), [beat])
    assert lone.state is State.HOLD
    assert step.events == []
    lone.now += PERIOD
    lone.tick()
    assert measured(lone, "damaged") == 0.0


def test_before_the_first_trial_nothing_was_armed_started_or_is_over() -> None:
    lone = Lone()
    status, run = lone.guardian.status(), lone.guardian.run
    assert (status.trial, status.outcome, status.backup, status.elapsed) == (0, 0, 255, 0.0)
    assert (run.token, run.armed, run.started, run.duration) == (0, -math.inf, math.inf, 0.0)
    assert (lone.guardian.latch.number, lone.guardian.latch.token) == (0, 0)
    assert lone.guardian.machine.counters.overruns == 0
    assert lone.guardian.period == 0.002  # s, of 500 ticks in a second
