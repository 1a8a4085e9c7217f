"""Unitree's packets against byte vectors written by hand from the layout, field by field, offset by offset."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.hardware.errors import CommandError, WireError
from safebo.hardware.unitree import go1_messages as go1
from safebo.hardware.unitree import go2_messages as go2
from safebo.hardware.unitree.crc import crc32_words, seal
from safebo.hardware.unitree.joints import JOINT_NAMES, MOTOR_NAMES, feet_of, motors_of

FEW = settings(max_examples=40, deadline=None)


def slow_crc(data: bytes) -> int:
    """The checksum bit by bit, as its definition says."""
    crc = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", data):
        for bit in range(31, -1, -1):
            out = (crc >> 31) ^ (word >> bit & 1)
            crc = (crc << 1) & 0xFFFFFFFF
            if out:
                crc ^= 0x04C11DB7
    return crc


class Packet:
    """Bytes with numbers put at literal offsets."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def put(self, offset: int, kind: str, *values: float) -> None:
        struct.pack_into("<" + kind, self.data, offset, *values)


def hand_go2_cmd() -> tuple[bytes, bytes, dict]:
    """CDR body and C struct of one command with a different number in every field."""
    cdr, c = Packet(808), Packet(812)
    for p in (cdr, c):
        p.put(0, "4B", 0xFE, 0xEF, 0xFF, 0x11)
        p.put(4, "2I", 0xA1B2C3D4, 0x01020304)
        p.put(12, "2I", 0x0A0B0C0D, 0x0E0F1011)
        p.put(20, "H", 0xBEEF)
    motors = {
        i: (i + 1, 0.5 + i, -1.25 * i, 2.5 - i, 60.0 + i, 5.0 + 0.5 * i, i, i * 7, i * 11) for i in range(20)
    }
    for i, motor in motors.items():
        cdr.put(22 if i == 0 else 20 + 36 * i, "B", motor[0])
        cdr.put(24 + 36 * i, "5f3I", *motor[1:])
        c.put(24 + 36 * i, "B", motor[0])
        c.put(28 + 36 * i, "5f3I", *motor[1:])
    for p, base in ((cdr, 740), (c, 744)):
        p.put(base, "4B", 0, 21, 22, 23)
        p.put(base + 4, "40B", *range(100, 140))
        p.put(base + 44, "12B", *range(200, 212))
        p.put(base + 56, "2B", 31, 32)
        p.put(base + 58, "B", 41)
        p.put(base + 60, "I", 0xDEADBEEF)
    crc = slow_crc(bytes(c.data[:808]))
    cdr.put(804, "I", crc)
    c.put(808, "I", crc)
    return bytes(cdr.data), bytes(c.data), motors


def hand_go2_state() -> tuple[bytes, bytes]:
    cdr, c = Packet(1176), Packet(1180)
    for p in (cdr, c):
        p.put(0, "4B", 0xFE, 0xEF, 0xFF, 0)
        p.put(4, "2I", 77, 88)
        p.put(12, "2I", 99, 111)
        p.put(20, "H", 4321)
        p.put(24, "4f", 0.5, -0.5, 0.25, 0.75)
        p.put(40, "3f", 1.5, 2.5, 3.5)
        p.put(52, "3f", 0.125, -0.25, 9.75)
        p.put(64, "3f", 0.1, 0.2, 0.3)
        p.put(76, "B", 45)
    for i in range(20):
        floats = (0.25 * i, -0.5 * i, 1.0 + i, 2.0 - i, 3.0 * i, -4.0 * i, 5.5 + i)
        cdr.put(77 if i == 0 else 76 + 48 * i, "B", 1 + i)
        cdr.put(80 + 48 * i, "7f", *floats)
        cdr.put(108 + 48 * i, "B", 30 + i)
        cdr.put(112 + 48 * i, "3I", i, 500 + i, 600 + i)
        c.put(80 + 48 * i, "B", 1 + i)
        c.put(84 + 48 * i, "7f", *floats)
        c.put(112 + 48 * i, "B", 30 + i)
        c.put(116 + 48 * i, "3I", i, 500 + i, 600 + i)
    for p, base in ((cdr, 1036), (c, 1040)):
        p.put(base, "4B", 3, 4, 5, 87)
        p.put(base + 4, "i", -12345)
        p.put(base + 8, "H", 321)
        p.put(base + 10, "4B", 26, 27, 28, 29)
        p.put(base + 14, "15H", *range(3900, 3915))
        p.put(base + 44, "4h", -1, 20, 300, 4000)
        p.put(base + 52, "4h", 1, -20, 301, -4001)
        p.put(base + 60, "I", 4_000_000_000)
        p.put(base + 64, "40B", *range(40))
        p.put(base + 104, "B", 9)
        p.put(base + 108, "f", 3.25)
        p.put(base + 112, "2B", 51, 52)
        p.put(base + 116, "2f", 29.5, -1.5)
        p.put(base + 124, "4H", 10, 20, 30, 40)
        p.put(base + 132, "I", 123456789)
    crc = slow_crc(bytes(c.data[:1176]))
    cdr.put(1172, "I", crc)
    c.put(1176, "I", crc)
    return bytes(cdr.data), bytes(c.data)


