"""What every link shares: the robot's clock, commands that may go out, the remote; and a Go1 over UDP."""

import math
import re
import struct
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.hardware.dds_peers import Discovery, Peer
from safebo.hardware.errors import CommandError, HardwareInputError, LinkError, WireError
from safebo.hardware.robot_link import Arrival, LinkCounters, RobotClock, checked_command
from safebo.hardware.unitree import go1_messages as go1
from safebo.hardware.unitree import rpc_messages as rpc
from safebo.hardware.unitree.commanders import CommanderNames
from safebo.hardware.unitree.go1_link import Go1Link, Go1RobotSide
from safebo.hardware.unitree.go1_udp import Go1Network, Go1UdpClient
from safebo.hardware.unitree.joints import JOINT_NAMES, MOTOR_NAMES, motors_of
from safebo.hardware.unitree.remote import KEYS, Remote, encode_remote, stop_pressed
from safebo.hardware.unitree.services import MotionService
from safebo.robots.quadruped.interface import JointCommand

FEW = settings(max_examples=40, deadline=None)
N, D, L, R = Arrival.NEW, Arrival.DUPLICATE, Arrival.LATE, Arrival.RESTART


def follow(clock, counters, *arrivals):
    return [clock.follow(tick % 2**32, now, counters) for tick, now in arrivals]


def test_the_newest_wins_and_nothing_goes_back_in_time() -> None:
    clock, counters = RobotClock(1e-3, 0.002), LinkCounters()
    arrivals = [(1, 0.0), (4, 0.001), (2, 0.002), (3, 0.003), (4, 0.004), (6, 0.005)]
    assert follow(clock, counters, *arrivals) == [N, N, L, L, D, N]
    assert (counters.accepted, counters.late, counters.duplicate) == (3, 2, 1)
    assert clock.time == pytest.approx(0.005)


def test_age_is_told_by_ticks_and_not_by_packets() -> None:
    clock, counters = RobotClock(1e-3, 0.002), LinkCounters()
    follow(clock, counters, (10, 1.0), (10, 1.1), (10, 1.4))
    assert counters.duplicate == 2


def test_missing_states_are_counted() -> None:
    clock, counters = RobotClock(1e-3, 0.002), LinkCounters()
    follow(clock, counters, (100, 0.0), (102, 0.002), (110, 0.010), (113, 0.013))
    assert counters.lost == 3  # 104, 106, 108; three milliseconds instead of two are no loss


def test_the_clock_wraps_without_a_restart() -> None:
    clock, counters = RobotClock(1e-6, 0.002), LinkCounters()
    steps = [(2**32 - 3000 + 2000 * k, 0.002 * k) for k in range(5)]
    assert set(follow(clock, counters, *steps)) == {N}
    assert clock.time == pytest.approx(0.008)
    assert counters.lost == counters.restarts == 0


@pytest.mark.parametrize("tick_seconds", [1e-3, 1e-6])
@pytest.mark.parametrize("uptime", [10.0, 3000.0])
def test_a_restart_of_the_robot_is_seen(tick_seconds: float, uptime: float) -> None:
    """Also where the tick has wrapped so far that falling back looks like a jump ahead (microseconds)."""
    clock, counters = RobotClock(tick_seconds, 0.002), LinkCounters()
    before = round(uptime / tick_seconds)
    assert follow(clock, counters, (before, 50.0), (round(0.5 / tick_seconds), 52.0)) == [N, R]
    assert counters.restarts == 1
    assert clock.time == 0.0
    assert clock.milliseconds == 500


def test_a_silence_is_no_restart() -> None:
    clock, counters = RobotClock(1e-3, 0.002), LinkCounters()
    assert follow(clock, counters, (1000, 0.0), (6000, 5.0), (6002, 5.002)) == [N, N, N]
    assert counters.restarts == 0


