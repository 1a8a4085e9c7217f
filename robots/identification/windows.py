"""Short pieces of recorded walks, each restarted at what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebo.robots.identification.replay import CHANNELS, GROUPS, States, states_of
from safebo.robots.identification.walks import WalkLog
from safebo.types import FloatArray, IntArray

TICKS = 10
"""Of a window: 20 ms at 500 Hz. Longer ones suffer from the chaos of contacts, shorter ones excite no inertia."""
MAX_DELAY = 4
"""Ticks of delay that are tried."""
LEADS = (4, 8, 12, 16)
"""Ticks before a window from which its start is guessed, see `Unknowns.guessed`."""
_BEFORE = MAX_DELAY + max(LEADS)


@dataclass(frozen=True)
class Windows:
    """Windows of `k` ticks, `n` of them, that do not overlap.

    Args:
        start: state as measured at their first tick.
        measured: motion as measured in the ticks after it, `n x (k - 1) x 35` (see `Replayer.run`).
        before: motion as measured in the ticks before it, the last one last, `n x max(LEADS) x 35`.
        torques: of the joint law, N m, from `MAX_DELAY` ticks before those to the window's last but one, `n x t x 12`.
        walk: in which walk each is, `n`.
        block: number of the stride in which each begins, counted over all walks, `n`.
    """

    start: States
    measured: FloatArray
    before: FloatArray
    torques: FloatArray
    walk: IntArray
    block: IntArray

    def __len__(self) -> int:
        return len(self.walk)

    @property
    def walks(self) -> int:
        """How many walks there are."""
        return int(self.walk.max()) + 1 if len(self) else 0

    def acting(self, delay: int, lead: int = 0) -> FloatArray:
        """Torques that act when they arrive `delay` ticks after they were computed: in the window's `k - 1` ticks, or
        in `lead` ticks before it, `n x ticks x 12`.
        """
        first = _BEFORE - delay - lead
        return self.torques[:, first : first + (lead or self.measured.shape[1])]

    def earlier(self, lead: int) -> States:
        """States as measured `lead` ticks before the windows."""
        return states_of(self.before[:, -lead])

    def some(self, which: FloatArray | IntArray | slice) -> Windows:
        """Some of the windows."""
        s = self.start
        return Windows(
            States(
                (s.height[which], s.quaternion[which], s.joints[which]),
                (s.velocity[which], s.rate[which], s.speeds[which]),
            ),
            self.measured[which],
            self.before[which],
            self.torques[which],
            self.walk[which],
            self.block[which],
        )


def _motion(log: WalkLog) -> FloatArray:
    """A walk as `Replayer.run` gives motions, `n x 35`."""
    parts = (
        log.height[:, None],
        log.orientation,
        log.joint_position,
        log.velocity,
        log.rate,
        log.joint_velocity,
    )
    return np.hstack(parts)


def cut(walks: Sequence[WalkLog], ticks: int = TICKS) -> Windows:
    """Cut walks into windows of ticks that follow one another without a gap.

    Raises:
        ValueError: no walk has enough such ticks.
    """
    starts, walk, block, before = list[int](), list[int](), list[int](), 0
    motions = [_motion(log) for log in walks]
    measured, torques, first, lead = [list[FloatArray]() for _ in range(4)]
    for number, (log, motion) in enumerate(zip(walks, motions, strict=True)):
        gaps = np.concatenate([[0], np.cumsum(~log.whole)])
        row = _BEFORE
        while row + ticks <= len(log):
            begin, end = row - _BEFORE, row + ticks
            if gaps[end] - gaps[begin] == 0:
                starts.append(row)
                walk.append(number)
                block.append(before + int(row * log.period / log.stride))
                first.append(motion[row])
                measured.append(motion[row + 1 : end])
                lead.append(motion[row - max(LEADS) : row])
                torques.append(log.torque[begin : end - 1])
                row = end
            else:
                row += 1
        before += int(len(log) * log.period / log.stride) + 1
    if not starts:
        raise ValueError(f"{walks[0].name}: no {ticks} ticks follow one another without a gap")
    return Windows(
        states_of(np.array(first)),
        np.array(measured),
        np.array(lead),
        np.array(torques),
        np.array(walk),
        np.array(block),
    )


def evenly(count: int, wanted: int) -> IntArray:
    """At most so many of a count of windows, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int))


FLOOR = np.empty(CHANNELS)
"""Smallest noise of a channel: beneath it the engine's own details count, and a filter's slow errors.

The velocity of a Kalman filter over legs and accelerometer drifts by 4 to 7 mm/s within a window, in every stride
alike. Taken for an acceleration, that shifts the payload the more surely the more windows there are; so velocity counts
for little but the start.
"""
for _name, _value in (
    ("height", 3e-4),
    ("attitude", 5e-4),
    ("joint position", 3e-4),
    ("velocity", 1.2e-2),
    ("rate", 3e-3),
    ("joint velocity", 1e-2),
):
    FLOOR[GROUPS[_name]] = _value


def spread(values: FloatArray) -> FloatArray:
    """Standard deviation of the columns of `n x m` by the median of absolute values: outliers do not count."""
    return np.asarray(1.4826 * np.median(np.abs(values), axis=0))


def sensor_noise(walks: Sequence[WalkLog]) -> FloatArray:
    """White noise of every channel, `CHANNELS`, from what jumps from tick to tick: the third difference.

    A motion that is smooth over four ticks cancels; white noise of variance v leaves 20 v.
    """
    found = []
    for log in walks:
        w, x, y, z = log.orientation.T
        roll = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
        pitch = np.arcsin(np.clip(2 * (w * y - z * x), -1.0, 1.0))
        parts = (
            log.height[:, None],
            roll[:, None],
            pitch[:, None],
            log.joint_position,
            log.velocity,
            log.rate,
            log.joint_velocity,
        )
        channels = np.hstack(parts)[log.whole]
        found.append(spread(np.diff(channels, 3, axis=0)) / np.sqrt(20.0))
    noise = np.maximum(np.mean(found, axis=0), FLOOR)
    for group in GROUPS.values():  # sensors of one kind are alike
        noise[group] = np.sqrt(np.mean(noise[group] ** 2))
    return noise