XCDR1 = bytes((0, 1, 0, 0))


def test_checksum_of_the_default_command_and_of_random_words() -> None:
    assert crc32_words(np.zeros((), go2.LOW_CMD).tobytes()[:-4]) == 0x4B5A4880
    random = np.random.default_rng(3)
    for words in (0, 1, 2, 7, 202):
        data = random.bytes(4 * words)
        assert crc32_words(data) == slow_crc(data)
    with pytest.raises(ValueError, match="6 bytes"):
        crc32_words(bytes(6))


@FEW
@given(st.integers(0, 2**32 - 1))
def test_seal_is_the_byte_rotation_of_the_xor(crc: int) -> None:
    b = (crc ^ 0xEDCAB9DE).to_bytes(4, "little")
    assert seal(crc).to_bytes(4, "little") == bytes((b[1], b[2], b[3], b[0]))


def test_go2_command_by_hand_both_ways() -> None:
    body, c_struct, motors = hand_go2_cmd()
    record = go2.decode_low_cmd(XCDR1 + body)
    assert record.tobytes() == c_struct
    for i, motor in motors.items():
        cmd = record["motor_cmd"][i]
        assert (
            int(cmd["mode"]), *(float(cmd[k]) for k in ("q", "dq", "tau", "kp", "kd")), *cmd["reserve"].tolist()
        ) == motor  # fmt: skip
    assert int(record["crc"]) == slow_crc(c_struct[:808])
    assert go2.encode_low_cmd(record) == XCDR1 + body
    assert int(record["gpio"]) == 41
    assert record["led"].tolist() == list(range(200, 212))
    assert record["sn"].tolist() == [0xA1B2C3D4, 0x01020304]


def test_go2_state_by_hand_both_ways() -> None:
    body, c_struct = hand_go2_state()
    record = go2.decode_low_state(XCDR1 + body)
    assert record.tobytes() == c_struct
    assert go2.encode_low_state(record) == XCDR1 + body
    assert record["motor_state"]["q"].tolist() == [0.25 * i for i in range(20)]
    assert record["motor_state"]["lost"].tolist() == list(range(20))
    assert record["imu_state"]["quaternion"].tolist() == [0.5, -0.5, 0.25, 0.75]
    assert int(record["bms_state"]["current"]) == -12345
    assert record["bms_state"]["cell_vol"].tolist() == list(range(3900, 3915))
    assert int(record["tick"]) == 4_000_000_000
    assert bytes(record["wireless_remote"]) == bytes(range(40))
    assert record["fan_frequency"].tolist() == [10, 20, 30, 40]


