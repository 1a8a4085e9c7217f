"""Who may command: one client at a time, for as long as it proves that it lives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from safebo.hardware.constants import LEASE_TIMEOUT_S


@dataclass
class Lease:
    """The lease and its epoch.

    Args:
        epoch: of the present or last lease; every new one is one more.
        session: link session of the holder; 0: nobody.
        name: of the holder, for people.
        alive: when the holder last proved that it lives, s.
    """

    epoch: int = 0
    session: int = 0
    name: str = ""
    alive: float = -math.inf

    def acquire(self, now: float, session: int, name: str) -> bool:
        """Take the lease when it is free, or keep one's own; whether that worked."""
        if self.session == session:
            return True
        if self.session:
            return False
        self.epoch += 1
        self.session, self.name, self.alive = session, name, now
        return True

    def held_by(self, session: int, epoch: int) -> bool:
        """Whether this session holds the lease of this epoch now."""
        return bool(self.session) and self.session == session and self.epoch == epoch

    def beat(self, now: float, session: int, epoch: int) -> None:
        """The holder's proof of life."""
        if self.held_by(session, epoch):
            self.alive = now

    def release(self) -> None:
        """Nobody holds it from now on."""
        self.session, self.name = 0, ""

    def expire(self, now: float) -> bool:
        """Void the lease of a holder that was silent for too long; whether that happened now."""
        if self.session and now - self.alive > LEASE_TIMEOUT_S:
            self.release()
            return True
        return False

    def silence(self, now: float) -> float:
        """Seconds since the holder proved that it lives; infinite when there is none."""
        return now - self.alive if self.session else math.inf
