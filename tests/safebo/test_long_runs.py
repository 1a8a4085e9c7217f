"""Runs past the number of observations up to which everything is computed row by row and searched exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.models.condensed import PivotMemo, condensed
from safebo.models.grid_posterior import GridPosterior
from safebo.models.growing import LARGE_BLOCK, ONE_BY_ONE, Observation, stops
from safebo.models.model_cache import ModelCache
from safebo.models.searched import EXACT_SEARCH, SearchedSurrogates
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

pytestmark = pytest.mark.slow


def bowl(method: str = "safeopt", **search: object) -> Study:
    """Two gains; the margin is 0 on a circle of radius 0.35 around the seed."""
    return Study.model_validate(
        {
            "name": "bowl",
            "evaluator": {"name": "closed-form"},
            "parameters": [{"name": name, "bounds": [0.0, 1.0]} for name in "ab"],
            "objective": {"name": "reward", "prior_std": 2.0, "noise_std": 0.02},
            "constraints": [{"name": "margin", "prior_mean": -0.5, "prior_std": 2.0, "noise_std": 0.02}],
            "seeds": [{"parameters": {"a": 0.5, "b": 0.5}}],
            "surrogate": {"kernel": "matern52", "lengthscale": 0.4},
            "tuner": {"method": method, "beta": 3.0, "search": {"swarm_size": 40, **search}},
        }
    )


def measured(x: Sequence[float], rng: np.random.Generator) -> Measurement:
    a, b = x
    noise = 0.02 * rng.normal(size=2)
    reward = -10.0 * ((a - 0.7) ** 2 + (b - 0.4) ** 2) + noise[0]
    margin = 10.0 * (0.35**2 - (a - 0.5) ** 2 - (b - 0.5) ** 2) + noise[1]
    return Measurement("completed", objective=float(reward), margins={"margin": float(margin)})


def told(study: Study, count: int) -> list[tuple[Trial, Measurement | None]]:
    """Random trials around the seed, most of them safe."""
    rng = np.random.default_rng(0)
    name = next(iter(study.context.values))
    records: list[tuple[Trial, Measurement | None]] = []
    for i in range(count):
        x = [0.5, 0.5] if i == 0 else (0.5 + 0.25 * rng.uniform(-1, 1, 2)).tolist()
        trial = Trial(
            id=i + 1,
            parameters=dict(zip("ab", x, strict=True)),
            context={},
            context_name=name,
            phase="seed" if i == 0 else "local",
            seed=i,
            certified=True,
        )
        records.append((trial, measured(x, rng)))
    return records


def steps(tuner: Tuner, count: int) -> Iterator[Trial]:
    """So many asks, each told at once; noise goes by the trial's number."""
    for _ in range(count):
        trial = tuner.ask()
        tuner.tell(trial, measured(list(trial.parameters.values()), np.random.default_rng(trial.id)))
        yield trial


@pytest.mark.parametrize("search", [{}, {"domain": "grid", "grid_points": 15}])
def test_a_restored_long_run_asks_what_the_uninterrupted_one_does(search: dict[str, Any]) -> None:
    """Over the end of a small block and of a large one."""
    study = bowl(**search)
    begun = told(study, 2 * LARGE_BLOCK + ONE_BY_ONE - 4)
    going = Tuner(study, 0)
    going.restore(begun)
    list(steps(going, 8))
    for ahead in (3, 6):
        again = Tuner(study, 0)
        again.restore([(r.trial, r.measurement) for r in going.history][: len(begun) + ahead])
        assert again.ask() == going.history.record(len(begun) + ahead + 1).trial


