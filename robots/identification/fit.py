"""The plant's parameters from recorded walks: Gauss-Newton on short windows, with honest intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.identification.equations import (
    HUBER,
    LONG,
    LONG_SPREAD,
    SHORT_SPREAD,
    Linear,
    Normal,
    Unknowns,
    linearise,
    normal_equations,
    residuals,
)
from safebo.robots.identification.leftover import JointTorque, by_torque, joint_torques
from safebo.robots.identification.parameters import Family
from safebo.robots.identification.replay import CHANNELS, GROUPS, Replayer
from safebo.robots.identification.walks import WalkLog
from safebo.robots.identification.windows import TICKS, Windows, cut, evenly, sensor_noise, spread
from safebo.types import BoolArray, FloatArray

SCANNED = 24
"""Windows with which delays are compared."""
FITTED = 80
"""Windows of a fit, taken evenly from all there are: more would tell more, and the intervals say when too few do."""
SCAN_STEPS = (6.0, 3.0, 1.0)
STEPS = (3.0, *(1.0,) * 8)
"""Gauss-Newton steps of a fit at most, each with how large the differences by a window's start are."""
SETTLED = 0.5
"""Standard errors by which the last step may move a parameter."""
MOST_SENSITIVE = 0.05
"""Share of windows, the most sensitive ones, that count no more than the next: those in which a contact switches."""
BAD = 1.5
"""Times the median cost from which on a window counts less: its start was not found, or its contacts are not these."""
TYPICAL_COST = 0.85
"""Of plants of the family: less than 1, for starts and offsets are fitted, and floors of noise are generous."""
MAX_RATIO, MAX_COST, MAX_INFLATION = 1.2, 1.15 * TYPICAL_COST, 1.45
"""Of what is left over by a plant of the family, see `Fit.outside`.

Ratios of such plants are up to 1.08; where a calf is bent by 0.03 to 0.08 rad, joint positions have 1.35 and more.
"""
MAX_SCORE = 15.0
"""Of a joint's missing torques: plants of the family have up to 3, joints that stick on one side by 1 N m 80."""
ALIKE = 0.25
"""Share of the clearest joint's score from which on another's is no echo of it: they share parameters."""
MIN_STRIDES = 8
"""From which on the last of these is judged: fewer are too few for a bootstrap."""
MAX_SHARE = 0.5
"""Of a prior's standard deviation that the error of an identified parameter has."""
DRAWS = 400
"""Of the bootstrap."""
_SHARES = (1.0, 0.6, 0.3, 0.0)


@dataclass(frozen=True)
class Fit:
    """What was found.

    Args:
        family: what was looked for.
        values: estimates, `p`.
        covariance: of the estimates, inflated, `p x p`.
        inflation: by how much the bootstrap's standard errors exceed the plain ones, at least 1, `p`.
        delay: ticks until a torque acts.
        delay_costs: of every delay tried: mean cost per measured number.
        cost: median of the windows' costs per number measured: about `TYPICAL_COST` where the plant is in the family.
        torques: at single joints that no parameter explains, the clearest first.
        ratios: of every channel: spread of what is left over, in standard deviations of its noise, `CHANNELS`.
        windows, strides, walks: how many.
    """

    family: Family
    values: FloatArray
    covariance: FloatArray
    inflation: FloatArray
    delay: int
    delay_costs: dict[int, float]
    cost: float
    torques: tuple[JointTorque, ...]
    ratios: FloatArray
    windows: int
    strides: int
    walks: int

    @property
    def outside(self) -> str:
        """Why the robot is no plant of the family; empty where it may be one.

        A plant of the family leaves the sensors' noise over, and that is as likely in one stride as in the next: a
        bootstrap over strides then finds the plain standard errors again. And no joint asks for a torque of its own.
        """
        if self.torques and (clearest := self.torques[0]).score > MAX_SCORE:
            alike = sum(one.score > max(MAX_SCORE, ALIKE * clearest.score) for one in self.torques) - 1
            return f"{clearest}{f'; {alike} more about as clearly' if alike else ''}"
        worst = int(np.argmax(self.ratios))
        if self.ratios[worst] > MAX_RATIO:
            group = next(name for name, where in GROUPS.items() if where.start <= worst < where.stop)
            return f"what is left over of {group} is {self.ratios[worst]:.1f} times the sensors' noise"
        if self.cost > MAX_COST:
            return f"what is left over is {math.sqrt(self.cost / TYPICAL_COST):.2f} times the sensors' noise"
        if self.strides >= MIN_STRIDES and np.median(self.inflation) > MAX_INFLATION:
            return (
                f"strides contradict one another: standard errors over them are {np.median(self.inflation):.1f} times "
                "those within them"
            )
        return ""

    @property
    def errors(self) -> FloatArray:
        """Standard errors, `p`."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def identified(self) -> BoolArray:
        """Which parameters the walks told of: those whose error is at most half of what was believed before, `p`."""
        return np.asarray(self.errors <= MAX_SHARE * self.family.spread)

    def draws(self, count: int, seed: int = 0) -> FloatArray:
        """Plants that the robot could be, within physical ranges, `count x p`."""
        random = np.random.default_rng(seed)
        drawn = random.multivariate_normal(self.values, self.covariance, size=count)
        return np.array([self.family.clipped(values) for values in drawn])

    @property
    def correlation(self) -> FloatArray:
        """Of the estimates' errors, `p x p`."""
        return np.asarray(self.covariance / np.outer(self.errors, self.errors))


