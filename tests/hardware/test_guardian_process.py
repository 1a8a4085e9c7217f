"""The guardian as a process: its command line, its files, its clock beside a virtual robot, and how it ends."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import signal
import socket
import stat
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from speaking_process import SpeakingProcess

from safebo.hardware.guardian import guarding
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.cli import main
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.pace import RobotPace
from safebo.hardware.guardian.real_time import NOT_ASKED
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.thresholds import allowed
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.key import make_key, read_key
from safebo.hardware.link.udp import UdpTransport

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

PERIOD, PATIENCE = 0.002, 0.012


class LossyLink:
    """States of a robot that waits for a command before every tick, as a virtual one does; some are lost.

    `wall` is the wall clock; waiting for a state that was lost takes as long as the guardian is willing to wait.
    """

    def __init__(self, lost) -> None:
        self.wall = self.robot = 0.0
        self._lost = lost
        self._asked = False

    def clock(self) -> float:
        return self.wall

    def read(self) -> Any:
        if self._asked:
            return None
        self._asked = True
        self.robot += PERIOD
        return (
            None
            if self._lost(self.robot)
            else SimpleNamespace(reading=SimpleNamespace(time=self.robot), restarts=0)
        )

    def wait(self, seconds: float) -> bool:
        self.wall += seconds
        return False

    def tick(self, pace: RobotPace) -> tuple[float, bool]:
        self._asked = False
        part_of_a_link: Any = self
        now, state = pace.next(part_of_a_link)
        return now, state is not None


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_lost_states_do_not_make_the_guardians_clock_run_ahead_of_the_robots(share) -> None:
    random = np.random.default_rng(0)
    link = LossyLink(lambda _: random.random() < share)
    pace = RobotPace(PERIOD, PATIENCE, link.clock)
    times = [link.tick(pace)[0] for _ in range(2500)]
    assert min(np.diff(times)) >= 0.0
    assert max(np.diff(times)) < 0.02  # or the guardian would blame itself for a gap between commands
    assert times[-1] == pytest.approx(link.robot, rel=0.02)


def test_a_silent_robot_ages_by_the_wall_clock() -> None:
    link = LossyLink(lambda now: now > 1.0)
    pace = RobotPace(PERIOD, PATIENCE, link.clock)
    heard = 0.0
    for _ in range(600):
        now, fresh = link.tick(pace)
        if fresh:
            heard, since = now, link.wall
        elif link.wall - since > 0.09:
            assert now - heard == pytest.approx(link.wall - since, abs=2 * PATIENCE)
    assert now - heard > 0.5


# -- the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path) -> Path:
    make_key(tmp_path / "link.key")
    return tmp_path / "link.key"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No controller is compiled for a guardian that is refused anyway, and this process stays an ordinary one."""
    monkeypatch.setattr(guarding, "warm_up", lambda robot, controller: None)
    monkeypatch.setattr(guarding, "request_real_time", lambda core: NOT_ASKED)


