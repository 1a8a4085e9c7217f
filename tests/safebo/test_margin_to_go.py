"""The bound on the margin to go: the model against a dense Gaussian process, the calibration against its promise."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.boundary.margin_to_go import (
    Episode,
    MarginModel,
    MarginMonitor,
    calibrated,
    conformal_quantile,
    features,
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
    x = features(states * SCALE, np.arange(n) / 50.0 % 1.0, SCALE)
    margins = truth(x)
    margins[np.arange(n) % every != 0] = np.nan
    return Episode(x, margins)


EPISODES = [episode(seed) for seed in range(30)]
MODEL = MarginModel.fit(EPISODES, rows=60)


def test_features_are_scaled_states_and_the_place_in_the_stride() -> None:
    found = features(np.array([1.0, 1.0, 1.0]), 0.25, SCALE)
    np.testing.assert_allclose(found, [2.0, 0.5, 1.0, 1.0, 0.0], atol=1e-15)
    both = features(np.ones((2, 3)), np.array([0.25, 0.999999]), SCALE)
    np.testing.assert_allclose(both[0], found)
    # The end of one stride is the start of the next.
    np.testing.assert_allclose(both[1, 3:], features(np.ones(3), 0.0, SCALE)[3:], atol=1e-4)


def test_predictions_are_those_of_a_dense_gaussian_process() -> None:
    x = np.concatenate([e.features for e in (episode(100), episode(101))])
    mean, std = MODEL.predict(x)

    def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        s = math.sqrt(3.0) * np.linalg.norm(a[:, None] - b[None], axis=-1) / MODEL.lengthscale
        return np.asarray((1.0 + s) * np.exp(-s))

    factor = np.linalg.inv(MODEL.inverse)
    matrix = factor @ factor.T
    noise = matrix[0, 0] - 1.0
    assert noise == pytest.approx(MODEL.noise**2)
    np.testing.assert_allclose(
        matrix - noise * np.eye(len(matrix)), correlation(MODEL.rows, MODEL.rows), atol=1e-8
    )
    margins = truth(MODEL.rows)
    across = correlation(x, MODEL.rows)
    np.testing.assert_allclose(mean, across @ np.linalg.solve(matrix, margins), atol=1e-7)
    left = 1.0 - np.einsum("ij,ji->i", across, np.linalg.solve(matrix, across.T))
    np.testing.assert_allclose(std, MODEL.std * np.sqrt(left + noise), atol=1e-6)
    assert np.abs(mean - truth(x)).mean() < 0.1


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


def test_the_bound_is_broken_in_no_more_episodes_than_promised() -> None:
    # The model is fitted to few episodes, so that its own standard deviation alone is not enough.
    model = MarginModel.fit([episode(seed) for seed in range(4)], rows=15)
    calibration = calibrated(model, [episode(seed) for seed in range(1000, 1199)], alpha=0.2)
    broken, naive = 0, 0
    for seed in range(2000, 2400):
        e = episode(seed)
        mean, std = model.predict(e.features)
        over = mean[e.tried] - e.margins[e.tried]
        broken += bool(np.any(over > calibration.quantile * std[e.tried, None]))
        naive += bool(np.any(over > 0.0))
    assert naive > 200
    # 400 episodes at 0.2: 80 expected, standard deviation 8, and about as much from 199 episodes of calibration.
    assert 40 <= broken <= 80 + 4 * 12
    assert "probability 0.8" in calibration.guarantee
    assert "199 simulated" in calibration.guarantee


def monitor() -> MarginMonitor:
    calibration = calibrated(MODEL, [episode(seed) for seed in range(300, 319)], delay=1)
    return MarginMonitor(MODEL, calibration, [{"kp": 1.0}, {"kp": 2.0}], SCALE)


def test_the_monitor_triggers_when_no_bound_keeps_the_reserve_and_takes_the_largest() -> None:
    watching = pickle.loads(pickle.dumps(monitor()))
    calibration = watching.calibration
    seen = set()
    for seed in range(400, 430):
        e = episode(seed)
        mean, std = MODEL.predict(e.features)
        bounds = mean - calibration.quantile * std[:, None]
        for tick in range(0, len(bounds), 7):
            state, phase = e.features[tick, :WIDTH] * SCALE, tick / 50.0 % 1.0
            np.testing.assert_allclose(watching.bounds(state, phase), bounds[tick], atol=1e-9)
            choice = watching.check(state, phase)
            if abs(bounds[tick].max() - calibration.reserve) < 1e-6:
                continue
            expected = -1 if bounds[tick].max() > calibration.reserve else int(np.argmax(bounds[tick]))
            assert choice == expected
            seen.add(choice)
    assert seen == {-1, 0, 1}


def test_the_reserve_outlasts_the_delay() -> None:
    held = [episode(seed) for seed in range(300, 319)]
    now, later = (calibrated(MODEL, held, delay=delay) for delay in (0, 2))
    assert later.reserve > now.reserve > 0.0
    for e in held:
        mean, std = MODEL.predict(e.features)
        best = (mean - now.quantile * std[:, None]).max(axis=1)
        for ahead, reserve in ((1, now.reserve), (3, later.reserve)):
            # From any tick that exceeds the reserve, the bound is not negative when the backup acts.
            assert np.all(best[ahead:][best[:-ahead] > reserve] >= 0.0)


@pytest.mark.parametrize("state", [np.array([np.nan, 0.0, 0.0]), np.array([np.inf, 0.0, 0.0])])
def test_a_state_that_is_not_finite_triggers(state: np.ndarray) -> None:
    assert monitor().check(state, 0.0) >= 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 backups and states of 3 numbers, got 1 backups"):
        MarginMonitor(MODEL, monitor().calibration, [{}], SCALE)
    with pytest.raises(ValueError, match="needs a tick"):
        Episode(np.zeros((2, 3)), np.full((2, 1), np.nan))
    with pytest.raises(ValueError, match="needs an episode"):
        MarginModel.fit([])
