"""A controller that is a node of ROS 2: its relay, and walks with it in simulation and behind a guardian."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from present import present
from relayed_world import ProcessWire, RelayWorld, damped, used_answers, wait
from test_ros2_messages import EXAMPLE, JOINTS, command
from typer.testing import CliRunner, Result

from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.cli import app
from safebo.hardware.dds import Quality
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.states import State
from safebo.hardware.ros2 import node_check
from safebo.hardware.ros2.cdr import encode
from safebo.hardware.ros2.fixed_layout import stamp_in, stamp_of
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.relay import Relay
from safebo.hardware.ros2.robot_messages import DYNAMIC, ODOMETRY
from safebo.robots.controllers import process
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import GainSet, Mode, RelayAnswer, RelayState
from safebo.robots.controllers.ports import gain_port, own_process
from safebo.robots.controllers.protocol import ControllerFault
from safebo.robots.controllers.ros_node import NodeSettings
from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.interface import SensorReading
from safebo.types import Trial

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

from safebo.hardware.ros2.topic_types import topic_type

pytestmark = pytest.mark.slow

DOMAIN = 20 + (os.getpid() + 100) % 200  # other test runs on this machine have their own
NAME = f"/stance_{os.getpid()}"


# -- the relay --------------------------------------------------------------------------------------------


class Driven:
    """A relay in a thread, whoever has the robot, and a node that publishes what it is told to."""

    def __init__(self, age: float = 0.0) -> None:
        name = f"{NAME}_{Driven.made}"
        Driven.made += 1
        self.said: list[str] = []
        self._tick = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = NodeSettings(name, DOMAIN, "lo", f"{name}/s", f"{name}/c", f"{name}/o", age)
        threading.Thread(
            target=lambda: Relay(settings, JOINTS, port, self.said.append).run(), daemon=True
        ).start()
        participant = join("lo", DOMAIN)
        self._states = participant.reader(f"rt{name}/s", topic_type(DYNAMIC), Quality(1))
        self._commands = participant.writer(f"rt{name}/c", topic_type(DYNAMIC), Quality(1))
        self._odometry = participant.writer(f"rt{name}/o", topic_type(ODOMETRY), Quality(1))
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.connect(("127.0.0.1", port))
        self._link.settimeout(0.3)
        until(lambda: self._commands.readers() and self._odometry.readers() and self._states.writers())

    made = 0

    def state(self) -> int:
        """Send one; its stamp as the node sees it."""
        self._tick += 1
        reading = SensorReading(0.0, np.zeros(12))
        state = RelayState(Mode.WALK, GainSet.TRIAL, self._tick, 0.0, (0.0,) * 3, (0.0,) * 5, 0.0, reading)
        for _ in range(10):  # the relay's writer may know of the reader later than the reader of it
            try:
                self._link.send(state.pack())
            except ConnectionRefusedError:  # of the one before: the relay does not listen yet
                time.sleep(0.05)
            if self._states.wait(0.5):
                break
        return stamp_in(DYNAMIC, self._states.take()[-1])

    def command(self, stamp: int, **changes) -> None:
        self._commands.write(encode(DYNAMIC, command(stamp=stamp) | changes))

    def odometry(self, stamp: int, height: float) -> None:
        pose = {"pose": {"position": {"z": height}, "orientation": {"w": 1.0}}}
        self._odometry.write(encode(ODOMETRY, {"header": {"stamp": stamp_of(stamp)}, "pose": pose}))

    def answer(self) -> tuple[int, float, float] | None:
        """Tick, first angle and height of the newest answer."""
        try:
            read = RelayAnswer.unpack(self._link.recv(1000))
        except TimeoutError:
            return None
        return read.tick, float(read.command.position[1]), float(read.base.position[2])

    def tells(self, words: str) -> bool:
        return bool(until(lambda: any(words in line for line in self.said)))


def until(condition, seconds: float = 5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)
    return condition()


def test_a_state_is_answered_by_the_command_and_the_estimate_of_its_own_stamp() -> None:
    driven = Driven()
    for tick in (1, 2, 3):
        stamp = driven.state()
        driven.odometry(stamp, 0.1 * tick)
        driven.command(stamp)
        assert driven.answer() == (tick, 100.0, pytest.approx(0.1 * tick))
    # the estimate may come second, and that of another state is none
    stamp = driven.state()
    driven.odometry(stamp - 1, 9.0)
    driven.command(stamp)
    assert driven.answer() is None
    driven.odometry(stamp, 0.5)
    assert driven.answer() == (4, 100.0, 0.5)
    assert driven.tells("odometry: header.stamp is not that of one of the last 256 states")
    driven.command(stamp + 77)
    assert driven.tells("command: header.stamp is not that of one of the last 256 states")
    driven.command(stamp, joint_names=["tail"] * 12)
    assert driven.tells("command: there is no joint 'tail'")
    assert driven.answer() is None


def test_an_older_estimate_counts_where_the_file_allows_it() -> None:
    driven = Driven(age=0.005)
    stamp = driven.state()
    driven.odometry(stamp - 1_000_000, 0.25)
    driven.command(stamp)
    assert driven.answer() == (1, 100.0, 0.25)
    stamps = [driven.state() for _ in range(3)]
    driven.command(stamps[0])  # 3 ms after the estimate
    assert driven.answer() == (2, 100.0, 0.25)
    driven.command(stamps[2])  # 7 ms
    assert driven.answer() is None


# -- the example ------------------------------------------------------------------------------------------


def started(name: str = NAME) -> subprocess.Popen[str]:
    """The example's node, ready."""
    program = [sys.executable, str(EXAMPLE / "node.py"), "--domain", str(DOMAIN), "--node", name]
    node = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert present(node.stdout).readline() == "ready\n"
    return node


