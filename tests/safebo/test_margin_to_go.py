"""The bound on the margin to go: the model against a dense Gaussian process, the calibration against its promise."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.boundary.calibration import (
    LEVELS,
    Calibration,
    conformal_quantile,
    fewest_episodes,
    least_level,
    trigger_ticks,
)
from safebo.boundary.margin_to_go import (
    CAUTION,
    JITTER,
    LAGS,
    Episode,
    MarginModel,
    MarginMonitor,
    features,
    recent,
)

WIDTH = 3
SCALE = np.array([0.5, 2.0, 1.0])


def truth(x: np.ndarray) -> np.ndarray:
    """Margins to go of two backups at features, `n x 2`."""
    return np.stack([1.0 - 0.4 * np.abs(x[:, 0]), 0.8 - 0.5 * np.square(x[:, 1] - 0.5)], axis=1)


def episode(seed: int, every: int = 5, n: int = 120) -> Episode:
    """A path that goes round in its gait and drifts at a pace of its own."""
    rng = np.random.default_rng(seed)
    pace = rng.normal(0.0, 1.5, WIDTH)
    states = np.linspace(0.0, 1.0, n)[:, None] * pace + rng.normal(0.0, 0.3, WIDTH)
    x = features(states * SCALE, np.arange(n) / 50.0 % 1.0, SCALE)[::every]
    return Episode(x, truth(x))


EPISODES = [episode(seed) for seed in range(30)]
MODEL = MarginModel.fit(EPISODES, rows=60)


def test_features_are_scaled_states_and_the_place_in_the_stride() -> None:
    found = features(np.array([1.0, 1.0, 1.0]), 0.25, SCALE)
    np.testing.assert_allclose(found, [2.0, 0.5, 1.0, 1.0, 0.0], atol=1e-15)
    both = features(np.ones((2, 3)), np.array([0.25, 0.999999]), SCALE)
    np.testing.assert_allclose(both[0], found)
    # The end of one stride is the start of the next.
    np.testing.assert_allclose(both[1, 3:], features(np.ones(3), 0.0, SCALE)[3:], atol=1e-4)


@given(values=st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=30))
def test_margins_are_shown_with_how_they_changed_since_the_first_tick_at_most(values: list[float]) -> None:
    shown = np.column_stack([values, np.square(values)])
    units = np.full((1 + len(LAGS), 2), 0.5)
    for tick in range(len(values)):
        now = shown[tick]
        changes = [now - shown[max(0, tick - lag)] for lag in LAGS]
        found = features(np.zeros(3), 0.0, SCALE, recent(shown, tick), units)
        np.testing.assert_array_equal(found[5:], 2.0 * np.concatenate([now, *changes]))
    ticks = np.arange(len(values))
    both = features(np.zeros((len(values), 3)), np.zeros(len(values)), SCALE, recent(shown, ticks), units)
    np.testing.assert_array_equal(both[-1], found)


def test_of_several_descriptions_the_one_is_taken_that_explains_the_other_trials() -> None:
    blind = [Episode(e.features * np.array([0.0, 0.0, 0.0, 1.0, 1.0]), e.margins) for e in EPISODES]
    way, model = MarginModel.fit_best([blind, EPISODES], rows=60)
    assert way == 1
    np.testing.assert_array_equal(model.rows, MODEL.rows)
    np.testing.assert_array_equal(model.weights, MODEL.weights)


def test_a_monitor_that_is_shown_margins_asks_for_them() -> None:
    shown = [Episode(np.c_[e.features, e.features[:, :1].repeat(4, 1)], e.margins) for e in EPISODES[:6]]
    model, units = MarginModel.fit(shown, rows=30), np.full((1 + len(LAGS), 1), 2.0)
    given = [{"kp": 1.0}, {"kp": 2.0}]
    watching = MarginMonitor(model, monitor().calibration, given, np.full(3, np.inf), 3, ["speed"], units)
    margins = np.array([[0.4], [0.2], [0.3], [0.1]])
    x = np.concatenate([np.zeros(3), [1.0, 0.0], [0.2, 0.1, 0.05, 0.15]])
    mean, std = model.predict(x[None])
    np.testing.assert_allclose(watching.bounds(np.ones(3), 0.25, margins), mean[0] - CAUTION * std, atol=1e-9)
    assert watching.check(np.array([0.0, np.nan, 0.0]), 0.25, margins) >= 0
    with pytest.raises(ValueError, match="has to be shown margins in every tick: speed"):
        watching.check(np.ones(3), 0.25)
    with pytest.raises(ValueError, match="4 x 1 numbers > 0"):
        MarginMonitor(model, monitor().calibration, given, np.ones(3), 3, ["speed"], -units)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * np.square((a[:, None] - b[None]) / MODEL.lengthscale).sum(-1)))


def test_means_are_those_of_a_dense_process_with_the_projected_kernel() -> None:
    x = np.concatenate([e.features for e in (episode(100), episode(101))])
    seen = np.concatenate([e.features for e in EPISODES])
    margins = np.concatenate([e.margins for e in EPISODES])
    among = correlation(MODEL.rows, MODEL.rows) + JITTER * np.eye(MODEL.count)

    def projected(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        right = np.linalg.solve(among, correlation(MODEL.rows, b))
        return np.asarray(correlation(a, MODEL.rows) @ right)

    dense = projected(seen, seen) + MODEL.noise**2 * np.eye(len(seen))
    mean, _ = MODEL.predict(x)
    np.testing.assert_allclose(mean, projected(x, seen) @ np.linalg.solve(dense, margins), atol=1e-5)
    assert np.abs(mean - truth(x)).mean() < 0.1


def test_deviations_are_those_of_the_kept_rows_with_noise() -> None:
    x = np.concatenate([e.features for e in (episode(100), episode(101))])
    matrix = correlation(MODEL.rows, MODEL.rows) + MODEL.noise**2 * np.eye(MODEL.count)
    across = correlation(x, MODEL.rows)
    left = 1.0 - np.einsum("ij,ji->i", across, np.linalg.solve(matrix, across.T))
    np.testing.assert_allclose(MODEL.predict(x)[1], MODEL.std * np.sqrt(left + MODEL.noise**2), atol=1e-6)


def test_every_tick_informs_the_mean() -> None:
    few = MarginModel.fit(EPISODES[:4], rows=15)
    lowered = [Episode(e.features, e.margins - (0.5 if i == 3 else 0.0)) for i, e in enumerate(EPISODES[:4])]
    x = EPISODES[3].features
    assert MarginModel.fit(lowered, rows=15).predict(x)[0].mean() < few.predict(x)[0].mean() - 0.2


def test_nothing_is_promised_where_nothing_was_seen() -> None:
    mean, std = MODEL.predict(np.full((1, WIDTH + 2), 1e3))
    assert np.abs(mean).max() < 1e-6
    assert std[0] == pytest.approx(MODEL.std * math.hypot(1.0, MODEL.noise))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(19, 200), alpha=st.floats(0.05, 0.5), seed=st.integers(0, 1000))
def test_the_quantile_is_the_least_score_with_enough_at_or_under_it(n: int, alpha: float, seed: int) -> None:
    scores = np.random.default_rng(seed).standard_normal(n)
    found = conformal_quantile(scores, alpha)
    need = (1.0 - alpha) * (n + 1)
    assert (scores <= found).sum() >= need - 1e-6
    assert (scores < found).sum() < need - 1e-9


@pytest.mark.parametrize(
    ("n", "alpha", "message"), [(18, 0.05, "at least 19"), (5, 0.0, "between"), (5, 1.0, "between")]
)
def test_too_few_episodes_for_the_promise_are_refused(n: int, alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conformal_quantile(np.zeros(n), alpha)
    assert conformal_quantile(np.arange(19.0), 0.05) == 18.0
    assert [fewest_episodes(alpha) for alpha in (0.05, 0.1, 0.5)] == [19, 9, 1]


@settings(max_examples=80, deadline=None)
@given(bounds=st.lists(st.floats(-1.5, 1.5) | st.just(math.nan), min_size=1, max_size=30))
def test_the_tick_of_a_level_is_the_one_in_which_a_monitor_would_trigger(bounds: list[float]) -> None:
    found = trigger_ticks(np.array(bounds))
    for level, tick in zip(LEVELS, found.tolist(), strict=True):
        assert tick == next((t for t, bound in enumerate(bounds) if not bound > level), -1)
    assert found[0] == 0


@settings(max_examples=80, deadline=None)
@given(saved=st.lists(st.booleans(), min_size=len(LEVELS), max_size=len(LEVELS)))
def test_a_trial_is_saved_at_its_score_and_at_every_level_above_and_not_just_below(saved: list[bool]) -> None:
    score = least_level(saved)
    if score is None:
        assert not saved[0]
        return
    place = LEVELS.index(score)
    assert all(saved[: place + 1])
    assert place + 1 == len(LEVELS) or not saved[place + 1]


def score(rng: np.random.Generator) -> float:
    """Of a trial whose margin falls, as a model sees it that is wrong by an offset of its own in every trial."""
    margins = 1.0 - np.arange(100) / rng.uniform(20.0, 80.0)
    seen = margins + rng.normal(0.0, 0.3) + 0.05 * rng.standard_normal(100)
    ticks = trigger_ticks(seen)
    found = least_level([0 <= tick < 90 and margins[tick] >= 0.0 for tick in ticks.tolist()])
    assert found is not None
    return found


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_no_more_trials_are_lost_than_promised_whatever_the_model(alpha: float) -> None:
    rng = np.random.default_rng(3)
    lost, naive = [], []
    for _ in range(60):
        level = conformal_quantile([score(rng) for _ in range(39)], alpha)
        further = [score(rng) for _ in range(40)]
        lost.append(np.mean([one > level for one in further]))
        naive.append(np.mean([one > 0.0 for one in further]))
    # 60 calibrations: the standard error of their mean is about 0.006 at alpha 0.05 and 0.01 at 0.2.
    assert np.mean(lost) <= alpha + 0.03
    assert np.mean(lost) >= alpha / 3.0
    assert np.mean(naive) > 0.3


def monitor(level: float = 0.3) -> MarginMonitor:
    return MarginMonitor(
        MODEL, Calibration(level, 19, 0.05, 1.0, 2, 40, 3), [{"kp": 1.0}, {"kp": 2.0}], SCALE
    )


def test_the_monitor_triggers_at_its_level_and_takes_the_largest_bound() -> None:
    watching = pickle.loads(pickle.dumps(monitor()))
    seen = set()
    for seed in range(400, 430):
        e = episode(seed, every=1)
        mean, std = MODEL.predict(e.features)
        bounds = mean - CAUTION * std[:, None]
        first = trigger_ticks(bounds.max(axis=1), (0.3,))[0]
        for tick in range(0, len(bounds), 7):
            state, phase = e.features[tick, :WIDTH] * SCALE, tick / 50.0 % 1.0
            np.testing.assert_allclose(watching.bounds(state, phase), bounds[tick], atol=1e-9)
            choice = watching.check(state, phase)
            if abs(bounds[tick].max() - 0.3) < 1e-6:
                continue
            assert choice == (-1 if bounds[tick].max() > 0.3 else int(np.argmax(bounds[tick])))
            assert choice == -1 or tick >= first
            seen.add(choice)
    assert seen == {-1, 0, 1}


def test_what_is_promised_names_what_it_rests_on_and_what_it_costs() -> None:
    told = monitor().calibration
    assert "saved with probability 0.95" in told.guarantee
    assert "exchangeable with the 19 such trials" in told.guarantee
    assert told.counts == (
        "61 trials drawn; 3 of 40 trials that were safe would be stopped; "
        "2 broke a margin and nothing would have saved them"
    )


@pytest.mark.parametrize("state", [np.array([np.nan, 0.0, 0.0]), np.array([np.inf, 0.0, 0.0])])
def test_a_state_that_is_not_finite_triggers(state: np.ndarray) -> None:
    assert monitor().check(state, 0.0) >= 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 backups and states of 3 numbers, got 1 backups"):
        MarginMonitor(MODEL, monitor().calibration, [{}], SCALE)
    with pytest.raises(ValueError, match="must be finite"):
        Episode(np.zeros((2, 3)), np.full((2, 1), np.nan))
    with pytest.raises(ValueError, match="needs an episode"):
        MarginModel.fit([])
