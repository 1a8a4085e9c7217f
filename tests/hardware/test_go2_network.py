"""A Go2's network on the loopback interface, two processes, the robot's own protocol between them."""

import os
import subprocess
import sys
import threading
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from present import present

from safebo.hardware.errors import CommandError, DdsVersionError, HardwareInputError, LinkError
from safebo.hardware.unitree import dds
from safebo.hardware.unitree.dds import DdsNetwork, check_version
from safebo.hardware.unitree.go2_broadcasts import SPORT_MODE_STATE, WIRELESS_CONTROLLER
from safebo.hardware.unitree.go2_messages import decode_low_state, encode_low_state, new_low_state
from safebo.hardware.unitree.joints import JOINT_NAMES, MOTOR_NAMES
from safebo.hardware.unitree.remote import Remote, stop_pressed
from safebo.hardware.unitree.services import ServiceClient, active_motion_service
from safebo.robots.quadruped.interface import JointCommand

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

from safebo.hardware.unitree.go2_link import COMMANDS, Go2Link

DOMAIN = 20 + os.getpid() % 200  # other test runs on this machine have their own


def decode_broadcast(data: bytes, dtype: np.dtype) -> np.ndarray:
    """The record in wire bytes, after four of encapsulation."""
    assert len(data) == 4 + dtype.itemsize
    return np.frombuffer(bytearray(data[4:]), dtype).reshape(())


def until(condition, seconds: float = 5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)
    return condition()


@pytest.fixture(scope="module")
def robot():
    """A kinematic Go2 in another process; it ends by itself after a while."""
    script = Path(__file__).parent / "virtual_go2.py"
    process = subprocess.Popen([sys.executable, script, str(DOMAIN), "30"], stdout=subprocess.PIPE, text=True)
    assert present(process.stdout).readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def link(robot):
    link = Go2Link(DdsNetwork("lo", DOMAIN))
    yield link
    link.close()


def test_prepare_release_command_and_read_back(link, robot) -> None:
    with pytest.raises(LinkError, match="no steady stream"):
        link.prepare(timeout=0.0)
    assert link.command_writers() == 0
    asking = dds.DdsParticipant(DdsNetwork("lo", DOMAIN))
    switcher = ServiceClient(asking, "motion_switcher")
    assert active_motion_service(switcher) == "mcf"
    done = link.prepare(timeout=10)
    assert "motion service 'mcf': lay down, released" in done
    assert active_motion_service(switcher) == ""
    asking.close()
    assert link.command_writers() == 1
    assert link.foreign_commands() == ""

    target = np.linspace(-0.6, 0.5, 12)
    command = JointCommand(position=target, kp=np.arange(12.0), kd=np.ones(12))

    def followed():
        link.write(command)
        state = link.read()
        return state if state is not None and np.allclose(state.reading.joint_position, target) else None

    state = until(followed)
    assert state is not None
    np.testing.assert_allclose(state.torque, np.arange(12))  # kp came back where it belongs
    by_motor = dict(zip(MOTOR_NAMES, range(30, 42), strict=True))
    assert state.motor_temperature.tolist() == [by_motor[name] for name in JOINT_NAMES]
    assert state.reading.linear_acceleration.tolist() == pytest.approx([0, 0, 9.81])
    assert state.serial == (2024, 77)
    assert state.battery.charge == 88
    assert state.battery.cell_spread == pytest.approx(0.007)
    assert stop_pressed(state.remote)
    assert link.counters.damaged == 0
    assert link.counters.sent > 0

    select = dds.DdsParticipant(DdsNetwork("lo", DOMAIN))
    ServiceClient(select, "motion_switcher").call(1002, {"name": "ai"})
    seen = until(lambda: link.foreign_commands())  # the watch asks again after a second
    assert seen == "the motion service 'ai' commands the joints"
    ServiceClient(select, "motion_switcher").call(1003)
    select.close()
    assert until(lambda: not link.foreign_commands())

    broken = deepcopy(command)
    broken.torque[4] = np.nan
    sent = link.counters.sent
    with pytest.raises(CommandError, match="torque of FR_thigh is nan"):
        link.write(broken)
    assert link.counters.sent == sent


