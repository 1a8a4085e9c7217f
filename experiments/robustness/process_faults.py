"""Faults that only real processes can have: killed, frozen, interrupted, without disk, without database.

    python -m safebo.experiments.robustness.faults [NUMBER ...] --processes

A virtual Go2, its guardian and `safebo tune --robot --approve-all` run as a user runs them. Each fault is injected
while the robot walks, and then it is looked at what the robot did (the guardian's event log, with times), what the
record says (the journal), and what the operator saw (what `tune` printed).
"""

from __future__ import annotations

import json
import math
import os
import pty
import resource
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from safebo.experiments.robustness.faults.report import Fault, Report
from safebo.experiments.robustness.faults.report import fault as fault_on
from safebo.experiments.robustness.killed_runs import waited_for, workers_of
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.key import read_key
from safebo.hardware.link.udp import UdpTransport
from safebo.hardware.rehearsal import virtual_chain
from safebo.storage.journal import Journal
from safebo.storage.trial_log import all_steps
from safebo.study.reading import load_study, resolve_study

SECONDS = 3.0  # of a walk
SILENT = "baseline gains within 200 ms, standing down within 1 s"

FAULTS: list[Fault] = []
"""Every fault of real processes, in the order in which they are made."""

ALONE = frozenset({35})
"""Faults that bring robot and guardian up themselves."""

fault = partial(fault_on, home=FAULTS)


def _wall(row: dict[str, Any]) -> float:
    """When a row was written, in seconds of the epoch; 0 where it does not say."""
    return datetime.fromisoformat(row["wall"]).timestamp() if "wall" in row else 0.0


