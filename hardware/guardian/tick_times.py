"""How punctual ticks are: a histogram of the time from one to the next, as cyclictest keeps it, and why one was late.

A tick is late because its thread was not woken in time, because the tick before took too long by its own work, or
because other programs or page faults held that up. Clock and counters of the thread tell which.
"""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass

import numpy as np

from safebo.hardware.constants import HISTOGRAM_BIN_S, HISTOGRAM_BINS, LATE_REPORT_S, LATE_TICK_S


class TickTimes:
    """Counts of times between ticks.

    Attributes:
        counts: per bin of `HISTOGRAM_BIN_S`.
        worst: the longest, s.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
        self.worst = 0.0

    def take(self, seconds: float) -> None:
        """One more."""
        self.counts[min(HISTOGRAM_BINS - 1, int(seconds / HISTOGRAM_BIN_S))] += 1
        self.worst = max(self.worst, seconds)

    @property
    def total(self) -> int:
        """How many."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """What that share of the times does not exceed, s, rounded up to a bin; the worst one beyond the last bin."""
        reached = np.searchsorted(np.cumsum(self.counts), share * self.total)
        return (
            self.worst
            if reached >= HISTOGRAM_BINS - 1
            else min(self.worst, HISTOGRAM_BIN_S * float(reached + 1))
        )

    def over(self, seconds: float) -> int:
        """How many were longer, to a bin."""
        return int(self.counts[round(seconds / HISTOGRAM_BIN_S) :].sum())

    def histogram(self, rows: int = 16) -> list[str]:
        """Lines for people: bins that grow, a count and a bar of its logarithm each."""
        edges = [
            0.0,
            *(1e-3 * e for e in (0.5, 1, 1.5, 1.8, 1.9, 2, 2.1, 2.2, 2.5, 3, 4, 5, 10, 20, 50, 100)),
        ]
        cuts = [round(e / HISTOGRAM_BIN_S) for e in edges]
        lines = []
        for low, high, a, b in zip(edges, edges[1:], cuts, cuts[1:], strict=False):
            lines.append((f"{1e3 * low:5.1f} .. {1e3 * high:<5.1f}", int(self.counts[a:b].sum())))
        lines.append((f"{1e3 * edges[-1]:5.1f} ..      ", int(self.counts[cuts[-1] :].sum())))
        return [f"  {name} ms {count:8d}  {'#' * _bar(count)}" for name, count in lines if count][-rows:]


def _bar(count: int) -> int:
    return round(8.0 * math.log10(1 + count))


@dataclass(frozen=True)
class Moment:
    """Clocks and counters of the thread: wall and CPU time, s; page faults; times it was put off its core."""

    wall: float
    cpu: float
    faults: int
    preempted: int

    @classmethod
    def now(cls) -> Moment:
        """Of the calling thread."""
        used = resource.getrusage(resource.RUSAGE_THREAD)
        return cls(time.monotonic(), time.thread_time(), used.ru_minflt + used.ru_majflt, used.ru_nivcsw)


class TickWatch:
    """Times between the ticks of a loop on its own clock, and the causes of late ones.

    Args:
        period: s.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self.times = TickTimes()
        self.late = 0
        self._begun: Moment | None = None
        self._ended: Moment | None = None
        self._said, self._unsaid = -LATE_REPORT_S, 0

    def begin(self) -> str:
        """A tick begins; why it is late, where it is and none was told of within the last second; else empty."""
        now, begun, ended = Moment.now(), self._begun, self._ended
        self._begun = now
        if begun is None or ended is None:
            return ""
        since = now.wall - begun.wall
        self.times.take(since)
        if since < LATE_TICK_S:
            return ""
        self.late += 1
        if now.wall - self._said < LATE_REPORT_S:
            self._unsaid += 1
            return ""
        more = f"; {self._unsaid} more since the last such line" if self._unsaid else ""
        self._said, self._unsaid = now.wall, 0
        return (
            f"a tick came {1e3 * since:.1f} ms after the one before: {self._cause(begun, ended, now)}{more}"
        )

    def end(self) -> None:
        """Its work is done."""
        self._ended = Moment.now()

    def _cause(self, begun: Moment, ended: Moment, now: Moment) -> str:
        took, ran = ended.wall - begun.wall, ended.cpu - begun.cpu
        if took < self.period:
            late = now.wall - max(begun.wall + self.period, ended.wall)
            return f"it was woken {1e3 * late:.1f} ms late, by the system"
        faults = ended.faults - begun.faults
        if ran >= 0.8 * took:
            return f"the work of that took {1e3 * took:.1f} ms" + (
                f", with {faults} page faults" if faults else ""
            )
        held = f"that was held up for {1e3 * (took - ran):.1f} ms: "
        preempted = ended.preempted - begun.preempted
        if preempted:
            return held + f"put off its core {preempted} times by other programs"
        return held + (
            f"{faults} page faults" if faults else "it waited for another thread or for the system"
        )
