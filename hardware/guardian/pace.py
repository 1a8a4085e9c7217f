"""When a control tick is, and what time it is then: by our own clock, or by the robot's.

A physical robot does not wait, so its guardian ticks on its own clock. A virtual robot on a machine that cannot
keep up lets its clock run slower, and everything has to run slower with it: its guardian ticks whenever the
robot's clock has advanced, and its own clock advances by as much.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from safebo.hardware.constants import CATCH_UP_S, SILENT_TICKS, STATE_WAIT_S
from safebo.hardware.robot_link import RobotLink, RobotState


class WaitingLink(RobotLink, Protocol):
    """A link on which one can wait for news."""

    def wait(self, seconds: float) -> bool:
        """Wait for a state for at most `seconds`; whether there is one."""
        ...


class GuardianPace(Protocol):
    """Decides when the next tick is."""

    def next(self, link: WaitingLink) -> tuple[float, RobotState | None]:
        """Wait for the next tick; the guardian's clock, s, and the robot's newest state if there is news."""
        ...


class OwnPace:
    """Ticks on our monotonic clock. A tick that comes too late moves all later ones: none is made up for.

    Args:
        period: s.
    """

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period, self._clock = period, clock
        self._due = clock()

    def next(self, link: WaitingLink) -> tuple[float, RobotState | None]:
        """Sleep until the tick is due."""
        self._due += self._period
        left = self._due - self._clock()
        if left > 0:
            time.sleep(left)
        else:
            self._due -= left
        return self._clock(), link.read()


class RobotPace:
    """Ticks when the robot's clock has advanced, and at the latest after `patience` seconds.

    Time goes on by what the robot's clock advanced. A robot that says nothing ages as fast as on our own clock, one
    that is slow does not: the first silent ticks count a period each, as if a state had been lost on the way, and
    only when more follow is the time that was really waited caught up with, little by little.

    Args:
        period: control period, s of the robot's clock.
        patience: s.
    """

    def __init__(
        self, period: float, patience: float = STATE_WAIT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._period, self._patience, self._clock = period, patience, clock
        self._now = clock()
        self._seen = 0.0
        self._restarts = 0
        self._silent = 0  # ticks in a row without a state
        self._ahead = 0.0  # s that were counted since the newest state

    def next(self, link: WaitingLink) -> tuple[float, RobotState | None]:
        """Wait for the robot."""
        begin = self._clock()
        while True:
            state = link.read()
            if state is not None:
                break
            left = begin + self._patience - self._clock()
            if left <= 0:
                # news that came while this process did not run is no silence
                state = link.read()
                break
            link.wait(left)
        if state is None:
            self._silent += 1
            if self._silent <= SILENT_TICKS:
                step = self._period
            else:
                behind = (self._silent - 1) * self._patience - self._ahead
                step = self._patience + min(CATCH_UP_S, behind)
            self._ahead += step
            self._now += step
            return self._now, None
        advance = state.reading.time - self._seen
        if state.restarts != self._restarts or advance <= 0:
            advance = self._period
        self._seen, self._restarts = state.reading.time, state.restarts
        self._now += max(0.0, advance - self._ahead)
        self._silent, self._ahead = 0, 0.0
        return self._now, state
