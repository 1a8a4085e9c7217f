"""What watches a trial at control rate, and what backups would have made of a simulated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from safebo.types.arrays import FloatArray


@dataclass(frozen=True)
class SwitchPlan:
    """Backups to try on the way of a simulated trial: each takes over in its tick, then the trial is put back.

    Args:
        backups: gains that may take over, as a monitor has them.
        margins: names of those that count. The trial may end as soon as one of them was negative.
        tried: ticks of the trial from its first, 0, and places in `backups`, `m` pairs in the order of the ticks. The
            trial may end after the last of them. Empty: it goes on to its end.
        horizon: seconds that are simulated after a switch, if the trial is that long.
    """

    backups: tuple[Mapping[str, Any], ...]
    margins: tuple[str, ...]
    tried: tuple[tuple[int, int], ...] = ()
    horizon: float = 1.0


@dataclass(frozen=True)
class SwitchedTrial:
    """A simulated trial, and what backups would have made of it.

    Args:
        states: what a monitor is shown, of every tick from the first, `n x k`.
        margins: value of every margin in every tick under the trial's own gains, by name, `n` each.
        to_go: by margin, smallest value from the tick of a switch on until the horizon, of every pair that was tried,
            `m` each; clearly negative for a fall.
        period: seconds from tick to tick.
        phase: share of the stride that had passed, 0 to 1, `n`; empty for trials without one.
        fell: whether the trial itself ended in a fall.
        ramp: ticks over which a backup takes over; 1: at once.
        shown: by margin, what a monitor is told of it in every tick, as far as it is known then, `n` each; empty where
            it sees states alone. A monitor that learned from them is asked with them.
    """

    states: FloatArray
    margins: Mapping[str, FloatArray]
    to_go: Mapping[str, FloatArray]
    period: float
    phase: FloatArray = field(default_factory=lambda: np.zeros(0))
    fell: bool = False
    ramp: int = 1
    shown: Mapping[str, FloatArray] = field(default_factory=dict)


@runtime_checkable
class Monitor(Protocol):
    """Watches one trial at control rate."""

    @property
    def backups(self) -> Sequence[Mapping[str, float]]:
        """The gains it may switch to."""
        ...

    def check(self, state: FloatArray) -> int:
        """-1 to go on, otherwise the index in `backups` of the gains to switch to (state: `k`, unscaled)."""
        ...
