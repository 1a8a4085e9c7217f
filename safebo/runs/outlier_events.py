"""Measurements that are taken as outliers: said and kept once, and again where later ones bear them out."""

from __future__ import annotations

from typing import Any

from safebo.runs.progress import Progress
from safebo.storage.journal import Journal

TAKEN, WITHDRAWN = "outlier", "outlier-withdrawn"


class OutlierNews:
    """Says and keeps which measurements count with more noise; a run of Gaussian noise has no news.

    Args:
        journal: of the run.
        tuner: that was told the trials.
        progress: is told.
    """

    def __init__(self, journal: Journal, tuner: Any, progress: Progress) -> None:
        self._journal, self._progress = journal, progress
        study = journal.run.study
        declared = any(f.noise_degrees is not None for f in (study.objective, *study.constraints))
        self._outliers = getattr(tuner, "outliers", dict) if declared else dict
        self._said: set[tuple[int, str]] = set()
        for event in journal.events() if declared else ():
            if event.kind in (TAKEN, WITHDRAWN) and event.trial is not None:
                key = (event.trial, event.data["function"])
                (self._said.add if event.kind == TAKEN else self._said.discard)(key)

    def tell(self) -> None:
        """Say what is new after the trials told so far."""
        now = {(trial, name): times for trial, own in self._outliers().items() for name, times in own.items()}
        for (trial, name), times in now.items():
            if (trial, name) not in self._said:
                self._note(
                    TAKEN,
                    trial,
                    name,
                    f"trial {trial}: {name} is taken as an outlier (counts with {times:.1f} times the noise)",
                )
        for trial, name in sorted(self._said - set(now)):
            self._note(WITHDRAWN, trial, name, f"trial {trial}: {name} is no longer taken as an outlier")
        self._said = set(now)

    def _note(self, kind: str, trial: int, name: str, text: str) -> None:
        self._journal.note(kind, text, trial, {"function": name})
        self._progress.note(text)