class Chain:
    """Virtual robot and guardian in processes of their own, and tuners as they are wanted.

    Args:
        folder: for logs, runs and the key.
        domain: DDS domain on the loopback interface.
        seconds: of a walk.
    """

    def __init__(self, folder: Path, domain: int, seconds: float = SECONDS) -> None:
        self.folder, self.domain, self.port = folder, domain, 0
        self.key = folder / "link.key"
        self.log = folder / "guardian.jsonl"
        self.study = folder / "short.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        content = yaml.safe_load(resolve_study("go2-trot").read_text())
        content["evaluator"]["options"]["seconds"] = seconds
        self.study.write_text(yaml.safe_dump(content, sort_keys=False))
        self._runs = 0

    @contextmanager
    def up(self) -> Iterator[None]:
        """Robot and guardian, ready."""
        with virtual_chain("go2", self.folder, "paper", domain=self.domain) as (self.port, self.key):
            yield

    def events(self, since: float = 0.0) -> list[tuple[float, str, str]]:
        """The guardian's events after a moment (seconds of the epoch): wall time, kind, words."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        events = [(_wall(row), row["kind"], row["message"]) for row in rows]
        return [event for event in events if event[0] >= since - 0.005]

    def after(self, text: str, begin: float, patience: float = 8.0, early: float = 0.0) -> float:
        """Seconds of robot time from a moment to the guardian's first event with `text` in its words; nan without one.

        Args:
            text: what to look for.
            begin: seconds of the epoch.
            patience: s of wall time.
            early: s before `begin` that the event may lie.
        """
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for wall, _, words in self.events(begin - early):
                if text in words:
                    return self.robot_time(wall) - self.robot_time(begin)
            time.sleep(0.02)
        return math.nan

    def robot_time(self, wall: float) -> float:
        """The robot's clock at a moment (seconds of the epoch): on a busy machine it is slower than the wall's."""
        while True:
            rows = [json.loads(line) for line in (self.folder / "body.jsonl").read_text().splitlines()[:-1]]
            walls = [_wall(row) for row in rows]
            if walls and walls[-1] >= wall:
                return float(np.interp(wall, walls, [row["time"] for row in rows]))
            time.sleep(0.05)

    def clear(self) -> None:
        """Clear what is latched, as a person does."""
        robot = [sys.executable, "-m", "safebo", "robot", "clear", f"127.0.0.1:{self.port}", "--yes"]
        subprocess.run([*robot, "--key", str(self.key)], check=False, capture_output=True)

    def stop(self) -> None:
        """A software stop by another client, without lease."""
        transport = UdpTransport("127.0.0.1", self.port)
        client = GuardianClient(transport, read_key(self.key), "stopper")
        client.connect()
        client.stop(reason="test")
        transport.close()

    def tune(
        self,
        *options: str,
        trials: int = 3,
        folder: Path | None = None,
        approve_all: bool = True,
        terminal: int | None = None,
    ) -> Tune:
        """Start a tuner; `terminal` is the file descriptor of the one it runs in."""
        self._runs += 1
        run = folder or self.folder / f"run-{self._runs}"
        command = [
            *(sys.executable, "-m", "safebo", "tune", str(self.study)),
            *("--robot", f"127.0.0.1:{self.port}", "--key", str(self.key)),
            *(["--approve-all"] if approve_all else []),
            *("--trials", str(trials), "--out", str(run), *options),
        ]
        return Tune(command, run, self.folder / f"tune-{self._runs}.log", terminal)

    def walking(self, **options: Any) -> Tune:
        """Start a tuner as `tune` does, and wait until the robot walks.

        Raises:
            StepMissedError: it does not, or no more: this process was kept waiting for longer than the walk.
        """
        begin = time.time()
        tune = self.tune(**options)
        tune.wait_for("RUNNING")
        self.after("-> RUNNING", begin)
        time.sleep(1.5)
        states = [words for _, kind, words in self.events(begin) if kind == "state"]
        if not states or "-> RUNNING" not in states[-1]:
            tune.end()
            raise StepMissedError(f"the robot does not walk: {states[-3:]}")
        return tune


TAKE_TERMINAL = (
    "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
)
"""The first terminal that the leader of a session opens is the one that can hang up on it."""


class StepMissedError(RuntimeError):
    """A trial did not come to where its fault could be made."""


class Tune:
    """One `safebo tune` under way.

    Args:
        command: to start it.
        run: the run's folder.
        log: what it prints, where it runs in no terminal.
        terminal: file descriptor of the terminal that it runs in and is controlled by.
    """

    def __init__(self, command: list[str], run: Path, log: Path, terminal: int | None = None) -> None:
        self.run, self._log = run, log
        self._out = log.open("wb")
        if terminal is not None:
            command = [sys.executable, "-c", TAKE_TERMINAL, *command]
        out = self._out.fileno() if terminal is None else terminal
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=out, stderr=out, start_new_session=True
        )

    @property
    def said(self) -> str:
        """What the operator has seen."""
        return " ".join(self._log.read_text().split())

    def worker(self) -> int:
        """Process id of the worker that speaks to the guardian."""
        return workers_of(self.process.pid)[0]

    def steps(self) -> dict[int, list[str]]:
        """The steps of every trial so far, as the journal has them."""
        if not Journal.exists(self.run):
            return {}
        with Journal.open(self.run, read_only=True) as journal:
            return {trial: [row["state"] for row in rows] for trial, rows in all_steps(journal).items()}

    def statuses(self) -> list[tuple[str, str]]:
        """Status and outcome of every trial."""
        with Journal.open(self.run, read_only=True) as journal:
            return [
                (r.status, r.measurement.outcome if r.measurement else "")
                for r in journal.records(states=False)
            ]

    def wait_for(self, step: str, trial: int = 1, patience: float = 60.0) -> None:
        """Wait until the journal has a step of a trial.

        Raises:
            StepMissedError: it did not come.
        """

        def there() -> bool:
            return step in self.steps().get(trial, [])

        waited_for(lambda: there() or self.process.poll() is not None, patience)
        if not there():
            raise StepMissedError(f"trial {trial} never was {step}: {self.said[-600:]}")

    def demand_end(self, report: Report, code: int, *words: str, patience: float = 60.0) -> None:
        """Demand an exit code, and what the operator has seen when it has ended."""
        found = self.end(patience)
        fine = found == code and all(word in self.said for word in words)
        report.expect(fine, f"operator: exit code {found}, {self.said[-400:]}")

    def end(self, patience: float = 60.0) -> int:
        """Exit code, once it has ended."""
        code = self.process.wait(patience)
        self._out.close()
        return code


def signalled(process: int, number: signal.Signals) -> float:
    """Send a process a signal; when that was, in seconds of the epoch."""
    at = time.time()
    os.kill(process, number)
    return at


@fault(
    11, "bridge process killed", "SIGKILL to the process that speaks to the guardian, while the robot walks"
)
def worker_killed(report: Report, chain: Chain) -> None:
    """The process that speaks to the guardian is killed while the robot walks."""
    tune = chain.walking()
    at = signalled(tune.worker(), signal.SIGKILL)
    held, sat = chain.after("-> HOLD_LATCHED", at), chain.after("-> SIT_LATCHED", at)
    tune.demand_end(report, 1, "safebo resolve")
    report.responded(held, 0.2, SILENT)
    report.shows(
        robot=f"baseline gains after {held:.3f} s, standing down after {sat:.3f} s",
        record=f"trial 1 {tune.statuses()[0][0]}, steps {' '.join(tune.steps()[1])}",
        operator="exit code 1; how it ended is not known; look at the robot, then `safebo resolve`",
    )
    report.expect(sat <= 1.0, f"standing down after {sat:.3f} s")
    report.expect(tune.statuses()[0][0] == "unknown", f"record: {tune.statuses()}")
    again = chain.tune("--resume", folder=tune.run)
    report.expect(again.end() == 1 and "safebo resolve" in again.said, "the trial was run again by itself")
    chain.clear()


@fault(
    12, "bridge process frozen", "SIGSTOP for 5 s to the process that speaks to the guardian, then SIGCONT"
)
def worker_frozen(report: Report, chain: Chain) -> None:
    """The process that speaks to the guardian freezes for five seconds, then goes on."""
    tune = chain.walking(trials=1)
    worker = tune.worker()
    at = signalled(worker, signal.SIGSTOP)
    held, sat = chain.after("-> HOLD_LATCHED", at), chain.after("-> SIT_LATCHED", at)
    time.sleep(max(0.0, at + 5.0 - time.time()))
    os.kill(worker, signal.SIGCONT)
    thawed = time.time()
    tune.end()
    moved = [words for _, kind, words in chain.events(thawed) if kind == "state" and "RUNNING" in words]
    report.responded(held, 0.2, SILENT)
    report.robot = f"baseline gains after {held:.3f} s, standing down after {sat:.3f} s, nothing afterwards"
    status, outcome = tune.statuses()[0]
    report.shows(
        record=f"trial 1 {status} {outcome}".strip(),
        operator="the trial says nothing about its gains: the tuner is gone",
    )
    report.expect(sat <= 1.0, f"standing down after {sat:.3f} s")
    report.expect(not moved, f"moved after it came back: {moved}")
    report.expect(outcome in ("failed", ""), f"record: {status} {outcome}")
    report.expect("tuner" in tune.said or "lost" in tune.said, f"operator: {tune.said[-300:]}")
    chain.clear()


@fault(13, "optimizer process killed", "SIGKILL to `safebo tune` while the robot walks")
def optimizer_killed(report: Report, chain: Chain) -> None:
    """The optimizer is killed while the robot walks: the trial ends, is recorded, and is scored on resume."""
    tune = chain.walking(trials=1)
    worker = tune.worker()
    at = signalled(tune.process.pid, signal.SIGKILL)
    ended = chain.after("RUNNING -> HOLD", at)
    lain = chain.after("-> REST", at, 12.0)
    tune.end()
    gone = waited_for(lambda: not Path(f"/proc/{worker}").exists(), 10.0)
    report.responded(ended, 1.0, "1 s")
    report.robot = f"trial ended after {ended:.2f} s, lies after {lain:.1f} s"
    report.expect(ended == ended and lain == lain, "the robot did not come to rest")
    report.expect(gone, "its worker did not end")
    report.expect("ENDED" in tune.steps().get(1, []), f"steps {tune.steps()}")
    again = chain.tune("--resume", trials=1, folder=tune.run)
    again.demand_end(report, 0, "had ended")
    report.shows(
        record=f"steps {' '.join(tune.steps()[1])}; trials after resuming: {again.statuses()}",
        operator="on resume: trial 1 had ended, scored from its raw file",
    )
    report.expect(tune.steps()[1].count("RUNNING") == 1, "the trial was run again")


@fault(21, "killed between trial and record", "SIGKILL to all of the tuner once the walk is over")
def killed_before_the_record(report: Report, chain: Chain) -> None:
    """Everything on the tuner's side is killed between the end of a trial and its measurement."""
    tune = chain.tune(trials=1)
    tune.wait_for("ENDED")
    worker = tune.worker()
    os.kill(tune.process.pid, signal.SIGKILL)
    at = signalled(worker, signal.SIGKILL)
    tune.end()
    sat = chain.after("-> SIT_LATCHED", at)
    state = tune.statuses()
    report.expect(state == [("asked", "")], f"too late to be this fault: {state}")
    chain.clear()
    again = chain.tune("--resume", trials=1, folder=tune.run)
    again.demand_end(report, 0, "had ended")
    report.responded(sat, 1.0, "standing down within 1 s")
    report.shows(
        robot=f"stood down after {sat:.3f} s without a tuner",
        record=f"trial 1 {' '.join(again.statuses()[0])}, scored from its raw file; ran once",
        operator="on resume: trial 1 had ended, scored from its raw file",
    )
    report.expect(again.statuses() == [("told", "completed")], f"record: {again.statuses()}")
    report.expect(tune.steps()[1].count("RUNNING") == 1, "the trial was run again")


