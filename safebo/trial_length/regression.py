"""Whether something falls or grows with time, by more than its noise explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from safebo.types import FloatArray

ERRORS = 2.0
"""Standard errors beyond which a slope counts as one, for one test of many strides."""


@dataclass(frozen=True)
class Slope:
    """Change with time, the same in several trials that each have a level of their own.

    Args:
        value: change per unit of time.
        error: its standard error, neighbours' correlation included.
        freedom: degrees of freedom of that error.
    """

    value: float
    error: float
    freedom: int

    def beyond(self, tests: int = 1) -> bool:
        """Whether it is above 0 by more than `ERRORS` standard errors; the same false alarms shared by several tests.

        With few strides the error is itself uncertain: Student's quantile stands for the normal one.
        """
        return self.freedom >= 1 and self.value > student(ERRORS, self.freedom, tests) * self.error


def student(errors: float, freedom: int, tests: int = 1) -> float:
    """Student's quantile at the tail of `errors` normal standard deviations, shared by `tests`.

    Cornish and Fisher's expansion about the normal quantile (Abramowitz and Stegun 26.7.5), within 2 % from four
    degrees of freedom on.
    """
    normal = NormalDist()
    z = -normal.inv_cdf(normal.cdf(-errors) / tests)
    terms = (
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
        (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0,
    )
    return z + sum(term / freedom ** (k + 1) for k, term in enumerate(terms))


def slope(trials: Sequence[FloatArray], period: float = 1.0) -> Slope:
    """The common slope of series that are equally spaced in time.

    Least squares with one intercept a series. The error is multiplied by `sqrt((1 + r) / (1 - r))`, with r the
    correlation of residuals from one stride to the next where that is positive: the large-sample correction for an
    auto-regressive series of order one.

    Args:
        trials: values in the order of time, one array a trial.
        period: time between two values.
    """
    whole = [np.asarray(values, dtype=np.float64) for values in trials if len(values) >= 2]
    times = [period * (np.arange(len(v)) - 0.5 * (len(v) - 1)) for v in whole]
    spread = float(sum((t * t).sum() for t in times))
    freedom = sum(map(len, whole)) - len(whole) - 1
    if not whole or freedom < 1 or spread == 0.0:
        return Slope(0.0, math.inf, 0)
    value = float(sum((t * (v - v.mean())).sum() for t, v in zip(times, whole, strict=True))) / spread
    residuals = [v - v.mean() - value * t for t, v in zip(times, whole, strict=True)]
    squares = float(sum((r * r).sum() for r in residuals))
    # Round-off is no scatter: a straight line has a slope of which one is sure.
    scale = max(float(np.abs(v).max()) for v in whole)
    if squares <= (1e-12 * scale) ** 2 * sum(map(len, whole)):
        exact = abs(value) * math.sqrt(spread) <= 1e-9 * scale
        return Slope(0.0 if exact else value, 0.0, freedom)
    next_one = float(sum((r[1:] * r[:-1]).sum() for r in residuals)) / squares
    r = min(0.9, max(0.0, next_one))
    error = math.sqrt(squares / freedom / spread * (1.0 + r) / (1.0 - r))
    return Slope(value, error, freedom)