def refused(capsys, *arguments: object) -> tuple[int, str]:
    """Exit code and what a person reads of a guardian that does not start."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return int(ended.value.code or 0), " ".join(said.split())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("tilt: 30 deg", "limit tilt: expected a finite number of rad, got '30 deg'"),
        ("tilt: true", "limit tilt: expected a finite number of rad, got True"),
        ("tilt: -1", "limit tilt: -1 rad: allowed are 0.1 .. 0.5 rad, loosened up to 1 rad"),
        (
            "command_silence: 1.0e+6",
            "limit command_silence: 1e+06 s: allowed are 0.01 .. 0.1 s, loosened up to",
        ),
        ("battery_empty: 15", "15 % is looser than the shipped 20 %"),
        ("battery_empty: 15", "To loosen it knowingly, start with --loosen battery_empty=15"),
        ("stop_hold: 9", "limit stop_hold: 9 level: this limit is always 0.5 level and cannot be changed"),
        (
            "remote_stop: 9",
            "limit remote_stop: 9: this limit is always 0.5 and cannot be changed or switched off",
        ),
        ("motor_hot: .nan", "motor_hot: must be a finite number, not .nan"),
        ("tillt: 0.4", "unknown limit 'tillt': known are tilt, body_rate, height"),
        ("1: 2", "unknown limit '1': known are tilt"),
        ("- tilt", "expected a mapping of limits to thresholds, such as `tilt: 0.4`"),
        ("", "expected a mapping of limits to thresholds"),
        ("tilt: [", "not valid YAML"),
        (None, "no such file"),
    ],
)
def test_a_wrong_limits_file_is_refused_by_name(tmp_path, key, capsys, content, words) -> None:
    file = tmp_path / "limits.yaml"
    if content is not None:
        file.write_text(content)
    code, said = refused(capsys, "go1", "--key", key, "--limits", file)
    assert code == 2
    assert said.startswith(f"error: {file}:")
    assert words in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("gains: {joint.hip.kp: 5000}", "gains: joint.hip.kp: 5000 is outside 0 .. 2000 N m/rad"),
        ("gains: {joint.hip.kp: 2}", "baseline gains: joint.hip.kp: 2 is outside 5 .. 250 N m/rad"),
        (
            "gains: {joint.hip.kp: 200, joint.fl.kp_scale: 3}",
            "baseline gains: joint.hip.kp times joint.fl.kp_scale: 600 is above",
        ),
        ("gains: {joint.hip.kpp: 50}", "unknown gain 'joint.hip.kpp'; did you mean joint.hip.kp"),
        ("gains: {joint.hip.kp: fifty}", "joint.hip.kp: expected a number, got 'fifty'"),
        ("joint.hip.kp: 50", "expected a mapping `gains: {name: value, ...}`"),
        (None, "no such file"),
    ],
)
def test_a_wrong_baseline_is_refused_by_name(tmp_path, key, capsys, content, words) -> None:
    file = tmp_path / "baseline.yaml"
    if content is not None:
        file.write_text(content)
    code, said = refused(capsys, "go1", "--key", key, "--baseline", file)
    assert code == 2
    assert said.startswith(f"error: {file}:")
    assert said.count(str(file)) == 1
    assert words in said


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "No such file or directory; `safebo-guardian key"),
        ("00" * 32, 0o644, "others can read it; use `chmod 600"),
        ("no digits", 0o600, "expected hexadecimal digits"),
        ("\u00e4" * 64, 0o600, "expected hexadecimal digits"),
        ("00" * 4, 0o600, "needs at least"),
    ],
)
def test_an_unusable_key_is_refused_in_words(tmp_path, capsys, content, mode, words) -> None:
    file = tmp_path / "a.key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
    code, said = refused(capsys, "go1", "--key", file)
    assert code == 2
    assert said.startswith(f"error: link key {file}: ")
    assert words in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("go2", "--interface", "eth99"), "no network interface 'eth99': there are"),
        (("go2", "--domain", 500), "DDS domain 500: domains are 0 .. 230"),
        (("go2", "--physical", "--interface", "lo"), "a physical robot is not on 'lo'"),
        (("go1", "--address", "192.168.123.10"), "a virtual robot stays on 127.0.0.1"),
        (("go1", "--address", "robot"), "'robot' is no IPv4 address"),
        (("go1", "--physical", "--address", "127.0.0.1"), "a physical Go1 is not on this machine"),
        (("go1", "--robot-port", 99999), "port 99999 does not exist"),
        (("go1", "--listen", "203.0.113.7"), "link: cannot listen on 203.0.113.7:4750: Cannot assign"),
    ],
)
def test_networks_that_cannot_be_are_refused_in_words(key, capsys, arguments, words) -> None:
    code, said = refused(capsys, *arguments, "--key", key)
    assert code == 2
    assert words in said


def test_a_port_in_use_and_a_log_that_cannot_be_written_are_refused(tmp_path, key, capsys) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        code, said = refused(capsys, "go1", "--key", key, "--port", port)
    assert (code, said) == (2, f"error: link: cannot listen on 127.0.0.1:{port}: Address already in use")
    code, said = refused(capsys, "go1", "--key", key, "--port", 0, "--log", key / "log.jsonl")
    assert code == 2
    assert said.startswith(f"error: event log {key}/log.jsonl: ")


def test_no_robot_is_a_failure_and_says_what_to_look_at(key, capsys) -> None:
    code, said = refused(
        capsys, "go1", "--key", key, "--port", 0, "--robot-port", free_port(), "--patience", 1
    )
    assert code == 1
    assert "within 1 s: nothing came at all. Is the robot on (or `safebo-virtual-robot` running)" in said


def test_the_limits_are_listed_with_unit_response_and_scope(capsys) -> None:
    code, _ = refused(SimpleNamespace(readouterr=lambda: SimpleNamespace(err="")), "limits")
    lines = capsys.readouterr().out.splitlines()
    assert (code, len(lines)) == (0, len(LIMITS))
    for line, limit in zip(lines, LIMITS, strict=True):
        words = line.split()
        assert words[:3] == [limit.name, "below" if limit.below else "above", f"{limit.threshold:g}"]
        assert limit.unit in line
        assert limit.response.name in words
        assert f" {limit.message} ({allowed(limit)})" in line


def test_a_key_is_made_for_its_owner_alone_and_never_written_over(tmp_path, capsys) -> None:
    file = tmp_path / "new.key"
    before = os.umask(0)
    try:
        code, _ = refused(capsys, "key", file)
    finally:
        os.umask(before)
    assert code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = read_key(file)
    assert len(secret) == 32
    code, said = refused(capsys, "key", file)
    assert (code, said) == (2, f"error: link key {file}: File exists")
    assert read_key(file) == secret


# -- the process --------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*arguments: object):
    """A process that has said `ready`; what it says is in `said`."""
    child = SpeakingProcess(*arguments)
    try:
        for line in child.out:
            child.said.append(line.strip())
            if line.startswith("ready"):
                break
        assert child.poll() is None, child.said
        yield child
    finally:
        child.kill()
        child.wait()
        child.out.close()


def ended(child) -> int:
    rest, _ = child.communicate(timeout=20)
    child.said += [line.strip() for line in rest.splitlines()]
    return child.returncode


@contextmanager
def standing(guardian, key: Path):
    """A client whose robot has got up."""
    port = int(guardian.said[-1].rsplit(":", 1)[1])
    transport = UdpTransport("127.0.0.1", port)
    client = GuardianClient(transport, read_key(key), name="test")
    client.connect()
    client.pump(0.1)
    client.acquire()
    deadline = time.monotonic() + 20.0
    while client.status().state != State.REST:
        assert time.monotonic() < deadline
        client.pump(0.1)
    client.stand()
    client.wait_for(lambda state: state.state == State.HOLD, 20.0)
    try:
        yield client
    finally:
        transport.close()


def states(log: Path) -> list[str]:
    return [row["message"].split()[2] for row in rows(log) if row["kind"] == "state"]


def rows(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_guardian_that_is_asked_to_end_lays_the_robot_down_first(tmp_path, key) -> None:
    body, log = tmp_path / "body.jsonl", tmp_path / "events" / "guardian.jsonl"
    with process("safebo.hardware.virtual", "go1", "--port", 0, "--log", body) as robot:
        robot_port = robot.said[-1].split("127.0.0.1:")[1].split(",")[0]
        guard = ("safebo.hardware.guardian", "go1", "--robot-port", robot_port, "--port", 0, "--key", key)

        changes = ("--tighten", "tilt=0.45", "--loosen", "motor_hot=90")
        with process(*guard, "--log", log, *changes) as guardian:
            assert "guarding a virtual go1" in guardian.said[-1]
            assert guardian.said[-3:-1] == [
                "limit LOOSENED motor_hot: 90 deg C (shipped 85 deg C)",
                "limit tightened tilt: 0.45 rad (shipped 0.5 rad)",
            ]
            with standing(guardian, key) as client:
                assert rows(body)[-1]["height"] > 0.2
                guardian.send_signal(signal.SIGTERM)
                client.pump(0.1)
                assert ended(guardian) == 0
        assert "standing down; once more for joint damping at once" in guardian.said
        assert guardian.said[-1].startswith(
            "ended: the joints are damped and at rest; it lies, its trunk is 0."
        )
        assert states(log) == ["REST", "STANDING_UP", "HOLD", "SIT_LATCHED", "DAMP_LATCHED"]
        began, *said = rows(log)
        assert began["kind"] == "start"
        assert "LOOSENED motor_hot" in began["message"]
        told = began["data"]
        assert (told["robot"]["name"], told["robot"]["virtual"]) == ("go1", True)
        assert told["robot"]["serial"] in robot.said[-1]
        assert told["key"] == hashlib.sha256(read_key(key)).hexdigest()[:16]
        assert told["loosened"] == ["motor_hot"]
        limits = {"tilt": 0.45, "motor_hot": 90.0}
        assert told["limits"] == {limit.name: limits.get(limit.name, limit.threshold) for limit in LIMITS}
        assert told["baseline"] == quadruped_table().mapping(quadruped_table().baseline)
        assert told["versions"]["safebo"] == importlib.metadata.version("safebo")
        assert any(row["kind"] == "latch" and "stop_sit" in row["message"] for row in said)
        for row in said:
            assert set(row) == {"wall", "time", "kind", "message"}
            assert datetime.fromisoformat(row["wall"]).tzinfo is not None
        times = [row["time"] for row in said]
        assert times == sorted(times)
        down = [row["height"] for row in rows(body)][-5:]
        assert max(down) < 0.15
        assert not any(row["fallen"] for row in rows(body))

        # closing the terminal is asking, too; asking twice is joint damping at once
        first = len(rows(body))
        with process(*guard, "--log", log) as guardian, standing(guardian, key) as client:
            guardian.send_signal(signal.SIGHUP)
            time.sleep(0.05)
            guardian.send_signal(signal.SIGINT)
            assert ended(guardian) == 0
        assert "joint damping" in guardian.said
        assert states(log)[-2:] in (["HOLD", "DAMP_LATCHED"], ["SIT_LATCHED", "DAMP_LATCHED"])
        latches = [row["message"] for row in rows(log) if row["kind"] == "latch"]
        assert "stop_damp" in latches[-1]
        stood = [row for row in rows(body)[first:] if row["charge"] == "commands"]
        assert stood[-1]["kp"] == 0.0
