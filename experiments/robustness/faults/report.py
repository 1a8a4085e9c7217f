"""What became of one fault, and the list of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Report:
    """What became of one fault.

    Args:
        number: in the list of faults.
        name: for people.
        injection: how it was made.
        promise: what is promised about the time to respond; empty without a promise.
        robot, record, operator: what each shows.
        seconds: from the fault, or from the limit it crosses, to the robot's response, s; nan where there is
            none to time.
        most: promised for `seconds`, s.
        wrong: what should have been otherwise.
    """

    number: int
    name: str
    injection: str = ""
    promise: str = ""
    robot: str = ""
    record: str = ""
    operator: str = ""
    seconds: float = math.nan
    most: float = math.inf
    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: object, words: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.wrong.append(words)

    def responded(self, seconds: float, most: float, promise: str) -> None:
        """Note the time to respond, and what was promised of it."""
        self.seconds, self.most, self.promise = seconds, most, promise
        # half a microsecond for sums of ticks
        self.expect(seconds <= most + 5e-7, f"responded after {seconds:.4f} s, promised were {most:g} s")


Injection = Callable[[Report], None]


@dataclass(frozen=True)
class Fault:
    """A fault that is made in lock-step.

    Args:
        number: in the list of faults.
        name: for people.
        injection: how it is made.
        inject: makes it, and fills in what became of it.
    """

    number: int
    name: str
    injection: str
    inject: Injection

    def report(self) -> Report:
        """Make it; whatever is raised on the way is wrong too."""
        report = Report(self.number, self.name, self.injection)
        try:
            self.inject(report)
        except Exception as error:
            report.wrong.append(f"{type(error).__name__}: {error}")
        return report


FAULTS: list[Fault] = []
"""Every fault that is made in lock-step, as its module defines it."""


def fault(number: int, name: str, injection: str) -> Callable[[Injection], Injection]:
    """Put a fault on the list."""

    def add(inject: Injection) -> Injection:
        FAULTS.append(Fault(number, name, injection, inject))
        return inject

    return add
