"""A controller that is a node of ROS 2: its messages, number by number, and its file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from present import present

from safebo.hardware.errors import HardwareInputError, WireError
from safebo.hardware.ros2.cdr import decode, encode
from safebo.hardware.ros2.fixed_layout import FixedLayout, stamp_of
from safebo.hardware.ros2.interfaces import DEFINITIONS
from safebo.hardware.ros2.relay import PERIOD_NS, Stamps, check_node
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
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import GainSet, Mode, RelayState
from safebo.robots.controllers.protocol import ControllerInputError
from safebo.robots.controllers.ros_node import RelayedParameters
from safebo.robots.quadruped.interface import SensorReading

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")


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
