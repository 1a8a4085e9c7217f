"""Trials that do not certify as far as the study's horizon: said and kept once."""

from __future__ import annotations

from typing import Any

from safebo.runs.progress import Progress
from safebo.storage.journal import Journal

KIND = "horizon"


class HorizonNews:
    """Says and keeps which trials say nothing about longer ones; a run without a horizon has no news.

    Args:
        journal: of the run.
        tuner: that was told the trials.
        progress: is told.
    """

    def __init__(self, journal: Journal, tuner: Any, progress: Progress) -> None:
        self._journal, self._progress = journal, progress
        self._beyond = None if journal.run.study.horizon is None else getattr(tuner, "beyond_horizon", None)
        self._said = set() if self._beyond is None else {e.trial for e in journal.events() if e.kind == KIND}

    def tell(self) -> None:
        """Say what is new after the trials told so far."""
        for trial, text in (self._beyond() if self._beyond is not None else {}).items():
            if trial not in self._said:
                self._said.add(trial)
                self._journal.note(KIND, text, trial)
                self._progress.note(text)
