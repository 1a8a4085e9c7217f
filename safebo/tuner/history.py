"""What was asked and told, in the order of the trials' ids: the whole state of a tuner.

Everything else that a tuner holds is computed from here and could be thrown away, which is why a restored
tuner proposes what the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Iterator

from safebo.errors import MeasurementError, UnknownNameError
from safebo.types import Measurement, PreferenceAnswer, Trial, TrialRecord


class History:
    """Records by trial id, iterated in the order of the ids."""

    def __init__(self) -> None:
        self._records: dict[int, TrialRecord] = {}
        self.answers: list[PreferenceAnswer] = []
        """Of a study with a preference objective, in the order given."""

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter([self._records[i] for i in sorted(self._records)])

    def __repr__(self) -> str:
        return f"History({len(self)} trials, {len(self.pending())} pending)"

    @property
    def next_id(self) -> int:
        """Ids count from 1."""
        return max(self._records, default=0) + 1

    def add(self, trial: Trial, measurement: Measurement | None = None) -> None:
        """Enter a new trial."""
        if trial.id in self._records:
            raise MeasurementError(f"trial {trial.id} exists already")
        self._records[trial.id] = TrialRecord(trial, measurement)

    def replace(self, trial: Trial) -> None:
        """Put an edited trial in the place of a pending one."""
        if not self.record(trial.id).pending:
            raise MeasurementError(f"trial {trial.id} was told already and cannot be edited")
        self._records[trial.id] = TrialRecord(trial)

    def tell(self, trial_id: int, measurement: Measurement) -> None:
        """Enter the measurement of a pending trial."""
        record = self.record(trial_id)
        if not record.pending:
            raise MeasurementError(f"trial {trial_id} was told already; a measurement is told once")
        self._records[trial_id] = TrialRecord(record.trial, measurement)

    def record(self, trial_id: int) -> TrialRecord:
        """The record of that id."""
        if trial_id not in self._records:
            raise UnknownNameError("trial", trial_id, sorted(self._records))
        return self._records[trial_id]

    def pending(self) -> list[TrialRecord]:
        """Records without a measurement."""
        return [record for record in self if record.pending]

    def told(self) -> list[TrialRecord]:
        """Records with a measurement."""
        return [record for record in self if not record.pending]

    def last(self) -> TrialRecord | None:
        """The record of the largest id; None without one."""
        return self._records[max(self._records)] if self._records else None

    def latest(self, failed: bool = True) -> float:
        """The latest operating time that is known, in seconds: when the last trial began, or ended if it was told.

        Args:
            failed: whether trials count that failed and so showed nothing.
        """
        ends = [
            record.operating_time + (0.0 if record.measurement is None else record.measurement.duration)
            for record in self
            if record.operating_time is not None
            and (failed or record.measurement is None or record.measurement.outcome != "failed")
        ]
        return max(ends, default=0.0)

    def known_answers(self) -> tuple[PreferenceAnswer, ...]:
        """The answers about trials of which both were told."""
        told = {record.trial.id for record in self.told()}
        return tuple(a for a in self.answers if {a.question.left, a.question.right} <= told)

    def of_context(self, name: str) -> list[TrialRecord]:
        """Records of one named context."""
        return [record for record in self if record.trial.context_name == name]