@pytest.fixture(scope="module")
def node():
    running = started()
    yield running
    running.kill()
    running.wait()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The example's controller file, of this test run's node."""
    path = tmp_path / "controller.yaml"
    text = (EXAMPLE / "controller.yaml").read_text().replace("domain: 0 ", f"domain: {DOMAIN} ")
    path.write_text(text.replace("/bobbing_stance", NAME))
    return path


def trial(number: int, **gains: float) -> Trial:
    return Trial(number, gains, {}, "trot", "manual", 3, False)


def test_three_trials_in_simulation_and_one_that_the_node_refuses(node, file: Path) -> None:
    evaluator = LeggedEvaluator(
        {"robot": "go2", "controller": str(file), "seconds": 0.2, "velocity": [0.0, 0.0, 0.0]}
    )
    for number, depth in enumerate((0.0, 0.1, 0.05)):
        record = evaluator.walk({"stance.kp": 80.0, "bob.depth": depth}, {}, number)
        assert not record.fell
        # in trot of 0.5 s the cosine is at 0.2 s; the node has these gains and no others
        expected = 0.8 + depth * (1.0 - np.cos(2.0 * np.pi * record.time[-1] / 0.5)) / 2.0
        assert record.desired_position[-1, 1] == pytest.approx(expected, abs=1e-9)
        assert record.estimated_position[-1, 2] == 0.3
    refused = evaluator.evaluate(trial(4, **{"stance.kp": 30.0, "stance.kd": 5.0}))
    assert refused.outcome == "failed"
    assert "the node refuses: a damping of 5 is too much for a stiffness of 30" in refused.message
    assert evaluator.evaluate(trial(5, **{"stance.kp": 90.0})).outcome == "completed"


def test_a_node_that_is_not_there_is_said(file: Path, monkeypatch) -> None:
    file.write_text(file.read_text().replace(NAME, "/absent"))
    evaluator = LeggedEvaluator(
        {"robot": "go2", "controller": str(file), "seconds": 0.2, "velocity": [0.0, 0.0, 0.0]}
    )
    measured = evaluator.evaluate(trial(0, **{"stance.kp": 80.0}))
    assert measured.outcome == "failed"
    assert re.search("/absent: nobody offers get_parameters in DDS domain", measured.message)


def test_the_command_line_says_what_the_node_says_of_the_gains_and_lets_it_answer(
    node, file: Path, monkeypatch
) -> None:
    monkeypatch.setattr(node_check, "STATES", 50)
    monkeypatch.setattr(node_check, "MEETING_S", 0.5)

    def check(path: Path) -> Result:
        return CliRunner().invoke(app, ["ros2", "check", str(path)])

    done = check(file)
    assert done.exit_code == 0, done.output
    assert "stance.kp: gains.stance.kp, double, is " in done.output
    assert "allowed 20 .. 150" in done.output
    assert "50 of 50 states answered, after " in done.output
    file.write_text(file.read_text().replace(f"node: {NAME}", f"node: {NAME}\n  command: /x"))
    done = check(file)
    assert done.exit_code == 1
    assert "no state was answered; the relay says: " in done.stderr
    assert "command: nobody publishes on /x" in done.stderr
    file.write_text(file.read_text().replace("\n  command: /x", ""))
    file.write_text(file.read_text().replace("lower: 30, upper: 120", "lower: 30, upper: 200"))
    done = check(file)
    assert done.exit_code == 1
    assert f"the node allows 20 .. 150, {file} asks for 30 .. 200" in done.stderr
    other = check(EXAMPLE.parent / "relayed_controller" / "file_controller.yaml")
    assert other.exit_code == 2
    assert "gain_port.kind: this is no node of ROS 2; expected ros2" in other.stderr


def test_a_guardian_walks_with_the_node_and_damps_when_it_dies(file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    name = f"{NAME}_guarded"
    text = file.read_text().replace("4760", str(number)).replace(NAME, name)
    file.write_text(text)
    adapter = read_controller_file(file)
    table = ControllerGains.of(adapter.table)
    running, relay = started(name), own_process(adapter, load_robot("go1"), number, None)
    executor = ThreadPoolExecutor(1)
    try:
        wire = ProcessWire(number)
        world = RelayWorld(
            wire, gain_port(adapter, relay), adapter.switches, executor, proof=100.0, table=table
        )
        client = world.client()
        world.run(1.1)
        wait(world, lambda: world.keeper.holds(table.baseline))  # the guardian has started the relay
        world.standing(client)
        client.start(world.arm(client, (90.0, 4.0, 0.1), patience=60.0), 20.0)
        assert "the controller holds trial gains: read back" in world.said("gains")
        client.pump(TROT.settle + 0.2)
        assert world.state is State.RUNNING
        assert used_answers(world) > 140
        assert 90.0 in world.command.kp
        running.kill()
        for _ in range(3):
            world.tick()
        assert world.state is State.DAMP_LATCHED
        assert damped(world)
    finally:
        executor.shutdown()
        present(relay).stop()
        running.kill()
        running.wait()


def test_a_node_that_restarts_within_a_walk_is_another_one(file: Path, monkeypatch) -> None:
    monkeypatch.setattr(process, "ANSWER_TIMEOUT_S", 0.5)
    name = f"{NAME}_again"
    file.write_text(file.read_text().replace(NAME, name))
    nodes = [started(name)]
    try:
        controller = process.ProcessController(read_controller_file(file))
        robot = load_robot("go2")
        gait = LeggedEvaluator({"robot": "go2"}).gait({})
        gains = {gain.name: gain.default for gain in controller.gains}
        controller.reset(robot, gains, gait, lambda time: (0.0, 0.0, 0.0))
        standing = SensorReading(-0.5, robot.home_joints.copy())
        assert controller.step(standing).kp[0] == 60.0
        nodes[0].kill()
        nodes[0].wait()
        with pytest.raises(ControllerFault, match="no answer to tick"):
            controller.step(standing)
        nodes.append(started(name))
        monkeypatch.setattr(process, "ANSWER_TIMEOUT_S", 0.05)
        said = "no answer"
        for _ in range(400):
            if "no answer" not in said:
                break
            with pytest.raises(ControllerFault) as raised:
                controller.step(standing)
            said = str(raised.value)
        assert "the controller has restarted while the robot walked" in said
        controller.close()
    finally:
        for each in nodes:
            each.kill()
            each.wait()
