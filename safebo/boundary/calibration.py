"""At which bound a monitor has to trigger so that it saves the trials that can be saved: split conformal calibration.

A trial of the calibration counts that breaks a margin unwatched and that a switch in its first tick would have saved.
For every level of `LEVELS` the simulator shows what becomes of it if the monitor triggers at that level: the tick, the
backup and the ramp are those that the monitor would take. Its score is the lowest level from which on, upwards, it is
saved. The monitor's level is the `ceil((1 - alpha) (N + 1))`-th smallest of the `N` scores: a further trial of that
kind, exchangeable with them, is lost with probability at most `alpha`. Nothing has to be right of the model that makes
the bounds; a poor one needs a high level, which stops trials that were safe.

Source: split conformal prediction (Vovk et al. 2005), on the monitor's decisions instead of on the model's errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LEVELS: tuple[float, ...] = (math.inf, *(round(float(x), 2) for x in np.linspace(1.0, -1.0, 41)))
"""Bounds at which a monitor may trigger, in shares of a margin that is ample, from the highest; at the first one it
triggers in the first tick of every trial."""


@dataclass(frozen=True)
class Calibration:
    """At which bound a monitor triggers, and the trials that say so.

    Args:
        level: bound of the best backup at or under which it triggers, one of `LEVELS`.
        episodes: trials that broke a margin unwatched and that a switch in their first tick would have saved.
        alpha: largest share of such trials that are lost.
        horizon: seconds after a switch in which no margin may be broken.
        lost: further trials that broke a margin, which no switch in their first tick would have saved.
        safe: further trials that broke no margin unwatched.
        stopped: of those, in how many it triggers.
    """

    level: float
    episodes: int
    alpha: float
    horizon: float
    lost: int = 0
    safe: int = 0
    stopped: int = 0

    @property
    def guarantee(self) -> str:
        """What is promised, and what that rests on, for people."""
        return (
            "a trial that would break a margin, and that a switch in its first tick would save, is saved with "
            f"probability {1.0 - self.alpha:g} (no margin broken for {self.horizon:g} s after the switch), if it is "
            f"exchangeable with the {self.episodes} such trials of the calibration: gains drawn alike, in the same "
            "simulator"
        )

    @property
    def counts(self) -> str:
        """What the calibration saw, for people."""
        false = f"{self.stopped} of {self.safe} trials that were safe would be stopped" if self.safe else ""
        lost = f"{self.lost} broke a margin and nothing would have saved them" if self.lost else ""
        drawn = self.episodes + self.lost + self.safe
        return "; ".join(filter(None, (f"{drawn} trials drawn", false, lost)))


def fewest_episodes(alpha: float) -> int:
    """Trials that a calibration needs at least."""
    return math.ceil(1.0 / alpha - 1e-9) - 1


def trigger_ticks(bounds: FloatArray, levels: Sequence[float] = LEVELS) -> IntArray:
    """The tick in which a monitor triggers at every level, or -1.

    Args:
        bounds: of the best backup in every tick of a trial, `n`; one that is not finite triggers.
        levels: from the highest.
    """
    lowest = np.minimum.accumulate(np.where(np.isfinite(bounds), bounds, -np.inf))
    reached = lowest[None, :] <= np.asarray(levels)[:, None]
    return np.where(reached.any(axis=1), reached.argmax(axis=1), -1)


def least_level(saved: Sequence[bool], levels: Sequence[float] = LEVELS) -> float | None:
    """The lowest level from which on, upwards, a trial is saved; None where the highest does not save it."""
    if not saved[0]:
        return None
    kept = next((i for i, one in enumerate(saved) if not one), len(saved))
    return levels[kept - 1]


def conformal_quantile(scores: Sequence[float] | FloatArray, alpha: float) -> float:
    """The `ceil((1 - alpha) (N + 1))`-th smallest of `N` scores: a new exchangeable one exceeds it with probability at
    most `alpha`.

    Raises:
        ValueError: alpha outside 0 to 1, or too few scores for it.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha:g}")
    n = len(scores)
    place = math.ceil((1.0 - alpha) * (n + 1) - 1e-9)
    if place > n:
        raise ValueError(
            f"alpha {alpha:g} needs at least {fewest_episodes(alpha)} episodes of calibration, got {n}"
        )
    return float(np.sort(np.asarray(scores))[place - 1])
