"""Trials seen again: from their recorded states, else by walking them again; and sentences where neither can be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from new_journal import new_journal
from typer.testing import CliRunner

from safebo.errors import FileError, InputError, SafeboError
from safebo.experiments.replay.cli import app
from safebo.experiments.replay.runs import SeenRun
from safebo.experiments.replay.takes import differences, take_of
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.telemetry import Telemetry
from safebo.hardware.guardian.walker import QuadrupedWalker, Walk
from safebo.hardware.tuning.recording import TrialRecorder
from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import RAMP, LeggedEvaluator
from safebo.robots.quadruped.controller import SETTLE
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import WalkRecording
from safebo.robots.simulation.stage import RenderingUnavailable
from safebo.storage.trial_log import KIND
from safebo.study.reading import load_study
from safebo.types import Measurement, Trial

pytestmark = pytest.mark.slow

RUN = CliRunner()
SECONDS = 0.8
SOFT = {f"joint.{joint}.{which}": 0.1 for joint in ("hip", "thigh", "calf") for which in ("kp", "kd")}
SCENARIOS = {
    "objective": "mean",
    "margins": "worst",
    "values": {"flat": {}, "loaded": {"payload_mass": 3.0, "slope": [4.0, 0.0]}},
}


def robot_rows(evaluator: LeggedEvaluator, seconds: float) -> np.ndarray:
    """Telemetry of the guardian's walker on the simulation's plant, and where the plant truly was."""
    plant = Simulation(evaluator.robot, evaluator.settings.disturbance, 0)
    walker = QuadrupedWalker(evaluator.robot)
    walk = Walk(evaluator.gait({}), evaluator.settings.velocity, RAMP, SETTLE)
    walker.begin(plant.read(), walk, evaluator.settings.gains)
    telemetry = Telemetry(2000)
    telemetry.begin(1)
    for tick in range(round((seconds + SETTLE) * 500)):
        reading = plant.read()
        command = walker.step(reading)
        head = (tick / 500, tick * 2, State.RUNNING, tick / 500 - SETTLE, -1, 1.0)
        telemetry.record(
            head,
            RobotObservation(tick * 2, reading, torque=plant.applied_torque),
            command,
            walker.base(),
            1.7e9 + tick / 500,
        )
        plant.apply(command)
    return telemetry.rows()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Trials that are recorded, unrecorded, tampered with, fallen, lost, damaged, pending, on a robot, in scenarios."""
    folder = tmp_path_factory.mktemp("run")
    file = load_study("go1-trot")
    document = file.study.model_dump(mode="json")
    document["evaluator"]["options"] |= {"seconds": SECONDS, "telemetry": False}
    document["scenarios"] = SCENARIOS
    study = type(file.study).model_validate(document)
    journal = new_journal(folder, study, text=file.text, source=file.source, trials=9)
    evaluator = LeggedEvaluator(study.evaluator.options)
    recording = LeggedEvaluator({**study.evaluator.options, "telemetry": True})
    recording.record_into(folder / "trajectories", folder)
    seed, context = study.seeds[0], study.context.values["trot"]

    def trial(number, **changes):
        gains = {**seed.parameters, **changes.pop("gains", {})}
        made = Trial(number, gains, dict(context), "trot", "seed", seed=number, certified=True)
        made = replace(made, **changes)
        journal.ask(made, number)
        return made

    first = trial(1)
    journal.tell(1, recording.evaluate(first))
    second = trial(2, gains={"joint.hip.kp": 60.0})
    plain = evaluator.evaluate(second)
    journal.tell(2, plain)
    trial(3, gains={"joint.hip.kp": 60.0}, seed=2)
    journal.tell(3, replace(plain, objective=-1.0))
    fourth = trial(4, gains=SOFT)
    journal.tell(4, evaluator.evaluate(fourth))
    trial(5)
    journal.tell(5, replace(plain, telemetry="trajectories/gone.parquet"))
    trial(6)
    (folder / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
    journal.tell(6, replace(plain, telemetry="bad.parquet"))
    trial(7)
    trial(8)
    recorder = TrialRecorder(folder / "trajectories" / "trial-00008.mcap", {})
    recorder.telemetry(robot_rows(evaluator, SECONDS))
    recorder.close()
    journal.note(KIND, "", 8, {"state": "RUNNING"})
    journal.tell(8, replace(plain, telemetry="trajectories/trial-00008.mcap"))
    trial(9, scenarios=("flat", "loaded"))
    parts = {
        "flat": replace(plain, states=None, strides=None, margins_to_go=None),
        "loaded": Measurement("completed", -3.0, {**plain.margins, "tracking": -0.2}),
    }
    journal.tell(9, replace(plain, scenarios=parts))
    trial(10)
    journal.note(KIND, "", 10, {"state": "RUNNING"})
    journal.tell(10, replace(plain, telemetry="trajectories/trial-00010.mcap"))
    journal.close()
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return SeenRun.open(folder)


def walked(run: SeenRun, number: int) -> WalkRecording:
    """The oracle: the same trial by the evaluator itself."""
    trial = run.record(number).trial
    return run.evaluator.walk(trial.parameters, trial.context, trial.seed)


def test_recorded_states_are_those_of_the_walk(run):
    take = take_of(run, 1)
    record, truth = take.footage.record, walked(run, 1)
    for name in ("base_position", "base_orientation", "joint_position", "foot_force", "command"):
        assert getattr(record, name) == pytest.approx(getattr(truth, name), abs=1e-5, rel=1e-5), name
    assert (record.contact == truth.contact).all()
    assert (record.walk_start, record.period) == (truth.walk_start, pytest.approx(0.002))
    assert take.footage.command == pytest.approx(truth.command, abs=1e-5)
    assert "states as recorded" in take.said[0]
    assert not take.footage.estimated


def test_a_walk_without_record_is_made_again_bit_for_bit_and_says_so(run):
    take = take_of(run, 2)
    assert np.array_equal(take.footage.record.joint_position, walked(run, 2).joint_position)
    assert take.said == (
        "trial 2: walked again with the recorded gains, context and seed",
        "trial 2: shows what was recorded",
    )
    gain = take.footage.gains[0]
    assert (gain.name, gain.value, gain.before, gain.unit) == ("joint.hip.kp", 60.0, 70.0, "N m/rad")
    assert next(iter(take.footage.margins)) == "tracking_error"


def test_a_result_that_is_not_reproduced_is_said(run):
    assert "DIFFERS from what was recorded (objective -1, now -" in take_of(run, 3).said[-1]


def test_a_fall_is_marked_at_the_end(run):
    take = take_of(run, 4)
    record = take.footage.record
    assert record.fell
    (mark,) = take.footage.marks
    assert mark.text.startswith("FELL: ")
    assert mark.time == pytest.approx(record.time[-1])
    assert "shows what was recorded" in take.said[-1]


def test_a_trajectory_that_is_gone_is_walked_again(run):
    assert "no such file, so it is walked again" in take_of(run, 5).said[0]


def test_a_robots_trial_is_drawn_as_the_robot_saw_it(run):
    """Its own estimate is near where the plant was; forces come from the torques, contacts from forces."""
    take = take_of(run, 8)
    footage = take.footage
    assert footage.estimated
    assert "as the robot itself recorded it" in take.said[0]
    truth = run.evaluator.walk(run.seed_of("trot"), {}, seed=0)
    assert len(footage.record) == len(truth)
    assert np.abs(footage.record.joint_position - truth.joint_position).max() < 0.1
    assert footage.command is not None
    assert footage.command[-1] == pytest.approx([0.5, 0.0, 0.0])
    assert footage.record.applied_torque.any()


def test_of_several_scenarios_the_worst_is_shown_unless_another_is_named(run):
    take = take_of(run, 9)
    assert take.footage.title == "go1-trot, trial 9, scenario loaded"
    assert take.footage.world.payload_mass == 3.0
    assert take.footage.world.slope == (4.0, 0.0)
    assert "the one in which it did worst; it also walked flat" in take.said[0]
    flat = take_of(run, 9, "flat")
    assert flat.footage.world.payload_mass == 0.0
    assert "also walked" not in flat.said[0]


@pytest.mark.parametrize(
    ("number", "scenario", "kind", "words"),
    [
        (99, None, InputError, "has none of that number; its trials are 1 to 10"),
        (0, None, InputError, "has none of that number"),
        (7, None, InputError, "is asked: it has no result to show"),
        (1, "flat", InputError, "walked no scenarios"),
        (9, "steep", InputError, "unknown scenario of trial 9 'steep': known are flat, loaded"),
        (6, None, FileError, "bad.parquet: the trajectory cannot be read"),
        (10, None, FileError, "walked on a robot, so only its record could show it"),
    ],
)
def test_what_cannot_be_shown_is_said(run, number, scenario, kind, words):
    with pytest.raises(kind, match=words):
        take_of(run, number, scenario)


def test_differences_are_named_and_rounding_is_none():
    kept = Measurement("completed", -1.0, {"height": 0.1}, duration=5.0)
    assert differences(kept, replace(kept, objective=-1.0 - 1e-12)) == []
    fallen = Measurement("aborted", None, {"height": -0.1}, fell=True, duration=2.0)
    said = "; ".join(differences(kept, fallen))
    assert "outcome completed, now aborted with a fall" in said
    assert "objective -1, now none" in said
    assert "height 0.1, now -0.1" in said


def test_other_evaluators_are_refused_in_a_sentence(tmp_path):
    file = load_study("pendulum")
    new_journal(tmp_path, file.study, text=file.text, source=file.source, trials=1).close()
    with pytest.raises(InputError, match="evaluator 'pendulum', and this needs walks of legged robots"):
        SeenRun.open(tmp_path)


def test_the_command_writes_a_video_of_two_trials(folder, tmp_path):
    video = tmp_path / "both.mp4"
    words = [str(folder), "8", "--beside", "4", "--video", str(video), "--size", "320x180", "--speed", "4"]
    done = RUN.invoke(app, words)
    if isinstance(done.exception, SafeboError) and isinstance(done.exception.__cause__, RenderingUnavailable):
        pytest.skip(str(done.exception))
    assert done.exit_code == 0, done.output
    assert video.stat().st_size > 1000
    assert "trial 8: as the robot itself" in done.output
    assert "trial 4: walked again" in done.output
    assert f"video: {video}" in " ".join(done.output.split("\n"))


def test_files_beside_the_study_are_found_from_elsewhere(tmp_path, monkeypatch):
    """A robot's file lies beside the study, whose path was given from a folder above the run."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "mine" / "robot.xml").write_text(load_robot("go1").mjcf)
    study = load_study("go1-trot").study
    document = study.model_dump(mode="json")
    document["evaluator"]["options"] |= {"robot": "robot.xml"}
    study = type(study).model_validate(document)
    (tmp_path / "mine" / "study.yaml").write_text("its text")
    new_journal(tmp_path / "runs" / "a", study, text="its text", source="mine/study.yaml", trials=1).close()
    monkeypatch.chdir("/")
    assert SeenRun.open(tmp_path / "runs" / "a").evaluator.robot.mass == pytest.approx(load_robot("go1").mass)
    (tmp_path / "mine" / "study.yaml").write_text("another study")
    with pytest.raises(InputError, match=r"cannot be made again \(its study mine/study.yaml was not found"):
        SeenRun.open(tmp_path / "runs" / "a")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1", "--beside-run", "x"], "which of its trials?"),
        (["1", "--size", "7"], "--size must be WIDTHxHEIGHT"),
        (["1", "--speed", "0"], "--speed must be from"),
        (["1", "--video", "."], "is a folder"),
        (["1", "--beside", "3", "--beside-run", "/nowhere"], "no such folder"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, words, said):
    done = RUN.invoke(app, [str(folder), *words])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert json.dumps(str(done.exception)).count("Traceback") == 0
