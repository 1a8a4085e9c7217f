"""Whose states these are: where two robots publish on one network, their states interleave, and only one's are used."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from safebo.hardware.constants import OTHER_ROBOT_S, SOURCE_TIMEOUT_S

Sample = tuple[bytes, int]


class StateSource:
    """Lets through the states of the publisher that was heard first, and remembers the others.

    Args:
        serial: serial number in a state's bytes; empty where there is none.

    Attributes:
        others: serial number and when it was heard last (monotonic s), by publisher.
    """

    def __init__(self, serial: Callable[[bytes], str]) -> None:
        self._serial = serial
        self._own: int | None = None
        self._heard = -math.inf
        self.others: dict[int, tuple[str, float]] = {}

    def own(self, samples: Iterable[Sample], now: float) -> list[bytes]:
        """States of the one robot that this link is for.

        It is given up for another publisher only once it has been silent for `SOURCE_TIMEOUT_S`, as it is when a robot
        has restarted; two that speak at the same time never take turns.

        Args:
            samples: bytes and the handle of their publisher, oldest first.
            now: monotonic s.
        """
        samples = list(samples)
        if not samples:
            return []
        if self._own is None:
            self._own = samples[0][1]
        elif now - self._heard > SOURCE_TIMEOUT_S and all(writer != self._own for _, writer in samples):
            self._own = samples[-1][1]
            self.others.pop(self._own, None)
        kept = []
        for data, writer in samples:
            if writer == self._own:
                kept.append(data)
                self._heard = now
            else:
                known, _ = self.others.get(writer, ("", now))
                self.others[writer] = (known or self._serial(data), now)
        return kept

    def heard(self, now: float) -> list[str]:
        """Serial numbers of other robots that were heard within `OTHER_ROBOT_S`; empty texts where they have none."""
        return [serial for serial, at in self.others.values() if now - at <= OTHER_ROBOT_S]
