"""Observations that have more noise than the others, against one dense numpy solve with diagonal noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_posterior import KINDS, LENGTHSCALE, data, model
from tuner_cases import kernel_matrix

from safebo.models.condensed import condensed
from safebo.models.grid_posterior import GridPosterior
from safebo.models.growing import Observation
from safebo.models.hyperparameters import fitted, sampled
from safebo.models.mixture import MixturePosterior
from safebo.models.model_cache import ModelCache
from safebo.models.multi_task import contradiction
from safebo.models.posterior import Posterior
from safebo.models.schedules import information_gain
from safebo.models.surrogate import Surrogate
from safebo.models.trust import log_predictive
from safebo.study import Study

N = 24
X, Y = data(N)
ADDED = np.where(np.arange(N) % 3 == 0, np.linspace(0.0, 0.5, N), 0.0)
Z = torch.rand(15, 3, generator=torch.Generator().manual_seed(1)).double()


def dense(kind: str = "matern32", added: np.ndarray = ADDED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and variances at Z, and the covariance of the observations."""
    m = model(kind)
    scale = np.array(LENGTHSCALE)
    K = kernel_matrix(kind, scale, m.variance, X.numpy(), X.numpy()) + np.diag(m.noise_variance + added)
    k = kernel_matrix(kind, scale, m.variance, Z.numpy(), X.numpy())
    mean = m.mean + k @ np.linalg.solve(K, Y.numpy() - m.mean)
    return mean, m.variance - np.einsum("ij,ji->i", k, np.linalg.solve(K, k.T)), K


def by_rows(prior: Posterior) -> Posterior:
    for x, y, a in zip(X, Y, ADDED, strict=True):
        prior = prior.extended(x, float(y), float(a))
    return prior


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["rows", "at once", "both", "grid"])
def test_a_posterior_with_noise_of_its_own_for_every_trial_equals_a_dense_solve(kind: str, way: str) -> None:
    prior = model(kind).prior()
    if way == "rows":
        posterior = by_rows(prior)
    elif way == "at once" or way == "grid":
        posterior = prior.conditioned(X, Y, ADDED.tolist())
    else:
        posterior = prior.conditioned(X[:9], Y[:9], ADDED[:9].tolist()).extended(X[9], float(Y[9]), ADDED[9])
        posterior = posterior.conditioned(X[10:], Y[10:], ADDED[10:].tolist())
    mean, variance, _ = dense(kind)
    if way == "grid":
        grid = GridPosterior(Z)
        grid.update(posterior)
        found = grid.mean, grid.variance
    else:
        found = posterior.mean_variance(Z)
    np.testing.assert_allclose(found[0], mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[1], variance, rtol=0, atol=1e-9)


def test_a_repeated_input_with_hardly_any_noise_keeps_its_row() -> None:
    prior = Posterior.prior(model("rbf").kernel(), 0.0, 1e-14, 3)
    rows, values = X[[0, 0, 1]], torch.tensor([1.0, 3.0, 0.0]).double()
    mean, _ = prior.conditioned(rows, values, [0.0, 4.0, 0.0]).mean_variance(rows)
    assert float(mean[0]) == pytest.approx(1.0, abs=1e-6)  # the first has no noise, the second much


def test_without_more_noise_nothing_changes_by_a_bit() -> None:
    plain = model("matern32").prior().conditioned(X, Y)
    same = model("matern32").prior().conditioned(X, Y, [0.0] * N)
    assert same.added_noise is None
    assert torch.equal(plain.inverse_factor, same.inverse_factor)
    assert torch.equal(plain.weights, same.weights)
    one = plain.extended(Z[0], 1.0)
    assert one.added_noise is None
    assert torch.equal(one.inverse_factor, plain.extended(Z[0], 1.0, 0.0).inverse_factor)


def test_a_search_looks_at_the_same_through_all_pivots() -> None:
    exact = Surrogate([by_rows(model("matern32").prior())])
    found = condensed(exact, rank=N - 2).posteriors[0]
    assert found.count < N
    # All distinct inputs are pivots (one is repeated), so nothing is lost.
    mean, variance = found.mean_variance(Z)
    expected = dense()
    np.testing.assert_allclose(mean, expected[0], atol=0.05)
    np.testing.assert_allclose(variance, expected[1], atol=0.05)
    unaware = model("matern32").prior().conditioned(X, Y).mean(Z)
    assert float((mean - torch.tensor(expected[0])).abs().max()) < 0.3 * float(
        (unaware - torch.tensor(expected[0])).abs().max()
    )


