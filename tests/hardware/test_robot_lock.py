"""One guardian for one robot on a machine: the second hears who has it, and sends nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from present import present

from safebo.hardware.errors import HardwareError
from safebo.hardware.guardian.cli import main
from safebo.hardware.link.key import make_key
from safebo.hardware.robot_lock import RobotLock

HOLD = """
import sys
from safebo.hardware.robot_lock import RobotLock
lock = RobotLock("guardian", sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder():
    robot = f"go9 of process {os.getpid()}"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, robot], stdin=-1, stdout=subprocess.PIPE, text=True
    )
    assert present(process.stdout).readline() == "held\n"
    yield robot, process
    process.kill()
    process.wait()


def test_a_process_hears_which_one_has_the_robot(holder) -> None:
    robot, process = holder
    said = rf"the {robot} has a guardian already: process {process.pid} \({sys.executable} -c .*\), on this machine"
    with pytest.raises(HardwareError, match=f"(?s){said}"):
        RobotLock("guardian", robot)
    RobotLock("guardian", f"{robot}, another").close()
    RobotLock("virtual robot", robot).close()


def test_the_robot_of_a_killed_process_is_free(holder) -> None:
    robot, process = holder
    process.kill()
    process.wait()
    RobotLock("guardian", robot).close()
    RobotLock("guardian", robot).close()


def test_a_second_guardian_of_a_go1_sends_no_packet(capsys, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as robot:
        robot.bind(("127.0.0.1", 0))
        robot.settimeout(0.05)
        port = robot.getsockname()[1]
        first = RobotLock("guardian", f"go1 at 127.0.0.1:{port}")
        make_key(tmp_path / "key")
        with pytest.raises(SystemExit) as ended:
            main(["go1", "--robot-port", str(port), "--port", "0", "--key", str(tmp_path / "key")])
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert f"the go1 at 127.0.0.1:{port} has a guardian already: process {os.getpid()} (" in said
        with pytest.raises(TimeoutError):
            robot.recv(2048)
        first.close()