@FEW
@given(st.lists(st.integers(0, 2**32 - 1), max_size=30), st.sampled_from([1e-3, 1e-6]))
def test_any_ticks_are_judged_and_counted_once(ticks: list[int], tick_seconds: float) -> None:
    clock, counters = RobotClock(tick_seconds, 0.002), LinkCounters()
    for i, tick in enumerate(ticks):
        before = clock.milliseconds
        arrival = clock.follow(tick, 0.002 * i, counters)
        if arrival in (D, L):
            assert clock.milliseconds == before
        else:
            assert abs(clock.milliseconds - round(tick * tick_seconds * 1e3)) % 4294967 <= 1
    assert counters.accepted + counters.late + counters.duplicate == len(ticks)


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39])
def test_commands_that_are_not_finite_never_go_out(row: int, bad: float) -> None:
    command = JointCommand()
    name = ("position", "velocity", "torque", "kp", "kd")[row]
    getattr(command, name)[7] = bad
    with pytest.raises(CommandError, match=f"{name} of RL_thigh is"):
        checked_command(command, JOINT_NAMES)


def test_commands_with_negative_gains_or_other_shapes_never_go_out() -> None:
    for name in ("kp", "kd"):
        command = JointCommand()
        getattr(command, name)[2] = -0.5
        with pytest.raises(CommandError, match=f"{name} of FL_calf is -0.5"):
            checked_command(command, JOINT_NAMES)
    command = JointCommand()
    command.torque[2] = -0.5
    assert checked_command(command, JOINT_NAMES)[2, 2] == -0.5
    with pytest.raises(CommandError, match="five rows of 12"):
        checked_command(JointCommand(kp=np.zeros(11)), JOINT_NAMES)
    with pytest.raises(CommandError, match="shape"):
        checked_command(JointCommand(*(np.zeros(11) for _ in range(5))), JOINT_NAMES)


def decode_remote(data: bytes) -> Remote:
    """Keys and sticks in the 40 bytes of a remote control."""
    _, pressed, *sticks = struct.unpack("<2sH5f16x", data)
    return Remote(frozenset(name for bit, name in enumerate(KEYS) if pressed >> bit & 1), tuple(sticks))


def test_remote_keys_by_hand() -> None:
    data = bytearray(40)
    data[2], data[3] = 0b0010_0000, 0b0000_0010  # L2 is bit 5, B bit 9
    assert decode_remote(bytes(data)).keys == {"L2", "B"}
    assert stop_pressed(bytes(data))
    data[3] = 0
    assert not stop_pressed(bytes(data))
    assert decode_remote(bytes(40)).keys == frozenset()
    order = [
        "R1",
        "L1",
        "start",
        "select",
        "R2",
        "L2",
        "F1",
        "F2",
        "A",
        "B",
        "X",
        "Y",
        "up",
        "right",
        "down",
        "left",
    ]
    for bit, key in enumerate(order):
        data[2:4] = (1 << bit).to_bytes(2, "little")
        assert decode_remote(bytes(data)).keys == {key}
    struct.pack_into("<5f", data, 4, 0.1, 0.2, 0.3, 0.4, 0.5)  # lx, rx, ry, L2, ly
    assert decode_remote(bytes(data)).sticks == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))
    with pytest.raises(ValueError, match="'L3'"):
        encode_remote(["L3"])


@FEW
@given(st.sets(st.sampled_from(KEYS)), st.tuples(*[st.floats(-1, 1, width=32)] * 5))
def test_remote_round_trip(keys: set[str], sticks: tuple[float, ...]) -> None:
    remote = decode_remote(encode_remote(keys, sticks))
    assert remote.keys == keys
    assert remote.sticks == sticks
    assert stop_pressed(encode_remote(keys)) == ({"L2", "B"} <= keys)


@FEW
@given(st.binary(max_size=80), st.booleans())
def test_calls_are_decoded_or_refused(data: bytes, headed: bool) -> None:
    for decode, kind in ((rpc.decode_request, rpc.RpcRequest), (rpc.decode_response, rpc.RpcResponse)):
        try:
            call = decode(b"\x00\x01\x00\x00" + data if headed else data)
        except WireError:
            continue
        assert headed or data[:4] == b"\x00\x01\x00\x00"
        assert isinstance(call, kind)


