"""The guardian's tick, one promise at a time, without link and network."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from lone_guardian import BACKUPS, SESSION, SETTLE, TRIAL, WALK, Lone, as_it_is, in_state, tilted, walking

from safebo.experiments.robustness.guardian_world import PERIOD, go1
from safebo.hardware.guardian.limits import LIMITS, QUANTITIES
from safebo.hardware.guardian.motion import Curve, Waypoint
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.states import GuardianEvent, Response, State
from safebo.hardware.guardian.walker import NotInTickError
from safebo.hardware.link import messages as m
from safebo.hardware.link.server import Inbound
from safebo.robots.quadruped.interface import JointCommand

STAND = 80.0
"""Stiffness of the guardian's own standing; of its way up and down; none while damping. As docs/link.md's baseline."""
WAY = 60.0


@pytest.fixture(scope="module")
def scene() -> Lone:
    return in_state(State.HOLD)


@pytest.fixture
def lone(scene: Lone) -> Lone:
    return scene.copy()


@pytest.fixture(scope="module")
def at_rest() -> Lone:
    return in_state(State.REST)


@pytest.fixture
def lying(at_rest: Lone) -> Lone:
    return at_rest.copy()


@pytest.fixture
def baseline(scene: Lone) -> float:
    return scene.table.mapping(scene.table.baseline)["joint.hip.kp"]


def refuse_gains(gains: object) -> None:
    """What a walker does that cannot change gains within a tick."""
    raise NotInTickError


def limit(name: str) -> Any:
    return next(one for one in LIMITS if one.name == name)


def measured(lone: Lone, quantity: str) -> float:
    return float(lone.guardian.watch.values[QUANTITIES.index(quantity)])


# -- coming and going of the robot -----------------------------------------------------------------------


def test_a_robot_counts_as_connected_after_a_second_without_a_gap() -> None:
    lone = Lone()
    lone.run(0.5)
    lone.robot.silent = True
    lone.run(0.11)
    lone.robot.silent = False
    assert lone.until(State.REST) * PERIOD == pytest.approx(1.0, abs=2 * PERIOD)
    assert not lone.step.command.kp.any()


def test_a_lying_robot_counts_as_gone_after_two_seconds(lying: Lone) -> None:
    lying.robot.silent = True
    lying.guardian.stream.advanced = lying.now - 1.999
    lying.tick()
    assert lying.state is State.REST
    lying.tick()
    assert lying.state is State.DISCONNECTED


def test_a_guardian_that_never_heard_of_a_robot_waits_for_it() -> None:
    lone = Lone()
    lone.robot.silent = True
    lone.run(0.1)
    assert lone.state is State.DISCONNECTED
    assert not lone.guardian.latch.number
    assert lone.step.command.kd.all()
    assert not lone.step.command.kp.any()


def test_a_restart_of_the_robot_voids_the_lease_and_damps(lone: Lone) -> None:
    epoch = lone.guardian.lease.epoch
    lone.robot.milliseconds = 0.0
    lone.tick()
    assert lone.guardian.lease.session == 0
    assert lone.state is State.DAMP_LATCHED
    assert any(row.message == f"epoch {epoch} is void: the robot restarted" for row in lone.step.events)


def test_the_first_tick_is_no_gap_and_later_ones_are() -> None:
    lone = Lone()
    lone.tick()
    assert measured(lone, "command_gap") == 0.0
    lone.now += 0.03
    lone.tick()
    assert measured(lone, "command_gap") == pytest.approx(0.03 + PERIOD)


# -- who commands ----------------------------------------------------------------------------------------


def test_a_silent_holder_of_the_lease_loses_it_after_a_second(lone: Lone) -> None:
    lone.silent = True
    lone.guardian.lease.alive = lone.now - 0.999
    lone.tick()
    assert lone.guardian.lease.session == SESSION
    assert "lease" not in [row.kind for row in lone.step.events]
    lone.tick()
    assert lone.guardian.lease.session == 0
    assert EventRow(lone.now - PERIOD, "lease", "epoch 1 expired") in lone.step.events


def test_a_heartbeat_without_proof_keeps_nothing_alive(lone: Lone) -> None:
    lone.silent = True
    beat = m.Heartbeat(lone.guardian.lease.epoch, 0, 1)
    for _ in range(100):
        lone.tick(beat, proof=False)
    assert lone.state is State.HOLD_LATCHED
    assert lone.guardian.latch.cause.name == "tuner_silence"


@pytest.mark.parametrize(
    ("level", "state"),
    [
        (1, State.HOLD_LATCHED),
        (2, State.SIT_LATCHED),
        (3, State.DAMP_LATCHED),
        (0, State.DAMP_LATCHED),
        (4, State.DAMP_LATCHED),
        (200, State.DAMP_LATCHED),
    ],
)
def test_a_stop_is_obeyed_in_its_tick_and_an_unknown_level_is_the_strongest(
    lone: Lone, level: int, state: State
) -> None:
    step = lone.tick(m.Stop(level, "a person"), session=99, proof=False)
    assert lone.state is state
    assert EventRow(lone.now - PERIOD, "stop", f"level {level}: a person") in step.events


@pytest.mark.parametrize("level", [1, 2, 3])
def test_of_several_stops_the_strongest_counts_wherever_it_comes_from(lone: Lone, level: int) -> None:
    wanted = {1: State.HOLD_LATCHED, 2: State.SIT_LATCHED, 3: State.DAMP_LATCHED}[level]
    other = lone.copy()
    lone.tick(m.Stop(level, ""), m.Stop(1, ""), stop=1)
    other.tick(m.Stop(1, ""), stop=level)
    assert lone.state is other.state is wanted


# -- limits in every posture -----------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [m.Stand, m.LieDown], ids=["up", "down"])
@pytest.mark.parametrize("angle", [0.49, 0.51])
def test_tilt_is_watched_while_the_robot_gets_up_and_down(
    lone: Lone, lying: Lone, begin: Any, angle: float
) -> None:
    lone = lying if begin is m.Stand else lone
    lone.ask(begin())
    lone.run(0.1)
    moving = State.STANDING_UP if begin is m.Stand else State.LYING_DOWN
    assert lone.state is moving
    lone.robot.edit = tilted(angle)
    lone.tick()
    assert lone.state is (State.DAMP_LATCHED if angle > 0.5 else moving)
    assert lone.stiffness == (0.0 if angle > 0.5 else WAY)


def test_a_robot_that_does_not_lie_level_is_not_made_to_stand(lying: Lone) -> None:
    lone = lying
    lone.robot.edit = tilted(0.4)
    lone.tick()
    assert lone.guardian.machine.refusal.name == "tilt_at_rest"
    assert lone.state is State.REST  # a refusal latches nothing
    assert lone.ask(m.Stand()).code == m.Code.NOT_READY
    lone.robot.edit = as_it_is
    lone.tick()
    assert lone.guardian.machine.refusal.response is Response.NONE
    assert lone.ask(m.Stand()).code == m.Code.OK


# -- latches ---------------------------------------------------------------------------------------------


def test_a_latch_has_a_number_a_cause_and_words(lone: Lone) -> None:
    lone.guardian.machine.fault(limit("tracking"))
    latch = lone.guardian.latch
    assert (latch.number, latch.cause.name, latch.token) == (1, "tracking", 0)
    assert latch.message == "a joint does not follow its target (tracking: limit 0.8 rad)"
    lone.guardian.machine.fault(limit("motor_hot"), "other words")
    assert (lone.guardian.latch.number, lone.guardian.latch.message) == (2, "other words")
    lone.guardian.machine.fault(limit("tilt"))
    assert lone.guardian.machine.counters.faults == {"tracking": 1, "motor_hot": 1, "tilt": 1}
    assert lone.state is State.DAMP_LATCHED


def test_words_of_a_limit_without_unit_end_with_its_number(lone: Lone) -> None:
    lone.guardian.machine.fault(limit("foreign_commands"))
    assert lone.guardian.latch.message == "another commander (foreign_commands: limit 0.5)"


@pytest.mark.parametrize(
    ("first", "second", "latched"),
    [
        ("tracking", "joint_range", False),
        ("tracking", "motor_hot", True),
        ("tracking", "tilt", True),
        ("motor_hot", "tracking", False),
        ("motor_hot", "battery_empty", False),
        ("motor_hot", "tilt", True),
        ("tilt", "tracking", False),
        ("tilt", "motor_hot", False),
        ("tilt", "body_rate", False),
    ],
)
def test_a_latch_gives_way_only_to_a_more_restrictive_one(
    lone: Lone, first: str, second: str, latched: bool
) -> None:
    lone.guardian.machine.fault(limit(first))
    lone.guardian.machine.fault(limit(second))
    assert lone.guardian.latch.cause.name == (second if latched else first)
    assert lone.guardian.latch.number == (2 if latched else 1)


def test_a_fault_again_after_it_was_acknowledged_is_a_new_latch(lone: Lone) -> None:
    lone.guardian.machine.fault(limit("tracking"))
    lone.guardian.machine.transition(GuardianEvent.ACKNOWLEDGE)
    lone.guardian.machine.fault(limit("tracking"))
    assert lone.guardian.latch.number == 2
    assert lone.guardian.machine.counters.faults == {"tracking": 2}
    assert lone.state is State.HOLD_LATCHED


def test_an_event_that_is_refused_changes_nothing(lone: Lone) -> None:
    assert not lone.guardian.machine.transition(GuardianEvent.START)
    assert not lone.guardian.machine.transition(GuardianEvent.CLEAR)
    assert lone.state is State.HOLD
    assert lone.guardian.machine.transition(GuardianEvent.STREAM)  # ignored, which is an answer
    assert lone.state is State.HOLD


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


# -- motion ----------------------------------------------------------------------------------------------


def test_the_way_up_begins_where_the_robot_lies(lying: Lone) -> None:
    lying.robot.position += 0.1
    lying.ask(m.Stand())
    assert lying.stiffness == WAY
    np.testing.assert_allclose(lying.step.command.position, lying.robot.position, atol=1e-3)


def test_trouble_half_way_up_or_down_lets_the_robot_down_without_a_new_beginning(lone: Lone) -> None:
    lone.ask(m.LieDown())
    lone.run(1.0)
    lone.guardian.machine.fault(limit("motor_hot"))
    assert lone.state is State.SIT_LATCHED
    assert lone.until(State.DAMP_LATCHED) * PERIOD == pytest.approx(0.5, abs=3 * PERIOD)


def test_lying_down_from_a_walk_ends_the_walk(lone: Lone) -> None:
    walking(lone)
    lone.guardian.machine.fault(limit("motor_hot"))
    lone.tick()
    assert (lone.state, lone.stiffness) == (State.SIT_LATCHED, WAY)
    assert not lone.step.command.torque.any()
    assert lone.until(State.DAMP_LATCHED) * PERIOD == pytest.approx(1.5, abs=3 * PERIOD)
    assert not lone.step.command.kp.any()


def test_standing_up_ends_in_a_stand_that_begins_at_the_last_command(lying: Lone) -> None:
    lone = lying
    lone.ask(m.Stand())
    commands = []
    while lone.state is not State.HOLD:
        commands.append(lone.tick().command)
    assert len(commands) * PERIOD == pytest.approx(2.5, abs=3 * PERIOD)
    np.testing.assert_allclose(commands[-1].position, commands[-2].position, atol=1e-3)
    assert lone.stiffness == STAND
    assert not lone.guardian.calm()


def test_a_robot_at_rest_is_not_calm_enough_for_a_trial(lying: Lone) -> None:
    lying.run(0.6)
    assert not lying.guardian.calm()
    assert not lying.step.command.kp.any()


def test_what_a_trial_recorded_begins_with_its_clocks(lone: Lone) -> None:
    walking(lone)
    row = lone.guardian.telemetry.rows()[-1]
    newest = lone.guardian.stream.newest
    assert newest is not None
    head = [
        lone.now - PERIOD,
        newest.tick,
        State.RUNNING,
        lone.guardian.run.elapsed(lone.now - PERIOD),
        -1,
        1,
    ]
    assert row[:6].tolist() == pytest.approx(head)
    assert row[6] == newest.reading.joint_position[0]
    assert lone.guardian.run.elapsed(lone.guardian.run.started) == pytest.approx(-SETTLE)


def test_a_run_before_the_first_trial_has_lasted_nothing() -> None:
    assert Lone().guardian.run.elapsed(77.0) == 0.0
    assert Lone().guardian.run.backup == -1


def test_what_happened_and_what_is_commanded_do_not_change_afterwards(lone: Lone) -> None:
    for thing, name in ((lone.step, "command"), (EventRow(0.0, "a", "b"), "time")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, None)