@pytest.mark.parametrize("count", [ONE_BY_ONE - 1, 2 * LARGE_BLOCK + ONE_BY_ONE + 12])
def test_proposals_are_certified_by_the_exact_posterior(count: int) -> None:
    study = bowl()
    tuner = Tuner(study, 0)
    tuner.restore(told(study, count))
    trial = tuner.ask()
    assert trial.certified
    rows = [
        Observation(
            r.trial.id, torch.tensor(list(r.trial.parameters.values())), (m.objective, m.margins["margin"])
        )
        for r in tuner.history
        if (m := r.measurement) is not None
    ]
    X, y = torch.stack([row.x for row in rows]), torch.tensor([row.values[1] for row in rows])
    posterior = tuner.surrogate().posteriors[1]
    # The textbook's formulas, with nothing kept.
    K = posterior.kernel(X, X) + 0.02**2 * torch.eye(len(X), dtype=torch.float64)
    k = posterior.kernel(torch.tensor([list(trial.parameters.values())]), X)
    mean = -0.5 + k @ torch.linalg.solve(K, y.double() + 0.5)
    variance = 4.0 - (k @ torch.linalg.solve(K, k.T))[0, 0]
    assert trial.predicted["margin"].lower == pytest.approx(float(mean - 3.0 * variance.sqrt()), abs=1e-6)
    assert trial.predicted["margin"].lower >= 0.0


