"""The normal equations of one fit: what the windows say about the parameters once their own unknowns are eliminated.

Errors in variables. The state at a window's start is measured, with noise; the trunk's velocity and height come from an
estimator, with errors that last longer than a window; an attitude filter and a gyroscope have offsets that last a walk.
So the unknowns are, beside the parameters theta,

    x0 = measured - b + d,   measurement at tick t = motion(theta, x0) at t + b + white noise,

with d (`33` per window) as white as the measurement, b of velocity and height (`4`) per window and of height, roll,
pitch and rate (`6`) per walk. Those of a window are eliminated by a Schur complement, so the noise of initial states
counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from safebo.robots.identification.replay import CHANNELS, GROUPS, Replayer, States, difference
from safebo.robots.identification.windows import LEADS, Windows
from safebo.types import FloatArray

SHORT = np.r_[GROUPS["height"], GROUPS["velocity"]]
"""Channels with an offset of each window."""
LONG = np.r_[GROUPS["height"], GROUPS["attitude"], GROUPS["rate"]]
"""Channels with an offset of each walk. The filter's height errs by how far feet give way, the same in all windows."""
SHORT_SPREAD = np.array([3e-4, 0.02, 0.02, 0.02])
LONG_SPREAD = np.array([3e-3, 4e-3, 4e-3, 3e-3, 3e-3, 3e-3])
HUBER = 2.0
"""Residuals beyond so many standard deviations count less."""

_STATE_STEPS = np.empty(CHANNELS)
"""Of finite differences by a window's start. Larger ones, for the first steps, look over the edges of contacts."""
for _name, _step in (
    ("height", 2e-4),
    ("attitude", 1e-3),
    ("joint position", 1e-3),
    ("velocity", 5e-3),
    ("rate", 1e-2),
    ("joint velocity", 2e-2),
):
    _STATE_STEPS[GROUPS[_name]] = _step


@dataclass(frozen=True)
class Unknowns:
    """Where a fit is.

    Args:
        values: of the parameters, `p`.
        long: offsets of every walk, `walks x LONG`.
        short: offsets of every window, `n x 4`.
        start: d of every window, `n x CHANNELS`.
    """

    values: FloatArray
    long: FloatArray
    short: FloatArray
    start: FloatArray

    @classmethod
    def at(cls, values: FloatArray, windows: Windows) -> Unknowns:
        """Parameters, and no error in anything measured."""
        n = len(windows)
        return cls(
            values, np.zeros((windows.walks, len(LONG))), np.zeros((n, len(SHORT))), np.zeros((n, CHANNELS))
        )

    def offsets(self, windows: Windows) -> FloatArray:
        """B of every window, `n x CHANNELS`."""
        out = np.zeros((len(windows), CHANNELS))
        out[:, LONG] = self.long[windows.walk]
        out[:, SHORT] += self.short
        return out

    def guessed(self, windows: Windows, replayer: Replayer, delay: int) -> Unknowns:
        """The same with starts at which contacts are in balance.

        At a start as measured, feet are a millimetre too high or too deep, which is as much as their contact gives way
        under the robot. So the plant replays the ticks before, from several earlier states; their noise is averaged.
        """
        offsets, found = self.offsets(windows), []
        for lead in LEADS:
            begin = windows.earlier(lead).moved(-offsets)
            motion = replayer.run([self.values], [begin], windows.acting(delay, lead))[0, :, -1]
            found.append(difference(motion, windows.start.motion()))
        return replace(self, start=np.mean(found, axis=0) + offsets)

    def states(self, windows: Windows) -> States:
        """Where every window begins."""
        return windows.start.moved(self.start - self.offsets(windows))


@dataclass(frozen=True)
class Linear:
    """Windows around one point.

    Args:
        residual: measured less predicted, offsets taken out, `n x t x CHANNELS`.
        by_value: derivative of the motion by the parameters, `n x t x CHANNELS x p`.
        by_start: derivative by the state at the start, `n x t x CHANNELS x CHANNELS`.
    """

    residual: FloatArray
    by_value: FloatArray
    by_start: FloatArray


def residuals(replayer: Replayer, windows: Windows, delay: int, at: Unknowns) -> FloatArray:
    """Measured less predicted, `n x t x CHANNELS`."""
    motion = replayer.run([at.values], [at.states(windows)], windows.acting(delay))[0]
    return difference(windows.measured, motion) - at.offsets(windows)[:, None]


def linearise(
    replayer: Replayer, windows: Windows, delay: int, at: Unknowns, scale: float = 1.0, piece: int = 40
) -> Linear:
    """Residuals and derivatives, by forward differences of the replay, some windows at a time.

    Args:
        replayer: of the plants.
        windows: what was measured.
        delay: ticks until a torque acts.
        at: where.
        scale: of the steps of a window's start.
        piece: windows at a time.
    """
    parts = []
    for begin in range(0, len(windows), piece):
        which = slice(begin, begin + piece)
        some = replace(at, short=at.short[which], start=at.start[which])
        parts.append(_linearise(replayer, windows.some(which), delay, some, scale))
    return Linear(*(np.concatenate([getattr(p, name) for p in parts]) for name in Linear.__annotations__))