def test_a_second_program_that_commands_is_seen(link) -> None:
    link.prepare()
    assert link.foreign_commands() == ""
    intruder = dds.DdsParticipant(DdsNetwork("lo", DOMAIN))
    intruder.writer(COMMANDS, "LowCmd_")
    assert until(lambda: link.command_writers() == 2)
    assert "1 other program" in link.foreign_commands()  # at once; by name as soon as it is known
    assert until(lambda: f"is published by process {os.getpid()}" in link.foreign_commands())
    intruder.close()
    assert until(lambda: link.command_writers() == 1)


COMMANDER = """
import sys
from safebo.hardware.unitree.dds import DdsNetwork
from safebo.hardware.unitree.go2_link import Go2Link
link = Go2Link(DdsNetwork("lo", int(sys.argv[1])), about="safebo-guardian go2 for tuners at here:1")
print(link.prepare()[-1], flush=True)
seen = ""
while not seen and sys.stdin.readline() != "end\\n":
    seen = link.foreign_commands()
print(repr(seen), flush=True)
"""


def test_a_second_guardian_is_refused_before_it_publishes_anything(robot) -> None:
    """And the first, which looks all the while, sees nothing of it."""
    first = subprocess.Popen(
        [sys.executable, "-c", COMMANDER, str(DOMAIN)], stdin=-1, stdout=subprocess.PIPE, text=True
    )
    assert present(first.stdout).readline() == "no other program publishes rt/lowcmd\n"
    second = Go2Link(DdsNetwork("lo", DOMAIN))
    who = rf"published by safebo-guardian go2 for tuners at here:1, process {first.pid} on host '.+'\."
    asked = present(first.stdin)

    def prepare() -> None:
        with pytest.raises(LinkError, match=who):
            second.prepare()
        assert second._writer is None
        with pytest.raises(LinkError, match="commands nothing before it is prepared"):
            second.write(JointCommand(position=np.zeros(12), kp=np.zeros(12), kd=np.zeros(12)))

    prepare()
    for _ in range(20):
        print("look", file=asked, flush=True)
        time.sleep(0.02)
    print("end", file=asked, flush=True)
    assert present(first.stdout).readline() == "''\n"
    second.close()
    first.wait()


def test_a_strangers_packets_are_left_out_and_the_stream_goes_on(link) -> None:
    noise = dds.DdsParticipant(DdsNetwork("lo", DOMAIN))
    assert until(lambda: link.read() is not None)
    writer = noise.writer("rt/lowstate", "LowState_")
    assert until(lambda: writer.readers() >= 1)
    headless = b"\x00\x01\x00\x00" + bytes(1176)
    wrong_checksum = bytearray(encode_low_state(new_low_state()))
    wrong_checksum[-1] ^= 1
    for data in (headless, bytes(wrong_checksum)):
        writer.write(data)
    assert until(lambda: (link.read(), link.other_robots())[1])
    assert (link.counters.damaged, link.counters.restarts) == (0, 0)
    assert until(lambda: link.read() is not None)
    noise.close()


def other_robot(tick: int, serial: tuple[int, int] = (7, 8)) -> bytes:
    state = new_low_state()
    state["sn"], state["tick"] = serial, tick
    return encode_low_state(state)


def test_two_robots_on_one_network_are_said_to_be_two(link) -> None:
    """Not a restart: the states of the other one are left out, while walking and at the start."""
    link.prepare()
    assert link.other_robots() == ""
    noise = dds.DdsParticipant(DdsNetwork("lo", DOMAIN), "a robot of ours")
    writer = noise.writer("rt/lowstate", "LowState_")
    assert until(lambda: writer.readers() >= 1)
    ticks = []
    for number in range(20):
        writer.write(other_robot(9_000_000 + 2 * number))
        state = until(link.read)
        ticks.append(state.tick)
        assert state.serial == (2024, 77)
    assert ticks == sorted(ticks)
    assert link.counters.restarts == 0
    assert link.other_robots() == "serial 7-8 publishes rt/lowstate beside the one that is guarded, 2024-77"

    later = Go2Link(DdsNetwork("lo", DOMAIN))
    speaks = threading.Event()

    def speak() -> None:
        for number in range(2000):
            if speaks.is_set():
                return
            writer.write(other_robot(9_100_000 + 2 * number))
            time.sleep(0.002)

    speaking = threading.Thread(target=speak)
    speaking.start()
    said = r"2 robots publish rt/lowstate on this network, serials (2024-77, 7-8|7-8, 2024-77) \(.*a robot of ours"
    try:
        with pytest.raises(LinkError, match=said):
            later.prepare()
    finally:
        speaks.set()
        speaking.join()
    assert later._writer is None
    later.close()
    noise.close()
    assert until(lambda: (link.read(), not link.other_robots())[1])


