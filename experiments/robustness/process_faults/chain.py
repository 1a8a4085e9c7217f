"""A virtual robot with its guardian, and tuners that move it, in processes of their own, as a user runs them."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.killed_runs import waited_for, workers_of
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.key import read_key
from safebo.hardware.link.udp import UdpTransport
from safebo.hardware.rehearsal import virtual_chain
from safebo.storage.journal import Journal
from safebo.storage.trial_log import all_steps
from safebo.study.reading import resolve_study

SECONDS = 3.0  # of a walk


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
