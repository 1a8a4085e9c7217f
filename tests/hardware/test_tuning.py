"""Trials of a study on a robot: record, score, steps, approvals, and what happens when something is in the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from present import present

from safebo.experiments.robustness.robot_run import RobotRun, ScheduledWorld
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import GuardianEvent, State
from safebo.hardware.guardian.telemetry import COLUMNS, Telemetry
from safebo.hardware.guardian.walker import QuadrupedWalker, Walk
from safebo.hardware.records.reading import messages, recover
from safebo.hardware.tuning.evaluator import RobotEvaluator
from safebo.hardware.tuning.recording import TrialRecorder, digest, read_telemetry
from safebo.hardware.tuning.scoring import measure
from safebo.report.telemetry import read_recording
from safebo.robots.evaluation.evaluator import RAMP, LeggedEvaluator
from safebo.robots.quadruped.controller import SETTLE
from safebo.robots.simulation.plant import Simulation
from safebo.storage.journal import Journal
from safebo.storage.trial_log import KIND
from safebo.types import NotStartedError, RobotAddress, StudyIdentity, TrialUnknownError

pytestmark = pytest.mark.slow

ROWS = np.abs(np.random.default_rng(0).normal(size=(300, len(COLUMNS))))


@pytest.fixture
def robot_run(tmp_path):
    run = RobotRun(tmp_path, ScheduledWorld())
    yield run
    run.close()


# -- raw records ------------------------------------------------------------------------------------------


def test_a_record_gives_back_every_bit_of_its_telemetry(tmp_path):
    recorder = TrialRecorder(tmp_path / "a.mcap", {"trial": {"number": 1}})
    recorder.telemetry(ROWS)
    sha = recorder.close()
    assert np.array_equal(read_telemetry(tmp_path / "a.mcap"), ROWS)
    assert sha == digest(tmp_path / "a.mcap")


def test_a_record_is_never_written_over(tmp_path):
    TrialRecorder(tmp_path / "a.mcap", {}).close()
    with pytest.raises(FileExistsError):
        TrialRecorder(tmp_path / "a.mcap", {})


def test_a_killed_writers_record_is_refused_and_recovered_up_to_its_last_chunk(tmp_path):
    program = f"""
import os, numpy as np
from pathlib import Path
from safebo.hardware.tuning.recording import TrialRecorder
recorder = TrialRecorder(Path({str(tmp_path / "a.mcap")!r}), {{}})
rows = np.abs(np.random.default_rng(0).normal(size=(300, {len(COLUMNS)})))
recorder.telemetry(rows)
recorder._file.flush()
os.kill(os.getpid(), 9)
"""
    died = subprocess.run([sys.executable, "-c", program], check=False)
    assert died.returncode == -signal.SIGKILL
    with pytest.raises(
        HardwareInputError, match=r"a\.mcap: ends too early, after 2\d\d messages .*robot recover"
    ):
        read_telemetry(tmp_path / "a.mcap")
    saved = recover(tmp_path / "a.mcap", tmp_path / "b.mcap")
    assert saved.messages == len(list(messages(tmp_path / "b.mcap")))
    kept = read_telemetry(tmp_path / "b.mcap")
    assert 200 <= len(kept) == saved.messages < 300
    assert np.array_equal(kept, ROWS[: len(kept)])


def test_a_file_without_telemetry_is_refused_by_name(tmp_path):
    TrialRecorder(tmp_path / "a.mcap", {}).close()
    with pytest.raises(HardwareInputError, match=r"a\.mcap: holds no telemetry"):
        read_telemetry(tmp_path / "a.mcap")


# -- scores -----------------------------------------------------------------------------------------------


def walked(seed: int = 0, seconds: float = 1.5, **options: object) -> tuple[LeggedEvaluator, np.ndarray]:
    """Telemetry of the guardian's walker on the simulation's plant, and the simulation's evaluator."""
    legged = LeggedEvaluator({"robot": "go1", "disturbance": "paper", "seconds": seconds, **options})
    plant = Simulation(legged.robot, legged.settings.disturbance, seed)
    walker = QuadrupedWalker(legged.robot)
    gait = legged.gait({})
    walker.begin(plant.read(), Walk(gait, legged.settings.velocity, RAMP, SETTLE), legged.settings.gains)
    telemetry = Telemetry(5000)
    telemetry.begin(1)
    for tick in range(round((seconds + SETTLE) * 500)):
        reading = plant.read()
        command = walker.step(reading)
        head = (tick / 500, tick * 2, State.RUNNING, tick / 500 - SETTLE, -1, 1.0)
        telemetry.record(
            head, RobotObservation(tick * 2, reading), command, walker.base(), 1.7e9 + tick / 500
        )
        plant.apply(command)
    return legged, telemetry.rows()


