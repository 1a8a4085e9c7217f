"""What trials show beside priors, said and kept once: that they do not reach the horizon, outliers, margins that never
vary.
"""

from __future__ import annotations

from typing import Any

from safebo.evaluators.unvarying import unvarying_margins
from safebo.runs.progress import Progress
from safebo.storage.journal import Journal

HORIZON, OUTLIER, UNVARYING = "horizon", "outlier", "margin-unvarying"
"""Kinds of events: a trial that does not certify as far as the horizon, a measurement that is an outlier, a margin that
is the same whatever the gains.
"""


class TrialNews:
    """Says and keeps what is unusual about a run's trials.

    Args:
        journal: of the run.
        tuner: that was told the trials.
        progress: is told.
    """

    def __init__(self, journal: Journal, tuner: Any, progress: Progress) -> None:
        self._journal, self._progress = journal, progress
        self._study = study = journal.run.study
        robust = any(f.noise_degrees is not None for f in (study.objective, *study.constraints))
        self._beyond = dict if study.horizon is None else getattr(tuner, "beyond_horizon", dict)
        self._history = getattr(tuner, "history", ())
        self._outliers = getattr(tuner, "outliers", dict) if robust else dict
        kept = [e for e in journal.events() if e.kind in (HORIZON, OUTLIER, UNVARYING)]
        self._said = {(e.kind, e.trial, e.data.get("function", "")) for e in kept}

    def tell(self) -> None:
        """Say what is new after the trials told so far."""
        for trial, text in self._beyond().items():
            self._say(HORIZON, trial, text)
        for trial, functions in self._outliers().items():
            for name, times in functions.items():
                text = (
                    f"trial {trial}: {name} is taken as an outlier (counts with {times:.1f} times the noise)"
                )
                self._say(OUTLIER, trial, text, name)

        shown = ((r.trial.parameters, r.measurement) for r in self._history)
        for name, text in unvarying_margins(shown, self._study).items():
            self._say(UNVARYING, None, text, name)

    def _say(self, kind: str, trial: int | None, text: str, function: str = "") -> None:
        if (kind, trial, function) not in self._said:
            self._said.add((kind, trial, function))
            self._journal.note(kind, text, trial, {"function": function} if function else None)
            self._progress.note(text)
