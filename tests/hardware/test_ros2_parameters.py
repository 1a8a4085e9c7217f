"""ROS 2's messages byte for byte, and parameters of nodes over DDS, against a peer that shares no code with safebo."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from present import present

from safebo.hardware.errors import WireError
from safebo.hardware.ros2.cdr import decode, encode
from safebo.hardware.ros2.interfaces import DEFINITIONS, dds_name, fields_of
from safebo.hardware.ros2.names import nodes_among
from safebo.hardware.ros2.parameters import Type, value_in, value_message
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.gain_port import write_and_read_back
from safebo.robots.controllers.ports import gain_port
from safebo.robots.controllers.protocol import GainPortError
from safebo.robots.controllers.ros_node import is_name
from safebo.robots.controllers.ros_parameters import RosParameter, RosParameterPort

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

import ros2_peer as peer
from cyclonedds.domain import DomainParticipant

from safebo.hardware.ros2.gain_parameters import GainParameters
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.services import HEADER

DOMAIN = 20 + (os.getpid() + 150) % 200  # other test runs on this machine have their own
HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "docs" / "examples" / "relayed_controller"
SERVER = """
import sys, time
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.parameters import Descriptor, ParameterServer, Type
declared = [Descriptor("gains.kp", Type.DOUBLE, 20, 150), Descriptor("horizon", Type.INTEGER, 1, 30),
            Descriptor("sets", Type.INTEGER, read_only=True)]
def counted(values):
    server.values["sets"] += 1
    values["sets"] += 1
    return "horizon 13 brings bad luck" if values["horizon"] == 13 else ""
server = ParameterServer(join("lo", int(sys.argv[1])), "/served", declared,
                         {"gains.kp": 60.0, "horizon": 20, "sets": 0}, counted)