def fit(
    robot: RobotModel,
    walks: Sequence[WalkLog],
    family: Family,
    delays: Sequence[int] = (0, 1, 2, 3),
    threads: int | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> Fit:
    """Find the plant of a family that made these walks.

    Args:
        robot: which one.
        walks: of it, at one control rate.
        family: plants, with what is believed before.
        delays: ticks until a torque acts, each tried first.
        threads: that compute; None: one per processor.
        tell: is told how far it is.

    Raises:
        ValueError: walks of different control rates, or none that can be cut into windows.
    """
    periods = {round(log.period, 6) for log in walks}
    if len(periods) != 1:
        raise ValueError(
            f"the walks have control periods of {', '.join(f'{p:g} s' for p in sorted(periods))}"
        )
    replayer, noise = Replayer(robot, family, walks[0].period, threads), sensor_noise(walks)
    problem, windows = _Problem(replayer, noise, family), cut(walks, TICKS)
    few = windows.some(evenly(len(windows), SCANNED))
    scanned = dict[int, _Solution]()
    for delay in delays:
        scanned[delay] = problem.solve(few, delay, family.mean.copy(), SCAN_STEPS)
        costs = [solution.cost for solution in scanned.values()]
        tell(f"delay of {delay} ticks: cost {costs[-1]:.2f}")
        if len(costs) > 2 and costs[-1] > costs[-2] > costs[-3]:
            break
    delay = min(scanned, key=lambda d: scanned[d].cost)
    windows = windows.some(evenly(len(windows), FITTED))
    found = problem.solve(windows, delay, scanned[delay].at.values, STEPS, tell)
    covariance, inflation = problem.intervals(found, windows)
    left = (found.last.linear.residual / noise).reshape(-1, CHANNELS)
    return Fit(
        family,
        found.at.values,
        covariance,
        inflation,
        delay,
        {d: s.cost for d, s in scanned.items()},
        found.cost,
        tuple(problem.torques(found, windows, delay, robot)),
        spread(left),
        len(windows),
        len(np.unique(windows.block)),
        len(walks),
    )


@dataclass(frozen=True)
class _Step:
    """A Gauss-Newton step: from where, the windows there with their weights, the equations' matrix, and the change."""

    at: Unknowns
    linear: Linear
    normal: Normal
    weight: FloatArray
    matrix: FloatArray
    change: FloatArray


@dataclass(frozen=True)
class _Solution:
    """A fit: where it is, its last step, and the median of the windows' costs."""

    at: Unknowns
    last: _Step
    cost: float


class _Problem:
    """One fit: what stays the same in all its steps."""

    def __init__(self, replayer: Replayer, noise: FloatArray, family: Family) -> None:
        self.replayer, self.noise, self.family = replayer, noise, family

    def solve(
        self,
        windows: Windows,
        delay: int,
        values: FloatArray,
        steps: Sequence[float],
        tell: Callable[[str], None] = lambda words: None,
    ) -> _Solution:
        """Steps from parameters, until they settle."""
        at, p = Unknowns.at(values, windows), len(self.family)
        costs = np.ones(len(windows))
        for number, scale in enumerate(steps):
            step = self._step(windows, delay, at, scale, costs)
            at, costs = self._searched(windows, delay, step)
            moved = np.abs(at.values - step.at.values) / np.sqrt(np.diag(np.linalg.inv(step.matrix))[:p])
            tell(
                f"step {number + 1}: {self.family.names[int(np.argmax(moved))]} by {moved.max():.1f} standard errors"
            )
            if number > 1 and moved.max() <= SETTLED:
                break
        return _Solution(at, step, float(np.median(costs)))

    def _step(self, windows: Windows, delay: int, at: Unknowns, scale: float, costs: FloatArray) -> _Step:
        """One Gauss-Newton step from a point where windows have these costs, at most one prior standard deviation."""
        family, p = self.family, len(self.family)
        linear = linearise(self.replayer, windows, delay, at, scale)
        normal = normal_equations(linear, windows, at, self.noise)
        sensitive = np.einsum("nii,i->n", normal.matrix[:, :p, :p], family.spread**2)
        weight = np.minimum(1.0, np.quantile(sensitive, 1.0 - MOST_SENSITIVE) / np.maximum(sensitive, 1e-12))
        weight *= np.minimum(1.0, BAD * np.median(costs) / costs) ** 2
        normal = normal.weighed(weight)
        matrix = normal.matrix.sum(axis=0) + self.prior(windows)
        change = np.linalg.solve(matrix, normal.vector.sum(axis=0) + self.pull(windows, at))
        change[:p] = np.clip(change[:p], -family.spread, family.spread)
        return _Step(at, linear, normal, weight, matrix, change)

    def prior(self, windows: Windows) -> FloatArray:
        """Precision of what is believed before, of parameters and offsets of walks."""
        p, g = len(self.family), len(self.family) + windows.walks * len(LONG)
        out = np.zeros((g, g))
        out[:p, :p] = self.family.precision
        out[p:, p:] = np.diag(np.tile(LONG_SPREAD**-2, windows.walks))
        return out

    def pull(self, windows: Windows, at: Unknowns) -> FloatArray:
        """Of the prior towards its mean, on parameters and offsets of walks."""
        away = np.concatenate([self.family.mean - at.values, -at.long.ravel()])
        return np.asarray(self.prior(windows) @ away)

    def _searched(self, windows: Windows, delay: int, step: _Step) -> tuple[Unknowns, FloatArray]:
        """The next point, and the windows' costs there.

        The contacts of each window bend at their own place, so each goes as far as is best for it, or starts from a new
        guess.
        """
        p, at, normal, change = len(self.family), step.at, step.normal, step.change
        own = normal.own[0] + normal.own[1] @ change
        values = self.family.clipped(at.values + change[:p])
        base = replace(at, values=values, long=at.long + change[p:].reshape(-1, len(LONG)))
        tried = [base.guessed(windows, self.replayer, delay)]
        for share in _SHARES:
            start, short = at.start + share * own[:, :CHANNELS], at.short + share * own[:, CHANNELS:]
            tried.append(replace(base, start=start, short=short))
        costs = np.array([self._costs(windows, delay, point) for point in tried])
        best, rows = np.argmin(costs, axis=0), np.arange(len(windows))
        start, short = (
            np.array([getattr(t, name) for t in tried])[best, rows] for name in ("start", "short")
        )
        return replace(base, start=start, short=short), costs[best, rows]

    def torques(self, found: _Solution, windows: Windows, delay: int, robot: RobotModel) -> list[JointTorque]:
        """Joint torques that no parameter explains, the clearest first."""
        last = found.last
        return joint_torques(
            robot,
            windows,
            last.linear,
            by_torque(robot, self.replayer, windows, delay, last.at),
            (self.prior(windows), self.pull(windows, last.at)),
            lambda linear: normal_equations(linear, windows, last.at, self.noise).weighed(last.weight),
        )

    def _costs(self, windows: Windows, delay: int, at: Unknowns) -> FloatArray:
        """Of every window, per number measured: Huber's of the residuals, and what its own unknowns cost, `n`."""
        size = np.abs(residuals(self.replayer, windows, delay, at) / self.noise)
        huber = np.where(size <= HUBER, size**2, 2.0 * HUBER * size - HUBER**2).sum(axis=(1, 2))
        own = ((at.start / self.noise) ** 2).sum(axis=1) + ((at.short / SHORT_SPREAD) ** 2).sum(axis=1)
        return np.asarray((huber + own) / size[0].size)

    def intervals(self, found: _Solution, windows: Windows) -> tuple[FloatArray, FloatArray]:
        """Covariance of the parameters, inflated, and by how much: a block bootstrap over strides.

        Errors within a stride go together, so strides are drawn, not windows; the solution for a draw is one step of
        Gauss-Newton away.
        """
        p, random = len(self.family), np.random.default_rng(0)
        plain = np.linalg.inv(found.last.matrix)[:p, :p]
        strides = np.unique(windows.block)
        which = [windows.block == s for s in strides]
        matrices = np.array([found.last.normal.matrix[w].sum(axis=0) for w in which])
        vectors = np.array([found.last.normal.vector[w].sum(axis=0) for w in which])
        centred = vectors - vectors.mean(axis=0)
        prior, moved = self.prior(windows), np.empty((DRAWS, p))
        for draw in range(DRAWS):
            counts = random.multinomial(len(strides), np.full(len(strides), 1.0 / len(strides)))
            matrix = np.tensordot(counts, matrices, 1) + prior
            moved[draw] = np.linalg.solve(matrix, counts @ centred)[:p]
        few = len(strides) / max(1.0, len(strides) - 1.0)
        inflation = np.maximum(1.0, np.sqrt(few) * moved.std(axis=0) / np.sqrt(np.diag(plain)))
        return np.asarray(plain * np.outer(inflation, inflation)), np.asarray(inflation)