def test_information_gain_and_predictive_densities_are_those_of_the_dense_covariance() -> None:
    posterior = by_rows(model("matern32").prior())
    _, _, K = dense()
    noise = model("matern32").noise_variance + ADDED
    for n in (1, 7, N):
        expected = 0.5 * (np.linalg.slogdet(K[:n, :n])[1] - np.log(noise[:n]).sum())
        assert float(information_gain(posterior)[n]) == pytest.approx(expected)
    residual = Y.numpy() - model("matern32").mean
    whole = -0.5 * (
        residual @ np.linalg.solve(K, residual) + np.linalg.slogdet(K)[1] + N * math.log(2 * math.pi)
    )
    assert float(log_predictive(posterior).sum()) == pytest.approx(whole)


def test_fits_know_the_noise_that_is_given() -> None:
    rng = np.random.default_rng(0)
    loud = np.where(np.arange(N) % 2 == 0, 1.0, 0.0)
    y = Y + torch.tensor(loud * rng.standard_normal(N))
    found = fitted(model("matern32"), X, y, torch.tensor(loud))
    assert found.noise_variance < 0.5 * fitted(model("matern32"), X, y).noise_variance
    none = torch.zeros(N).double()
    assert fitted(model("matern32"), X, y, none) == fitted(model("matern32"), X, y)
    two = sampled(model("matern32"), X[:6], Y[:6], 2, added=torch.full((6,), 0.3).double())
    assert two != sampled(model("matern32"), X[:6], Y[:6], 2)
    mixed = (
        MixturePosterior([m.prior() for m in two]).conditioned(X, Y, ADDED.tolist()).extended(Z[0], 1.0, 0.2)
    )
    for part, m in zip(mixed.components, two, strict=True):
        expected = m.prior().conditioned(X, Y, ADDED.tolist()).extended(Z[0], 1.0, 0.2)
        assert torch.equal(part.weights, expected.weights)


def test_a_noisy_trial_contradicts_a_simulation_less() -> None:
    simulation = Surrogate([model("matern32").prior().conditioned(X, Y)])
    plain = Surrogate([model("matern32").prior()])
    far = [(float(Y[i]) + 3.0,) for i in range(5)]
    args = simulation, plain, ["f"], X[:5], far, 5, 0.01
    assert contradiction(*args) is not None
    assert contradiction(*args, added=[(10.0,)] * 5) is None


STUDY = Study.model_validate(
    {
        "name": "noise",
        "evaluator": {"name": "m:f"},
        "parameters": [{"name": n, "bounds": [0, 1]} for n in "abc"],
        "objective": {"name": "f", "noise_std": 0.1},
        "constraints": [{"name": "g", "noise_std": 0.1}],
        "seeds": [{"parameters": {"a": 0.5, "b": 0.5, "c": 0.5}}],
    }
)


@pytest.mark.parametrize("hyperparameters", ["fixed", "map"])
def test_the_cache_gives_what_no_cache_would_when_the_noise_of_an_earlier_trial_changes(
    hyperparameters: str,
) -> None:
    spec = STUDY.surrogate.model_copy(update={"hyperparameters": hyperparameters})
    study = STUDY.model_copy(update={"surrogate": spec})
    rows = [
        Observation(i, X[i], (float(Y[i]), -float(Y[i])), (), (0.0, float(ADDED[i])) if i % 2 else ())
        for i in range(12)
    ]
    cache = ModelCache(study)
    cache.surrogate(rows[:8])
    cache.surrogate(rows)
    changed = [*rows[:3], Observation(3, X[3], rows[3].values, (), (0.3, 0.0)), *rows[4:]]
    found, fresh = cache.surrogate(changed), ModelCache(study).surrogate(changed)
    for p, q in zip(found.posteriors, fresh.posteriors, strict=True):
        assert torch.equal(p.weights, q.weights)
        assert torch.equal(p.inverse_factor, q.inverse_factor)
    assert float(
        found.posteriors[0].noise_variances[3] - found.posteriors[0].noise_variance
    ) == pytest.approx(0.3)
