"""When a virtual robot's next tick is: by the wall clock, by who commands it, or both.

The robot never makes up for lost time: a tick that comes late moves all later ones, so on a machine that cannot
keep up the robot's clock runs slow, and says so. While somebody commands, a tick also waits for a fresh command,
up to a patience; without that, a commander that the machine held up would find that the robot had gone on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

CARRIED = 0.001  # s that a tick may be late without moving the next one
SLICE = 0.01  # s between two looks at what else has come, while waiting
REPORT = 5.0  # s between two looks at the real-time factor
SLOW = 0.98
AGAIN, WORSE = 60.0, 0.1  # s after which it is said again; by how much worse it must be to be said earlier
PATIENCE, LOCK_STEP_PATIENCE = 0.02, 1.0  # s


class Listener(Protocol):
    """What a pace waits for."""

    @property
    def commanded(self) -> bool:
        """Whether somebody is commanding, by the robot's clock."""
        ...

    def listen(self) -> int:
        """Take what has come and answer services; how many sound commands there were. Never blocks."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for a command."""
        ...


class VirtualPace:
    """Lets ticks pass.

    Args:
        period: s.
        patience: wall seconds that a tick waits for a fresh command while somebody commands.
        lock_step: no wall clock while somebody commands.
        clock: monotonic seconds.

    Attributes:
        missed: ticks that passed without a fresh command although somebody commanded.
    """

    def __init__(
        self,
        period: float,
        patience: float = PATIENCE,
        lock_step: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._period, self._patience, self._lock_step, self._clock = period, patience, lock_step, clock
        self._due = clock()
        self.missed = 0

    def next(self, robot: Listener) -> None:
        """Return when the next tick is."""
        fresh = robot.listen()
        self._due += self._period
        if not (self._lock_step and (fresh or robot.commanded)):
            fresh += self._until(robot, self._due)
        if not fresh and robot.commanded:
            fresh += self._until(robot, self._clock() + self._patience, enough=1)
            self.missed += not fresh
        now = self._clock()
        if now > self._due + CARRIED:
            self._due = now
        elif self._lock_step:
            self._due = min(self._due, now)

    def _until(self, robot: Listener, end: float, enough: int | None = None) -> int:
        fresh = 0
        while (left := end - self._clock()) > 0:
            robot.wait(min(left, SLICE))
            fresh += robot.listen()
            if enough is not None and fresh >= enough:
                break
        return fresh


class SpeedWatch:
    """How fast the robot's clock runs against the wall's.

    Args:
        say: told when it is slow.
        quiet: never say so; in lock-step the factor means nothing.
        clock: monotonic seconds.
    """

    def __init__(
        self, say: Callable[[str], None], quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._quiet, self._clock = say, quiet, clock
        self._begin = self._wall = clock()
        self._time = 0.0
        self._said, self._least = -AGAIN, 1.0

    def look(self, now: float) -> None:
        """Say so when the last seconds were slow; `now` is the robot's time, s."""
        wall = self._clock()
        if wall - self._wall < REPORT:
            return
        factor = (now - self._time) / (wall - self._wall)
        self._wall, self._time = wall, now
        worse = factor < self._least - WORSE or wall - self._said >= AGAIN
        if factor < SLOW and worse and not self._quiet:
            self._said, self._least = wall, factor
            self._say(f"slow: the robot's clock runs at {factor:.2f} of real time")

    def factor(self, now: float) -> float:
        """Over the whole run."""
        return now / max(1e-9, self._clock() - self._begin)