print("ready", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    server.serve()
    time.sleep(0.0002)
"""


@pytest.fixture(scope="module")
def domain():
    """Two nodes in processes of their own: safebo's server, and the peer. This process's participant."""
    commands = [["-c", SERVER, str(DOMAIN)], [str(HERE / "ros2_peer.py"), str(DOMAIN), "60"]]
    nodes = [
        subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    for node in nodes:
        assert present(node.stdout).readline() == "ready\n"
    participant = join("lo", DOMAIN)
    yield participant
    participant.close()
    for node in nodes:
        node.kill()
        node.wait()


def double(name: str, value: float) -> peer.Parameter:
    return peer.Parameter(name, peer.ParameterValue(peer.DOUBLE, double_value=value))


def whole(name: str, value: int) -> peer.Parameter:
    return peer.Parameter(name, peer.ParameterValue(peer.INTEGER, integer_value=value))


# -- bytes -----------------------------------------------------------------------------------------------


def test_a_joint_state_is_written_as_by_hand() -> None:
    message = {
        "header": {"stamp": {"sec": 7, "nanosec": 9}, "frame_id": "ab"},
        "name": ["hip", "calf_"],
        "position": [0.5, -1.5],
        "effort": [3.0],
    }
    by_hand = (
        b"\x00\x01\x00\x00"  # plain CDR, little-endian
        b"\x07\x00\x00\x00"  # 0 sec
        b"\x09\x00\x00\x00"  # 4 nanosec
        b"\x03\x00\x00\x00ab\x00\x00"  # 8 frame_id with its zero, filled up
        b"\x02\x00\x00\x00"  # 16 two names
        b"\x04\x00\x00\x00hip\x00"  # 20
        b"\x06\x00\x00\x00calf_\x00\x00\x00"  # 28
        b"\x02\x00\x00\x00"  # 40 two positions,
        b"\x00\x00\x00\x00" + struct.pack("<2d", 0.5, -1.5)  # 44 filled up to 48
        + b"\x00\x00\x00\x00"  # 64 no velocities
        b"\x01\x00\x00\x00" + struct.pack("<d", 3.0)  # 68 one effort, at 72
    )  # fmt: skip
    assert encode("sensor_msgs/msg/JointState", message) == by_hand
    assert decode("sensor_msgs/msg/JointState", by_hand) == message | {"velocity": []}


def test_a_set_of_parameters_is_written_as_by_hand_behind_its_header() -> None:
    value = value_message(Type.DOUBLE, 2.5)
    request = {"parameters": [{"name": "kp", "value": value}]}
    by_hand = (
        b"\x00\x01\x00\x00"
        b"\x01\x02\x03\x04\x05\x06\x07\x08"  # the client's number
        b"\x05\x00\x00\x00\x00\x00\x00\x00"  # the request's
        b"\x01\x00\x00\x00"  # 16 one parameter
        b"\x03\x00\x00\x00kp\x00"  # 20
        b"\x03\x00"  # 27 type, bool
        b"\x00\x00\x00" + bytes(8)  # 29 filled up to 32, integer
        + struct.pack("<d", 2.5)  # 40 double
        + b"\x01\x00\x00\x00\x00\x00\x00\x00"  # 48 empty text, filled up to 56
        + bytes(5 * 4)  # 56 five empty arrays
    )  # fmt: skip
    head = HEADER.pack(0x0807060504030201, 5)
    name = "rcl_interfaces/srv/SetParametersAtomically_Request"
    assert encode(name, request, head) == by_hand
    read = decode(name, by_hand, HEADER.size)["parameters"][0]
    assert read["name"] == "kp"
    assert value_in(read["value"]) == (Type.DOUBLE, 2.5)


def test_what_cyclones_own_codec_writes_is_the_same() -> None:
    described = peer.ParameterDescriptor(
        "a.b", peer.DOUBLE, "of it", "", True, False, [peer.FloatingPointRange(1.0, 2.0)], []
    )
    mine = {
        "name": "a.b",
        "type": 3,
        "description": "of it",
        "read_only": True,
        "floating_point_range": [{"from_value": 1.0, "to_value": 2.0}],
    }
    value = peer.ParameterValue(8, True, -5, 0.1, "é", [1, 2], [True], [9], [0.2, 0.3], ["x", ""])
    held = {
        "type": 8,
        "bool_value": True,
        "integer_value": -5,
        "double_value": 0.1,
        "string_value": "é",
        "byte_array_value": [1, 2],
        "bool_array_value": [True],
        "integer_array_value": [9],
        "double_array_value": [0.2, 0.3],
        "string_array_value": ["x", ""],
    }
    for name, message, cyclone in (
        ("rcl_interfaces/msg/ParameterDescriptor", mine, described),
        ("rcl_interfaces/msg/ParameterValue", held, value),
    ):
        data = encode(name, message)
        by_cyclone = cyclone.serialize()
        filled = len(data) - len(by_cyclone)  # to a multiple of four
        assert data[4:] == by_cyclone[4:] + bytes(filled)
        assert 0 <= filled < 4
        assert encode(name, decode(name, data)) == data


def test_cut_bytes_and_wrong_values_are_refused_in_words() -> None:
    for name in DEFINITIONS:
        data = encode(name, {})
        decode(name, data)
        for end in range(4, len(data) - 3):
            with pytest.raises(WireError, match=name):
                decode(name, data[:end])
    with pytest.raises(WireError, match="encapsulation 00 00 00 00, expected 00 01 00 00"):
        decode("std_msgs/msg/String", bytes(8))
    with pytest.raises(WireError, match="are left"):
        decode("std_msgs/msg/String", b"\0\1\0\0" + b"\xff\xff\xff\x7f")
    with pytest.raises(WireError, match="has no field 'text'"):
        encode("std_msgs/msg/String", {"text": "x"})
    with pytest.raises(WireError, match="covariance has 3 items, expected 36"):
        encode("geometry_msgs/msg/PoseWithCovariance", {"covariance": [0.0] * 3})


def test_names_are_those_of_ros() -> None:
    assert dds_name("rcl_interfaces/srv/GetParameters_Request") == (
        "rcl_interfaces::srv::dds_::GetParameters_Request_"
    )
    assert nodes_among(["rr/a/b/get_parametersReply", "rt/x", "rr/c/otherReply"]) == ["/a/b"]
    assert [is_name(name) for name in ("/a", "/a/b_1", "a", "/", "/a/", "/1a")] == [True, True] + [False] * 4
    assert [field.kind for field in fields_of("tf2_msgs/msg/TFMessage")] == [
        "geometry_msgs/msg/TransformStamped"
    ]


# -- an independent client of safebo's server -------------------------------------------------------------


def test_an_independent_client_sets_and_reads_50_of_50_times_and_is_refused_in_words(domain) -> None:
    mine = DomainParticipant(DOMAIN)
    setter = peer.Client(mine, "/served", "set_parameters_atomically", 4711)
    getter = peer.Client(mine, "/served", "get_parameters", 4712)
    other = peer.Client(mine, "/served", "get_parameters", 4713)  # hears the replies to all
    time.sleep(0.5)

    def held() -> tuple[float, int]:
        kp, horizon = getter.call(
            lambda client, number: peer.GetRequest(client, number, ["gains.kp", "horizon"])
        ).values
        assert (kp.type, horizon.type) == (peer.DOUBLE, peer.INTEGER)
        return kp.double_value, horizon.integer_value

    def put(*parameters: peer.Parameter) -> tuple[bool, str]:
        result = setter.call(
            lambda client, number: peer.AtomicRequest(client, number, list(parameters))
        ).result
        return result.successful, result.reason

    right = refused = 0
    for turn in range(50):
        wanted = 60.0 + turn / 7.0, 1 + turn % 12
        assert put(double("gains.kp", wanted[0]), whole("horizon", wanted[1])) == (True, "")
        right += held() == wanted
        # the second one is bad, and the first stays what it was
        ok, reason = put(double("gains.kp", 21.0), whole("horizon", 31))
        refused += not ok and "horizon" in reason and held() == wanted
    assert (right, refused) == (50, 50)
    assert put(whole("horizon", 13)) == (False, "horizon 13 brings bad luck")
    assert "was not declared" in put(double("gains.kx", 1.0))[1]
    assert "of type {double}" in put(whole("gains.kp", 60))[1]
    assert "read-only" in put(whole("sets", 60))[1]
    assert other.call(lambda client, number: peer.GetRequest(client, number, ["none"])).values[0].type == 0


def test_a_request_that_comes_twice_is_done_once(domain) -> None:
    mine = DomainParticipant(DOMAIN)
    setter = peer.Client(mine, "/served", "set_parameters_atomically", 5000)
    getter = peer.Client(mine, "/served", "get_parameters", 5001)
    time.sleep(0.5)

    def sets() -> int:
        asked = getter.call(lambda client, number: peer.GetRequest(client, number, ["sets"]))
        return asked.values[0].integer_value

    before = sets()
    for number in (0, 0, 1):  # the request's number is this and one
        setter.header[1] = number
        assert setter.call(
            lambda client, number: peer.AtomicRequest(client, number, [double("gains.kp", 70.0)])
        ).result.successful
    assert sets() == before + 2


# -- safebo's client of an independent node ---------------------------------------------------------------


def test_gains_of_every_kind_are_set_in_an_independent_node_and_read_back(domain) -> None:
    client = GainParameters(lambda: domain, "/foreign")
    names = {"kp": "gains.kp", "n": "horizon", "x": "weights[0]", "z": "weights[2]"}
    port = RosParameterPort(client, names)
    assert client.node.names() == ["gains.kp", "gains.kd", "horizon", "weights"]
    for turn in range(20):
        gains = {"kp": 60.0 + turn, "n": 10.0 + turn, "x": 0.1 * turn, "z": -0.5}
        port.write(gains)
        assert port.read() == gains
    assert client.get_parameters(["weights[1]", "weights[3]", "gains.kd", "weights"]) == [
        2.0,
        None,
        3.0,
        None,
    ]
    kp = client.describe(["gains.kp"])["gains.kp"]
    assert (kp.type, kp.lower, kp.upper) == (Type.DOUBLE, 20.0, 150.0)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gains.kd", 9.9, "the node refuses: kd may be a tenth of kp at most"),
        (
            "gains.kx",
            1.0,
            "/foreign: has no parameter 'gains.kx'; it has gains.kp, gains.kd, horizon, weights",
        ),
        ("horizon", 7.5, "/foreign: horizon: is an integer, and 7.5 is none"),
        ("weights", 1.0, r"weights: is of type double_array, expected double, integer, or NAME\[ITEM\]"),
        ("horizon[1]", 1.0, r"horizon\[1\]: is of type integer, expected a double_array"),
        ("weights[3]", 1.0, "weights: has 3 items, no item 3"),
    ],
)
def test_what_a_node_does_not_take_is_a_sentence(domain, name: str, value: float, words: str) -> None:
    port = RosParameterPort(GainParameters(lambda: domain, "/foreign"), {"gain": name})
    with pytest.raises(GainPortError, match=words):
        port.write({"gain": value})


def test_a_controller_file_reaches_the_node_by_the_example_client(domain, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    (tmp_path / "dds_client.py").write_text((EXAMPLE / "dds_client.py").read_text())
    file = (EXAMPLE / "parameter_controller.yaml").read_text().replace("parameter_client", "dds_client")
    file = file.replace("bob.depth: {unit: rad, lower: 0, upper: 0.15, baseline: 0.05}", "")
    names = 'names: {stance.kp: gains.kp, stance.kd: "weights[1]"}'
    (tmp_path / "mine.yaml").write_text(file.replace('node: "4761"', f"node: /foreign\n  {names}"))
    port = gain_port(read_controller_file(tmp_path / "mine.yaml"))
    assert write_and_read_back(port, {"stance.kp": 88.0, "stance.kd": 4.5}) == ""
    assert port.read() == {"stance.kp": 88.0, "stance.kd": 4.5}
    assert "tenth of kp" in write_and_read_back(port, {"stance.kp": 20.0, "stance.kd": 4.5})


def test_a_node_that_is_not_there_is_a_sentence_with_those_that_are(domain) -> None:
    client = GainParameters(lambda: domain, "/my_mpc", timeout=0.2)
    with pytest.raises(
        GainPortError, match=r"/my_mpc: nobody offers get_parameters in DDS domain \d+ on 'lo'"
    ) as raised:
        client.set_parameters_atomically([RosParameter("gains.kp", 60.0)])
    assert "nodes there: /foreign, /served" in str(raised.value)
    assert "RMW_IMPLEMENTATION=rmw_cyclonedds_cpp" in str(raised.value)
