"""The steps of a trial on a robot, each a committed row of the journal before the step is taken.

    PROPOSED -> APPROVED -> ARMED -> RUNNING -> ENDED -> SCORED -> ACCEPTED | CONTAMINATED | UNSAFE

Instead of APPROVED it may be SKIPPED; instead of RUNNING, or after it, REFUSED, where the robot's side does not start
it. Then its gains moved nothing.

PROPOSED is the row that every trial has before it runs. A run that finds a trial ARMED or RUNNING does not know how
it ended: a person has to say. ENDED names the raw file and its SHA-256, so such a trial can be scored again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebo.errors import JournalError
from safebo.storage.journal import Journal
from safebo.types import StudyIdentity

KIND = "step"
STEPS = (
    "APPROVED",
    "SKIPPED",
    "ARMED",
    "REFUSED",
    "RUNNING",
    "ENDED",
    "SCORED",
    "ACCEPTED",
    "CONTAMINATED",
    "UNSAFE",
)
MOVED = frozenset({"ARMED", "RUNNING"})
"""Where a trial that is found there may have moved the robot, and nobody knows how it ended."""

VERDICTS = frozenset({"ACCEPTED", "CONTAMINATED", "UNSAFE"})
OVER = frozenset({"ENDED", "SCORED"}) | VERDICTS
"""Where a trial has run and its raw file is kept."""

AFTER = {
    "ARMED": ("APPROVED",),
    "REFUSED": ("ARMED", "RUNNING"),
    "RUNNING": ("ARMED",),
    "ENDED": ("RUNNING",),
    "SCORED": ("ENDED",),
}
"""What must have been kept last before the robot's side takes a step: no trial runs twice, or unasked."""

PATIENCE = 30.0  # s for which a step that has been taken already is offered to a locked or full journal


class StepError(JournalError):
    """A step that does not follow the one before."""


class JournalLedger:
    """A ledger in a run's journal, opened by whoever moves the robot.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal: Journal | None = None

    def study(self) -> StudyIdentity:
        """The study that the run was begun with."""
        info = self._open().run
        return StudyIdentity(info.name, info.study_hash, info.study_text)

    def commit(self, trial_id: int, state: str, text: str = "", **data: Any) -> None:
        """Keep one step.

        Raises:
            JournalError: it could not be written, or it does not follow the one before: it must not be taken. What has
                been taken already (ENDED, SCORED) is tried for half a minute first.
        """
        end = time.monotonic() + (PATIENCE if state in ("ENDED", "SCORED") else 0.0)
        while True:
            try:
                before, _ = self.last(trial_id)
                if before not in AFTER.get(state, (before,)):
                    raise StepError(
                        f"trial {trial_id} is {before or 'not approved'}: it cannot be {state} now"
                    )
                self._open().note(KIND, text, trial_id, {"state": state, **data})
                return
            except StepError:
                raise
            except JournalError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.5)

    def last(self, trial_id: int) -> tuple[str, Mapping[str, Any]]:
        """The newest step of a trial and its data."""
        return last_step(self._open(), trial_id)

    def _open(self) -> Journal:
        if self._journal is None:
            self._journal = Journal.open(self._folder)
        return self._journal


def all_steps(journal: Journal) -> dict[int, list[Mapping[str, Any]]]:
    """The data of every step so far by trial, in order."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for event in journal.events():
        if event.kind == KIND and event.trial is not None:
            found.setdefault(event.trial, []).append(event.data)
    return found


def last_step(journal: Journal, trial_id: int) -> tuple[str, Mapping[str, Any]]:
    """The newest step of a trial and its data; an empty name where there is none."""
    steps = all_steps(journal).get(trial_id)
    return (str(steps[-1]["state"]), steps[-1]) if steps else ("", {})