def test_truncated_calls_are_refused() -> None:
    data = rpc.encode_request(rpc.RpcRequest(1, 1003, '{"name": "ai"}', b"xyz"))
    assert rpc.decode_request(data).binary == b"xyz"
    for end in range(len(data) - 1):
        with pytest.raises(WireError):
            rpc.decode_request(data[:end])


def test_the_motion_service_lets_go_when_asked() -> None:
    service = MotionService("ai")
    assert service.answer("motion_switcher", rpc.RpcRequest(1, 1001)) == (0, '{"form": "0", "name": "ai"}')
    assert service.answer("sport", rpc.RpcRequest(2, 1005)) == (0, "")
    assert service.asked == [("StandDown", (0.0, 0.0, 0.0))]
    service.answer("motion_switcher", rpc.RpcRequest(3, 1003))
    assert service.answer("motion_switcher", rpc.RpcRequest(4, 1001)) == (0, '{"form": "0", "name": ""}')
    assert service.answer("motion_switcher", rpc.RpcRequest(5, 1002, '{"name": "mcf"}')) == (0, "")
    assert service.name == "mcf"
    assert service.answer("sport", rpc.RpcRequest(5, 1008, '{"x": 0.3, "y": 0, "z": -0.5}')) == (0, "")
    assert service.asked[1:] == [("Move", (0.3, 0.0, -0.5))]
    for parameter in (
        "",
        "[]",
        '{"x": 1, "y": 1}',
        '{"x": 1, "y": 1, "z": "1"}',
        '{"x": 1, "y": 1, "z": NaN}',
        '{"x": 1, "y": 1, "z": -1%s}' % ("0" * 400),
    ):
        assert service.answer("sport", rpc.RpcRequest(5, 1008, parameter))[0] == 3204
    service.able = lambda call: False
    assert service.answer("sport", rpc.RpcRequest(5, 1004))[0] == 3202
    service.able = lambda call: True
    listed = '[{"name": "sport_mode", "status": 0, "protect": 0}]'
    assert service.answer("robot_state", rpc.RpcRequest(5, 1003)) == (0, listed)
    off = rpc.RpcRequest(5, 1001, '{"name": "sport_mode", "switch": 0}')
    assert service.answer("robot_state", off) == (0, '{"name": "sport_mode", "status": 1}')
    assert service.name == ""
    assert service.answer("sport", rpc.RpcRequest(5, 1004))[0] == 3202  # nothing would do it
    assert len(service.asked) == 2
    on = rpc.RpcRequest(5, 1001, '{"name": "sport_mode", "switch": 1}')
    assert service.answer("robot_state", on) == (0, '{"name": "sport_mode", "status": 0}')
    assert service.name == "mcf"
    assert service.answer("robot_state", rpc.RpcRequest(5, 1001, '{"name": "lidar", "switch": 1}'))[0] == 3204
    assert service.answer("robot_state", rpc.RpcRequest(5, 1002))[0] == 3203
    assert service.answer("motion_switcher", rpc.RpcRequest(5, 1004, '{"silent": true}')) == (0, "")
    assert service.answer("motion_switcher", rpc.RpcRequest(5, 1005)) == (0, '{"silent": true}')
    for parameter in ("", "[]", "{}", "nonsense"):
        assert service.answer("motion_switcher", rpc.RpcRequest(6, 1002, parameter))[0] == 3204
    assert service.answer("motion_switcher", rpc.RpcRequest(7, 4))[0] == 3203
    assert service.answer("lights", rpc.RpcRequest(8, 1001))[0] == 3203


@pytest.fixture
def go1_pair():
    side = Go1RobotSide(port=0)
    now = [100.0]
    link = Go1Link(Go1Network(port=side.port), clock=lambda: now[0])
    yield link, side, now
    link.close()
    side.close()


def state_at(microseconds: int):
    state = go1.new_low_state()
    state["tick"] = microseconds
    state["motor_state"]["q"] = 0.01 * np.arange(20)
    state["motor_state"]["tau_est"] = 256 * np.arange(20)
    state["bms_state"]["cell_vol"][:6] = 130
    state["sn"] = (1, 2)
    return state


