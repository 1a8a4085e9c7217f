"""What became of one fault, and the list of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from safebo.hardware.link.client import RefusedError


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
    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: object, words: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.wrong.append(words)

    def shows(self, robot: str = "", record: str = "", operator: str = "") -> None:
        """Note what robot, record and operator show; what is left out stays."""
        self.robot, self.record = robot or self.robot, record or self.record
        self.operator = operator or self.operator

    def responded(self, seconds: float, most: float, promise: str) -> None:
        """Note the time to respond, and what was promised of it."""
        self.seconds, self.promise = seconds, promise
        # half a microsecond for sums of ticks
        self.expect(seconds <= most + 5e-7, f"responded after {seconds:.4f} s, promised were {most:g} s")

    def refused(
        self,
        granted: str,
        ask: Callable[[], object],
        errors: type[Exception] | tuple[type[Exception], ...] = RefusedError,
        answer: str = "",
    ) -> str:
        """Demand that something is refused; the words of the refusal.

        Args:
            granted: what is wrong if it is not.
            ask: for it.
            errors: that refuse it.
            answer: what the words of the refusal must hold.
        """
        try:
            ask()
        except errors as refusal:
            self.expect(answer in str(refusal), f"refused otherwise than with {answer!r}: {refusal}")
            return str(refusal)
        self.expect(False, granted)
        return ""


Injection = Callable[..., None]


@dataclass(frozen=True)
class Fault:
    """A fault that is made in lock-step, or with real processes.

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

    def report(self, *where: object) -> Report:
        """Make it, somewhere if it needs a place; whatever is raised on the way is wrong too."""
        report = Report(self.number, self.name, self.injection)
        try:
            self.inject(report, *where)
        except Exception as error:
            report.wrong.append(f"{type(error).__name__}: {error}")
        return report


FAULTS: list[Fault] = []
"""Every fault that is made in lock-step, as its module defines it."""


def fault(
    number: int, name: str, injection: str, home: list[Fault] = FAULTS
) -> Callable[[Injection], Injection]:
    """Put a fault on a list."""

    def add(inject: Injection) -> Injection:
        home.append(Fault(number, name, injection, inject))
        return inject

    return add
