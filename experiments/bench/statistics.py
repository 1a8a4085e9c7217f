"""Statistics over tasks and seeds: how a group of runs did, whether two groups differ, who ranks where.

Scores are given per task, one value per run (`{task: n_t values}`), and smaller is better unless a function says
otherwise. The interquartile mean, the stratified bootstrap and the probability of improvement are as defined by
Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021; ranks, the
Friedman test and the critical difference as by Demšar, "Statistical Comparisons of Classifiers over Multiple Data
Sets", JMLR 2006.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Scores = Mapping[str, FloatArray]
"""Task to the values of its runs."""

REPLICATES = 2_000
"""Bootstrap samples behind an interval."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval."""

    value: float
    low: float
    high: float


def interquartile_mean(values: FloatArray, axis: int = -1) -> FloatArray:
    """Mean of the middle half: `floor(n / 4)` of the smallest and of the largest values are left out.

    Args:
        values: numbers; infinite ones are fine while they are left out.
        axis: along which the mean is taken.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=axis)
    count = ordered.shape[axis]
    cut = count // 4
    middle = np.take(ordered, np.arange(cut, count - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


def stratified_bootstrap(
    scores: Scores, seed: int, replicates: int = REPLICATES, confidence: float = 0.95
) -> Interval:
    """Interquartile mean over all runs of all tasks, with a percentile interval.

    Runs are drawn anew with replacement within each task, so that every sample has the same tasks with as many
    runs of each: the interval says what other seeds of these tasks would show, not what other tasks would.

    Args:
        scores: at least one task with at least one run.
        seed: of the draws.
        replicates: how many samples.
        confidence: of the interval.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        np.asarray(v)[rng.integers(len(v), size=(replicates, len(v)))] for _, v in sorted(scores.items())
    ]
    samples = interquartile_mean(np.concatenate(drawn, axis=1), axis=1)
    everything = np.concatenate([np.asarray(v, dtype=float) for _, v in sorted(scores.items())])
    return _percentile(float(interquartile_mean(everything)), samples, confidence)