def test_what_fills_the_gaps_does_not_matter() -> None:
    """CDR's gaps and the C struct's padding carry no information: neither checksum nor record sees them."""
    body, c_struct, _ = hand_go2_cmd()
    dirty = bytearray(XCDR1 + body)
    for gap in (4 + 23, 4 + 57, 4 + 58, 4 + 59, 4 + 799):
        dirty[gap] = 0xAA
    assert go2.decode_low_cmd(bytes(dirty)).tobytes() == c_struct


def test_no_command_asks_for_nothing_and_never_switches_the_battery_off() -> None:
    record = go2.new_low_cmd()
    assert set(record["motor_cmd"]["q"].tolist()) == {float(np.float32(2.146e9))}
    assert set(record["motor_cmd"]["dq"].tolist()) == {16000.0}
    assert not record["motor_cmd"]["kp"].any()
    assert not record["motor_cmd"]["kd"].any()
    for module in (go2, go1):
        command = module.new_low_cmd()
        command["bms_cmd"]["off"] = 0xA5
        decoded = module.decode_low_cmd(module.encode_low_cmd(command))
        assert int(decoded["bms_cmd"]["off"]) == 0


def hand_go1_cmd() -> bytes:
    p = Packet(614)
    p.put(0, "4B", 0xFE, 0xEF, 0xFF, 0)
    p.put(4, "4I", 1, 2, 3, 4)
    p.put(20, "2B", 0x3A, 0xC0)
    for i in range(20):
        base = 22 + 27 * i
        p.put(base, "B", 0x0A)
        p.put(base + 1, "2f", 0.5 * i, -0.25 * i)
        p.put(base + 9, "h", -128 * i)  # -i / 2 N m
        p.put(base + 11, "H", 32 * 60 + i)
        p.put(base + 13, "H", 16 * 5 + i)
        p.put(base + 15, "3I", i, 2 * i, 3 * i)
    p.put(562, "4B", 0, 1, 2, 3)
    p.put(566, "40B", *range(50, 90))
    p.put(606, "I", 0x11223344)
    b = (slow_crc(bytes(p.data[:-6])) ^ 0xEDCAB9DE).to_bytes(4, "little")
    p.put(610, "4B", b[1], b[2], b[3], b[0])
    return bytes(p.data)


def hand_go1_state() -> bytes:
    p = Packet(807)
    p.put(0, "4B", 0xFE, 0xEF, 0xFF, 0)
    p.put(20, "2B", 0x3A, 0xC0)
    p.put(22, "13f", *(0.5 * k for k in range(13)))
    p.put(74, "b", -3)
    for i in range(20):
        base = 75 + 32 * i
        p.put(base, "B", 0x0A)
        p.put(base + 1, "2f", 0.25 * i, -0.5 * i)
        p.put(base + 9, "2h", i, -256 * i)  # -i N m
        p.put(base + 13, "2f", 1.5 * i, 2.5 * i)
        p.put(base + 21, "h", -i)
        p.put(base + 23, "b", 20 + i)
        p.put(base + 24, "2I", i, i * i)
    p.put(715, "4B", 1, 2, 3, 64)
    p.put(719, "i", -2222)
    p.put(723, "H", 17)
    p.put(725, "4b", 21, 22, -23, 24)
    p.put(729, "10B", *range(110, 120))
    p.put(739, "4h", 1, -2, 3, -4)
    p.put(747, "4h", 5, -6, 7, -8)
    p.put(755, "I", 3_999_999_999)
    p.put(759, "40B", *range(40))
    p.put(799, "I", 0xCAFEBABE)
    b = (slow_crc(bytes(p.data[:800])) ^ 0xEDCAB9DE).to_bytes(4, "little")
    p.put(803, "4B", b[1], b[2], b[3], b[0])
    return bytes(p.data)


