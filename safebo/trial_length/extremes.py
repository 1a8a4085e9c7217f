"""How far a margin may fall over a longer walk than was tried.

A margin is a minimum, so it falls as the trial gets longer. The minima of single strides are extremes themselves: for
-x_1 .. -x_n a Gumbel distribution is fitted by its moments (Coles 2001, chapter 3; Gumbel 1958),

    scale g = std sqrt(6) / pi,    location l = mean(-x) - 0.5772 g,

and the minimum over N strides has the expectation `-(l + g ln N + 0.5772 g)` and the p-quantile
`-(l + g ln N - g ln(-ln(1 - p)))`. Where large values come in clusters N is multiplied by the extremal index, estimated
by runs (Smith and Weissman 1994): clusters above a high quantile over the strides above it.

None of this holds where the margin falls with time (heat) or what it swings by grows: both are tested, and then nothing
is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from safebo.trial_length.regression import slope
from safebo.trial_length.variance import transient
from safebo.types import FloatArray

EULER = 0.5772156649015329

QUANTILE = 0.05
"""Probability that a walk as long as the horizon has a smaller minimum than the extrapolated one."""

LARGEST_FACTOR = 10.0
"""A horizon longer than so many times the pooled time of the strides is refused."""

FEWEST = 5
"""Strides without which nothing is fitted."""

RESAMPLES = 200
"""Of the bootstrap."""

Refusal = Literal["", "strides", "short", "falls", "grows"]


@dataclass(frozen=True)
class Gumbel:
    """The distribution of the minimum of one stride: -x is Gumbel's.

    Args:
        location, scale: of -x.
    """

    location: float | FloatArray
    scale: float | FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> Gumbel:
        """By the moments of the last axis."""
        negative = -np.asarray(values, dtype=np.float64)
        scale = negative.std(axis=-1, ddof=1) * math.sqrt(6.0) / math.pi
        return cls(negative.mean(axis=-1) - EULER * scale, scale)

    def expected(self, strides: float) -> float:
        """Of the minimum over so many independent strides."""
        return float(-(self.location + self.scale * math.log(strides) + EULER * self.scale))

    def quantile(self, strides: float, p: float = QUANTILE) -> float | FloatArray:
        """The minimum over so many independent strides is below it with probability p."""
        return -(self.location + self.scale * (math.log(strides) - math.log(-math.log1p(-p))))


def extremal_index(trials: Sequence[FloatArray]) -> float:
    """Share of the lowest values that begin a cluster, in (0, 1]: neighbours among them are one event.

    Args:
        trials: values in the order of time, one array a trial.
    """
    pooled = np.concatenate([np.asarray(v, dtype=np.float64) for v in trials])
    if len(pooled) == 0:
        return 1.0
    limit = float(np.quantile(pooled, 0.1 if len(pooled) >= 50 else 0.2))
    low = [np.asarray(v) <= limit for v in trials]
    exceedances = sum(int(below.sum()) for below in low)
    # A cluster begins where the stride before is not among the lowest.
    clusters = sum(int((below & ~np.concatenate([[False], below[:-1]])).sum()) for below in low)
    return clusters / exceedances


@dataclass(frozen=True)
class Extrapolation:
    """A margin's minimum over a horizon.

    Args:
        value: its quantile at `QUANTILE`; not a number where it is refused.
        samples: the same from every resample of the strides; their scatter is the value's standard error.
        index: the extremal index.
        seconds: pooled time of the strides that it rests on.
        refusal: why there is none: `strides` (fewer than five), `short` (the horizon is more than ten times as long),
            `falls` (with time), `grows` (what it swings by: not settled); empty where there is one.
    """

    value: float = math.nan
    samples: tuple[float, ...] = ()
    index: float = 1.0
    seconds: float = 0.0
    refusal: Refusal = ""


def extrapolated(
    trials: Sequence[FloatArray], period: float, horizon: float, tests: int = 1, seed: int = 0
) -> Extrapolation:
    """The minimum of a margin over a horizon, from its minima within the strides of trials of the same gains.

    Args:
        trials: minima in the order of time, one array a trial, the command's ramp left out; a further transient is
            looked for and left out too.
        period: seconds of a stride.
        horizon: seconds.
        tests: number of margins among which the false alarms of the two tests are shared.
        seed: of the bootstrap.
    """
    whole = [np.asarray(values, dtype=np.float64) for values in trials]
    whole = [values[transient(values) :] for values in whole if len(values)]
    count = sum(map(len, whole))
    seconds = count * period
    if count < FEWEST:
        return Extrapolation(seconds=seconds, refusal="strides")
    if slope([-values for values in whole], period).beyond(2 * tests):
        return Extrapolation(seconds=seconds, refusal="falls")
    if slope([_log_deviation(values) for values in whole], period).beyond(2 * tests):
        return Extrapolation(seconds=seconds, refusal="grows")
    if horizon > LARGEST_FACTOR * seconds * (1.0 + 1e-9):
        return Extrapolation(seconds=seconds, refusal="short")
    index = extremal_index(whole)
    strides = max(1.0, index * horizon / period)
    pooled = np.concatenate(whole)
    value = float(Gumbel.of(pooled).quantile(strides))
    rows = _resampled(count, round(1.0 / index), np.random.default_rng(seed))
    samples = np.asarray(Gumbel.of(pooled[rows]).quantile(strides))
    return Extrapolation(value, tuple(samples.tolist()), index, seconds)


def _log_deviation(values: FloatArray) -> FloatArray:
    """Logarithm of every stride's distance from the trial's line, kept finite."""
    n = len(values)
    if n < 3:
        return np.zeros(n)
    time = np.arange(n) - 0.5 * (n - 1)
    line = values.mean() + time * float((time * values).sum() / (time * time).sum())
    distance = np.abs(values - line)
    typical = float(np.median(distance))
    return np.log(np.maximum(distance, max(0.05 * typical, 1e-300)))


def _resampled(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of resamples in runs of so many neighbours (circular block bootstrap), `RESAMPLES x count`."""
    blocks = -(-count // length)
    starts = rng.integers(count, size=(RESAMPLES, blocks))
    rows = (starts[..., None] + np.arange(length)) % count
    return rows.reshape(RESAMPLES, -1)[:, :count]
