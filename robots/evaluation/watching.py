"""How a monitor watches a simulated walk, and how its backups take over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from safebo.boundary.margin_to_go import MarginMonitor, recent
from safebo.robots.simulation.recording import WalkRecording
from safebo.types import FloatArray, Monitor

RAMP_TICKS = 3
"""Over which gains go to those of a backup that was learned so: 6 ms. At once, they make a step in torque; every
further tick has to be known earlier. Of 24 walks that broke the limit of `go1-trot`, 23 could be saved 3 ticks before
with a ramp of 3, 16 with 5 and 8 with 10.
"""


def ramped(
    before: Mapping[str, float], after: Mapping[str, float], ticks: int = RAMP_TICKS
) -> list[dict[str, float]]:
    """Gains of every tick from a switch on, linearly from some to others, which the last of them are.

    Args:
        before: gains of the walk, at least those that `after` names.
        after: gains of the backup.
        ticks: of the way, at least 1.
    """
    shares = [(tick + 1) / ticks for tick in range(ticks - 1)]
    between = [{name: (1.0 - s) * before[name] + s * after[name] for name in after} for s in shares]
    return [*between, dict(after)]


def phases(ticks: int, period: float, stride: float) -> FloatArray:
    """Share of the stride that has passed in every tick of a walk, `n`, 0 to under 1.

    Args:
        ticks: number of them, `n`.
        period: of control, s.
        stride: s.
    """
    return np.asarray(np.arange(ticks) * (period / stride) % 1.0)


class Watching:
    """What is asked in every tick of one walk, from its first, with the state.

    Args:
        monitor: of the margin to go, that watches.
        period: of control, s.
        stride: s.
        margins: what it is shown in a row of a recording, `q`.

    Attributes:
        record: of the walk, once there is one; its rows up to the present one are there when the monitor is asked.
    """

    def __init__(
        self,
        monitor: MarginMonitor,
        period: float,
        stride: float,
        margins: Callable[[WalkRecording, int], FloatArray],
    ) -> None:
        self.record: WalkRecording | None = None
        self._monitor, self._share, self._margins = monitor, period / stride, margins
        self._tick, self._shown = -1, np.zeros((0, len(monitor.shown)))

    def __call__(self, state: FloatArray) -> int:
        """-1 to go on, otherwise the index of the backup that takes over."""
        self._tick += 1
        tick, monitor = self._tick, self._monitor
        if not monitor.shown:
            return monitor.check(state, tick * self._share % 1.0)
        assert self.record is not None, "a monitor that is shown margins needs the recording"
        if not tick:
            self._shown = np.empty((len(self.record), len(monitor.shown)))
        self._shown[tick] = self._margins(self.record, self.record.walk_start + tick)
        return monitor.check(state, tick * self._share % 1.0, recent(self._shown, tick))


def takeovers(monitor: Monitor | MarginMonitor, before: Mapping[str, float]) -> list[list[dict[str, float]]]:
    """Of every backup the gains of the ticks from a switch on: at once, or ramped where that is what was learned.

    Args:
        monitor: whose backups.
        before: all gains of the walk.
    """
    if isinstance(monitor, MarginMonitor):
        return [ramped(before, backup, monitor.ramp) for backup in monitor.backups]
    return [[dict(backup)] for backup in monitor.backups]
