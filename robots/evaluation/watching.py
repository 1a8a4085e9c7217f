"""How a monitor watches a simulated walk, and how its backups take over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from safebo.boundary.margin_to_go import MarginMonitor
from safebo.types import FloatArray, Monitor

RAMP_TICKS = 10
"""Over which gains go to those of a backup that was learned so: 20 ms. At once, they make a step in torque."""


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


def watching(monitor: Monitor | MarginMonitor, period: float, stride: float) -> Callable[[FloatArray], int]:
    """What is asked in every tick of one walk, from its first, with the state.

    Args:
        monitor: that watches; one of the margin to go is told the phase, too.
        period: of control, s.
        stride: s.
    """
    if not isinstance(monitor, MarginMonitor):
        return monitor.check
    tick = -1

    def check(state: FloatArray) -> int:
        nonlocal tick
        tick += 1
        return monitor.check(state, tick * (period / stride) % 1.0)

    return check


def takeovers(monitor: Monitor | MarginMonitor, before: Mapping[str, float]) -> list[list[dict[str, float]]]:
    """Of every backup the gains of the ticks from a switch on: at once, or ramped where that is what was learned.

    Args:
        monitor: whose backups.
        before: all gains of the walk.
    """
    if isinstance(monitor, MarginMonitor):
        return [ramped(before, backup, monitor.ramp) for backup in monitor.backups]
    return [[dict(backup)] for backup in monitor.backups]
