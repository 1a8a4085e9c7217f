"""The robot's operating time during a run, in seconds, pauses included: for what a trial showed grows old.

It is the time since the run was made, on the wall, until the evaluator reports times of its own (`operating_time` of a
measurement), from which it goes on. A simulation may be declared to need a fixed time from trial to trial instead
(`surrogate.time.interval`), so that a run does not depend on how fast the computer is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from safebo.storage.journal import Journal
from safebo.storage.records import Record
from safebo.study.duration import duration_text
from safebo.types import Measurement, Trial

OWN_CLOCK = "operating-time"
"""Kind of the event that the evaluator has a clock of its own."""


class OperatingClock:
    """The clock of one run.

    Args:
        journal: of the run.
        records: its trials so far.
        wall: seconds since the epoch.
    """

    def __init__(
        self,
        journal: Journal,
        records: Sequence[Record],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._journal, self._wall = journal, wall
        self.spec = journal.run.study.surrogate.time
        self._interval = None if self.spec is None else self.spec.interval
        self._base = (0.0, journal.run.created_at.timestamp())
        times = [r.operating_time for r in records if r.operating_time is not None]
        self._last = max(times, default=0.0)
        self._any = bool(times)
        self._own = self.spec is not None and any(e.kind == OWN_CLOCK for e in journal.events())
        self._started: dict[int, float] = {}
        self._asked: dict[int, float] = {}
        for record in records:
            self.asked(record.trial, record.asked_at)
        told = [(r, r.measurement) for r in records if r.measurement is not None and r.told_at is not None]
        if self._own and told:
            record, measurement = told[-1]
            begun = self._last if record.operating_time is None else record.operating_time
            assert record.told_at is not None
            self._base = (begun + measurement.duration, record.told_at.timestamp())

    def now(self) -> float:
        """The operating time."""
        if self._interval is not None:
            return self._last
        time, wall = self._base
        return max(0.0, time + self._wall() - wall)

    def asked(self, trial: Trial, at: datetime) -> None:
        """A trial was recorded at that time of the wall."""
        self._asked[trial.id] = (at - self._journal.run.created_at).total_seconds()

    def timed(self, trial: Trial) -> Trial:
        """A trial as the evaluator gets it: with an operating time.

        Without `surrogate.time` that is the time at which the trial was recorded, the same whenever it runs.
        """
        if trial.operating_time is not None:
            return trial
        return replace(trial, operating_time=self._asked.get(trial.id))

    def wall_at(self, time: float) -> datetime | None:
        """What the clock on the wall shows at an operating time; None where it has nothing to do with it."""
        if self._interval is not None:
            return None
        base, wall = self._base
        return datetime.fromtimestamp(wall + time - base, UTC)

    def next(self) -> float:
        """When a trial that is asked for now will begin, at the latest."""
        if self._interval is not None:
            self._last += self._interval if self._any else 0.0
        else:
            self._last = max(self._last, self.now() + (0.0 if self.spec is None else self.spec.lead))
        self._any = True
        return self._last

    def expired(self, trial: Trial) -> Measurement | None:
        """A trial begins: what is recorded instead, where its certificate has expired; None where it may run."""
        if self._interval is not None or self.spec is None:
            return None
        now = self._started[trial.id] = self.now()
        until = trial.certified_until
        if trial.phase == "seed" or until is None or now <= until:
            return None
        message = (
            f"its certificate expired {duration_text(now - until)} before it could begin; it did not run. Where "
            f"trials begin later than surrogate.time.lead ({duration_text(self.spec.lead)}) after they are asked for, "
            "declare more"
        )
        return self.measured(trial, Measurement("failed", message=message))

    def measured(self, trial: Trial, measurement: Measurement) -> Measurement:
        """The measurement with the operating time at which its trial began."""
        if self.spec is None:
            return measurement
        reported = measurement.operating_time
        known = [self._base[0]] if self._own else []
        if reported is not None and all(reported >= time for time in known):
            self._base = (reported + measurement.duration, self._wall())
            self._last = max(self._last, reported)
            if not self._own:
                self._journal.note(OWN_CLOCK, "the evaluator reports the robot's operating time", trial.id)
                self._own = True
            return measurement
        if reported is not None:
            self._journal.note(
                "clock",
                f"trial {trial.id}: the evaluator's operating time went back to {duration_text(reported)}; the run's "
                "own clock goes on",
                trial.id,
            )
        return replace(measurement, operating_time=self._started.get(trial.id, trial.operating_time))