@fault(20, "Ctrl-C once", "SIGINT to `safebo tune` while the robot walks")
def interrupted_once(report: Report, chain: Chain) -> None:
    """Ctrl-C while the robot walks."""
    tune = chain.walking()
    at = signalled(tune.process.pid, signal.SIGINT)
    ended, lain = chain.after("RUNNING -> HOLD", at), chain.after("-> REST", at, 15.0)
    tune.demand_end(report, 130, "--resume")
    report.responded(ended, 1.0, "1 s")
    report.shows(
        robot=f"baseline gains after {ended:.2f} s, lies after {lain:.1f} s",
        record=f"trial 1 {' '.join(tune.statuses()[0])}: ended on request",
        operator="exit code 130; the command to go on with",
    )
    report.expect(lain == lain, f"robot: {ended}, {lain}")
    report.expect(tune.statuses() == [("told", "failed")], f"record: {tune.statuses()}")


@fault(20, "Ctrl-C twice", "two SIGINT to `safebo tune` while the robot walks")
def interrupted_twice(report: Report, chain: Chain) -> None:
    """Ctrl-C twice while the robot walks."""
    tune = chain.walking()
    os.kill(tune.process.pid, signal.SIGINT)
    time.sleep(0.05)
    at = signalled(tune.process.pid, signal.SIGINT)
    damped = chain.after("-> DAMP_LATCHED", at)
    tune.demand_end(report, 130)
    report.responded(damped, 1.0, "1 s")
    report.shows(
        robot=f"joint damping after {damped:.2f} s, latched",
        record=f"trial 1 {' '.join(tune.statuses()[0])}",
        operator="exit code 130",
    )
    report.expect(
        tune.statuses()[0] in (("told", "failed"), ("asked", ""), ("unknown", "")), str(tune.statuses())
    )
    chain.clear()


