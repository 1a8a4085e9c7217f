"""What trials showed is entered in the journal and told."""

from __future__ import annotations

import json
from pathlib import Path

from safebo.errors import JournalError
from safebo.evaluators.outcome import remarks_on
from safebo.runs.progress import Progress
from safebo.storage.journal import Journal
from safebo.types import EvaluatorInfo, Measurement, Trial


class TrialRecorder:
    """Enters what trials of one run showed.

    Args:
        journal: of the run.
        folder: the run's.
        info: what the evaluator accepts.
        progress: is told.
    """

    def __init__(self, journal: Journal, folder: Path, info: EvaluatorInfo, progress: Progress) -> None:
        self._journal, self._folder, self._info, self._progress = journal, folder, info, progress
        self._remarks: set[str] = set()

    def record(self, trial: Trial, measurement: Measurement) -> None:
        """Enter it, and tell it with remarks that were not made before.

        Raises:
            JournalError: it cannot be entered; the message holds what a trial showed that may not be repeated.
        """
        try:
            self._journal.tell(trial.id, measurement)
        except JournalError as error:
            if self._info.repeatable:
                raise JournalError(f"{error} Trial {trial.id} will be evaluated again.") from error
            seen = {"objective": measurement.objective, "margins": dict(measurement.margins)}
            raise JournalError(
                f"{error} Trial {trial.id} ran and showed {json.dumps(seen)}, outcome {measurement.outcome}: "
                f"write that to a file and say `safebo resolve {self._folder} {trial.id} --measurement FILE`."
            ) from error
        self._progress.told(trial, measurement)
        remarks = [remark for remark in remarks_on(measurement) if remark not in self._remarks]
        self._remarks.update(remarks)
        for remark in remarks:
            self._progress.note(f"trial {trial.id}: {remark}")
