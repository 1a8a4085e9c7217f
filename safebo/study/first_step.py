"""What one measured seed certifies, in closed form: how far a first step goes, and whether it takes the whole box.

With n observations of mean y of a function at a seed, the posterior at a point of correlation rho with it has, with
prior mean m, prior standard deviation s and noise standard deviation e,

    mean = m + r (y - m),   std = s sqrt(1 - rho r),   r = rho / (1 + e^2 / (n s^2))

and a constraint is certified there where `mean - beta std` reaches its limit. So every point asks for a certain margin
at the seed, which grows as the correlation falls. Where functions change with time (memory T), measurements of ages
t_1 .. t_n tell of the present with `w_i = exp(-t_i / T)` and of each other with `exp(-|t_i - t_j| / T)`:

    mean = m + rho g (y - m),   std = s sqrt(1 - rho^2 v),   g = w' A^-1 1,   v = w' A^-1 w

where A is the matrix of their correlations plus e^2 / s^2 on its diagonal.

All values are on the warped scale. Loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from safebo.files.problems import Problem
from safebo.study import Study
from safebo.study.axis import Axis
from safebo.study.methods import METHODS, canonical, configured, first_beta
from safebo.study.prior_kernel import PriorKernel
from safebo.study.space import Space, WarpMap

FloatArray = NDArray[np.float64]

ORDINARY_MARGIN = 1.0
"""Prior standard deviations above the limit and the prior mean: a seed of no more must not certify the whole box."""

_HALVINGS = 40
"""Of an interval in which a first step's end is sought."""


class FirstStep:
    """What a study's certificate gives after one measured seed, under the declared prior.

    Args:
        study: the study; what else it says is right.
        caution: factor of all lengthscales.
    """

    def __init__(self, study: Study, caution: float = 1.0) -> None:
        self.study, self.space = study, Space.of_parameters(study)
        self.tuner = configured(study.tuner)
        self.kernel = PriorKernel.of_study(study).scaled(caution)
        self.limits = [WarpMap(c.warp, c.name).threshold() for c in study.constraints]
        self.betas = [first_beta(study, i + 1, 1) for i in range(len(study.constraints))]

    def needed(
        self, constraint: int, difference: FloatArray, count: int = 1, ages: Sequence[float] = ()
    ) -> float:
        """The warped value of a constraint at a seed from which on a point is certified.

        Args:
            constraint: its index.
            difference: the point minus the seed, in the unit cube.
            count: measurements of the seed, of which the value is the mean.
            ages: seconds since each of them, where functions change with time; empty: just now, `count` of them.
        """
        spec, limit, beta = (
            self.study.constraints[constraint],
            self.limits[constraint],
            self.betas[constraint],
        )
        distance = float(np.linalg.norm(difference))
        if self.tuner.certificate == "measured":
            return limit + _of(self.tuner.measured_noise, constraint) + self._lost(constraint, distance)
        gain, told = self._told(constraint, count, ages)
        if self.tuner.certificate == "lipschitz":
            spread = beta * spec.prior_std * math.sqrt(max(1.0 - told, 0.0))
            lost = self._lost(constraint, distance)
            return _quotient(limit - spec.prior_mean + spread + lost, gain) + spec.prior_mean
        rho = self.kernel.correlation(difference.tolist())
        if not rho > 1e-9:
            return math.inf
        spread = beta * spec.prior_std * math.sqrt(max(1.0 - rho * rho * told, 0.0))
        return _quotient(limit - spec.prior_mean + spread, rho * gain) + spec.prior_mean

    def _told(self, constraint: int, count: int, ages: Sequence[float]) -> tuple[float, float]:
        """G and v of so many measurements, or of measurements of these ages."""
        spec, time = self.study.constraints[constraint], self.study.surrogate.time
        noise = (spec.noise_std / spec.prior_std) ** 2
        if not ages or time is None:
            share = 1.0 / (1.0 + noise / (len(ages) or count))
            return share, share
        at = np.array(ages, dtype=np.float64) / time.memory_of(spec.name)
        now = np.exp(-at)
        weights = np.linalg.solve(np.exp(-np.abs(at[:, None] - at[None, :])) + noise * np.eye(len(at)), now)
        return float(weights.sum()), float(weights @ now)

    def _lost(self, constraint: int, distance: float) -> float:
        return _of(self.tuner.lipschitz, constraint) * distance

    def margin(self, constraint: int, stds: float) -> float:
        """A seed's value so many prior standard deviations above both limit and prior mean."""
        spec = self.study.constraints[constraint]
        return max(self.limits[constraint], spec.prior_mean) + stds * spec.prior_std

    def certified(
        self, values: Sequence[float], difference: FloatArray, count: int = 1, ages: Sequence[float] = ()
    ) -> bool:
        """Whether a point is certified by a seed whose `count` measurements, or those of these ages, had these mean
        values.
        """
        return all(value >= self.needed(i, difference, count, ages) for i, value in enumerate(values))

    def reach(self, seed: FloatArray, values: Sequence[float], toward: FloatArray) -> float:
        """How far, in [0, 1], the certified points go on the way from a seed (`d`) to another point (`d`)."""
        if self.certified(values, toward - seed):
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            inside = self.certified(values, middle * (toward - seed))
            low, high = (middle, high) if inside else (low, middle)
        return low

    def farthest(self, seed: FloatArray) -> Iterator[FloatArray]:
        """Points of the domain (`d` each) among which the least correlated with a seed (`d`) is.

        Of a box it is one: on every axis the value farthest from the seed's. Linear constraints between parameters,
        which may cut it off, do not count.
        """
        search = self.study.tuner.search
        if search.domain == "pool":
            yield from (self.space.to_unit(self.space.vector(row)) for row in search.pool)
            return
        yield np.concatenate([self._farthest_on(axis, columns, seed) for axis, columns in self._axes()])

    def _axes(self) -> Iterator[tuple[Axis, slice]]:
        return zip(self.space.axes, self.space.columns, strict=True)

    def _farthest_on(self, axis: Axis, columns: slice, seed: FloatArray) -> FloatArray:
        """Coordinates of the value of an axis that is least correlated with the seed's."""
        mine = seed[columns]
        if axis.choices:
            return axis.to_unit(float((int(np.argmax(mine)) + 1) % axis.width))
        period = self.kernel.period[columns.start]
        ends = axis.to_unit([axis.lower, axis.at(axis.levels - 1) if axis.discrete else axis.upper])
        candidates = ends
        if math.isfinite(period) and self.tuner.certificate == "bounds":
            opposite = np.array([mine[0] - period / 2, mine[0] + period / 2])
            around = axis.nearest(np.clip(opposite, 0.0, 1.0))
            candidates = np.concatenate([ends, around])
            length = np.abs(np.sin(np.pi * (candidates - mine[0]) / period))
        else:
            length = np.abs(candidates - mine[0])
        return candidates[[int(np.argmax(length))]]

    def takes_all(self, seed: FloatArray, stds: float = ORDINARY_MARGIN) -> bool:
        """Whether one measurement of a seed, with margins of so many prior_std, certifies everything."""
        values = [self.margin(i, stds) for i in range(len(self.limits))]
        return all(self.certified(values, point - seed) for point in self.farthest(seed))