def test_go1_command_by_hand_both_ways() -> None:
    data = hand_go1_cmd()
    record = go1.decode_low_cmd(data)
    assert go1.encode_low_cmd(record) == data
    motors = record["motor_cmd"]
    np.testing.assert_allclose(motors["tau"] * go1.TAU_SCALE, -0.5 * np.arange(20))
    np.testing.assert_allclose(motors["kp"] * go1.KP_SCALE, 60 + np.arange(20) / 32)
    np.testing.assert_allclose(motors["kd"] * go1.KD_SCALE, 5 + np.arange(20) / 16)
    assert bytes(record["wireless_remote"]) == bytes(range(50, 90))
    assert int(go1.new_low_cmd()["bandwidth"]).to_bytes(2, "little") == bytes((0x3A, 0xC0))


def test_go1_state_by_hand_both_ways() -> None:
    data = hand_go1_state()
    record = go1.decode_low_state(data)
    assert go1.encode_low_state(record) == data
    np.testing.assert_allclose(record["motor_state"]["tau_est"] * go1.TAU_SCALE, -np.arange(20))
    assert record["motor_state"]["temperature"].tolist() == list(range(20, 40))
    assert record["motor_state"]["q_raw"].tolist() == [1.5 * i for i in range(20)]
    assert record["imu_state"]["rpy"].tolist() == [5.0, 5.5, 6.0]
    assert int(record["imu_state"]["temperature"]) == -3
    assert record["bms_state"]["mcu_ntc"].tolist() == [-23, 24]
    assert record["bms_state"]["cell_vol"].tolist() == list(range(110, 120))
    assert record["foot_force_est"].tolist() == [5, -6, 7, -8]
    assert int(record["tick"]) == 3_999_999_999


def test_go1_state_checksum_forms() -> None:
    data = bytearray(hand_go1_state())
    data[803:807] = slow_crc(bytes(data[:800])).to_bytes(4, "little")
    assert int(go1.decode_low_state(data, crc="plain")["tick"]) == 3_999_999_999
    with pytest.raises(WireError, match="matches the plain form"):
        go1.decode_low_state(data)
    data[803:807] = bytes(4)
    assert int(go1.decode_low_state(data, crc="ignored")["tick"]) == 3_999_999_999


@FEW
@given(st.floats(-127.9, 127.9), st.floats(0, 2047), st.floats(0, 4095))
def test_go1_fixed_point_is_within_half_a_step(tau: float, kp: float, kd: float) -> None:
    record = go1.new_low_cmd()
    go1.set_torque(record, [3], [tau])
    go1.set_gains(record, [3], [kp], [kd])
    motor = go1.decode_low_cmd(go1.encode_low_cmd(record))["motor_cmd"][3]
    assert abs(motor["tau"] / 256 - tau) <= 1 / 512
    assert abs(motor["kp"] / 32 - kp) <= 1 / 64
    assert abs(motor["kd"] / 16 - kd) <= 1 / 32


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 128.0, -128.1])
def test_go1_refuses_torques_that_a_packet_cannot_carry(bad: float) -> None:
    with pytest.raises(CommandError, match="torque"):
        go1.set_torque(go1.new_low_cmd(), [0], [bad])


CASES: dict[str, tuple[Any, Any, Any]] = {
    "go2 command": (lambda: XCDR1 + hand_go2_cmd()[0], go2.decode_low_cmd, go2.encode_low_cmd),
    "go2 state": (lambda: XCDR1 + hand_go2_state()[0], go2.decode_low_state, go2.encode_low_state),
    "go1 command": (hand_go1_cmd, go1.decode_low_cmd, go1.encode_low_cmd),
    "go1 state": (hand_go1_state, go1.decode_low_state, go1.encode_low_state),
}


@pytest.fixture(params=CASES)
def wire(request: pytest.FixtureRequest):
    make, decode, encode = CASES[request.param]
    return make(), decode, encode


