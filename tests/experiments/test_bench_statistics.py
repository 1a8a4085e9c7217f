"""Statistics against brute force, closed forms and SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from safebo.experiments.bench.statistics import (
    curve_band,
    holm,
    improvement_probability,
    interquartile_mean,
    mean_difference,
    ranking,
    signed_rank,
    stratified_bootstrap,
)

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 30])
def test_interquartile_mean_is_the_mean_trimmed_by_a_quarter_at_both_ends(count):
    values = RNG.normal(size=(5, count))
    np.testing.assert_allclose(interquartile_mean(values, axis=1), stats.trim_mean(values, 0.25, axis=1))


def test_interquartile_mean_does_not_see_how_far_outliers_are():
    values = np.arange(8.0)
    assert interquartile_mean(values) == interquartile_mean(np.where(values == 7, np.inf, values)) == 3.5


def test_bootstrap_of_one_task_is_scipys_percentile_bootstrap():
    values = RNG.exponential(size=25)
    ours = stratified_bootstrap({"a": values}, seed=1, replicates=20_000)
    theirs = stats.bootstrap(
        (values,),
        lambda v, axis: interquartile_mean(v, axis=axis),
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(2),
        vectorized=True,
    ).confidence_interval
    assert ours.value == pytest.approx(stats.trim_mean(values, 0.25))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_bootstrap_draws_within_tasks():
    # each task has one value alone: no draw can differ, although the tasks do
    found = stratified_bootstrap({"a": np.zeros(6), "b": np.full(6, 10.0)}, seed=0)
    assert (found.low, found.value, found.high) == (5.0, 5.0, 5.0)


def test_bootstrap_interval_is_that_of_all_possible_draws():
    values = {"a": np.array([0.0, 1.0]), "b": np.array([0.0, 4.0])}
    means = [
        stats.trim_mean([*a, *b], 0.25)
        for a in itertools.product(values["a"], repeat=2)
        for b in itertools.product(values["b"], repeat=2)
    ]
    low, high = np.percentile(means, [10, 90])
    found = stratified_bootstrap(values, seed=3, replicates=20_000, confidence=0.8)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        drawn = {t: rng.normal(m, 1.0, 15) for t, m in (("a", 0.0), ("b", 0.0), ("c", 0.0))}
        found = stratified_bootstrap(drawn, seed=trial, replicates=300)
        hits += found.low <= 0.0 <= found.high
    assert 175 <= hits <= 199  # 95 % of 200, bootstrap intervals of 45 values being slightly short


def test_seeds_decide_the_draws():
    scores = {"a": RNG.normal(size=9)}
    assert stratified_bootstrap(scores, 4) == stratified_bootstrap(scores, 4)
    assert stratified_bootstrap(scores, 4) != stratified_bootstrap(scores, 5)


def test_bands_of_curves_are_bootstrap_intervals_of_every_point():
    curves = RNG.normal(size=(12, 3)) * [1.0, 2.0, 0.0]
    middle, low, high = curve_band(curves, seed=0, replicates=4000)
    np.testing.assert_allclose(middle, interquartile_mean(curves, axis=0))
    alone = stratified_bootstrap({"a": curves[:, 1]}, seed=9, replicates=4000)
    assert (low[1], high[1]) == pytest.approx((alone.low, alone.high), abs=0.12)
    assert low[2] == middle[2] == high[2] == 0.0


def test_probability_of_improvement_counts_pairs_with_ties_one_half():
    x = {"a": np.array([1.0, 2.0, 2.0]), "b": np.array([0.0, 0.0])}
    y = {"a": np.array([2.0, 3.0]), "b": np.array([1.0]), "c": np.array([5.0])}
    by_hand = ((1 + 1 + 0.5 + 1 + 0.5 + 1) / 6 + 1.0) / 2  # task c has no runs of X
    assert improvement_probability(x, y, seed=0).value == pytest.approx(by_hand)
    assert improvement_probability(y, x, seed=0).value == pytest.approx(1 - by_hand)


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    x, y = RNG.normal(size=14), RNG.normal(0.5, size=11)
    u = stats.mannwhitneyu(y, x).statistic  # how often y is larger, that is, x smaller
    assert improvement_probability({"a": x}, {"a": y}, seed=0).value == pytest.approx(u / (14 * 11))


def test_its_interval_is_that_of_drawn_runs():
    x, y = RNG.normal(size=10), RNG.normal(0.8, size=10)
    found = improvement_probability({"a": x}, {"a": y}, seed=0, replicates=4000)
    rng = np.random.default_rng(1)
    drawn = [
        (x[rng.integers(10, size=10)][:, None] < y[rng.integers(10, size=10)][None]).mean()
        for _ in range(4000)
    ]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.03)
    with pytest.raises(ValueError, match="no task in common"):
        improvement_probability({"a": x}, {"b": y}, seed=0)


def test_ranks_and_friedmans_test_are_scipys_with_ties():
    scores = RNG.integers(0, 4, size=(20, 5)).astype(float)
    found = ranking(list("abcde"), scores)
    np.testing.assert_allclose(list(found.mean_rank.values()), stats.rankdata(scores, axis=1).mean(0))
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert found.blocks == 20


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_demsars_quantiles(k, q):
    """Table 5 a of Demšar (2006), alpha 0.05."""
    found = ranking([str(i) for i in range(k)], RNG.normal(size=(30, k)))
    assert found.critical_difference == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 30)), rel=1e-3)


def test_groups_are_the_longest_that_are_not_told_apart():
    base = np.tile(np.arange(4.0), (40, 1))
    found = ranking(list("abcd"), base)
    assert found.critical_difference < 1
    assert found.groups() == []
    mixed = base.copy()
    mixed[::2, [0, 1]] = mixed[::2, [1, 0]]  # a and b rank alike
    assert ranking(list("abcd"), mixed).groups() == [("a", "b")]


def test_nothing_is_ranked_without_blocks_and_nothing_tested_with_one_method():
    assert ranking([], np.zeros((0, 0))).mean_rank == {}
    alone = ranking(["a"], np.zeros((5, 1)))
    assert alone.mean_rank == {"a": 1.0}
    assert np.isnan(alone.p_value)
    assert ranking(list("ab"), np.zeros((5, 2))).p_value == 1.0


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_signed_ranks_are_wilcoxons():
    for count in (6, 12):
        d = RNG.normal(0.4, size=count)
        assert signed_rank(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    d = RNG.normal(0.3, size=40)
    assert signed_rank(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, abs=0.012)
    assert signed_rank(np.zeros(4)) == 1.0
    assert signed_rank(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])) == pytest.approx(2 / 64)


def test_a_mean_difference_has_scipys_bootstrap_interval():
    d = RNG.normal(1.0, size=30)
    ours = mean_difference(d, seed=0, replicates=20_000)
    theirs = stats.bootstrap(
        (d,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