def test_written_margins_are_scored_from_telemetry_and_a_crossed_limit_breaks_each():
    margin = {"name": "low", "stl": "always eventually[0 s, 0.2 s] height <= 0.4 m"}
    legged, rows = walked(margins=[margin], objective="energy")
    simulated = legged.measure(legged.walk({}, {}, seed=0), {})
    scored = measure(rows, legged, {}, 1, "", "", 0.002)
    assert scored.margins["low"] == pytest.approx(simulated.margins["low"], rel=1e-6)
    assert scored.objective == pytest.approx(simulated.objective, rel=1e-2)
    crossed = measure(rows, legged, {}, 3, "joint_torque", "", 0.002)
    assert crossed.outcome == "aborted"
    assert crossed.margins["low"] == -1.0


def test_a_signal_that_a_robot_does_not_record_is_refused_by_name():
    with pytest.raises(ValueError, match=r"foot\.slip is recorded only in simulation"):
        RobotEvaluator({"margins": [{"name": "foot_slip"}]}, RobotAddress("here", 1))


def test_the_score_from_telemetry_is_the_simulations_score_of_the_same_walk():
    legged, rows = walked()
    simulated = legged.measure(legged.walk({}, {}, seed=0), {})
    scored = measure(rows, legged, {}, 1, "", "", 0.002)
    assert scored.outcome == "completed"
    assert scored.objective == pytest.approx(simulated.objective, rel=1e-2)
    for name in ("tracking", "attitude", "height", "torque", "speed", "velocity"):
        assert scored.margins[name] == pytest.approx(simulated.margins[name], rel=1e-6, abs=1e-9), name
    assert scored.true_objective is None
    assert scored.true_margins is None


@pytest.mark.parametrize(
    ("outcome", "cause", "expected", "fell"),
    [
        (1, "", "completed", False),
        (2, "", "failed", False),
        (3, "tilt", "aborted", True),
        (3, "joint_torque", "aborted", False),
        (3, "remote_stop", "aborted", False),
        (3, "state_age", "failed", False),
        (3, "tuner_silence", "failed", False),
        (3, "stop_damp", "failed", False),
    ],
)
def test_how_a_trial_ended_decides_what_it_says(outcome, cause, expected, fell):
    legged, rows = walked(seconds=0.5)
    scored = measure(rows, legged, {}, outcome, cause, "words", 0.002)
    assert (scored.outcome, scored.fell) == (expected, fell)
    if expected == "aborted":
        assert all(margin < 0 for margin in scored.margins.values())
        assert scored.objective is None
    if expected == "failed":
        assert scored.margins == {}


def test_a_walk_of_which_too_little_was_heard_says_nothing():
    legged, rows = walked(seconds=0.5)
    rows = rows.copy()
    rows[::3, COLUMNS.index("fresh")] = 0.0
    scored = measure(rows, legged, {}, 1, "", "", 0.002)
    assert scored.outcome == "failed"
    assert "34 %" in scored.message


# -- trials -----------------------------------------------------------------------------------------------


def test_every_step_of_a_trial_is_kept_before_it_is_taken(robot_run):
    story = robot_run.run(robot_run.trial())
    assert story.error is None
    assert story.steps == ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED"]
    assert present(story.measurement).outcome == "completed"
    ended = next(e for e in robot_run.journal.events() if e.kind == KIND and e.data["state"] == "ENDED")
    assert digest(robot_run.folder / ended.data["file"]) == ended.data["sha256"]
    assert story.state is State.HOLD


def test_the_same_score_comes_from_the_raw_record_again(robot_run):
    trial = robot_run.trial()
    story = robot_run.run(trial)
    ended = next(e for e in robot_run.journal.events() if e.kind == KIND and e.data["state"] == "ENDED")
    again = robot_run.evaluator.score(trial, ended.data)
    assert again.objective == story.measurement.objective
    assert again.margins == story.measurement.margins


