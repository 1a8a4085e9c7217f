"""A run that ends after so many minutes, whatever trials are left: a session at the robot has an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

EVENT = "deadline"
"""Kind of the journal's row that says until when a run goes."""


@dataclass(frozen=True)
class Deadline:
    """No trial is asked for later; the one that runs then is finished.

    Args:
        minutes: from now.
        clock: monotonic, s.
    """

    minutes: float
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)
    at: datetime = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "begun", self.clock())
        object.__setattr__(self, "at", datetime.now().astimezone() + timedelta(minutes=self.minutes))

    @property
    def over(self) -> bool:
        """Whether it has passed, by a clock that nobody sets."""
        return self.clock() - self.begun >= 60.0 * self.minutes

    @property
    def length(self) -> str:
        """For people."""
        return "1 minute" if self.minutes == 1 else f"{self.minutes:g} minutes"

    @property
    def announced(self) -> str:
        """What a person is told at the start."""
        return f"The last trial begins before {self.at:%H:%M:%S}: the run ends after {self.length}."

    def ended(self, told: int, trials: int) -> str:
        """What a person is told at the end."""
        return f"The run's {self.length} are over: {told} of {trials} trials are done."
