"""When each foot stands and when it swings: a gait from five numbers.

The five numbers are the duty factor (share of a stride that a foot stands), the stride duration and the
phase offsets of the front left, rear right and rear left leg relative to the front right one. A leg's phase
is `frac(t / stride + offset)`; it stands while the phase is below the duty factor, so a larger offset lifts
earlier. With legs in the order FR, FL, RR, RL, the offsets (0.5, 0.5, 0) of Widmer et al. (CoRL 2023, table
2) put diagonal pairs in phase: a trot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.descriptions.robot import RobotModel
from safebo.types import BoolArray, FloatArray

_EPSILON = 1e-9
"""A phase that close to 1 has begun the next stride, one that close to the duty factor the swing."""


class GaitTiming(NamedTuple):
    """A gait as compiled functions take it: duty factor, stride duration (s) and phase offset of every leg, `4` each.

    Duty factors and strides differ between legs while one gait goes over into another.
    """

    duty: FloatArray
    stride: FloatArray
    offsets: FloatArray


@dataclass(frozen=True)
class Gait:
    """A periodic contact pattern.

    Args:
        duty_factor: share of the stride in which a foot stands, in (0, 1]; 1 stands still.
        stride_duration: seconds from one lift-off of a foot to its next.
        offset_fl, offset_rr, offset_rl: phase offsets relative to the front right leg, in strides.
    """

    duty_factor: float
    stride_duration: float
    offset_fl: float
    offset_rr: float
    offset_rl: float

    def __post_init__(self) -> None:
        for name in ("duty_factor", "stride_duration", "offset_fl", "offset_rr", "offset_rl"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"gait: {name} must be finite, got {getattr(self, name)}")
        if not 0.0 < self.duty_factor <= 1.0:
            raise ValueError(f"gait: duty_factor must be in (0, 1], got {self.duty_factor}")
        if not self.stride_duration > 0.0:
            raise ValueError(f"gait: stride_duration must be positive (s), got {self.stride_duration}")

    @property
    def stance_duration(self) -> float:
        """Seconds a foot stands in one stride."""
        return self.duty_factor * self.stride_duration

    @property
    def swing_duration(self) -> float:
        """Seconds a foot swings in one stride."""
        return (1.0 - self.duty_factor) * self.stride_duration

    def offsets(self, legs: tuple[str, ...]) -> FloatArray:
        """Phase offset of each leg in [0, 1), in the order of `legs` (names FR, FL, RR, RL)."""
        by_leg = {"FR": 0.0, "FL": self.offset_fl, "RR": self.offset_rr, "RL": self.offset_rl}
        return np.array([by_leg[leg] % 1.0 for leg in legs])

    def timing(self, legs: tuple[str, ...]) -> GaitTiming:
        """The record for compiled functions, legs in the order of `legs`."""
        count = len(legs)
        return GaitTiming(
            np.full(count, float(self.duty_factor)),
            np.full(count, float(self.stride_duration)),
            self.offsets(legs),
        )

    def stance(self, time: float, legs: tuple[str, ...]) -> BoolArray:
        """Which legs are planned to stand at `time` (s since the gait started)."""
        timing = self.timing(legs)
        return np.array([contact(float(time), leg, timing)[0] for leg in range(len(legs))])


GAITS: dict[str, Gait] = {
    "trot": Gait(0.5, 0.5, 0.5, 0.5, 0.0),
    # Rear left, front left, rear right, front right lift in turn: the order with the largest static margin.
    "crawl": Gait(0.75, 1.2, 0.5, 0.25, 0.75),
    "flying-trot": Gait(0.4, 0.6, 0.5, 0.5, 0.0),
    "pronk": Gait(0.9, 0.6, 0.0, 0.0, 0.0),
    "walking-trot": Gait(0.6, 0.5, 0.5, 0.5, 0.0),
    "pace": Gait(0.5, 0.3, 0.5, 0.0, 0.5),
    "bound": Gait(0.45, 0.3, 0.0, 0.5, 0.5),
    # Front right, front left, rear right, rear left land in turn (transverse), the fronts a fifth of a stride apart.
    "gallop": Gait(0.45, 0.3, 0.8, 0.3, 0.1),
    "stand": Gait(1.0, 1.0, 0.0, 0.0, 0.0),
}


def gait_named(name: str) -> Gait:
    """A named gait; `ValueError` that lists the names otherwise."""
    if name not in GAITS:
        raise ValueError(f"unknown gait {name!r}: known are {', '.join(GAITS)}")
    return GAITS[name]


def robot_gait(robot: RobotModel, name: str) -> Gait:
    """A named gait for a robot: one that is smaller than a Go1 strides faster, with the root of its leg length.

    Times go with that root (dynamic similarity, Alexander and Jayes 1983); larger robots keep the named stride.
    """
    gait = gait_named(name)
    factor = min(1.0, math.sqrt(robot.size.length))
    return gait if factor == 1.0 else replace(gait, stride_duration=round(gait.stride_duration * factor, 3))


@njit_no_alloc(forceinline=True)
def stride_and_phase(time: float, leg: int, gait: GaitTiming) -> tuple[int, float]:
    """Number of the stride that a leg is in, and its phase there in [0, 1).

    Both come from one rounding, so that a leg whose stride is over is never at the end of it.
    """
    turns = time / gait.stride[leg] + gait.offsets[leg]
    stride = math.floor(turns + _EPSILON)
    return stride, max(0.0, turns - stride)


@njit_no_alloc(forceinline=True)
def contact(time: float, leg: int, gait: GaitTiming) -> tuple[bool, float]:
    """Whether a leg is planned to stand at `time` (s), and how far it is through that stance or swing, 0 to 1.

    The one rule for everybody who asks: feet, predictive control, estimator, `Gait.stance`. Before the gait
    starts (`time < 0`) and with a duty factor of 1 every foot stands for good, which counts as the middle of
    a stance.
    """
    duty = gait.duty[leg]
    if time < 0.0 or duty >= 1.0:
        return True, 0.5
    _, phase = stride_and_phase(time, leg, gait)
    if phase < duty - _EPSILON:
        return True, phase / duty
    return False, max(0.0, phase - duty) / (1.0 - duty)


@njit_no_alloc
def next_change(time: float, gait: GaitTiming) -> float:
    """Seconds until the next touchdown or lift-off of any foot; infinite where all feet stand for good."""
    if time < 0.0:
        return math.inf
    soonest = math.inf
    for leg in range(gait.offsets.shape[0]):
        duty = gait.duty[leg]
        if duty >= 1.0:
            continue
        _, phase = stride_and_phase(time, leg, gait)
        end = duty if phase < duty - _EPSILON else 1.0
        soonest = min(soonest, (end - phase) * gait.stride[leg])
    return soonest


@njit_no_alloc
def stance_time(start: float, end: float, leg: int, gait: GaitTiming) -> tuple[float, float]:
    """How long a leg stands within an interval, and the middle of that time after the start of the interval, s.

    In turns u of the gait, with n whole ones and f = min(u - n, duty), a foot that stands from every whole turn
    until `duty` later has stood for F(u), and the integral of u over that time is G(u):

        F = n duty + f,   G = duty n (n - 1 + duty) / 2 + f (n + f / 2)

    Args:
        start: s since the gait started; negative before, where all feet stand.
        end: the same.
        leg: number of the leg.
        gait: duty factor, stride, offsets.
    """
    length, duty, stride = end - start, gait.duty[leg], gait.stride[leg]
    if start < 0.0 or duty >= 1.0:
        return length, 0.5 * length
    first = start / stride + gait.offsets[leg]
    whole = math.floor(first + _EPSILON)
    first = max(0.0, first - whole)
    last = first + length / stride
    stood, moment = 0.0, 0.0
    for u, sign in ((first, -1.0), (last, 1.0)):
        n = math.floor(u + _EPSILON)
        f = min(max(0.0, u - n), duty)
        stood += sign * (n * duty + f)
        moment += sign * (0.5 * duty * n * (n - 1 + duty) + f * (n + 0.5 * f))
    if stood <= _EPSILON:
        return 0.0, 0.5 * length
    return stood * stride, (moment / stood - first) * stride


@njit_no_alloc(forceinline=True)
def stance_phases(time: float, gait: GaitTiming, out: FloatArray) -> None:
    """How far each foot is through its stance, 0 to 1; -1 where it swings, 1/2 where it stands for good."""
    for leg in range(out.shape[0]):
        stands, progress = contact(time, leg, gait)
        out[leg] = progress if stands else -1.0
