"""A controller that is a node of ROS 2: messages, relay, and walks with it in simulation and behind a guardian."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from present import present
from test_adapters import ProcessWire, RelayWorld, damped, wait
from typer.testing import CliRunner, Result

from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.cli import app
from safebo.hardware.dds import Quality
from safebo.hardware.errors import HardwareInputError, WireError
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.states import State
from safebo.hardware.ros2 import node_check
from safebo.hardware.ros2.cdr import decode, encode
from safebo.hardware.ros2.fixed_layout import FixedLayout, stamp_in, stamp_of
from safebo.hardware.ros2.interfaces import DEFINITIONS
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.relay import PERIOD_NS, Relay, Stamps, check_node
from safebo.hardware.ros2.relayed_calls import answered
from safebo.hardware.ros2.robot_messages import (
    COMMAND,
    DYNAMIC,
    ODOMETRY,
    CommandReader,
    OdometryReader,
    StateWriter,
    dynamic,
)
from safebo.robots.controllers import process
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import GainSet, Mode, RelayAnswer, RelayState
from safebo.robots.controllers.ports import gain_port, own_process
from safebo.robots.controllers.protocol import ControllerFault, ControllerInputError
from safebo.robots.controllers.ros_node import NodeSettings, RelayedParameters
from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.interface import SensorReading
from safebo.types import Trial

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

from safebo.hardware.ros2.topic_types import topic_type

DOMAIN = 20 + (os.getpid() + 100) % 200  # other test runs on this machine have their own
NAME = f"/stance_{os.getpid()}"
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "ros2_controller"
JOINTS = tuple(f"{leg}_{part}_joint" for leg in ("FL", "FR", "RL", "RR") for part in ("hip", "thigh", "calf"))


def command(names=JOINTS, interfaces=COMMAND, stamp: int = 7_000_000_009) -> dict:
    """A command whose numbers count up."""
    message = dynamic(names, [interfaces] * len(names))
    for joint, row in enumerate(message["interface_values"]):
        row["values"] = [100.0 * joint + number for number in range(len(interfaces))]
    return {"header": {"stamp": stamp_of(stamp)}, **message}


# -- messages --------------------------------------------------------------------------------------------


def test_a_state_has_every_number_of_the_datagram_by_its_name() -> None:
    numbers = np.arange(34.0)
    reading = SensorReading(1.5, *np.split(numbers, (12, 24, 28, 31)))
    state = RelayState(
        Mode.WALK, GainSet.TRIAL, 9, 1.5, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7, 0.8, 0.9), 0.4, reading
    )
    writer = StateWriter(JOINTS)
    writer.written(1, state)  # what is written again is written over
    message = decode(DYNAMIC, writer.written(3_000_000_004, state))
    assert message["header"] == {"stamp": {"sec": 3, "nanosec": 4}, "frame_id": ""}
    rows = zip(message["joint_names"], message["interface_values"], strict=True)
    seen = {name: dict(zip(row["interface_names"], row["values"], strict=True)) for name, row in rows}
    assert [*seen] == [*JOINTS, "imu", "walk"]
    assert seen["FR_calf_joint"] == {"position": 5.0, "velocity": 17.0}
    assert [seen["imu"][f"orientation.{axis}"] for axis in "wxyz"] == [24.0, 25.0, 26.0, 27.0]
    assert seen["imu"]["angular_velocity.y"] == 29.0
    assert seen["imu"]["linear_acceleration.z"] == 33.0
    assert seen["walk"] == {
        "mode": 2.0, "gains": 1.0, "time": 1.5, "settle": 0.4,
        "speed.forward": 0.1, "speed.leftward": 0.2, "speed.yaw": 0.3,
        "gait.duty_factor": 0.5, "gait.stride_duration": 0.6,
        "gait.offset_fl": 0.7, "gait.offset_rr": 0.8, "gait.offset_rl": 0.9,
    }  # fmt: skip


def test_a_command_is_read_by_names_in_any_order_and_what_is_left_out_is_zero() -> None:
    reader = CommandReader(JOINTS)
    for turn in (1.0, 2.0):  # the second by the layout of the first
        message = command()
        message["interface_values"][0]["values"][0] = turn
        stamp, read = reader.read(encode(DYNAMIC, message))
        assert stamp == 7_000_000_009
        assert read.position[0] == turn
        assert list(read.position[1:3]) == [100.0, 200.0]
        assert (read.velocity[2], read.torque[2], read.kp[2], read.kd[2]) == (201.0, 202.0, 203.0, 204.0)
    other = command(JOINTS[::-1], ("kp", "position"))  # another layout in between
    _, read = reader.read(encode(DYNAMIC, other))
    assert (read.position[11], read.kp[11], read.kp[0]) == (1.0, 0.0, 1100.0)
    assert not read.velocity.any()
    assert not read.torque.any()
    _, read = reader.read(encode(DYNAMIC, command(interfaces=("effort",))))
    assert list(read.torque) == [100.0 * joint for joint in range(12)]
    assert not read.kp.any()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (command(JOINTS[:-1]), "RR_calf_joint is missing"),
        (command((*JOINTS[:-1], "tail")), "there is no joint 'tail'; joints are FL_hip_joint, "),
        (
            command(interfaces=("position", "stiffness")),
            "FL_hip_joint: unknown interface 'stiffness'; known are position",
        ),
        (command(interfaces=("position", "kd")), "FL_hip_joint: position without kp does nothing"),
        (command(interfaces=("velocity",)), "velocity without kd"),
        (command() | {"joint_names": ["a"]}, "1 joint_names and 12 interface_values"),
    ],
)
def test_a_command_that_is_none_is_refused_in_words(message, words: str) -> None:
    with pytest.raises(WireError, match=words):
        CommandReader(JOINTS).read(encode(DYNAMIC, message))
    with pytest.raises(WireError, match="bytes that are none"):
        CommandReader(JOINTS).read(encode(DYNAMIC, message)[:100])


def test_odometry_has_its_twist_in_the_trunk_and_the_estimate_in_the_world() -> None:
    message = {
        "header": {"stamp": {"sec": 2}, "frame_id": "odom"},
        "child_frame_id": "trunk",
        "pose": {"pose": {"position": {"x": 1.0, "z": 0.3}, "orientation": {"z": 0.6, "w": 0.8}}},
        "twist": {"twist": {"linear": {"x": 1.0, "y": 0.5, "z": 2.0}, "angular": {"y": 7.0}}},
    }
    reader = OdometryReader()
    for _ in range(2):
        stamp, base = reader.read(encode(ODOMETRY, message))
        assert stamp == 2_000_000_000
        assert list(base.position) == [1.0, 0.0, 0.3]
        assert list(base.orientation) == [0.8, 0.0, 0.0, 0.6]
        # cosine and sine of the yaw are 0.28 and 0.96
        assert np.allclose(base.linear_velocity, [0.28 - 0.48, 0.96 + 0.14, 2.0])
        assert list(base.angular_velocity) == [0.0, 7.0, 0.0]


def test_bytes_by_another_writer_are_read_all_the_same() -> None:
    data = bytearray(encode(DYNAMIC, command()))
    reader = CommandReader(JOINTS)
    _, plain = reader.read(bytes(data))
    at = bytes(data).index(b"FL_hip_joint\0")
    assert data[at + 13 : at + 16] == bytes(3)
    data[at + 13 : at + 16] = b"xyz"  # bytes that only fill up need not be zero
    for _ in range(2):
        stamp, read = reader.read(bytes(data) + b"\0\0\0")  # nor end where a writer of ours ends
        assert stamp == 7_000_000_009
        assert np.array_equal(read.kd, plain.kd)
    odd = encode(ODOMETRY, {"child_frame_id": "ab"}).replace(b"ab\0", b"a\0\0")  # a text that ends early
    assert OdometryReader().read(odd)[1].position.tolist() == [0.0, 0.0, 0.0]


@given(data=st.binary(max_size=400), name=st.sampled_from(sorted(DEFINITIONS)), whole=st.booleans())
def test_no_bytes_do_more_than_be_refused(data: bytes, name: str, whole: bool) -> None:
    data = (b"\0\1\0\0" if whole else b"") + data
    for read in (
        lambda: decode(name, data),
        lambda: CommandReader(JOINTS).read(data),
        lambda: OdometryReader().read(data),
    ):
        with suppress(WireError):
            read()


def test_another_text_is_another_layout() -> None:
    layout = FixedLayout("sensor_msgs/msg/JointState", {"name": ["a"], "position": [1.0]})
    same = encode("sensor_msgs/msg/JointState", {"name": ["a"], "position": [5.0]})
    assert list(present(layout.numbers_in(same))) == [5.0]
    assert layout.numbers_in(encode("sensor_msgs/msg/JointState", {"name": ["b"], "position": [5.0]})) is None
    assert layout.numbers_in(encode("sensor_msgs/msg/JointState", {"name": ["a"]})) is None


def test_stamps_grow_by_a_period_with_each_tick_and_never_fall_back() -> None:
    stamps = Stamps()
    first = stamps.of(10)
    assert stamps.of(11) == first + PERIOD_NS
    assert stamps.of(14) == first + 4 * PERIOD_NS  # three were lost
    assert (stamps.tick(first), stamps.tick(first + PERIOD_NS), stamps.tick(first + 1)) == (10, 11, None)
    again = stamps.of(3)  # another driver
    assert again > first + 4 * PERIOD_NS
    assert (stamps.tick(first), stamps.tick(again)) == (None, 3)


# -- the file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "node: /bobbing_stance",
            "node: bobbing",
            "ros2.node: 'bobbing' is not allowed; expected a whole name",
        ),
        ("domain: 0 ", "domain: 0.5 ", "ros2.domain: 0.5 is not allowed; expected a whole number"),
        ("domain: 0 ", "domain: 231 ", "ros2.domain: 231 is not allowed; expected a number from 0 to 230"),
        ("domain: 0 ", "states: /a ", "ros2.states: unknown key; known are command, domain, interface, node"),
        ("domain: 0 ", "odometry_age: 1 ", "ros2.odometry_age: 1 is not allowed"),
        ("ros2:", "ros:", "ros2: is missing"),
        (
            "address:",
            "switches_within_a_tick: true\n  address:",
            "true is not allowed with gain_port.kind ros2",
        ),
        ("address:", "start: [a, '{port}']\n  address:", "start: is left out with gain_port.kind ros2"),
    ],
)
def test_a_bad_file_is_refused_by_key_and_what_is_allowed(tmp_path: Path, old, new, words) -> None:
    text = (EXAMPLE / "controller.yaml").read_text()
    assert old in text
    path = tmp_path / "controller.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ControllerInputError, match=f"{path}: .*{words}"):
        read_controller_file(path)


def test_a_network_that_others_share_is_refused() -> None:
    node = present(read_controller_file(EXAMPLE / "controller.yaml").node)
    assert (node.state, node.command) == ("/bobbing_stance/robot_state", "/bobbing_stance/joint_command")
    others = [name for name in os.listdir("/sys/class/net") if name != "lo"]
    for name in others:
        with pytest.raises(HardwareInputError, match="commands for motors travel inside one machine only"):
            check_node(type(node)(**{**vars(node), "interface": name}))
    with pytest.raises(HardwareInputError, match="no network interface 'none'"):
        check_node(type(node)(**{**vars(node), "interface": "none"}))


def test_calls_that_are_none_are_answered_in_words() -> None:
    client = RelayedParameters(1)
    for line in ("", "{}", "[1]", '{"service": "get_parameters", "request": 1}'):
        assert "no call" in answered(client, line)["error"]
    assert "no service 'x'" in answered(client, '{"service": "x", "request": []}')["error"]
    assert "Connection refused" in answered(client, '{"service": "get_parameters", "request": []}')["error"]


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
        self._link.send(state.pack())
        assert self._states.wait(5.0)
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
        assert world.relayed.counters.prompt > 140
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
    first = started(name)
    try:
        controller = process.ProcessController(read_controller_file(file))
        robot = load_robot("go2")
        gait = LeggedEvaluator({"robot": "go2"}).gait({})
        gains = {gain.name: gain.default for gain in controller.gains}
        controller.reset(robot, gains, gait, lambda time: (0.0, 0.0, 0.0))
        standing = SensorReading(-0.5, robot.home_joints.copy())
        assert controller.step(standing).kp[0] == 60.0
        first.kill()
        first.wait()
        with pytest.raises(ControllerFault, match="no answer to tick"):
            controller.step(standing)
        second = started(name)
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
        second.kill()
        second.wait()
    finally:
        first.kill()