def answer(side: Go1RobotSide, state) -> None:
    side.answer_packet(go1.encode_low_state(state), side.senders[-1])


def test_go1_command_and_state_across_udp(go1_pair) -> None:
    link, side, now = go1_pair
    assert link.read() is None
    target = np.linspace(-1, 1, 12)
    link.write(JointCommand(position=target, kp=np.full(12, 60.0), kd=np.arange(12.0)))
    assert side.wait(1.0)
    (command,) = side.commands()
    motors = command["motor_cmd"][motors_of()]
    np.testing.assert_array_equal(motors["q"], target.astype(np.float32))
    np.testing.assert_array_equal(motors["kd"] / 16, np.arange(12))
    assert set(command["motor_cmd"]["mode"][:12].tolist()) == {0x0A}
    assert set(command["motor_cmd"]["mode"][12:].tolist()) == {0x00}

    for tick in (2_000, 8_000, 4_000, 6_000, 8_000):
        answer(side, state_at(tick))
    assert link.wait(1.0)
    time.sleep(0.01)
    state = link.read()
    assert state.tick == 8
    assert state.reading.time == pytest.approx(0.006)
    by_motor = dict(zip(MOTOR_NAMES, range(12), strict=True))
    order = [by_motor[name] for name in JOINT_NAMES]
    np.testing.assert_allclose(state.reading.joint_position, 0.01 * np.array(order), rtol=1e-6)
    np.testing.assert_allclose(state.torque, order)
    assert state.battery.voltage == pytest.approx(6 * 130 * 0.032)
    assert (link.counters.late, link.counters.duplicate, link.counters.lost) == (2, 1, 2)
    now[0] += 0.25
    assert link.read() is None


def test_go1_damage_and_strangers_are_counted(go1_pair) -> None:
    link, side, _ = go1_pair
    link.write(JointCommand())
    assert side.wait(1.0)
    side.commands()
    side._udp.send(b"nonsense", side.senders[-1])
    stranger = Go1UdpClient(Go1Network(port=link._udp.port))
    stranger.send(go1.encode_low_state(state_at(5)))
    answer(side, state_at(7_000))
    end = time.monotonic() + 2
    state = None
    while state is None and time.monotonic() < end:
        state = link.read()
    assert state is not None
    assert state.tick == 7
    assert link.counters.damaged == 1
    assert link._udp.strangers == 1
    stranger.close()


def test_go1_refuses_what_a_packet_cannot_carry(go1_pair) -> None:
    link, side, _ = go1_pair
    with pytest.raises(CommandError, match="torque"):
        link.write(JointCommand(torque=np.full(12, 500.0)))
    assert link.counters.sent == 0
    assert not side.wait(0.02)


def test_go1_is_asked_for_states_by_commands_that_ask_for_nothing() -> None:
    side = Go1RobotSide(port=0)
    heard, over = [], threading.Event()

    def robot() -> None:
        tick = 0
        while not over.is_set():
            if side.wait(0.01):
                for command in side.commands():
                    heard.append(command)
                    tick += 2_000
                    answer(side, state_at(tick))

    thread = threading.Thread(target=robot)
    thread.start()
    link = Go1Link(Go1Network(port=side.port))
    try:
        done = link.prepare(timeout=5.0)
    finally:
        over.set()
        thread.join()
        link.close()
        side.close()
    assert int(done[0].split(" states in ")[0]) >= 50
    # A Go1 answers commands alone: what is known of it now is all there is until the first tick.
    assert link.serial() == "1-2"
    for command in heard:
        motors = command["motor_cmd"]
        assert set(motors["mode"].tolist()) == {0x00}
        assert not any(motors[name].any() for name in ("kp", "kd", "tau"))
        assert set(motors["dq"].tolist()) == {16000.0}


def test_go1_needs_a_steady_stream() -> None:
    link = Go1Link(Go1Network(port=9))
    with pytest.raises(LinkError, match="no steady stream of states within"):
        link.prepare(timeout=0.05)
    link.close()


