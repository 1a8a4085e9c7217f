"""All that is said and kept during a run beside its trials: of priors, horizons, outliers and norms."""

from __future__ import annotations

from typing import Any

from safebo.runs.evidence_events import EvidenceNews
from safebo.runs.norm_events import NormNews
from safebo.runs.prior_events import PriorNews
from safebo.runs.progress import Progress
from safebo.runs.trial_events import TrialNews
from safebo.storage.journal import Journal


class RunNews:
    """News of one run.

    Args:
        journal: of the run.
        tuner: that is told its trials.
        progress: is told.
        supervised: a robot is watched, so that an alarm stops the run unless the study says otherwise.
    """

    def __init__(self, journal: Journal, tuner: Any, progress: Progress, supervised: bool) -> None:
        declared = journal.run.study.surrogate.on_alarm
        pause = (declared or ("pause" if supervised else "caution")) == "pause"
        self._prior = PriorNews(journal, tuner, progress)
        self._trials = TrialNews(journal, tuner, progress)
        self._evidence = EvidenceNews(journal, tuner, progress, pause)
        self._norms = NormNews(journal, tuner, progress, pause, declared in ("pause", "caution"))

    def begin(self) -> None:
        """Before the first round."""
        self._prior.begin()

    def told(self) -> None:
        """After the trials of a round were told."""
        self._prior.tell()

    def checked(self) -> None:
        """After none of them ended the run.

        Raises:
            ModelAlarmError: an alarm, where it stops the run.
        """
        self._trials.tell()
        self._evidence.tell()
        self._norms.tell()

    def end(self) -> None:
        """After the last round."""
        self._prior.tell(last=True)
        self._norms.tell(last=True)
