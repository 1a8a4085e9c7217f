"""Measurements that are taken as outliers: said and kept once."""

from __future__ import annotations

from typing import Any

from safebo.runs.progress import Progress
from safebo.storage.journal import Journal

KIND = "outlier"


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
        kept = [e for e in journal.events() if e.kind == KIND] if declared else []
        self._said = {(event.trial, event.data["function"]) for event in kept}

    def tell(self) -> None:
        """Say what is new after the trials told so far."""
        for trial, functions in self._outliers().items():
            for name, times in functions.items():
                if (trial, name) not in self._said:
                    self._said.add((trial, name))
                    text = f"trial {trial}: {name} is taken as an outlier (counts with {times:.1f} times the noise)"
                    self._journal.note(KIND, text, trial, {"function": name})
                    self._progress.note(text)
