"""Runs that are killed and resumed, compared with runs that nobody disturbed."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from safebo.errors import SafeboError
from safebo.storage.journal import Journal
from safebo.storage.records import Record

STUDY = Path(__file__).with_name("bowl.yaml")

Command = Callable[[Path, int], Sequence[str]]
"""From a folder and a seed to the command that starts or resumes the run there."""


@dataclass
class Survival:
    """What became of one run that was killed again and again.

    Args:
        kills: how often it was killed.
        trials: trials at its end.
        faults: what went wrong, one sentence each; empty when nothing did.
    """

    kills: int
    trials: int
    faults: list[str]


def tune_command(trials: int, workers: int, folder: Path, seed: int) -> list[str]:
    """`safebo tune` on the closed-form study."""
    return [
        *(sys.executable, "-c", "from safebo.cli.main import main; main()"),
        *("tune", str(STUDY), "--out", str(folder), "--resume", "--seed", str(seed)),
        *("--trials", str(trials), "--workers", str(workers)),
    ]


def survive(
    command: Command, folder: Path, seed: int, kills: int, lifetime: float, rng: np.random.Generator
) -> Survival:
    """Run a command, kill it up to `kills` times, let it finish, and compare with an undisturbed run.

    Args:
        command: starts or resumes the run.
        folder: for both runs.
        seed: of the runs.
        kills: at most so many; fewer when the run is done before.
        lifetime: kills come at random times up to so many seconds after a process has told its first trial,
            or, one in four, while it still starts.
        rng: decides when.
    """
    disturbed, calm = folder / "disturbed", folder / "calm"
    done, faults = 0, []
    told: list[Any] = []
    while done < kills:
        early = rng.random() < 0.25
        delay = float(rng.uniform(0.0, lifetime))
        process = subprocess.Popen(command(disturbed, seed), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not early:
            _wait_for_trial(process)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            children = workers_of(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
            faults += _workers_left(children)
            now = told_in(disturbed)
            if now[: len(told)] != told:
                faults.append(f"kill {done}: a told trial is gone or changed")
            told = now
            continue
        if process.returncode != 0:
            output = process.stdout.read().decode() if process.stdout else ""
            faults.append(f"after {done} kills the run ended with {process.returncode}: {output.strip()}")
        break
    for place in (disturbed, calm):
        finish = subprocess.run(command(place, seed), capture_output=True, text=True, check=False)
        if finish.returncode != 0:
            faults.append(f"{place.name} run ended with {finish.returncode}: {finish.stderr.strip()}")
    ours, theirs = told_in(disturbed), told_in(calm)
    if ours != theirs:
        first = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
        faults.append(f"{len(ours)} and {len(theirs)} trials; the first that differs has index {first}")
    return Survival(done, len(ours), faults)


def comparable(record: Record) -> tuple[Any, ...]:
    """Everything of a trial but the clock, in a form that compares exactly."""
    m = record.measurement
    shown = None if m is None else {f.name: _plain(getattr(m, f.name)) for f in dataclasses.fields(m)}
    return (dataclasses.asdict(record.trial), shown, record.round)


def _plain(value: Any) -> Any:
    """Arrays as lists, also in mappings."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def told_in(folder: Path) -> list[Any]:
    """The told trials of a run, in a form that compares exactly; of a folder without a run none."""
    try:
        with Journal.open(folder, read_only=True) as journal:
            return [comparable(record) for record in journal.records() if record.measurement is not None]
    except SafeboError:
        if Journal.exists(folder):
            raise
        return []


def _wait_for_trial(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    next((line for line in process.stdout if line.startswith(b"trial") or b"done" in line), None)


def workers_of(pid: int) -> list[int]:
    """The worker processes of a process (its resource tracker ends by itself when its pipe closes)."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def waited_for(condition: Callable[[], bool], patience: float, every: float = 0.02) -> bool:
    """Whether a condition came about in time; it is looked at `every` so many seconds."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def _workers_left(children: Sequence[int]) -> list[str]:
    waited_for(lambda: not any(map(_alive, children)), 5.0)
    return [f"worker {pid} outlived the run" for pid in children if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False