@fault(20, "SIGTERM", "SIGTERM to `safebo tune` while the robot walks")
def terminated(report: Report, chain: Chain) -> None:
    """SIGTERM, as a service manager or a closing session sends it."""
    tune = chain.walking()
    at = signalled(tune.process.pid, signal.SIGTERM)
    lain = chain.after("-> REST", at, 15.0)
    tune.demand_end(report, 130)
    report.shows(
        robot=f"lies after {lain:.1f} s",
        record=f"trial 1 {' '.join(tune.statuses()[0])}",
        operator="exit code 130",
    )
    report.expect(lain == lain, "the robot did not come to rest")
    report.expect(tune.statuses() == [("told", "failed")], f"record: {tune.statuses()}")


@fault(22, "disk full while recording", "no file may grow beyond 400 kB, from the middle of a walk")
def disk_full(report: Report, chain: Chain) -> None:
    """No room for the raw record while the robot walks."""
    tune = chain.walking()
    at = time.time()
    resource.prlimit(tune.worker(), resource.RLIMIT_FSIZE, (400_000, 400_000))
    tune.demand_end(report, 1, "disk is full")
    latched = [w for _, kind, w in chain.events(at) if kind == "latch"]
    report.shows(
        robot="walked to its end, baseline gains, lay down: the disk is not the robot's trouble",
        record=f"trial 1 {tune.statuses()[0][0]}; no other trial was asked",
        operator="the disk is full; free some space; look at the robot, then `safebo resolve`",
    )
    report.expect(not latched, f"robot: {latched}")
    report.expect(tune.statuses() == [("unknown", "")], f"record: {tune.statuses()}")


