"""Noise split into what more trials average out and what longer trials do, and how long a trial is worth its time.

The objective of a trial with n strides is `f + b + (1/n) sum e_s`, with b of variance `s_b^2` once a trial (placing, a
sensor's bias, the battery) and e_s of variance `s_s^2` once a stride, correlated rho_k over k strides:

    Var = s_b^2 + s_s^2 (1 + 2 sum rho_k) / n.

Both are estimated from repeated trials of the same gains by one-way analysis of variance (Searle, Casella and McCulloch
1992, section 3.6), the strides' correlation included (Geyer 1992 for its sum).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebo.types import FloatArray

LEAST_INFLATION = 0.1
"""Of `1 + 2 sum rho_k`, which is positive for every correlation."""

WINDOW = 4
"""Strides whose median is compared with that of the rest, where the transient is looked for."""

SMALL_CHANGE = 0.2
"""Share of a trial's variance that more strides take away at most, from the longest length that is advised on."""


@dataclass(frozen=True)
class VarianceComponents:
    """How a function's noise splits.

    Args:
        between: variance from trial to trial, `s_b^2`; None where no gains were tried twice.
        within: variance from stride to stride, `s_s^2`.
        inflation: `1 + 2 sum rho_k` of the strides.
        trials, strides: how many it rests on.
    """

    between: float | None
    within: float
    inflation: float
    trials: int
    strides: int

    @property
    def per_stride(self) -> float:
        """`s_s^2 (1 + 2 sum rho_k)`: what the mean of n strides has, times n."""
        return self.within * self.inflation

    def variance(self, strides: float) -> float:
        """Of a trial of so many strides after the transient; the part between trials where it is known."""
        return (self.between or 0.0) + self.per_stride / strides

    def share_between(self, strides: float) -> float | None:
        """Share of that variance that no longer trial takes away; None where it is not known."""
        whole = self.variance(strides)
        return None if self.between is None or whole == 0.0 else self.between / whole

    def best_strides(self, overhead: float, stride: float) -> float:
        """`n* = sqrt(c_0 s_s^2 / (c_1 s_b^2))`: strides for which the variance per second spent is least.

        Args:
            overhead: c_0, seconds that a trial costs beside its strides: placing, settling, the transient.
            stride: c_1, seconds of one stride.

        Returns:
            Infinity where nothing varies from trial to trial, or that is not known.
        """
        if not self.between:
            return math.inf
        return math.sqrt(overhead * self.per_stride / (stride * self.between))

    @property
    def enough_strides(self) -> float:
        """`4 s_s^2 / s_b^2`: from there on more strides change a trial's variance by less than a fifth."""
        if not self.between:
            return math.inf
        return (1.0 - SMALL_CHANGE) / SMALL_CHANGE * self.per_stride / self.between


def components(groups: Sequence[Sequence[FloatArray]]) -> VarianceComponents | None:
    """Components of variance from trials of the same gains.

    Args:
        groups: for every set of gains its trials, each the values of its strides after the transient.

    Returns:
        None where no trial has three strides.
    """
    whole = [
        [np.asarray(v, dtype=np.float64) for v in trials if len(v) >= 3]
        for trials in groups
        if any(len(v) >= 3 for v in trials)
    ]
    trials = [v for group in whole for v in group]
    if not trials:
        return None
    lengths = np.array([len(v) for v in trials], dtype=np.float64)
    residuals = [v - v.mean() for v in trials]
    squares = float(sum((r * r).sum() for r in residuals))
    n = float(lengths.mean())
    inflation = _inflation(residuals, squares)
    # A trial's own mean takes inflation s_s^2 out of its sum of squares.
    freedom = float(np.maximum(lengths - np.minimum(inflation, 0.5 * lengths), 1.0).sum())
    within = squares / freedom
    pairs = sum(len(group) - 1 for group in whole)
    between: float | None = None
    if pairs > 0:
        means = [np.array([v.mean() for v in group]) for group in whole]
        scatter = float(sum(((m - m.mean()) ** 2).sum() for m in means)) / pairs
        repeated = [1.0 / len(v) for group in whole if len(group) > 1 for v in group]
        between = max(0.0, scatter - within * inflation * float(np.mean(repeated)))
    return VarianceComponents(between, within, inflation, len(trials), round(n * len(trials)))


def _inflation(residuals: Sequence[FloatArray], squares: float) -> float:
    """`1 + 2 sum rho_k`, over the lags from the first on while sums of neighbouring pairs of them stay positive."""
    if squares == 0.0:
        return 1.0
    most = min(len(r) for r in residuals) // 2
    count = sum(map(len, residuals))

    def rho(lag: int) -> float:
        found = float(sum((r[lag:] * r[:-lag]).sum() for r in residuals)) / squares
        # Subtracting each trial's mean makes every correlation about 1 / length too small.
        return found + len(residuals) / count

    total = 0.0
    for lag in range(1, max(2, most), 2):
        pair = rho(lag) + (rho(lag + 1) if lag + 1 <= most else 0.0)
        if lag > 1 and pair < 2.0 / math.sqrt(count):
            break
        total += pair
    return max(LEAST_INFLATION, 1.0 + 2.0 * total)


def transient(values: FloatArray) -> int:
    """Number of strides at the beginning that belong to the transient.

    The first stride s from which the median of s .. s + 3 is within two standard deviations of one stride of the median
    of all that follow. The deviation is a robust one (1.48 times the median absolute deviation) of the second half. At
    most half of the strides are taken for one; of less than `2 * WINDOW` strides none.

    Args:
        values: of the strides in the order of time, the ramp of the command left out.
    """
    series = np.asarray(values, dtype=np.float64)
    n = len(series)
    if n < 2 * WINDOW:
        return 0
    late = series[n // 2 :]
    deviation = 1.4826 * float(np.median(np.abs(late - np.median(late))))
    for s in range(n // 2 + 1):
        rest = series[s + WINDOW :] if n - s > WINDOW else series[s:]
        if abs(float(np.median(series[s : s + WINDOW])) - float(np.median(rest))) <= 2.0 * deviation:
            return s
    return n // 2