def test_the_trials_gains_are_at_work_while_it_runs_and_the_baseline_after(robot_run):
    robot_run.run(robot_run.trial(stiffness=91.0))
    history = robot_run.world.history
    walking = {float(c.kp[0]) for _, state, c in history if state is State.RUNNING}
    assert walking == {91.0}
    last = history[-1]
    assert last[1] is State.HOLD
    assert float(last[2].kp[0]) != 91.0


def test_nothing_moves_without_an_approval_of_exactly_these_gains(robot_run):
    trial = robot_run.trial()
    story = robot_run.run(trial, approved=False)
    assert isinstance(story.error, NotStartedError)
    robot_run.approve(trial)
    other = replace(trial, parameters={**trial.parameters, "joint.hip.kp": 71.0})
    story = robot_run.run(other, approved=False)
    assert "not approved" in str(story.error)
    assert story.steps == ["APPROVED"]
    assert State.RUNNING not in [state for _, state, _ in robot_run.world.history]


def test_an_approval_holds_for_a_minute(robot_run, monkeypatch):
    trial = robot_run.trial()
    robot_run.approve(trial)
    clock = time.monotonic
    monkeypatch.setattr("safebo.hardware.tuning.evaluator.time.monotonic", lambda: clock() + 61.0)
    story = robot_run.run(trial, approved=False)
    assert re.search(r"approval is 6\d s old; it holds for 60 s", str(story.error))


def test_a_step_that_cannot_be_kept_is_not_taken(robot_run, monkeypatch):
    class Locked:
        def study(self):
            return StudyIdentity("a", "b", "c")

        def commit(self, trial_id, state, text="", **data):
            if state == "RUNNING":
                raise OSError("database is locked")

        def last(self, trial_id):
            return robot_run.evaluator_ledger.last(trial_id)

    robot_run.evaluator_ledger = robot_run.evaluator._ledger
    robot_run.evaluator.supervise(Locked(), lambda: 0)
    story = robot_run.run(robot_run.trial())
    assert isinstance(story.error, NotStartedError)
    assert str(story.error).endswith("locked. The robot had got up for it, with its baseline gains")
    assert "got up" not in str(robot_run.run(robot_run.trial(2)).error)  # it stands already
    assert State.RUNNING not in [state for _, state, _ in robot_run.world.history]


def test_a_start_that_the_guardian_refuses_moved_nothing_and_the_trial_may_run_later(robot_run):
    world = robot_run.world
    heat = {"degrees": 75.0}
    world.when(
        lambda: world.guardian.state is State.ARMED,
        lambda: setattr(world.robot, "edit", lambda seen: setattr(seen, "temperature", heat["degrees"])),
    )
    trial = robot_run.trial(1)
    story = robot_run.run(trial)
    assert isinstance(story.error, NotStartedError)
    assert "the guardian refuses Start: a motor is warm" in str(story.error)
    assert story.steps == ["APPROVED", "ARMED", "RUNNING", "REFUSED"]
    assert story.state is State.HOLD
    assert State.RUNNING not in [state for _, state, _ in world.history]
    heat["degrees"] = 40.0
    again = robot_run.run(trial)
    assert again.measurement.outcome == "completed"
    assert again.steps[4:] == ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED"]


def test_one_wish_to_stop_ends_the_trial_and_two_damp_at_once(robot_run):
    world = robot_run.world
    world.into_walk(0.3, lambda: setattr(robot_run, "stops", 1))
    story = robot_run.run(robot_run.trial(1))
    assert (story.measurement.outcome, story.state) == ("failed", State.HOLD)
    assert "on request" in story.measurement.message
    robot_run.stops = 0
    world.into_walk(0.3, lambda: setattr(robot_run, "stops", 2))
    story = robot_run.run(robot_run.trial(2))
    assert story.state is State.DAMP_LATCHED
    assert present(story.measurement).outcome == "failed"