@fault(
    23, "database locked", "another program holds the journal's write lock, in a trial and before the next"
)
def database_locked(report: Report, chain: Chain) -> None:
    """Another program locks the journal before a trial is armed, and then while one runs."""
    tune = chain.tune()
    tune.wait_for("RUNNING")
    with locked(tune.run):
        time.sleep(SECONDS + 6.0)  # longer than the walk and the database's own patience
    tune.wait_for("ENDED")
    tune.wait_for("ARMED", trial=2)
    report.expect(tune.steps()[1][-1] in ("ACCEPTED", "SCORED"), f"steps {tune.steps()}")
    tune.wait_for("ACCEPTED", trial=2)
    with locked(tune.run):
        tune.demand_end(report, 1, "locked", patience=40.0)
    report.shows(
        robot="the running trial came to its end; the next was not armed",
        record=f"the row of its end was written once the lock was gone; {len(tune.statuses())} trials asked",
        operator="cannot write the journal: another program keeps it locked",
    )
    report.expect("RUNNING" not in tune.steps().get(3, []), "a trial ran without its row")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """The journal, locked for writing."""
    connection = sqlite3.connect(run / "journal.sqlite", timeout=30.0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.rollback()
        connection.close()


@fault(30, "software stop by another client", "a client without lease stops the walking robot")
def stopped_elsewhere(report: Report, chain: Chain) -> None:
    """Somebody else stops the robot, without a lease, while a trial runs."""
    tune = chain.walking()
    at = time.time()
    chain.stop()
    damped = chain.after("-> DAMP_LATCHED", at)
    tune.demand_end(report, 1, "safebo robot clear", "stopped")
    report.responded(damped, 0.5, "0.5 s, connecting included")
    report.shows(
        robot=f"joint damping after {damped:.3f} s, connecting included",
        record=f"trial 1 {' '.join(tune.statuses()[0])}; no other trial ran",
        operator="the guardian has latched: stopped: joint damping; `safebo robot clear`",
    )
    report.expect("RUNNING" not in tune.steps().get(2, []), "another trial ran")
    report.expect(tune.statuses()[0] == ("told", "failed"), f"record: {tune.statuses()}")
    chain.clear()


@fault(14, "operator's terminal closed", "the terminal hangs up in a trial, then at a question")
def terminal_closed(report: Report, chain: Chain) -> None:
    """The operator's terminal goes away while the robot walks, and while a question is open."""
    ours, theirs = pty.openpty()
    tune = chain.walking(terminal=theirs)
    os.close(theirs)
    at = time.time()
    os.close(ours)
    ended, lain = chain.after("RUNNING -> HOLD", at), chain.after("-> REST", at, 15.0)
    tune.demand_end(report, 130)
    report.responded(ended, 1.0, "1 s")
    report.expect(lain == lain, "the robot did not come to rest")
    report.expect(tune.statuses() == [("told", "failed")], f"record: {tune.statuses()}")
    ours, theirs = pty.openpty()
    asked = chain.tune(terminal=theirs, approve_all=False)
    os.close(theirs)
    said = b""
    while b"Run this trial?" not in said:
        said += os.read(ours, 4096)
    since = time.time()
    os.close(ours)
    code = asked.end()
    moved = [words for _, kind, words in chain.events(since) if kind == "state" and "ARMED" in words]
    report.expect(not moved and code in (1, 130), f"at the question: {moved}, exit code {code}")
    report.expect("APPROVED" not in asked.steps().get(1, []), f"steps {asked.steps()}")
    report.shows(
        robot=f"baseline gains after {ended:.2f} s, lies after {lain:.1f} s; at the question: stays",
        record=f"trial 1 {' '.join(tune.statuses()[0])}: ended on request; not asked again: not approved",
        operator="nobody is there; `safebo robot status`, `safebo show` and --resume show where it stands",
    )


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


@fault(35, "guardian asked to end", "SIGINT to `safebo-guardian` while the robot walks and the tuner goes on")
def guardian_asked_to_end(report: Report, chain: Chain) -> None:
    """Somebody ends the guardian in the middle of a trial."""
    with chain.up():
        tune = chain.walking(trials=1)
        at = time.time()
    # leaving has asked the guardian to end and has waited for it, with its robot still there
    sat, lain = chain.after("-> SIT_LATCHED", at), chain.after("-> DAMP_LATCHED", at)
    said = (chain.folder / "guardian.log").read_text().splitlines()[-1]
    tune.end()
    report.responded(sat, 0.1, "standing down within 0.1 s")
    report.expect(lain <= 2.5, f"damped after {lain:.2f} s")
    report.expect(said.startswith("ended: the joints are damped and at rest; it lies"), said)
    report.expect(tune.statuses()[0][0] in ("told", "unknown"), f"record: {tune.statuses()}")
    report.shows(
        robot=f"standing down after {sat:.3f} s, damped after {lain:.1f} s, lies",
        record=f"trial 1 {' '.join(tune.statuses()[0])}".strip(),
        operator=said,
    )


@fault(
    36, "latch while a person is asked", "a software stop while approval, verdict and reason are asked for"
)
def latch_at_a_question(report: Report, chain: Chain) -> None:
    """The guardian latches while a person reads or types: it is told at once, with the command, at every question."""
    ours, theirs = pty.openpty()
    tune = chain.tune(terminal=theirs, approve_all=False)
    os.close(theirs)
    screen, command = Screen(ours), f"safebo robot clear 127.0.0.1:{chain.port} --key {chain.key}"
    seconds = []
    for question, answer in (
        ("Run this trial?", "yes"),
        ("Your verdict?", "contaminated"),
        ("What happened?", "it was stopped"),
    ):
        screen.until(question)
        since = time.time()
        chain.stop()
        screen.until("LATCHED, DAMP_LATCHED: stopped: joint damping")
        screen.until(command)
        told = time.time()
        (latched, *_) = [wall for wall, kind, _ in chain.events(since) if kind == "latch"] or [math.nan]
        seconds.append(told - latched)
        screen.until(question)  # again
        chain.clear()
        os.write(ours, f"{answer}\n".encode())
    screen.until("Run this trial?")
    os.write(ours, b"stop\ndone\n")
    code = tune.end()
    os.close(ours)
    report.expect(
        code == 1 and tune.statuses()[0] == ("told", "failed"), f"{code}, record: {tune.statuses()}"
    )
    report.responded(max(seconds), 0.2, "0.2 s from the latch to the line at the terminal")
    report.shows(
        robot="joint damping, latched",
        record="trial 1 told failed, contaminated: as the person said",
        operator="LATCHED, DAMP_LATCHED: stopped: joint damping; `safebo robot clear HOST:PORT --key FILE`; then the "
        "question again",
    )


class Screen:
    """What a terminal shows, read piece by piece.

    Args:
        terminal: file descriptor of our end.
    """

    def __init__(self, terminal: int) -> None:
        self._terminal, self._rest = terminal, b""

    def until(self, text: str, patience: float = 90.0) -> str:
        """What comes up to a text, and the text, without line breaks and spaces.

        Raises:
            StepMissedError: it does not come.
        """
        wanted, end = "".join(text.split()).encode(), time.monotonic() + patience
        while wanted not in self._rest:
            try:
                if not select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))[0]:
                    raise TimeoutError
                self._rest += b"".join(os.read(self._terminal, 4096).split())
            except OSError as error:
                raise StepMissedError(f"{text!r} is not on the terminal: {self._rest[-600:]!r}") from error
        at = self._rest.index(wanted) + len(wanted)
        shown, self._rest = self._rest[:at], self._rest[at:]
        return shown.decode(errors="replace")


def run(numbers: Sequence[int], domain: int) -> Iterator[Report]:
    """Every fault with one of these numbers, one after another: on one robot and one guardian, or on their own."""
    load_study("go2-trot")
    wanted = [made for made in FAULTS if made.number in numbers]
    with tempfile.TemporaryDirectory() as folder:
        together = [made for made in wanted if made.number not in ALONE]
        if together:
            chain = Chain(Path(folder) / "together", domain)
            with chain.up():
                for made in together:
                    yield made.report(chain)
        for made in wanted:
            if made.number in ALONE:
                yield made.report(Chain(Path(folder) / str(made.number), domain))