def _quotient(over: float, under: float) -> float:
    """A margin that is needed; what has grown so old that it tells nothing leaves the prior, which certifies or not."""
    if under > 1e-12:
        return over / under
    return math.inf if over > 0 else -math.inf


def _of(values: Sequence[float] | None, index: int) -> float:
    return values[index] if values else 0.0


def whole_box_problems(study: Study) -> Iterator[Problem]:
    """Seeds of which one ordinary measurement would certify every point that the study may propose.

    Ordinary is a margin of `ORDINARY_MARGIN` prior standard deviations. Such a study says that its safe set is known
    before it is explored; mostly a lengthscale was given in the parameter's own unit.
    """
    if METHODS[canonical(study.tuner.method)].safety == "baseline" or not study.constraints:
        return
    step = FirstStep(study)
    for index, seed in enumerate(study.seeds):
        unit = step.space.to_unit(step.space.vector(seed.parameters))
        if step.takes_all(unit):
            yield Problem(*_remedy(study, index))
            return


def _remedy(study: Study, index: int) -> tuple[tuple[str | int, ...], str]:
    certificate = configured(study.tuner).certificate
    said = (
        f"one measurement of seed {index + 1} with margins of {ORDINARY_MARGIN:g} prior_std would certify the whole "
        "box, so that the second trial may be any corner of it: "
    )
    if certificate != "bounds":
        return (
            "tuner",
            "lipschitz",
        ), f"{said}these constants are too small for a certificate; give larger ones"
    longest = max(
        ((p.lengthscale, i) for i, p in enumerate(study.parameters) if p.lengthscale), default=(0.0, 0)
    )
    where: tuple[str | int, ...] = ("surrogate", "lengthscale")
    if longest[0] > study.surrogate.lengthscale or all(p.lengthscale for p in study.parameters):
        where = ("parameters", longest[1], "lengthscale")
    return where, (
        f"{said}lengthscales are fractions of a parameter's range (0.2 to 0.5 is usual), not in its unit; give a "
        "shorter one"
    )
