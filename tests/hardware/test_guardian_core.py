"""The guardian's tick, one promise at a time, without link and network."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from lone_fixtures import STAND, WAY, at_rest, limit, lone, lying, measured, scene
from lone_guardian import SESSION, SETTLE, Lone, as_it_is, tilted, walking

from safebo.experiments.robustness.guardian_world import PERIOD
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.states import GuardianEvent, Response, State
from safebo.hardware.link import messages as m

__all__ = ["at_rest", "lone", "lying", "scene"]  # the fixtures

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