def _linearise(replayer: Replayer, windows: Windows, delay: int, at: Unknowns, scale: float) -> Linear:
    family, begin, torques = replayer.family, at.states(windows), windows.acting(delay)
    p, n = len(family), len(windows)
    plants, states = [at.values], [begin]
    steps = np.where(family.clipped(at.values + family.steps) > at.values, family.steps, -family.steps)
    for i in range(p):
        plants.append(at.values + steps[i] * (np.arange(p) == i))
        states.append(begin)
    for i, step in enumerate(scale * _STATE_STEPS):
        plants.append(at.values)
        states.append(begin.moved(np.tile(step * (np.arange(CHANNELS) == i), (n, 1))))
    motions = replayer.run(plants, states, torques)
    change = difference(motions[1:], motions[0])
    by_value = np.moveaxis(change[:p], 0, -1) / steps
    by_start = np.moveaxis(change[p:], 0, -1) / (scale * _STATE_STEPS)
    residual = difference(windows.measured, motions[0]) - at.offsets(windows)[:, None]
    return Linear(residual, by_value, by_start)


@dataclass(frozen=True)
class Normal:
    """Normal equations of every window in the parameters and the offsets of its walk, its own unknowns eliminated.

    Args:
        matrix: `n x g x g`, with `g = p + LONG x walks`.
        vector: `n x g`.
        own: how to get a window's own unknowns back: what they are at no change, `n x 37`, and their derivative by a
            change, `n x 37 x g`.
    """

    matrix: FloatArray
    vector: FloatArray
    own: tuple[FloatArray, FloatArray]

    def weighed(self, weight: FloatArray) -> Normal:
        """Each window with a weight, `n`."""
        return replace(self, matrix=self.matrix * weight[:, None, None], vector=self.vector * weight[:, None])


def weights(residual: FloatArray, noise: FloatArray) -> FloatArray:
    """Huber's, over the variance, of residuals `n x t x CHANNELS`."""
    size = np.abs(residual) / noise
    return np.minimum(1.0, HUBER / np.maximum(size, 1e-12)) / noise**2


def normal_equations(linear: Linear, windows: Windows, at: Unknowns, noise: FloatArray) -> Normal:
    """Eliminate every window's own unknowns.

    Args:
        linear: the windows around `at`.
        windows: the windows.
        at: where.
        noise: standard deviation of every channel, `CHANNELS`.
    """
    n, ticks, _ = linear.residual.shape
    p, identity = linear.by_value.shape[-1], np.eye(CHANNELS)
    offset = identity - linear.by_start  # what an offset changes: the start moves back, the measurement ahead
    root = np.sqrt(weights(linear.residual, noise))

    def flat(values: FloatArray) -> FloatArray:
        return (values * root[..., None]).reshape(n, ticks * CHANNELS, -1)

    shared = np.concatenate([flat(linear.by_value), flat(offset[..., LONG])], axis=2)
    own = np.concatenate([flat(linear.by_start), flat(offset[..., SHORT])], axis=2)
    left = (linear.residual * root).reshape(n, -1)
    prior = np.concatenate([noise**-2, SHORT_SPREAD**-2])
    present = np.concatenate([at.start, at.short], axis=1)
    shared_t, own_t = shared.transpose(0, 2, 1), own.transpose(0, 2, 1)
    inner = own_t @ own + np.diag(prior)
    cross = own_t @ shared
    pull = (own_t @ left[..., None])[..., 0] - prior * present
    solved = np.linalg.solve(inner, np.concatenate([cross, pull[..., None]], axis=2))
    by_shared, alone = solved[..., :-1], solved[..., -1]
    matrix = shared_t @ shared - cross.transpose(0, 2, 1) @ by_shared
    vector = (shared_t @ left[..., None])[..., 0] - (cross.transpose(0, 2, 1) @ alone[..., None])[..., 0]
    g = p + windows.walks * len(LONG)
    big, right, back = np.zeros((n, g, g)), np.zeros((n, g)), np.zeros((n, own.shape[2], g))
    for walk in range(windows.walks):
        mine = np.flatnonzero(windows.walk == walk)
        to = np.r_[np.arange(p), p + walk * len(LONG) + np.arange(len(LONG))]
        big[np.ix_(mine, to, to)] = matrix[mine]
        right[np.ix_(mine, to)] = vector[mine]
        back[np.ix_(mine, np.arange(own.shape[2]), to)] = -by_shared[mine]
    return Normal(big, right, (alone, back))