def test_wrong_lengths_heads_and_checksums_are_refused_by_name(wire) -> None:
    data, decode, _ = wire
    for wrong in (b"", data[:1], data[:-1], data + b"\x00", data * 2):
        with pytest.raises(WireError, match=f"{len(wrong)} bytes, expected {len(data)}"):
            decode(wrong)
    head = 4 if data.startswith(XCDR1) else 0
    with pytest.raises(WireError, match="head fe ee, expected fe ef"):
        decode(data[: head + 1] + b"\xee" + data[head + 2 :])
    for at in (head + 4, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[at] ^= 0x10
        with pytest.raises(WireError, match="checksum"):
            decode(bytes(broken))


def test_other_encapsulations_are_refused() -> None:
    for head in (b"\x00\x00\x00\x00", b"\x00\x07\x00\x00", b"\x00\x03\x00\x00"):
        with pytest.raises(WireError, match="encapsulation"):
            go2.decode_low_state(head + hand_go2_state()[0])


@FEW
@given(st.data())
def test_random_and_mutated_packets_never_do_anything_but_decode_or_refuse(data) -> None:
    make, decode, encode = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    good = bytearray(make())
    kind = data.draw(st.sampled_from(["random", "mutated"]))
    if kind == "random":
        packet = data.draw(st.binary(max_size=1400))
    else:
        for _ in range(data.draw(st.integers(1, 5))):
            good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
        packet = bytes(good)
    try:
        record = decode(packet)
    except WireError:
        return
    assert len(encode(record)) == len(packet)


@FEW
@given(st.integers(0, 2**32 - 1))
def test_any_content_makes_the_round_trip_bit_for_bit(seed: int) -> None:
    """Random bytes in every field (any float pattern, NaN included), through encode and decode."""
    random = np.random.default_rng(seed)
    for module in (go2, go1):
        for dtype, encode, decode in (
            (module.LOW_CMD, module.encode_low_cmd, module.decode_low_cmd),
            (module.LOW_STATE, module.encode_low_state, module.decode_low_state),
        ):
            record = np.frombuffer(bytearray(random.bytes(dtype.itemsize)), dtype).reshape(())
            record["head"] = (0xFE, 0xEF)
            if "bms_cmd" in dtype.names:
                record["bms_cmd"]["off"] = 0
            data = encode(record)
            again = decode(data)
            assert encode(again) == data
            for name in dtype.names:
                if name != "crc":
                    assert leaves(again[name]) == leaves(record[name]), name


def leaves(value: np.ndarray) -> list[bytes]:
    """The bytes of every number, padding left out."""
    if value.dtype.names is None:
        return [np.ascontiguousarray(value).tobytes()]
    return [part for name in value.dtype.names for part in leaves(value[name])]


def test_motors_are_mapped_by_name() -> None:
    assert MOTOR_NAMES[:4] == ("FR_hip", "FR_thigh", "FR_calf", "FL_hip")
    assert motors_of().tolist() == [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
    assert [MOTOR_NAMES[i] for i in motors_of()] == list(JOINT_NAMES)
    assert motors_of(["RL_calf_joint", "FR_hip_joint"]).tolist() == [11, 0]
    assert feet_of().tolist() == [1, 0, 3, 2]
    with pytest.raises(ValueError, match="'LF_hip'"):
        motors_of(["LF_hip"])
    with pytest.raises(ValueError, match="twice"):
        motors_of(["FL_hip", "FL_hip"])


@pytest.mark.parametrize("form", ["sealed", "plain"])
def test_a_go1_packet_carries_the_form_of_checksum_that_is_asked_for(form) -> None:
    other: Any = {"sealed": "plain", "plain": "sealed"}[form]
    command, state = go1.new_low_cmd(), go1.new_low_state()
    sent, answer = go1.encode_low_cmd(command, form), go1.encode_low_state(state, form)
    for data, words in ((sent, 152), (answer, 200)):
        plain = crc32_words(data[: 4 * words])
        assert int.from_bytes(data[-4:], "little") == (plain if form == "plain" else seal(plain))
    assert go1.decode_low_cmd(sent, form)["bandwidth"] == go1.BANDWIDTH
    assert go1.decode_low_state(answer, form)["bandwidth"] == go1.BANDWIDTH
    with pytest.raises(WireError, match=f"it matches the {form} form"):
        go1.decode_low_cmd(sent, other)
    with pytest.raises(WireError, match=f"it matches the {form} form"):
        go1.decode_low_state(answer, other)
