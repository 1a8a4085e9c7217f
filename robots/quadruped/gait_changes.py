"""From one gait into another within a walk, with the phases kept: no swing is cut short and no contact jumps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from safebo.robots.quadruped.gait import Gait, GaitTiming, contact, stride_and_phase
from safebo.robots.quadruped.gait_table import AllowedChange, GaitTable
from safebo.robots.quadruped.speed import SpeedLimit
from safebo.types import FloatArray

STRIDES = 2.0
"""Of the longer gait, over which one goes over into another."""
BRAKING = 1.0
"""m/s^2 and rad/s^2, with which a command falls to what a slower gait allows and rises after a change."""
WATCHED = 2.5
"""Seconds from its beginning for which a tried change is watched at one speed; a command that the table holds stays as
long, for of faster walks right after a change the tries say nothing."""


@dataclass(frozen=True)
class GaitSchedule:
    """The gaits of one walk.

    Args:
        first: with which it starts.
        changes: when the next one is wanted, s after the start of the walk, and which.
        table: which changes are allowed, at which phase and speed; all of them where None.

    Raises:
        ValueError: times that are negative or do not grow, or a change that the table refuses.
    """

    first: Gait
    changes: tuple[tuple[float, Gait], ...] = ()
    table: GaitTable | None = None

    def __post_init__(self) -> None:
        times = [0.0, *(time for time, _ in self.changes)]
        if not all(math.isfinite(time) for time in times) or times != sorted(times):
            raise ValueError(f"gait changes come one after another from 0 s on, got {times[1:]}")
        gaits = [self.first, *(gait for _, gait in self.changes)]
        for old, new in itertools.pairwise(gaits):
            self.allowed(old, new)

    def allowed(self, old: Gait, new: Gait) -> AllowedChange | None:
        """What the table allows of a change; None where it has no say.

        Raises:
            ValueError: it is refused, and why.
        """
        return None if self.table is None else self.table.find(old, new)


class GaitSequencer:
    """Where a walk is in its gaits, and how fast it may be there.

    A change has up to three parts. The command falls to what both gaits allow, and the table where there is one, which
    may have the change wait for its phase as well and holds the command for `WATCHED` seconds. Over two strides the
    frequency goes over into the new one, every leg's phase moves by its share of the difference of the offsets, at most
    a quarter of a stride where that is possible, and the duty factor goes over for feet that stand; one that swings
    lands with that it lifted off with. Then the command may rise. Into a stand every foot stays from where it stands or
    lands next; out of one the new gait starts as a walk does.

    Args:
        schedule: the gaits.
        legs: order of the legs.
        period: s of a tick.
        limit_of: greatest speed of a gait.
        timing: arrays to write to; new ones where None.

    Attributes:
        timing: of now; its arrays stay the same.
        gait: the one that is walked, the old one until a change is over. limit: its greatest speed.
    """

    def __init__(
        self,
        schedule: GaitSchedule,
        legs: tuple[str, ...],
        period: float,
        limit_of: Callable[[Gait], SpeedLimit],
        timing: GaitTiming | None = None,
    ) -> None:
        self._schedule, self._legs, self._period, self._limit_of = schedule, legs, period, limit_of
        self.timing: GaitTiming = timing or schedule.first.timing(legs)
        self.reset()

    def reset(self) -> None:
        """Begin again with the first gait."""
        self._left = list(self._schedule.changes)
        self._next: Gait | None = None
        self._begin, self._last, self._share = math.inf, 0.0, 0.0
        self._cap, self._turn = math.inf, math.inf
        self._rises = -math.inf  # when a held command may rise, s
        self._allowed: AllowedChange | None = None
        self._phase, self._shift = np.zeros(4), np.zeros(4)
        self._take(self._schedule.first, self._schedule.first.offsets(self._legs))

    @property
    def changing(self) -> bool:
        """Whether a change has begun and is not over."""
        return self._begin < math.inf

    def want(self, gait: Gait, time: float) -> None:
        """Have one more change after those that are wanted already, from a time on (s since the walk started).

        Raises:
            ValueError: the table refuses it.
        """
        before = self._left[-1][1] if self._left else self._next or self.gait
        self._schedule.allowed(before, gait)
        self._left.append((time, gait))

    def refresh(self) -> None:
        """Take the limits anew, for gains that have changed."""
        self.limit = self._limit_of(self.gait)

    def advance(
        self, time: float, forward: float, leftward: float, yaw_rate: float
    ) -> tuple[float, float, float]:
        """One tick: move the timing on; returns the command (m/s, m/s, rad/s) as it may be followed.

        Args:
            time: s since the walk started, at least 0.
            forward: commanded velocity, m/s.
            leftward: the same.
            yaw_rate: commanded, rad/s.
        """
        if self._next is None and self._left and time >= self._left[0][0] - 1e-9:
            self._next = self._left.pop(0)[1]
            self._allowed = self._schedule.allowed(self.gait, self._next)
            self._cap = min(self._cap, self.limit.speed, math.hypot(forward, leftward))
            self._turn = min(self._turn, abs(yaw_rate))
        if self._next is not None:
            self._change(time, self._next)
        share = self.limit.share(forward, leftward)
        turn = 0.0 if self.gait.duty_factor >= 1.0 else yaw_rate
        if self._cap == math.inf:
            return share * forward, share * leftward, turn
        return self._held(time, share * forward, share * leftward, turn)

    def _change(self, time: float, new: Gait) -> None:
        """One tick of a change."""
        stands = new.duty_factor >= 1.0
        if self._begin == math.inf:
            step = BRAKING * self._period
            rule = self._allowed
            allowed = (
                self._limit_of(new).speed if rule is None else min(self._limit_of(new).speed, rule.fastest)
            )
            self._cap = max(min(self._cap, allowed), self._cap - step)
            self._turn = max(0.0, self._turn - step) if stands else self._turn
            if self._cap > allowed or (stands and self._turn > 0.0):
                return
            if rule is not None and not rule.permits(self._stride_phase(time), self._cap):
                return
            if self.gait.duty_factor >= 1.0:
                self._arrive(new, new.offsets(self._legs) - time / new.stride_duration)
                return
            self._begin, self._last, self._share = time, time, 0.0
            self._rises = -math.inf if rule is None else time + WATCHED
            self._phase[:] = time / self.timing.stride + self.timing.offsets
            self._shift[:] = (
                0.0 if stands else phase_shifts(self.gait.offsets(self._legs), new.offsets(self._legs))
            )
            return
        if self._settle(time, new, stands):
            self._arrive(new, self._phase - time / new.stride_duration)

    def _stride_phase(self, time: float) -> float:
        """Share of the stride that has passed, 0 to 1, from where the front right foot lands."""
        return stride_and_phase(time, self._legs.index("FR"), self.timing)[1]

    def _settle(self, time: float, new: Gait, stands: bool) -> bool:
        """Move every leg on; returns whether all have come over."""
        old, timing = self.gait, self.timing
        lasts = STRIDES * max(old.stride_duration, new.stride_duration)
        share = 1.0 if stands else min(1.0, (time - self._begin) / lasts)
        duty = old.duty_factor + share * (new.duty_factor - old.duty_factor)
        rate = 1.0 / old.stride_duration
        if not stands:
            rate += share * (1.0 / new.stride_duration - rate)
        for leg in range(4):
            own = rate + (self._shift[leg] / lasts if share < 1.0 else 0.0)
            self._phase[leg] += (time - self._last) * rate + (share - self._share) * self._shift[leg]
            timing.stride[leg] = 1.0 / own
            timing.offsets[leg] = self._phase[leg] - time * own
            if contact(time, leg, timing)[0]:
                timing.duty[leg] = duty
        self._last, self._share = time, share
        return share >= 1.0 and bool(np.all(timing.duty == duty))

    def _arrive(self, gait: Gait, offsets: FloatArray) -> None:
        self._take(gait, offsets)
        self._next, self._begin = None, math.inf

    def _take(self, gait: Gait, offsets: FloatArray) -> None:
        self.gait = gait
        self.limit = self._limit_of(gait)
        self.timing.duty[:] = gait.duty_factor
        self.timing.stride[:] = gait.stride_duration
        self.timing.offsets[:] = offsets

    def _held(
        self, time: float, forward: float, leftward: float, yaw_rate: float
    ) -> tuple[float, float, float]:
        """A command held under what a change allows; after it that rises again until it holds nothing."""
        rises = self._next is None and time >= self._rises
        if rises:
            self._cap += BRAKING * self._period
            self._turn += BRAKING * self._period
        speed, turn = math.hypot(forward, leftward), abs(yaw_rate)
        if rises and speed <= self._cap and turn <= self._turn:
            self._cap, self._turn = math.inf, math.inf
        share = self._cap / speed if speed > self._cap else 1.0
        return share * forward, share * leftward, math.copysign(min(turn, self._turn), yaw_rate)


def phase_shifts(old: FloatArray, new: FloatArray) -> FloatArray:
    """By how much the phase of every leg has to move from one gait's offsets to another's, in strides, `4`.

    Only differences between legs matter, so a phase common to all is free: it is the one for which the largest
    shift is smallest.
    """
    difference = new - old
    best = difference
    least = (math.inf, math.inf)
    for i in range(4):
        for j in range(i + 1):
            for half in (0.0, 0.5):
                common = 0.5 * (difference[i] + difference[j]) + half
                shift = difference - common
                shift = shift - np.ceil(shift - 0.5 - 1e-9)  # in (-1/2, 1/2]
                size = (round(float(np.abs(shift).max()), 9), round(float(np.abs(shift).sum()), 9))
                if size < least:
                    best, least = shift, size
    return best