def test_a_virtual_robot_tells_what_else_a_robot_tells(robot) -> None:
    participant = dds.DdsParticipant(DdsNetwork("lo", DOMAIN))
    slow = participant.reader("rt/lf/lowstate", "LowState_")
    motions = participant.reader("rt/sportmodestate", "SportModeState_")
    remotes = participant.reader("rt/wirelesscontroller", "WirelessController_")
    assert decode_low_state(until(slow.take)[0])["sn"].tolist() == [2024, 77]
    motion = decode_broadcast(until(motions.take)[0], SPORT_MODE_STATE)
    assert float(motion["body_height"]) == pytest.approx(0.32)
    remote = decode_broadcast(until(remotes.take)[0], WIRELESS_CONTROLLER)
    assert int(remote["keys"]) == 1 << 5 | 1 << 9
    participant.close()


def test_services_that_refuse_and_services_that_are_not_there(robot) -> None:
    participant = dds.DdsParticipant(DdsNetwork("lo", DOMAIN))
    sport = ServiceClient(participant, "sport")
    with pytest.raises(LinkError, match="refused with code 3203"):
        sport.call(9999)
    for absent in ("vui", "obstacles_avoid", "videohub", "audiohub"):
        client = ServiceClient(participant, absent)
        with pytest.raises(LinkError, match=f"'{absent}': call 1002 was refused with code 3203"):
            client.call(1002)
        assert client.call(1) == "1.0.0.1"
    with pytest.raises(LinkError, match="'lights': nobody offers it"):
        ServiceClient(participant, "lights").call(1001, timeout=0.1)
    participant.close()
    with pytest.raises(LinkError, match="closed"):
        sport.call(1005)


def test_entities_belong_to_the_thread_of_their_participant() -> None:
    participant = dds.DdsParticipant(DdsNetwork("lo", DOMAIN))
    caught = []

    def make() -> None:
        try:
            participant.writer(COMMANDS, "LowCmd_")
        except LinkError as error:
            caught.append(str(error))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert "by no other" in caught[0]
    participant.close()