def test_everything_but_a_participant_works_without_cyclone_dds() -> None:
    code = """
import sys
sys.modules["cyclonedds"] = None
import safebo.hardware.robot_link, safebo.hardware.robot_stream
from safebo.hardware.unitree import dds, go1_link, go2_link, services, rpc_messages
dds.dds_version = lambda: None
try:
    go2_link.Go2Link(dds.DdsNetwork("lo", 1))
except dds.DdsVersionError as error:
    print(error)
print([name for name in ("torch", "mujoco", "cyclonedds.core") if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Cyclone DDS is not installed: a virtual Go2 needs" in out
    assert out.endswith("[]\n")


def test_go1_addresses() -> None:
    with pytest.raises(HardwareInputError, match="another machine"):
        Go1Network("192.168.123.10").check()
    Go1Network("192.168.123.10", physical=True).check()
    with pytest.raises(HardwareInputError, match="is not on this machine"):
        Go1Network(physical=True).check()
    with pytest.raises(HardwareInputError, match="no IPv4 address"):
        Go1Network("go1").check()
    with pytest.raises(HardwareInputError, match="port 70000"):
        Go1Network(port=70000).check()
    side = Go1RobotSide(port=0)
    with pytest.raises(LinkError, match=f"UDP port {side.port}"):
        Go1RobotSide(port=side.port)
    side.close()


@pytest.mark.parametrize("form", ["sealed", "plain"])
def test_a_go1_of_either_form_of_checksum_is_commanded_and_the_other_form_is_said(form) -> None:
    other: Any = {"sealed": "plain", "plain": "sealed"}[form]
    side = Go1RobotSide(port=0, crc=form)
    state, stop = go1.new_low_state(), threading.Event()

    def live() -> None:
        while not stop.is_set():
            side.wait(0.01)
            side.commands()
            state["tick"] += 2000
            for address in side.senders:
                side.answer_packet(go1.encode_low_state(state, form), address)

    robot = threading.Thread(target=live)
    robot.start()
    try:
        link = Go1Link(Go1Network(port=side.port), crc=form)
        assert re.match(r"5\d states", link.prepare(3.0)[0])
        link.close()
        deaf = Go1Link(Go1Network(port=side.port), crc=other)
        with pytest.raises(LinkError, match=f"nothing came at all.*other form: try --checksum {form}"):
            deaf.prepare(0.3)
        deaf.close()
        choosy = Go1Link(Go1Network(port=side.port), crc=form, state_crc=other)
        with pytest.raises(LinkError, match=f"The last packet was refused: .*it matches the {form} form"):
            choosy.prepare(0.3)
        choosy.close()
        easy = Go1Link(Go1Network(port=side.port), crc=form, state_crc="ignored")
        assert re.match(r"5\d states", easy.prepare(3.0)[0])
        easy.close()
    finally:
        stop.set()
        robot.join()
        side.close()


class Unreadable:
    """A reader of discovery, in a domain with a program whose name is not UTF-8."""

    def read(self, most: int) -> list[Any]:
        return [b"regul\xe9".decode()]


class Known:
    """A reader of discovery that knows one program, which publishes one topic."""

    participant_key = key = "one"
    topic_name = "rt/lowcmd"
    qos = (SimpleNamespace(key="__Pid", value="12"),)

    def read(self, most: int) -> list[Any]:
        return [self]


def test_a_program_whose_name_cannot_be_read_is_counted_without_it() -> None:
    def named(writers: Any, processes: Any) -> list[str]:
        return [
            str(peer)
            for peer in Discovery("me", lambda ask: ask(), writers, processes).publishers("rt/lowcmd")
        ]

    assert named(Known(), Known()) == ["process 12"]
    assert named(Known(), Unreadable()) == ["a process"]
    assert named(Unreadable(), Unreadable()) == []


def test_a_name_that_cannot_be_found_does_not_disturb_who_counts_commanders() -> None:
    answers: list[Any] = [ZeroDivisionError(), [], [Peer(process="12")]]

    def look() -> list[Peer]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    names = CommanderNames(look)
    end = time.monotonic() + 30
    while not (words := names.named(1)) and time.monotonic() < end:
        time.sleep(0.001)
    names.close()
    assert words == "process 12"
    assert not answers
