"""A user's own controller in a process of its own, and a study that tunes its gains."""

import math
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from present import present
from relayed_world import (
    BASELINE,
    EXAMPLE,
    TABLE,
    Node,
    NodeClient,
    ProcessWire,
    RelayWorld,
    Wire,
    damped,
    example,
    used_answers,
    wait,
)

from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.motion import STAND_KP
from safebo.hardware.guardian.states import State
from safebo.hardware.tuning.evaluator import RobotEvaluator
from safebo.hardware.tuning.own_controller import controller_of
from safebo.hardware.tuning.session import Session
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.ports import gain_port
from safebo.robots.controllers.ros_parameters import RosParameterPort
from safebo.study import Study
from safebo.study.reading import load_study
from safebo.types import RobotAddress, StudyIdentity, Trial, trial_hash

pytestmark = pytest.mark.slow


def test_a_controller_process_with_a_gains_file_stands_walks_restarts_and_dies(tmp_path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    text = (EXAMPLE / "file_controller.yaml").read_text().replace("4760", str(number))
    text = text.replace("[python, restart.py", f"[{sys.executable}, {EXAMPLE / 'restart.py'}")
    (tmp_path / "controller.yaml").write_text(text)
    gains, note = tmp_path / "gains.yaml", tmp_path / "gains.pid"
    gains.write_text((EXAMPLE / "gains.yaml").read_text().replace("60.0", "77.0"))
    file = read_controller_file(tmp_path / "controller.yaml")
    executor = ThreadPoolExecutor(1)
    try:
        wire = ProcessWire(file.port)
        world = RelayWorld(wire, gain_port(file), file.switches, executor, proof=100.0)
        client = world.client()
        world.run(1.1)
        wait(world, lambda: world.keeper.holds(TABLE.baseline))  # the guardian has started the controller
        assert "kp: 60.0   # N m/rad" in gains.read_text()
        first = int(note.read_text())
        world.standing(client)
        token = world.arm(client, patience=60.0)
        second = int(note.read_text())
        assert first != second
        assert "kp: 90.0" in gains.read_text()
        client.start(token, 20.0)
        client.pump(TROT.settle + 0.3)
        assert world.state is State.RUNNING
        assert world.command.kp[0] == 90.0
        assert world.command.position[1] > 0.801  # it bobs
        assert used_answers(world) > 190
        client.abort(1)
        world.tick()
        assert (world.command.kp == STAND_KP).all()
        wait(world, lambda: world.keeper.holds(TABLE.baseline), client)
        assert gains.read_text() == (EXAMPLE / "gains.yaml").read_text()
        assert world.state is State.HOLD
        client.start(world.arm(client, patience=60.0), 20.0)
        client.pump(TROT.settle + 0.1)
        assert world.state is State.RUNNING
        os.kill(int(note.read_text()), signal.SIGKILL)
        for _ in range(3):
            world.tick()
        assert world.state is State.DAMP_LATCHED
        assert damped(world)
    finally:
        executor.shutdown()
        if note.exists():
            with suppress(ProcessLookupError):
                os.kill(int(note.read_text()), signal.SIGKILL)


class Steps:
    """A ledger in memory; every trial is approved."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.trial: Trial | None = None

    def study(self):
        return StudyIdentity("in memory", "", "")

    def commit(self, trial_id, state, text="", **data):
        self.states.append(state)

    def last(self, trial_id):
        return "APPROVED", {"hash": trial_hash(present(self.trial)), "monotonic": time.monotonic()}


def study_of_the_example(tmp_path) -> Study:
    text = (EXAMPLE / "study.yaml").read_text().replace("go2", "go1").replace("seconds: 2.0", "seconds: 0.5")
    path = tmp_path / "study.yaml"
    path.write_text(text.replace("file_controller.yaml", str(EXAMPLE / "file_controller.yaml"), 1))
    return load_study(str(path)).study


def test_a_study_tunes_the_gains_of_ones_own_controller(tmp_path) -> None:
    study = study_of_the_example(tmp_path)
    node = Node(example.RANGES, BASELINE)
    world = RelayWorld(Wire(node), RosParameterPort(NodeClient(node), {name: name for name in TABLE.names}))
    world.run(1.1)
    session = Session(world.client, background=False)
    address = RobotAddress("in-process", 1, clears=True)
    evaluator = RobotEvaluator(study.evaluator.options, address, session)
    assert [(p.name, p.lower, p.upper, p.default) for p in evaluator.info().parameters] == [
        ("stance.kp", 30.0, 120.0, 60.0),
        ("stance.kd", 1.0, 6.0, 3.0),
        ("bob.depth", 0.0, 0.15, 0.05),
    ]
    assert all(check.passed for check in evaluator.preflight())
    steps = Steps()
    evaluator.record_into(tmp_path, tmp_path)
    evaluator.supervise(steps, lambda: 0)
    context = dict(study.context.values["bob"])
    trial = steps.trial = Trial(
        id=1,
        parameters={"stance.kp": 100.0, "stance.kd": 2.0},
        context=context,
        context_name="bob",
        phase="seed",
        seed=1,
        certified=True,
    )
    measurement = evaluator.evaluate(trial)
    assert steps.states == ["ARMED", "RUNNING", "ENDED", "SCORED"]
    assert measurement.outcome == "completed"
    assert math.isfinite(present(measurement.objective))
    assert "the controller holds trial gains" in world.said("gains")
    assert node.values() == BASELINE
    session.close()


def test_a_study_names_its_controller_in_words(tmp_path) -> None:
    options = dict(study_of_the_example(tmp_path).evaluator.options)
    for wrong, words in (
        ({"controller": 3}, "controller must be a name, .*YAML file, got 3"),
        ({"controller_file": "other.yaml"}, "an older name of controller: keep one of them"),
        ({"controller": str(tmp_path / "none.yaml")}, "none.yaml: no such file"),
        ({"gains": {"joint.hip.kp": 60}}, "unknown gain 'joint.hip.kp'"),
        ({"gains": {"stance.kp": 600}}, r"stance.kp: 600 is outside 30 \.\. 120 N m/rad"),
    ):
        with pytest.raises(HardwareInputError, match=words):
            controller_of(options | wrong)
    own, rest = controller_of({**options, "gains": {"stance.kd": 5.0}})
    assert present(own).full({"stance.kp": 70.0}) == (70.0, 5.0, 0.05)
    assert "gains" not in rest
    with pytest.raises(
        HardwareInputError, match=r"'joint\.hip\.kp' is no gain of this controller: stance\.kp"
    ):
        present(own).full({"joint.hip.kp": 60.0})