def test_declared_types_serialise_as_the_codecs_write() -> None:
    """The general codec of Cyclone DDS, fed with the declared types, is an oracle for our layouts."""
    from types import SimpleNamespace

    from safebo.hardware.unitree import dds_types
    from safebo.hardware.unitree import go2_broadcasts as broadcasts
    from safebo.hardware.unitree import go2_messages as go2
    from safebo.hardware.unitree import rpc_messages as rpc

    def plain(value):
        if value.dtype.names is None:
            return value.tolist()
        if value.ndim:
            return [plain(item) for item in value]
        return SimpleNamespace(**{name: plain(value[name]) for name in value.dtype.names})

    random = np.random.default_rng(5)
    for dtype, kind, encode in (
        (go2.LOW_CMD, dds_types.LowCmd_, go2.encode_low_cmd),
        (go2.LOW_STATE, dds_types.LowState_, go2.encode_low_state),
    ):
        numbers = random.integers(0, 60, dtype.itemsize, dtype=np.uint8)
        record = np.frombuffer(bytearray(numbers.tobytes()), dtype).reshape(())
        if "bms_cmd" in present(dtype.names):
            record["bms_cmd"]["off"] = 0
        data = encode(record)
        record["crc"] = int.from_bytes(data[-4:], "little")
        assert kind.__idl__.serialize(plain(record), use_version_2=False) == data

    record = np.zeros((), broadcasts.SPORT_MODE_STATE)
    for name in present(record.dtype.names):
        if not name.startswith("gap"):
            shape = record[name].shape
            record[name] = random.integers(1, 100, shape)
    sample = plain(record)
    sample.stamp = SimpleNamespace(sec=sample.sec, nanosec=sample.nanosec)
    sample.imu_state = sample
    names = ("t_from_start", "x", "y", "yaw", "vx", "vy", "vyaw")
    sample.path_point = [
        SimpleNamespace(**dict(zip(names, point, strict=True))) for point in sample.path_point
    ]
    # one namespace stands for motion state and inertial unit; their fields have different names
    data = broadcasts.encode_broadcast(record)
    assert dds_types.SportModeState_.__idl__.serialize(sample, use_version_2=False) == data
    assert decode_broadcast(data, record.dtype) == record
    pressed = Remote(frozenset(("L2", "B")), (0.5, -0.5, 0.25, 0.0, 1.0))
    record = broadcasts.wireless_controller(pressed)
    sample = SimpleNamespace(lx=0.5, ly=1.0, rx=-0.5, ry=0.25, keys=1 << 5 | 1 << 9)
    data = dds_types.WirelessController_.__idl__.serialize(sample, use_version_2=False)
    assert broadcasts.encode_broadcast(record) == data.ljust(24, b"\0")

    for text, binary in (("", b""), ("{}", b"\x01"), ('{"name": "é"}', bytes(range(7)))):
        request = rpc.RpcRequest(7, 1003, text, binary, lease=3, priority=-2, no_reply=True)
        header = SimpleNamespace(
            identity=SimpleNamespace(id=7, api_id=1003),
            lease=SimpleNamespace(id=3),
            policy=SimpleNamespace(priority=-2, noreply=True),
        )
        sample = SimpleNamespace(header=header, parameter=text, binary=list(binary))
        data = dds_types.Request_.__idl__.serialize(sample, use_version_2=False)
        assert rpc.encode_request(request) == data + bytes(-len(data) % 4)
        assert rpc.decode_request(data) == request
        response = rpc.RpcResponse(7, 1003, -5, text, binary)
        header = SimpleNamespace(identity=SimpleNamespace(id=7, api_id=1003), status=SimpleNamespace(code=-5))
        sample = SimpleNamespace(header=header, data=text, binary=list(binary))
        data = dds_types.Response_.__idl__.serialize(sample, use_version_2=False)
        assert rpc.encode_response(response) == data + bytes(-len(data) % 4)
        assert rpc.decode_response(data) == response


def test_a_domain_is_on_one_interface_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    dds.DdsParticipant(DdsNetwork("lo", DOMAIN)).close()
    monkeypatch.setattr(DdsNetwork, "check", lambda self: None)
    with pytest.raises(HardwareInputError, match="cannot be on 'lo1'"):
        dds.DdsParticipant(DdsNetwork("lo1", DOMAIN))


def test_versions_that_must_not_meet_a_robot() -> None:
    check_version(False, "11.0.1")
    check_version(False, "0.10.2")
    check_version(True, "0.10.2")
    with pytest.raises(DdsVersionError, match=r"11\.0\.1 must not join"):
        check_version(True, "11.0.1")
    with pytest.raises(DdsVersionError, match=r"0\.10\.5 must not join"):
        check_version(True, "0.10.5")
    with pytest.raises(DdsVersionError, match=r"0\.10\.5 has not been tried"):
        check_version(False, "0.10.5")
    for physical in (True, False):
        with pytest.raises(DdsVersionError, match="not installed"):
            check_version(physical, None)


def test_virtual_robots_stay_on_the_loopback_and_physical_ones_off_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    DdsNetwork("lo", 1).check()
    with pytest.raises(HardwareInputError, match="is not on 'lo'"):
        DdsNetwork("lo", 0, physical=True).check()
    with pytest.raises(HardwareInputError, match="no network interface 'lo0x'"):
        DdsNetwork("lo0x", 1).check()
    with pytest.raises(HardwareInputError, match="no network interface"):
        DdsNetwork("../net/lo", 1).check()
    with pytest.raises(HardwareInputError, match="domain 231"):
        DdsNetwork("lo", 231).check()
    monkeypatch.setattr("safebo.hardware.dds._LOOPBACK", 0)  # no interface is a loopback any more
    with pytest.raises(HardwareInputError, match="leads to other machines"):
        DdsNetwork("lo", 1).check()
    monkeypatch.setattr(dds, "dds_version", lambda: "11.0.1")
    with pytest.raises(DdsVersionError, match="must not join"):
        dds.DdsParticipant(DdsNetwork("lo", 0, physical=True))