@pytest.mark.parametrize(
    ("first", "then", "outcome", "words"),
    [
        (
            "tracking",
            "stop_damp",
            "aborted",
            "a joint does not follow its target (tracking: limit 0.8 rad); then st",
        ),
        ("tracking", "", "aborted", "a joint does not follow its target (tracking: limit 0.8 rad)"),
        ("tracking", "reboot", None, "the robot restarted"),
        ("body_frozen", "tilt", "aborted", "roll or pitch too large"),
        ("body_frozen", "stop_damp", "failed", "says nothing about the gains: stopped"),
        ("body_frozen", "", "failed", "feet or battery are frozen (body_frozen: limit 1 s)"),
    ],
)
def test_a_stop_or_a_clear_after_a_latch_does_not_make_gains_harmless(robot_run, first, then, outcome, words):
    world, machine = robot_run.world, robot_run.world.guardian.machine
    limits = {limit.name: limit for limit in LIMITS}
    latched: list[float] = []

    def begin() -> None:
        machine.fault(limits[first])
        latched.append(world.now)

    def go_on() -> None:
        if then:
            machine.fault(limits[then])
        else:
            machine.transition(GuardianEvent.ACKNOWLEDGE)
            machine.transition(GuardianEvent.CLEAR)

    world.into_walk(0.3, begin)
    world.when(lambda: bool(latched) and world.now > latched[0] + 0.1, go_on)
    story = robot_run.run(robot_run.trial(1))
    assert story.state is (State.DAMP_LATCHED if then else State.HOLD)
    assert words in story.message
    if outcome is None:
        assert isinstance(story.error, TrialUnknownError)
    else:
        seen = present(story.measurement)
        assert (seen.outcome, seen.fell) == (outcome, then == "tilt")


@pytest.mark.parametrize("clears", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_latch_waits_for_a_person_unless_nobody_stopped_it_and_nobody_can_be_hurt(
    tmp_path, clears, stopped
):
    run = RobotRun(tmp_path, ScheduledWorld(), clears=clears)
    world = run.world

    def slow() -> None:
        world.controller_time = 0.021

    world.into_walk(0.3, (lambda: setattr(run, "stops", 2)) if stopped else slow)
    run.run(run.trial(1))
    run.stops, world.controller_time = 0, 0.0
    story = run.run(run.trial(2))
    if clears and not stopped:
        assert present(story.measurement).outcome == "completed"
    else:
        assert isinstance(story.error, NotStartedError)
        assert "safebo robot clear" in str(story.error)
        assert story.steps == ["APPROVED"]
    run.close()


def test_a_robot_that_restarts_leaves_a_trial_of_which_nobody_knows(robot_run):
    robot = robot_run.world.robot

    def restart() -> None:
        robot.milliseconds = 0.0

    robot_run.world.into_walk(0.3, restart)
    story = robot_run.run(robot_run.trial())
    assert isinstance(story.error, TrialUnknownError)
    assert story.state is State.DAMP_LATCHED
    assert story.steps[-1] == "ENDED"


def test_checks_name_what_is_wrong(robot_run):
    checks = robot_run.evaluator.preflight()
    assert all(check.passed for check in checks), checks
    robot_run.world.guardian.watch.set(battery=25.0)
    robot_run.world.robot.edit = lambda seen: setattr(seen, "battery", 25.0)
    failed = [c for c in robot_run.evaluator.preflight() if not c.passed]
    assert {c.name for c in failed} == {"state", "battery and motors"}
    assert any("battery is low" in c.message for c in failed)


def test_the_robot_has_to_be_the_one_that_is_meant(robot_run):
    robot_run.evaluator._address = replace(robot_run.evaluator._address, serial="12-345")
    (robot,) = [c for c in robot_run.evaluator.preflight() if c.name == "robot"]
    assert not robot.passed
    assert "12-345" in robot.message


def test_the_journal_of_a_running_robot_can_be_read(robot_run):
    robot_run.run(robot_run.trial())
    with Journal.open(robot_run.folder, read_only=True) as journal:
        assert [e.data["state"] for e in journal.events() if e.kind == KIND][-1] == "SCORED"
    path = robot_run.folder / "trajectories" / "trial-00001.mcap"
    assert os.path.getsize(path) > 10_000
    # What a report shows of it: every joint in every tick of the walk, beside what it was asked for.
    shown, rows = read_recording(path, 1), read_telemetry(path)
    walk = rows[rows[:, COLUMNS.index("walk_time")] >= 0]
    assert 100 < len(walk) < len(rows)
    assert np.array_equal(shown.time, walk[:, COLUMNS.index("walk_time")])
    assert len(shown.signals) == 24
    for one in shown.signals:
        wanted = one.name.replace("joint_", "target_")
        assert np.array_equal(one.actual, walk[:, COLUMNS.index(one.name)])
        assert np.array_equal(one.desired, walk[:, COLUMNS.index(wanted)])
        assert one.unit == ("rad/s" if "velocity" in one.name else "rad")
