"""Runs as the page reads them: found in a folder, read again when something was written, their state in words."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safebo.errors import InputError, NotARunError
from safebo.runs.deadline import EVENT as DEADLINE
from safebo.storage.journal import Journal
from safebo.storage.location import SQLITE_FILE
from safebo.storage.questions import FILE as QUESTIONS
from safebo.storage.questions import Question, QuestionFile
from safebo.storage.records import Event, Record, RunInfo
from safebo.storage.run_lock import is_held
from safebo.storage.trial_log import KIND, MOVED

READ_AGAIN_S = 1.0
"""Between two looks at a journal on a server, of which no file says that it changed."""


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment.

    Args:
        run: what it is.
        records: its trials, without visited states.
        events: of its journal.
        version: counts up with every change.
    """

    run: RunInfo
    records: Sequence[Record]
    events: Sequence[Event]
    version: int


@dataclass(frozen=True)
class RunState:
    """What a run does now: one of a few kinds, and a sentence."""

    kind: str
    text: str


class RunReader:
    """One run's journal and questions.

    Args:
        name: of the run among others, for its address in the page.
        folder: the run's.
        clock: monotonic, s.
    """

    def __init__(self, name: str, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.folder, self.questions = name, folder, QuestionFile(folder)
        self._clock = clock
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._snapshot: Snapshot | None = None
        self._stamp: object = None

    def snapshot(self) -> Snapshot:
        """The run now; what was read before where nothing was written since.

        Raises:
            JournalError: it cannot be read.
        """
        with self._lock:
            stamp = self._stamp_now()
            if self._snapshot is None or stamp != self._stamp:
                if self._journal is None or self._other_file(stamp):
                    self._journal = Journal.open(self.folder, read_only=True)
                version = 0 if self._snapshot is None else self._snapshot.version + 1
                journal = self._journal
                self._snapshot = Snapshot(
                    journal.run, journal.records(states=False), journal.events(), version
                )
                self._stamp = stamp
            return self._snapshot

    def question(self) -> Question | None:
        """What the run waits for; nothing where it has ended."""
        return self.questions.open_question() if self.running() else None

    def running(self) -> bool:
        """Whether a process works on it."""
        return is_held(self.folder)

    def state(self) -> RunState:
        """What it does now."""
        return state_of(self.snapshot(), self.question(), self.running())

    def _stamp_now(self) -> object:
        """Changes whenever the run's files do."""
        found: list[object] = []
        for name in (SQLITE_FILE, f"{SQLITE_FILE}-wal", QUESTIONS, f"{QUESTIONS}-wal"):
            try:
                seen = os.stat(self.folder / name)
                found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
            except OSError:
                found.append(None)
        if found[0] is None:
            found.append(int(self._clock() / READ_AGAIN_S))
        return tuple(found)

    def _other_file(self, stamp: object) -> bool:
        """Whether the journal is another file than the one that was opened."""
        before, now = self._stamp, stamp
        assert isinstance(now, tuple)
        return (
            isinstance(before, tuple)
            and now[0] is not None
            and (before[0] is None or before[0][0] != now[0][0])
        )


class Runs:
    """The runs of a folder, which may be one itself.

    Args:
        folder: a run's, or one that holds runs.

    Raises:
        InputError: it is no folder. NotARunError: it holds no run.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give a run's folder, or one that holds runs")
        self.folder = folder
        self.single = Journal.exists(folder)
        self._readers: dict[str, RunReader] = {}
        self._lock = threading.Lock()
        if not self.all():
            raise NotARunError(
                f"{folder}: neither a run nor a folder of runs; start one with `safebo tune`, then look at it"
            )

    def all(self) -> list[RunReader]:
        """Every run there is now, by name."""
        if self.single:
            found = {self.folder.resolve().name: self.folder}
        else:
            found = {path.name: path for path in self.folder.iterdir() if Journal.exists(path)}
        with self._lock:
            for name, path in found.items():
                self._readers.setdefault(name, RunReader(name, path))
            return [self._readers[name] for name in sorted(found)]

    def get(self, name: str) -> RunReader | None:
        """A run by its name; nothing but a name that is there leads anywhere."""
        return next((reader for reader in self.all() if reader.name == name), None)


def state_of(seen: Snapshot, question: Question | None, running: bool) -> RunState:
    """What a run does now, in words.

    Args:
        seen: the run.
        question: what it asks.
        running: whether a process works on it.
    """
    told = sum(record.status == "told" for record in seen.records)
    done = f"{told} of {seen.run.trials} trials are done"
    if running and (until := _deadline(seen)):
        done += f". {until.rstrip('.')}"
    if running and question is not None:
        if question.kind == "approve":
            return RunState("asks", f"Waits for a person: may trial {question.trial} run? {done}.")
        if question.kind == "prefer":
            return RunState("asks", f"Waits for a person: which of two walks is better? {done}.")
        return RunState("asks", f"Waits for a person: how was trial {question.trial}? {done}.")
    unknown = [record.trial.id for record in seen.records if record.status == "unknown"]
    if unknown:
        return RunState(
            "stopped",
            f"How trial {unknown[0]} ended is not known: look at the robot, then say it here, by `safebo "
            f"resolve`, or when --resume asks. {done}.",
        )
    waiting = [record.trial for record in seen.records if record.status == "asked"]
    if running:
        if not waiting:
            return RunState("thinks", f"Chooses the next trial. {done}.")
        numbers = ", ".join(str(trial.id) for trial in waiting)
        return RunState(
            "runs", f"Trial{'s' * (len(waiting) > 1)} {numbers}: {_step(seen, waiting[0].id)}. {done}."
        )
    if told >= seen.run.trials and not waiting:
        return RunState("finished", f"All {told} trials are done.")
    ended = next((e for e in reversed(seen.events) if e.kind in ("stopped", "resumed", "started")), None)
    if ended is not None and ended.kind == "stopped":
        return RunState("stopped", f"Stopped: {ended.text} ({done}).")
    return RunState("stopped", f"No process works on it: {done}. `safebo tune ... --resume` goes on.")


def _deadline(seen: Snapshot) -> str:
    """Until when the run goes; empty where it has no deadline."""
    for event in reversed(seen.events):
        if event.kind == DEADLINE:
            return event.text
        if event.kind in ("started", "resumed"):
            break
    return ""


def _step(seen: Snapshot, trial: int) -> str:
    """What becomes of a trial, by its newest step on a robot."""
    steps = [e.data.get("state") for e in seen.events if e.kind == KIND and e.trial == trial]
    if not steps:
        return "runs"
    last = str(steps[-1])
    if last in MOVED:
        return "the robot gets up" if last == "ARMED" else "the robot walks"
    return {"APPROVED": "approved, the robot gets ready", "ENDED": "walked, is scored"}.get(
        last, last.lower()
    )
