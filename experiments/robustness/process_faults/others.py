"""Others on the robot's network: a second publisher of commands, a second guardian, a second robot."""

from __future__ import annotations

import subprocess
import sys
import time

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.process_faults.chain import (
    Chain,
)
from safebo.experiments.robustness.process_faults.registry import fault


@fault(28, "second publisher of commands", "another program publishes rt/lowcmd on the robot's network")
def second_commander(report: Report, chain: Chain) -> None:
    """Another program publishes the joint commands' topic while the robot walks."""
    tune = chain.walking(trials=1)
    program = (
        "import sys, time\nfrom safebo.hardware.unitree.dds import DdsNetwork, DdsParticipant\n"
        f"participant = DdsParticipant(DdsNetwork('lo', {chain.domain}))\n"
        "writer = participant.writer('rt/lowcmd', 'LowCmd_')\nprint(time.time(), flush=True)\nsys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    at = float(other.stdout.readline())
    held = chain.after("-> HOLD_LATCHED", at, early=0.2)
    code = tune.end()
    again = chain.tune(trials=1)
    refused = again.end()
    other.communicate("")
    report.responded(held, 0.5, "0.5 s, discovery included")
    report.shows(
        robot=f"baseline gains {held:.2f} s after it came up, latched",
        record=f"trial 1 {' '.join(tune.statuses()[0])}; another run does not start",
        operator="another commander: 1 other program(s) publish rt/lowcmd",
    )
    report.expect(tune.statuses()[0] == ("told", "failed"), f"record: {tune.statuses()}")
    report.expect("another commander" in tune.said, f"operator: {code}, {tune.said[-300:]}")
    report.expect(
        refused == 1 and "RUNNING" not in again.steps().get(1, []), f"another run: {again.said[-300:]}"
    )
    time.sleep(1.0)
    chain.clear()


SECOND_ROBOT = """
import sys, time
from safebo.hardware.unitree.dds import DdsNetwork, DdsParticipant
from safebo.hardware.unitree.go2_messages import encode_low_state, new_low_state
participant = DdsParticipant(DdsNetwork("lo", int(sys.argv[1])))
writer = participant.writer("rt/lowstate", "LowState_")
while not writer.readers():
    time.sleep(0.01)
state = new_low_state()
state["sn"] = (7, 8)
print(time.time(), flush=True)
for tick in range(3000):
    state["tick"] = 90_000_000 + 2 * tick
    writer.write(encode_low_state(state))
    time.sleep(0.002)
"""
"""A program that publishes the states of another robot for six seconds."""


SECOND_LINK = """
import sys
from safebo.hardware.errors import HardwareError
from safebo.hardware.unitree.dds import DdsNetwork
from safebo.hardware.unitree.go2_link import Go2Link
try:
    print(Go2Link(DdsNetwork("lo", int(sys.argv[1]))).prepare())
except HardwareError as error:
    print(error)
"""
"""What a guardian on another machine does at its start; on the same one a lock keeps it from coming so far."""


@fault(
    28,
    "second guardian",
    "another guardian of the same robot is started beside the first, and as from elsewhere",
)
def second_guardian(report: Report, chain: Chain) -> None:
    """It is refused on the same machine by its lock, on another one by who publishes; the first walks on."""
    tune = chain.walking(trials=1)
    begin = time.time()
    command = [sys.executable, "-m", "safebo.hardware.guardian", "go2", "--domain", str(chain.domain)]
    command += ["--port", "0", "--key", str(chain.key)]
    beside = subprocess.run(command, capture_output=True, text=True, check=False)
    other = [sys.executable, "-c", SECOND_LINK, str(chain.domain)]
    elsewhere = subprocess.run(other, capture_output=True, text=True, check=False).stdout
    code = tune.end()
    latched = [words for _, kind, words in chain.events(begin) if kind == "latch"]
    report.expect(not latched and code == 0, f"the first: {latched}, exit code {code}: {tune.said[-300:]}")
    report.expect(tune.statuses()[0] == ("told", "completed"), f"record: {tune.statuses()}")
    report.expect(
        beside.returncode == 1 and "has a guardian already: process" in beside.stderr, beside.stderr
    )
    report.expect("is published by safebo-guardian go2 for tuners at 127.0.0.1:" in elsewhere, elsewhere)
    report.shows(
        robot="walks on",
        record=f"trial 1 {' '.join(tune.statuses()[0])}",
        operator="the second: the go2 ... has a guardian already: process N (...), on this machine; from elsewhere: "
        "rt/lowcmd is published by safebo-guardian go2 for tuners at 127.0.0.1:4750, process N on host '...'",
    )


@fault(29, "second robot", "another robot publishes its states on the robot's network while it walks")
def second_robot(report: Report, chain: Chain) -> None:
    """Its states are left out, and the trial ends: it hears the same commands."""
    tune = chain.walking(trials=1)
    program = [sys.executable, "-c", SECOND_ROBOT, str(chain.domain)]
    other = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    at = float(other.stdout.readline())
    held = chain.after("-> HOLD_LATCHED", at, early=0.2)
    code = tune.end()
    said = (chain.folder / "guardian.log").read_text()
    other.wait()
    report.responded(held, 0.2, "0.2 s after its first state")
    report.expect(tune.statuses()[0] == ("told", "failed"), f"record: {tune.statuses()}, exit code {code}")
    report.expect("another robot hears this" in tune.said, f"operator: {tune.said[-300:]}")
    report.expect("serial 7-8 publishes rt/lowstate beside the one that is guarded" in said, said[-300:])
    report.expect("the robot restarted" not in said, "it was taken for a restart")
    report.shows(
        robot=f"baseline gains {held:.2f} s after its first state, latched; its states are left out",
        record=f"trial 1 {' '.join(tune.statuses()[0])}",
        operator="another robot hears this: serial 7-8 publishes rt/lowstate beside the one that is guarded",
    )
    time.sleep(1.2)
    chain.clear()