def curve_band(
    curves: FloatArray, seed: int, replicates: int = 400, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Interquartile mean of curves and its pointwise percentile band.

    Args:
        curves: `n x T`, one row per run.
        seed: of the draws; whole runs are drawn.
        replicates: how many samples.
        confidence: of the band.

    Returns:
        The mean, the lower and the upper end of the band, `T` each.
    """
    rng = np.random.default_rng(seed)
    drawn = curves[rng.integers(len(curves), size=(replicates, len(curves)))]
    samples = interquartile_mean(drawn, axis=1)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(samples, [tail, 100.0 - tail], axis=0)
    return interquartile_mean(curves, axis=0), low, high


def improvement_probability(
    x: Scores, y: Scores, seed: int, replicates: int = REPLICATES, confidence: float = 0.95
) -> Interval:
    """Probability that a run of X has a smaller score than a run of Y of the same task, averaged over their tasks.

    Ties count one half (the Mann-Whitney statistic over the product of both numbers of runs). The interval draws
    runs of X and of Y anew within each task.

    Args:
        x: scores of X.
        y: scores of Y; tasks that only one has are left out.
        seed: of the draws.
        replicates: how many samples.
        confidence: of the interval.

    Raises:
        ValueError: they have no task in common.
    """
    tasks = sorted(set(x) & set(y))
    if not tasks:
        raise ValueError("no task in common")
    rng = np.random.default_rng(seed)
    value, samples = 0.0, np.zeros(replicates)
    for task in tasks:
        a, b = np.asarray(x[task]), np.asarray(y[task])
        wins = (a[:, None] < b[None, :]) + 0.5 * (a[:, None] == b[None, :])
        n, k = wins.shape
        weights_a = rng.multinomial(n, np.full(n, 1.0 / n), size=replicates)
        weights_b = rng.multinomial(k, np.full(k, 1.0 / k), size=replicates)
        value += float(wins.mean())
        samples += ((weights_a @ wins) * weights_b).sum(1) / (n * k)
    return _percentile(value / len(tasks), samples / len(tasks), confidence)


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over blocks.

    Args:
        mean_rank: of every method, 1 is best.
        blocks: how many.
        p_value: of the Friedman test that all methods rank alike; NaN with fewer than two methods or blocks.
        critical_difference: mean ranks that differ by less are not told apart (Nemenyi); NaN likewise.
    """

    mean_rank: dict[str, float]
    blocks: int
    p_value: float
    critical_difference: float

    def groups(self) -> list[tuple[str, ...]]:
        """Largest sets of methods, in order of rank, that the critical difference does not tell apart."""
        names = sorted(self.mean_rank, key=lambda n: self.mean_rank[n])
        found: list[tuple[str, ...]] = []
        for i, first in enumerate(names):
            alike = [
                n for n in names[i:] if self.mean_rank[n] - self.mean_rank[first] <= self.critical_difference
            ]
            if len(alike) > 1 and not (found and set(alike) <= set(found[-1])):
                found.append(tuple(alike))
        return found


def ranking(names: Sequence[str], scores: FloatArray, alpha: float = 0.05) -> Ranking:
    """Rank methods within blocks, in each of which all met the same conditions.

    Args:
        names: of the k methods.
        scores: `blocks x k`; smaller is better, equal ones share the mean of their ranks.
        alpha: level of the critical difference.
    """
    blocks, k = scores.shape
    if blocks == 0:
        return Ranking({}, 0, float("nan"), float("nan"))
    ranks = stats.rankdata(scores, axis=1)
    mean = ranks.mean(0)
    p_value = critical = float("nan")
    if blocks > 1 and k > 1:
        spread = ((ranks - (k + 1) / 2) ** 2).sum()
        statistic = blocks**2 * (k - 1) * ((mean - (k + 1) / 2) ** 2).sum() / spread if spread > 0 else 0.0
        p_value = float(stats.chi2.sf(statistic, k - 1))
        quantile = float(stats.studentized_range.ppf(1.0 - alpha, k, np.inf)) / np.sqrt(2.0)
        critical = float(quantile * np.sqrt(k * (k + 1) / (6.0 * blocks)))
    return Ranking(dict(zip(names, mean.tolist(), strict=True)), blocks, p_value, critical)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979): each may be held against the level of the whole family."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [1.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * float(p_values[index])))
        corrected[int(index)] = largest
    return corrected


def signed_rank(differences: FloatArray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test that paired differences are symmetric about 0.

    Pairs without a difference are left out. Up to 12 others: exact, ties included, from every assignment of signs;
    more: from 20,000 assignments drawn by a fixed seed.
    """
    d = np.asarray(differences, dtype=float)
    d = d[d != 0]
    if not len(d):
        return 1.0
    ranks = stats.rankdata(np.abs(d))
    observed = abs(float((np.sign(d) * ranks).sum()))
    if len(d) <= 12:  # every assignment of signs
        bits = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1
        sums = (2.0 * bits - 1.0) @ ranks
        return float((np.abs(sums) >= observed - 1e-9).mean())
    signs = 2.0 * np.random.default_rng(0).integers(2, size=(20_000, len(d))) - 1.0
    return float((1 + (np.abs(signs @ ranks) >= observed - 1e-9).sum()) / 20_001)


def mean_difference(differences: FloatArray, seed: int, replicates: int = REPLICATES) -> Interval:
    """Mean of paired differences with its percentile bootstrap interval at 95 %."""
    rng = np.random.default_rng(seed)
    d = np.asarray(differences, dtype=float)
    samples = d[rng.integers(len(d), size=(replicates, len(d)))].mean(1)
    return _percentile(float(d.mean()), samples, 0.95)


def _percentile(value: float, samples: FloatArray, confidence: float) -> Interval:
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(samples, [tail, 100.0 - tail])
    return Interval(value, float(low), float(high))
