"""Components of variance, transients and extremes against simulation and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr, stdtrit

from safebo.trial_length.extremes import Gumbel, extrapolated, extremal_index
from safebo.trial_length.regression import slope, student
from safebo.trial_length.stopping import LEVEL, half_width
from safebo.trial_length.variance import VarianceComponents, components, transient

# -- components of variance ----------------------------------------------------------------------------------


def walks(rng: np.random.Generator, strides: int, rho: float, between: float, groups: int, trials: int):
    """Groups of trials of an auto-regressive series of order one with variance 1 and correlation rho."""
    found = []
    for _ in range(groups):
        level = rng.normal()
        group = []
        for _ in range(trials):
            noise = rng.normal(size=strides) * math.sqrt(1.0 - rho**2)
            noise[0] = rng.normal()
            for i in range(1, strides):
                noise[i] += rho * noise[i - 1]
            group.append(level + between * rng.normal() + noise)
        found.append(group)
    return found


@pytest.mark.parametrize("rho", [0.0, -0.3, 0.4])
def test_components_are_those_of_the_simulation(rho: float) -> None:
    rng = np.random.default_rng(1)
    found = [components(walks(rng, 40, rho, 0.5, groups=3, trials=4)) for _ in range(100)]
    between, within = np.mean([(c.between or 0.0, c.within) for c in found if c is not None], axis=0)
    assert between == pytest.approx(0.25, rel=0.15)
    assert within == pytest.approx(1.0, rel=0.07)
    # 1 + 2 sum rho^k = (1 + rho) / (1 - rho)
    inflation = np.mean([c.inflation for c in found if c is not None])
    assert inflation == pytest.approx((1.0 + rho) / (1.0 - rho), rel=0.25)


def test_components_of_uncorrelated_strides_are_those_of_the_textbook() -> None:
    groups = [[np.array([1.0, 3.0, 2.0]), np.array([4.0, 6.0, 5.0])], [np.array([0.0, 1.0, 2.0])]]
    found = components(groups)
    assert found is not None
    squares = 6.0  # 2 + 2 + 2
    assert found.within == pytest.approx(squares / (3 * (3 - min(found.inflation, 1.5))))
    # Means 2 and 5 of the only gains that were tried twice scatter by 4.5.
    assert found.between == pytest.approx(4.5 - found.within * found.inflation / 3)


def test_without_repeats_the_part_between_trials_is_unknown() -> None:
    found = components([[np.array([1.0, 2.0, 4.0])], [np.array([0.0, 1.0])]])
    assert found is not None
    assert found.between is None
    assert found.share_between(8) is None
    assert found.best_strides(3.0, 0.5) == math.inf
    assert components([[np.array([1.0, 2.0])]]) is None
    assert components([]) is None


def test_no_length_is_better_than_the_advised_one() -> None:
    c = VarianceComponents(between=0.0009, within=0.04, inflation=0.8, trials=4, strides=40)
    best = c.best_strides(overhead=3.0, stride=0.5)

    def variance_per_second(n: float) -> float:
        return c.variance(n) * (3.0 + 0.5 * n)

    lengths = np.geomspace(1, 1000, 4001)
    assert lengths[np.argmin([variance_per_second(n) for n in lengths])] == pytest.approx(best, rel=0.01)
    enough = c.enough_strides
    assert c.variance(math.inf) == pytest.approx(0.8 * c.variance(enough))
    assert c.share_between(enough) == pytest.approx(0.8)


def test_a_transient_ends_where_strides_look_like_the_rest() -> None:
    rng = np.random.default_rng(0)
    steady = rng.normal(size=24)
    assert transient(steady) == 0
    for length in (4, 6, 8):
        started = steady.copy()
        started[:length] += 20.0
        # The median of four no longer sees it once fewer than two of them belong to it.
        assert length - 2 <= transient(started) <= length
    assert transient(np.arange(7.0)) == 0
    assert transient(np.array([])) == 0


# -- slopes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [4, 6, 15, 100])
@pytest.mark.parametrize("tests", [1, 12])
def test_students_quantile(freedom: int, tests: int) -> None:
    exact = -stdtrit(freedom, ndtr(-2.0) / tests)
    assert student(2.0, freedom, tests) == pytest.approx(exact, rel=0.01)


def test_a_slope_is_that_of_least_squares_with_a_level_for_every_trial() -> None:
    rng = np.random.default_rng(3)
    trials = [rng.normal(size=n) + 0.3 * np.arange(n) + level for n, level in ((9, 0.0), (14, 50.0))]
    found = slope(trials, period=0.5)
    time = 0.5 * np.concatenate([np.arange(9), np.arange(14)])
    design = np.stack([time, np.arange(23) < 9, np.arange(23) >= 9], axis=1).astype(float)
    best, squares, *_ = np.linalg.lstsq(design, np.concatenate(trials))
    assert found.value == pytest.approx(best[0])
    assert found.freedom == 20
    plain = math.sqrt(squares[0] / 20 * np.linalg.inv(design.T @ design)[0, 0])
    assert found.error >= plain * (1 - 1e-9)  # more where neighbours are alike
    assert found.beyond()
    assert not slope([-v for v in trials]).beyond()


def test_a_straight_line_has_a_slope_and_a_constant_none() -> None:
    assert slope([np.arange(8.0)]).beyond()
    assert not slope([np.full(8, 0.1)]).beyond()
    assert not slope([np.array([1.0, 2.0])]).beyond()
    assert not slope([]).beyond()


@pytest.mark.parametrize(("rho", "largest"), [(0.0, 0.035), (0.5, 0.07)])
def test_slopes_are_rarely_seen_where_there_are_none(rho: float, largest: float) -> None:
    rng = np.random.default_rng(5)
    alarms = [slope(walks(rng, 18, rho, 1.0, 1, 2)[0]).beyond() for _ in range(600)]
    assert np.mean(alarms) < largest


# -- extremes ------------------------------------------------------------------------------------------------


def test_gumbels_minimum_over_many_strides_is_that_of_simulation() -> None:
    rng = np.random.default_rng(0)
    law = Gumbel(location=-0.2, scale=0.01)
    minima = -(law.location + law.scale * rng.gumbel(size=(20_000, 60))).max(axis=1)
    assert law.expected(60) == pytest.approx(minima.mean(), abs=3e-4)
    assert law.quantile(60) == pytest.approx(np.quantile(minima, 0.05), abs=6e-4)
    assert law.quantile(60, 0.5) == pytest.approx(np.median(minima), abs=3e-4)


def test_moments_give_the_law_back() -> None:
    rng = np.random.default_rng(1)
    found = Gumbel.of(-(-0.2 + 0.01 * rng.gumbel(size=200_000)))
    assert found.location == pytest.approx(-0.2, abs=2e-4)
    assert found.scale == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("cluster", [1, 2, 4])
def test_the_extremal_index_is_one_over_the_clusters_length(cluster: int) -> None:
    rng = np.random.default_rng(2)
    values = np.repeat(rng.gumbel(size=4000 // cluster), cluster)
    # Independent clusters sometimes touch, at a tenth of them about every tenth.
    assert extremal_index([-values]) == pytest.approx(1.0 / cluster, rel=0.12)


def test_values_of_two_trials_are_no_neighbours() -> None:
    low, high = np.zeros(1), np.ones(4)
    assert extremal_index([np.concatenate([high, low]), np.concatenate([low, high])]) == 1.0


def test_the_extrapolated_margin_is_rarely_undercut() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(400):
        x = 0.1 - 0.01 * rng.gumbel(size=60)
        e = extrapolated([x[:30], x[30:]], period=0.5, horizon=100.0)
        if not e.refusal:
            longer = (0.1 - 0.01 * rng.gumbel(size=200)).min()
            found.append((longer < e.value, longer < e.value - 4.0 * np.std(e.samples), e.value))
    undercut, certified, values = np.mean(found, axis=0)
    assert len(found) > 360
    # Moments of 60 strides are themselves uncertain: the nominal rate is 5 %.
    assert undercut < 0.12
    assert certified < 0.02  # a Gumbel law falls off slowly
    assert values == pytest.approx(Gumbel(-0.1, 0.01).quantile(200), abs=0.002)


def test_the_bootstraps_scatter_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(6)
    values, errors = [], []
    for _ in range(300):
        e = extrapolated([-rng.gumbel(size=60)], period=1.0, horizon=300.0)
        if not e.refusal and e.index == 1.0:
            values.append(e.value)
            errors.append(np.std(e.samples))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def test_the_same_seed_gives_the_same_extrapolation() -> None:
    x = -np.random.default_rng(0).gumbel(size=20)
    assert extrapolated([x], 0.5, 60.0, seed=3) == extrapolated([x], 0.5, 60.0, seed=3)
    assert extrapolated([x], 0.5, 60.0, seed=3) != extrapolated([x], 0.5, 60.0, seed=4)


def test_what_is_refused() -> None:
    x = -np.random.default_rng(0).gumbel(size=20)
    assert extrapolated([x], 0.5, 100.0).refusal == ""
    assert extrapolated([x], 0.5, 100.1).refusal == "short"
    assert extrapolated([x, x], 0.5, 100.1).refusal == ""  # pooled
    assert extrapolated([x[:4]], 0.5, 1.0).refusal == "strides"
    assert extrapolated([], 0.5, 1.0).refusal == "strides"
    assert extrapolated([x - 0.5 * np.arange(20)], 0.5, 60.0).refusal == "falls"
    assert extrapolated([x + 0.5 * np.arange(20)], 0.5, 60.0).refusal != "falls"
    growing = (-1.0) ** np.arange(40) * np.exp(0.2 * np.arange(40))
    assert extrapolated([growing], 0.5, 60.0).refusal == "grows"


def test_strides_that_are_all_alike_stay_where_they_are() -> None:
    found = extrapolated([np.full(12, 0.3)], 0.5, 60.0)
    assert found.value == pytest.approx(0.3)
    assert np.std(found.samples) == pytest.approx(0.0, abs=1e-12)


# -- when to stop --------------------------------------------------------------------------------------------


def test_the_confidence_sequence_holds_at_every_number_of_strides_at_once() -> None:
    rng = np.random.default_rng(7)
    n = np.arange(1, 301)
    means = rng.normal(size=(2000, 300)).cumsum(axis=1) / n
    widths = np.array([half_width(int(k), 1.0) for k in n])
    assert np.mean((np.abs(means) > widths).any(axis=1)) <= LEVEL
    assert np.all(np.diff(widths) < 0)