@pytest.mark.parametrize("method", ["safeopt", "safe_ucb", "goose", "itl"])
def test_an_approximate_search_finds_nearly_what_an_exact_one_does(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = bowl(method)
    found = {}
    for limit in (EXACT_SEARCH, 10_000):
        monkeypatch.setattr("safebo.models.searched.EXACT_SEARCH", limit)
        tuner = Tuner(study, 0)
        tuner.restore(told(study, 350))
        trial = tuner.ask()
        assert trial.certified
        found[limit] = float(trial.reason.rsplit(" ", 1)[1])
    assert found[EXACT_SEARCH] >= 0.85 * found[10_000] - 1e-3


def test_the_best_of_a_long_run_is_that_of_an_exact_search(monkeypatch: pytest.MonkeyPatch) -> None:
    study = bowl()
    lower = {}
    for limit in (EXACT_SEARCH, 10_000):
        monkeypatch.setattr("safebo.models.searched.EXACT_SEARCH", limit)
        tuner = Tuner(study, 0)
        tuner.restore(told(study, 350))
        best = tuner.best()
        assert best is not None
        assert best.certified
        lower[limit] = best.bounds["reward"].lower
    assert lower[EXACT_SEARCH] == pytest.approx(lower[10_000], abs=0.01)


def test_where_the_approximation_certifies_nothing_the_exact_posterior_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("safebo.models.searched.condensed", lambda surrogate, memo: condensed(surrogate, 2))
    study = bowl()
    tuner = Tuner(study, 0)
    tuner.restore(told(study, EXACT_SEARCH + 5))
    trial = tuner.ask()
    assert (trial.phase, trial.certified) == ("local", True)


@given(st.integers(0, 900), st.integers(0, 1200))
def test_stops_lead_from_the_first_rows_to_all(first: int, more: int) -> None:
    count = first + more
    path = stops(first, count)
    assert (path[0], path[-1]) == (first, count)
    assert path == sorted(set(path))
    assert len(path) <= ONE_BY_ONE + 1 + count // LARGE_BLOCK + 11
    # One more row starts from a stop that is known already, far along.
    shared = max(set(path) & set(stops(first, count + 1)))
    assert count - shared <= LARGE_BLOCK


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(280, 460), min_size=1, max_size=4), st.integers(0, 2**31))
def test_the_surrogate_does_not_depend_on_what_was_asked_before(counts: list[int], seed: int) -> None:
    """Lists that grow, shrink, and change in the middle, as trials that are told late make them."""
    rng = np.random.default_rng(seed)
    x = rng.random((460, 2))
    rows = [Observation(i, torch.tensor(x[i]), (float(x[i].sum()), 1.0)) for i in range(460)]
    cache, study = ModelCache(bowl()), bowl()
    for count in counts:
        missing = int(rng.integers(count))
        chosen = [row for row in rows[:count] if row.trial != missing]
        found = cache.surrogate(chosen)
    fresh = ModelCache(study).surrogate(chosen)
    for a, b in zip(found.posteriors, fresh.posteriors, strict=True):
        assert torch.equal(a.inverse_factor, b.inverse_factor)
        assert torch.equal(a.weights, b.weights)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=6), st.integers(0, 2**31)
)
def test_visited_points_added_one_after_another_are_those_added_at_once(
    asked: list[tuple[int, int]], seed: int
) -> None:
    """Lists of failed trials that grow, shrink and change, with none or some falls, bit for bit."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.random((40, 2)))
    rows = [Observation(i, x[i], (float(x[i].sum()), 1.0)) for i in range(8)]
    cache, points = SearchedSurrogates(), torch.tensor(rng.random((5, 2)))
    surrogate = ModelCache(bowl()).surrogate(rows)
    for visited, falls in asked:
        X, worst = x[10 : 10 + visited], x[30 : 30 + falls]
        found = cache.fantasized(surrogate, X, worst, -3.0)
        assert cache.fantasized(surrogate, X, worst, -3.0) is found
        fresh = surrogate
        for row in worst:
            fresh = fresh.observed(row, (-3.0, None))
        expected = fresh.fantasized(X).predict(points)
        assert torch.equal(found.predict(points).mean, expected.mean)
        assert torch.equal(found.predict(points).std, expected.std)


def test_a_grid_keeps_the_rows_that_two_posteriors_share() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((420, 2))
    rows = [Observation(i, torch.tensor(x[i]), (float(np.sin(5 * x[i]).sum()), 1.0)) for i in range(420)]
    cache, points = ModelCache(bowl()), torch.tensor(rng.random((50, 2)))
    grid = GridPosterior(points)
    for count in (290, 305, 399, 401, 420):
        posterior = cache.surrogate(rows[:count]).posteriors[0]
        grid.update(posterior)
        mean, variance = posterior.mean_variance(points)
        assert torch.allclose(grid.mean, mean, atol=1e-9)
        assert torch.allclose(grid.variance, variance, rtol=1e-6, atol=1e-10)


def test_a_condensed_posterior_of_enough_pivots_is_the_posterior() -> None:
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.random((120, 2)))
    rows = [Observation(i, x[i], (float(x[i].sum()), float(x[i].prod()))) for i in range(120)]
    exact = ModelCache(bowl()).surrogate(rows)
    points = torch.tensor(rng.random((40, 2)))
    few, many = condensed(exact, 30).predict(points), condensed(exact, 119).predict(points)
    truth = exact.predict(points)
    assert torch.allclose(many.mean, truth.mean, atol=2e-3)
    assert torch.allclose(many.std, truth.std, rtol=0.05)
    assert bool((few.std >= 0.9 * truth.std).all())


def test_what_was_told_last_is_a_pivot_and_pivots_chosen_before_change_nothing() -> None:
    """The last row lies where no other does: a search must know it, whether pivots are kept from before or not."""
    rng = np.random.default_rng(0)
    x = torch.tensor(np.vstack([0.3 * rng.random((46, 2)), [[0.9, 0.9]]]))
    rows = [Observation(i, x[i], (float(x[i].sum()), float(x[i].prod()))) for i in range(len(x))]
    cache, memo = ModelCache(bowl()), PivotMemo()
    for count in (44, 47):
        exact = cache.surrogate(rows[:count])
        kept, fresh = condensed(exact, 30, memo), condensed(exact, 30)
        for a, b in zip(kept.posteriors, fresh.posteriors, strict=True):
            assert torch.equal(a.inverse_factor, b.inverse_factor)
            assert torch.equal(a.weights, b.weights)
    assert torch.allclose(kept.predict(x[-1:]).mean, exact.predict(x[-1:]).mean, atol=1e-3)
    assert torch.allclose(kept.predict(x[-1:]).std, exact.predict(x[-1:]).std, rtol=0.05)
