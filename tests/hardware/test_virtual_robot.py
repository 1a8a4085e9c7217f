"""Virtual robots as processes, commanded by clients that share no code with them."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from speaking_process import ENVIRONMENT, SpeakingProcess
from vendor_client import table_checksum

pytestmark = pytest.mark.slow

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

ROOT = Path(__file__).resolve().parents[2]
CLIENT = Path(__file__).parent / "vendor_client.py"
DOMAIN = 25 + os.getpid() % 190
COMMAND = [sys.executable, "-m", "safebo.hardware.virtual"]


@contextmanager
def virtual_robot(*arguments: str, end: int = signal.SIGINT):
    """A robot that is up; what it said last is in `said` afterwards."""
    process = SpeakingProcess("safebo.hardware.virtual", *arguments)
    try:
        first = process.out.readline()
        assert first.startswith("ready: "), first + process.out.read()
        process.said.append(first)
        yield process
        process.send_signal(end)
        rest, _ = process.communicate(timeout=10)
        process.said += rest.splitlines()
    finally:
        process.kill()
        process.wait()


def body(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_vendor_client_stands_the_go2_up_and_lays_it_down(tmp_path) -> None:
    log = tmp_path / "body.jsonl"
    with virtual_robot("go2", "--domain", str(DOMAIN), "--log", str(log), "--serial", "2024-77") as robot:
        client = subprocess.run(
            [sys.executable, CLIENT, str(DOMAIN)], capture_output=True, text=True, timeout=60, env=ENVIRONMENT
        )
    assert client.returncode == 0, client.stderr
    saw = json.loads(client.stdout)
    assert robot.returncode == 0
    assert "ended: " in robot.said[-1]
    assert " 0 damaged" in robot.said[-1]

    # what the client saw
    assert saw["names"] == ["mcf", ""]
    assert saw["version"] == [0, "1.0.0.1"]
    assert saw["unknown_api"] == saw["unknown_sport"] == 3203  # no silence
    assert saw["ordered"]
    assert saw["serial"] == [2024, 77]
    assert saw["states"] > 0.7 * saw["robot_seconds"] * 500
    standing, lying = saw["reached"][2], saw["reached"][3]
    assert max(abs(a - b) for a, b in zip(standing, saw["targets"][1], strict=True)) < 0.2
    assert max(abs(a - b) for a, b in zip(lying, saw["targets"][2], strict=True)) < 0.2

    # what the body did
    rows = body(log)
    assert {row["charge"] for row in rows} >= {"service", "commands", "watchdog"}
    heights = [row["height"] for row in rows]
    assert heights[0] < 0.13
    assert max(heights) > 0.3
    assert heights[-1] < 0.15
    assert not any(row["fallen"] for row in rows)


# A Go1's packets, put together by hand.
HEAD = struct.Struct("<2BBB2I2IH")
MOTOR = struct.Struct("<Bffhhh3I")
MOTOR_AT, MOTOR_BYTES, TICK_AT, STATE_BYTES = 75, 32, 755, 807


def go1_command(targets, mode: int = 0x0A, kp: float = 60.0, kd: float = 5.0) -> bytes:
    motors = [MOTOR.pack(mode, q, 0.0, 0, int(kp * 32), int(kd * 16), 0, 0, 0) for q in targets]
    motors += [MOTOR.pack(0, 0.0, 0.0, 0, 0, 0, 0, 0, 0)] * 8
    packet = HEAD.pack(0xFE, 0xEF, 0xFF, 0, 0, 0, 0, 0, 0xC03A) + b"".join(motors) + bytes(4 + 40 + 4)
    return packet + struct.pack("<I", sealed(packet + bytes(4)))


def sealed(packet: bytes) -> int:
    crc = table_checksum(packet[: 4 * ((len(packet) >> 2) - 1)]) ^ 0xEDCAB9DE
    return (crc >> 8 | crc << 24) & 0xFFFFFFFF


def go1_state(data: bytes) -> tuple[int, list[float]]:
    assert len(data) == STATE_BYTES
    assert data[:2] == b"\xfe\xef"
    assert struct.unpack_from("<I", data, STATE_BYTES - 4)[0] == sealed(data)
    angles = [struct.unpack_from("<f", data, MOTOR_AT + 1 + MOTOR_BYTES * i)[0] for i in range(12)]
    return struct.unpack_from("<I", data, TICK_AT)[0], angles


def test_a_raw_client_stands_the_go1_up_and_lays_it_down(tmp_path) -> None:
    log, faults = tmp_path / "body.jsonl", tmp_path / "faults.yaml"
    faults.write_text("- {kind: push, at: 3.0, for: 0.05, value: 40}\n- {kind: remote_stop, at: 6.0}\n")
    options = ("--lock-step", "--log", str(log), "--faults", str(faults), "--disturbance", "go2_identified")
    with virtual_robot("go1", "--port", "0", *options, end=signal.SIGTERM) as robot:
        port = int(robot.said[0].split("127.0.0.1:")[1].split(",")[0])
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.settimeout(5.0)
        link.connect(("127.0.0.1", port))

        def exchange(packet: bytes) -> tuple[int, list[float]]:
            link.send(packet)
            return go1_state(link.recv(4096))

        for junk in (b"", b"x" * 614, bytes(614), go1_command([0.0] * 12)[:-1] + b"?"):
            link.send(junk)
        _, now = exchange(go1_command([0.0] * 12, mode=0, kp=0, kd=0))
        folded, standing = [0.0, 1.36, -2.65] * 4, [0.0, 0.8, -1.5] * 4
        folded[0], folded[3], folded[6], folded[9] = -0.3, 0.3, -0.5, 0.5  # hips of FR, FL, RR, RL
        for target, seconds in ((folded, 1.0), (standing, 1.0), (standing, 2.5), (folded, 1.4)):
            start = now
            steps = round(seconds * 500)
            ticks = []
            for i in range(steps):
                share = (i + 1) / steps
                tick, now = exchange(
                    go1_command([a + (b - a) * share for a, b in zip(start, target, strict=True)])
                )
                ticks.append(tick)
            assert ticks == [
                ticks[0] + 2000 * i for i in range(steps)
            ]  # lock-step: 2 ms each, in microseconds
            assert max(abs(a - b) for a, b in zip(now, target, strict=True)) < 0.35
        for _ in range(100):
            _, now = exchange(go1_command(folded))
        link.close()
    assert robot.returncode == 0
    assert " 4 damaged" in robot.said[-1]
    assert any("fault push begins" in line for line in robot.said)
    rows = body(log)
    heights = [row["height"] for row in rows]
    assert max(heights) > 0.26
    assert heights[-1] < 0.15
    hips = dict(zip(("FL", "FR", "RL", "RR"), rows[-1]["joints"][::3], strict=True))
    assert hips["FR"] < -0.1 < 0.1 < hips["FL"]
    assert [hips[leg] for leg in ("FR", "FL", "RR", "RL")] == pytest.approx(now[::3], abs=0.1)
    assert [row["charge"] for row in rows].count("remote") >= 1
    assert any("remote_stop" in row["faults"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("go2", "--interface", "eth9"), "no network interface 'eth9'"),
        (("go2", "--disturbance", "moon"), "unknown disturbance 'moon'? Known are nominal"),
        (("go1", "--serial", "seven"), "expected two numbers below 2^32"),
    ],
)
def test_bad_input_is_refused_in_words(arguments, words) -> None:
    ended = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=20
    )
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
