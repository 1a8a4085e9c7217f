"""Transductive scores against brute force on covariances that numpy computes from the kernels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf, optimize_acqf_discrete
from gpytorch.kernels import RBFKernel, ScaleKernel
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from safebo.acquisition import joint
from safebo.acquisition import transductive as t
from safebo.acquisition.joint import joint_moments, model_noise, output_moments
from safebo.errors import InputError, UnknownNameError
from safebo.models.botorch_model import SurrogateModel
from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate

Array = NDArray[np.float64]
LENGTHSCALES, VARIANCES, NOISES = (0.15, 0.25), (1.3, 0.7), (1e-2, 4e-3)
JITTER = 1e-10
DTYPE = torch.float64


def grid(side: int) -> Array:
    axis = np.linspace(0.02, 0.98, side)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)


OBSERVED = np.random.default_rng(0).random((8, 2))
TARGETS = grid(5)
CANDIDATES = np.concatenate([np.random.default_rng(1).random((30, 2)), TARGETS[:6], OBSERVED[:2]])


def single(index: int) -> SingleTaskGP:
    y = torch.sin(5 * torch.tensor(OBSERVED)).sum(-1, keepdim=True)
    kernel = ScaleKernel(RBFKernel())
    model = SingleTaskGP(torch.tensor(OBSERVED), y, covar_module=kernel, outcome_transform=None)
    # gpytorch rounds plain numbers to single precision.
    model.covar_module.base_kernel.lengthscale = torch.tensor(LENGTHSCALES[index], dtype=DTYPE)
    model.covar_module.outputscale = torch.tensor(VARIANCES[index], dtype=DTYPE)
    model.likelihood.noise = torch.tensor(NOISES[index], dtype=DTYPE)
    return model.eval()


def models() -> ModelListGP:
    return ModelListGP(single(0), single(1))


def kernel(i: int, a: Array, b: Array) -> Array:
    square = ((a[:, None] - b[None]) ** 2).sum(-1)
    return VARIANCES[i] * np.exp(-0.5 * square / LENGTHSCALES[i] ** 2)


def conditioned(i: int, points: Array, noisy: Array, noise: Array | None = None) -> Array:
    """Covariance of the points given noisy observations at OBSERVED and then at `noisy`."""
    given_points = np.concatenate([OBSERVED, noisy])
    variances = np.full(len(given_points), NOISES[i])
    if noise is not None:
        variances[len(OBSERVED) :] = noise
    gram = kernel(i, given_points, given_points) + np.diag(variances)
    cross = kernel(i, points, given_points)
    return kernel(i, points, points) - cross @ np.linalg.solve(gram, cross.T)


def log_det(matrix: Array) -> float:
    sign, value = np.linalg.slogdet(matrix)
    assert sign > 0
    return float(value)


def brute_itl(i: int, x: Array, noise: float) -> float:
    joint = conditioned(i, np.concatenate([TARGETS, x[None]]), np.zeros((0, 2)))
    k = len(TARGETS)
    joint[:k, :k] += JITTER * joint[:k, :k].diagonal().max() * np.eye(k)
    joint[k, k] += noise
    return 0.5 * (log_det(joint[:k, :k]) + np.log(joint[k, k]) - log_det(joint))


def brute_vtl(i: int, x: Array, noise: float) -> float:
    before = conditioned(i, TARGETS, np.zeros((0, 2)))
    after = conditioned(i, TARGETS, x[None], np.array([noise]))
    return float(np.trace(before) - np.trace(after))


def brute_correlations(i: int, x: Array, noise: float) -> Array:
    joint = conditioned(i, np.concatenate([x[None], TARGETS]), np.zeros((0, 2)))
    joint[0, 0] += noise
    std = np.sqrt(joint.diagonal())
    return joint[0, 1:] / std[0] / std[1:]


def brute_mm_itl(i: int, x: Array, noise: float) -> float:
    total = 0.0
    for target in TARGETS:
        pair = conditioned(i, np.stack([x, target]), np.zeros((0, 2)))
        pair[0, 0] += noise
        total += 0.5 * (np.log(pair[0, 0]) + np.log(pair[1, 1]) - log_det(pair))
    return total


def brute_undirected(i: int, x: Array, noise: float) -> float:
    return 0.5 * float(np.log1p(conditioned(i, x[None], np.zeros((0, 2)))[0, 0] / noise))


BRUTE: list[tuple[type[t.TransductiveAcquisition], Callable[[int, Array, float], float]]] = [
    (t.ITL, brute_itl),
    (t.VTL, brute_vtl),
    (t.CTL, lambda i, x, noise: float(brute_correlations(i, x, 0.0).sum())),
    (t.SquaredCTL, lambda i, x, noise: float((brute_correlations(i, x, noise) ** 2).sum())),
    (t.MMITL, brute_mm_itl),
    (t.Undirected, brute_undirected),
    (t.Uncertainty, lambda i, x, noise: float(conditioned(i, x[None], np.zeros((0, 2)))[0, 0])),
]
ACQUISITIONS = [a for a, _ in BRUTE]


@pytest.mark.parametrize(("acquisition", "brute"), BRUTE)
def test_scores_are_the_brute_force_sums_over_two_functions(
    acquisition: type[t.TransductiveAcquisition], brute: Callable[[int, Array, float], float]
) -> None:
    score = acquisition(models(), torch.tensor(TARGETS))(torch.tensor(CANDIDATES).unsqueeze(1))
    expected = [sum(brute(i, x, NOISES[i]) for i in range(2)) for x in CANDIDATES]
    np.testing.assert_allclose(score.detach().numpy(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("acquisition", "brute"), BRUTE[:2] + BRUTE[3:6])
def test_noise_may_depend_on_the_point(
    acquisition: type[t.TransductiveAcquisition], brute: Callable[[int, Array, float], float]
) -> None:
    def noise(x: torch.Tensor) -> torch.Tensor:
        return 1e-3 + 0.1 * x[:, 0] ** 2

    score = acquisition(single(0), torch.tensor(TARGETS), noise=noise)(torch.tensor(CANDIDATES).unsqueeze(1))
    expected = [brute(0, x, 1e-3 + 0.1 * x[0] ** 2) for x in CANDIDATES]
    np.testing.assert_allclose(score.detach().numpy(), expected, rtol=1e-8, atol=1e-8)


def surrogate_model() -> SurrogateModel:
    posteriors = []
    for i in range(2):
        lengthscale = torch.full((2,), LENGTHSCALES[i], dtype=DTYPE)
        p = Posterior.prior(StationaryKernel("rbf", lengthscale, VARIANCES[i]), 0.0, NOISES[i], 2)
        for x in torch.tensor(OBSERVED):
            p = p.extended(x, float(torch.sin(5 * x).sum()))
        posteriors.append(p)
    return SurrogateModel(Surrogate(posteriors))


@pytest.mark.parametrize("pending", [None, OBSERVED[3:6] + 0.1])
def test_moments_are_the_same_in_parts_and_without_covariances_among_candidates(
    pending: Array | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    awaited = None if pending is None else torch.tensor(pending)
    noise = torch.tensor(NOISES, dtype=DTYPE)
    X, targets = torch.tensor(CANDIDATES), torch.tensor(TARGETS)

    def moments(model: object) -> list[torch.Tensor]:
        found = joint_moments(model, X, targets, noise, awaited)
        return [getattr(found, f.name).detach() for f in fields(found)]

    # GPyTorch's models give one dense joint posterior over all; `surrogate_model` has the same observations.
    whole = moments(models())
    monkeypatch.setattr(joint, "CHUNK", 7)
    monkeypatch.setattr(joint, "MAX_CHUNK", 7)
    monkeypatch.setattr(joint, "SURROGATE_CHUNK", 11)
    for model in (models(), surrogate_model()):
        for mine, expected in zip(moments(model), whole, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_our_own_surrogate_and_one_output_of_several_score_alike(
    acquisition: type[t.TransductiveAcquisition],
) -> None:
    X, targets = torch.tensor(CANDIDATES).unsqueeze(1), torch.tensor(TARGETS)
    ours = acquisition(surrogate_model(), targets)(X)
    theirs = acquisition(models(), targets)(X)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-6)
    first = acquisition(models(), targets, outputs=[0])(X)
    torch.testing.assert_close(first, acquisition(single(0), targets)(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("transform", [None, "standardize"])
def test_a_batched_model_scores_as_its_outputs_apart(transform: str | None) -> None:
    x = torch.tensor(OBSERVED)
    y = torch.stack([torch.sin(5 * x).sum(-1), 30 * x[:, 0] - 7], -1)
    outcome = Standardize(2) if transform else None
    both = SingleTaskGP(x, y, outcome_transform=outcome).eval()
    X, targets = torch.tensor(CANDIDATES).unsqueeze(1), torch.tensor(TARGETS[::2])
    _, covariance = output_moments(both, x)
    for i in range(2):
        one = both.posterior(x).distribution.covariance_matrix.reshape(2, len(x), 2, len(x))[i, :, i]
        torch.testing.assert_close(covariance[i], one)
    # Standardised outputs have noise of their own scale: it is read on the scale of the posterior.
    scale = y.std(0).square() if transform else torch.ones(2, dtype=DTYPE)
    expected = both.likelihood.noise.detach().flatten() * scale
    torch.testing.assert_close(model_noise(both, targets[:1]), expected)
    total = t.ITL(both, targets)(X)
    parts = [t.ITL(both, targets, outputs=[i])(X) for i in range(2)]
    torch.testing.assert_close(total, parts[0] + parts[1])
    # Information has no unit: rescaling an output changes nothing.
    rescaled = SingleTaskGP(x, y * torch.tensor([1.0, 1e3]), outcome_transform=Standardize(2)).eval()
    if transform:
        torch.testing.assert_close(t.ITL(rescaled, targets)(X), total, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_a_pending_point_counts_as_observed_without_a_value(
    acquisition: type[t.TransductiveAcquisition],
) -> None:
    pending = np.array([[0.3, 0.4], [0.7, 0.2]])
    X, targets = torch.tensor(CANDIDATES).unsqueeze(1), torch.tensor(TARGETS)
    score = acquisition(single(0), targets, X_pending=torch.tensor(pending))(X)
    told = single(0)
    told.set_train_data(
        torch.tensor(np.concatenate([OBSERVED, pending])), torch.zeros(len(OBSERVED) + 2, dtype=DTYPE), False
    )
    torch.testing.assert_close(score, acquisition(told, targets)(X), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_optimize_acqf_finds_at_least_the_best_of_a_grid(
    acquisition: type[t.TransductiveAcquisition],
) -> None:
    function = acquisition(models(), torch.tensor(TARGETS[::4]))
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=DTYPE)
    torch.manual_seed(0)
    x, value = optimize_acqf(function, bounds, q=1, num_restarts=8, raw_samples=128)
    assert x.shape == (1, 2)
    assert float(value) >= float(function(torch.tensor(grid(15)).unsqueeze(1)).detach().max()) - 1e-6


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_a_batch_of_botorchs_optimizer_is_the_greedy_one(
    acquisition: type[t.TransductiveAcquisition],
) -> None:
    pool, targets = torch.tensor(CANDIDATES), torch.tensor(TARGETS)
    function = acquisition(models(), targets)
    chosen, _ = optimize_acqf_discrete(function, q=3, choices=pool, unique=False)
    greedy = t.select_batch(models(), pool, targets, 3, acquisition.rule, repeat=True)
    torch.testing.assert_close(chosen, pool[greedy.indices])
    assert function.X_pending is None


def test_several_points_in_turn_through_optimize_acqf() -> None:
    function = t.ITL(models(), torch.tensor(TARGETS))
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=DTYPE)
    x, _ = optimize_acqf(function, bounds, q=3, num_restarts=2, raw_samples=16, sequential=True)
    assert float(torch.pdist(x).min()) > 0.05
    with pytest.raises(InputError, match="one point at a time"):
        function(torch.zeros(1, 2, 2, dtype=DTYPE))


def test_gradients_are_those_of_finite_differences() -> None:
    X = torch.tensor(CANDIDATES[:3]).unsqueeze(1).requires_grad_()
    for acquisition in ACQUISITIONS:
        function = acquisition(single(0), torch.tensor(TARGETS[::3]))
        assert torch.autograd.gradcheck(function, (X,), eps=1e-6, atol=1e-4)


def test_one_target_makes_all_transductive_rules_agree() -> None:
    X = torch.tensor(CANDIDATES[:30]).unsqueeze(1)
    kernel = StationaryKernel("rbf", torch.full((2,), 0.2, dtype=DTYPE))
    model = SurrogateModel(Surrogate([Posterior.prior(kernel, 0.0, 0.01, 2)]))
    orders = [a(model, torch.tensor([[0.5, 0.5]], dtype=DTYPE))(X).argsort() for a in ACQUISITIONS[:5]]
    assert all(torch.equal(a, b) for a, b in pairwise(orders))


@pytest.mark.parametrize("rule", ["itl", "vtl", "mm_itl", "uncertainty"])
@pytest.mark.parametrize("repeat", [False, True])
def test_a_batch_is_what_a_greedy_search_with_explicit_conditioning_chooses(rule: str, repeat: bool) -> None:
    pool, targets = torch.tensor(CANDIDATES), torch.tensor(TARGETS)
    batch = t.select_batch(single(0), pool, targets, 5, rule, repeat=repeat)
    chosen: list[int] = []
    for index, gain in zip(batch.indices.tolist(), batch.scores.tolist(), strict=True):
        given_points = pool[chosen] if chosen else None
        moments = joint_moments(single(0), pool, targets, NOISES[0], given_points)
        score = t.RULES[rule](moments, JITTER).sum(0).detach()
        if not repeat:
            score[chosen] = -torch.inf
        assert gain == pytest.approx(float(score.max()), abs=1e-8)
        assert float(score[index]) == pytest.approx(gain, abs=1e-8)
        chosen.append(index)
    if not repeat:
        assert len(set(chosen)) == 5


def test_the_scores_of_an_itl_batch_add_up_to_its_joint_information() -> None:
    pool = torch.tensor(CANDIDATES)
    batch = t.select_batch(single(0), pool, torch.tensor(TARGETS), 6)
    points = np.concatenate([TARGETS, CANDIDATES[batch.indices.numpy()]])
    joint = conditioned(0, points, np.zeros((0, 2)))
    k = len(TARGETS)
    joint[:k, :k] += JITTER * joint[:k, :k].diagonal().max() * np.eye(k)
    joint[k:, k:] += NOISES[0] * np.eye(6)
    information = 0.5 * (log_det(joint[:k, :k]) + log_det(joint[k:, k:]) - log_det(joint))
    assert float(batch.scores.sum()) == pytest.approx(information, abs=1e-6)


def test_a_batch_needs_a_size_that_the_pool_has() -> None:
    pool = torch.tensor(CANDIDATES)
    for q in (0, len(pool) + 1):
        with pytest.raises(InputError, match=f"q is {q}"):
            t.select_batch(single(0), pool, pool[:2], q)
    with pytest.raises(UnknownNameError, match="known are ctl"):
        t.select_batch(single(0), pool, pool[:2], 1, "elk")
    with pytest.raises(InputError, match="at least one point"):
        t.ITL(single(0), pool[:0])
    with pytest.raises(InputError, match="noise variances have the shape"):
        t.ITL(single(0), pool[:2], noise=torch.ones(3, dtype=DTYPE))(pool[:1].unsqueeze(1))


covariances = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**6))


def random_blocks(shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n, k, seed = shape
    factor = torch.randn(n + k, n + k + 2, dtype=DTYPE, generator=torch.Generator().manual_seed(seed))
    joint = factor @ factor.T
    return joint.diagonal()[:n], joint[:n, n:], joint[n:, n:]


@given(covariances, st.floats(1e-4, 10.0), st.floats(1.0, 10.0))
@settings(max_examples=60, deadline=None)
def test_information_is_never_negative_and_never_grows_with_noise(
    shape: tuple[int, int, int], noise: float, factor: float
) -> None:
    variance, cross, target = random_blocks(shape)
    low, high = torch.full_like(variance, noise), torch.full_like(variance, noise * factor)
    target_variance = target.diagonal()
    for score in (
        lambda n: t.itl(variance, cross, target, n),
        lambda n: t.vtl(variance, cross, n),
        lambda n: t.ctl(variance, cross, target_variance, n, squared=True),
        lambda n: t.mm_itl(variance, cross, target_variance, n),
        lambda n: t.undirected(variance, n),
    ):
        assert bool((score(low) >= 0).all())
        assert bool((score(high) <= score(low) * (1 + 1e-9)).all())


@given(covariances, st.floats(1e-4, 10.0))
@settings(max_examples=60, deadline=None)
def test_information_about_all_targets_is_at_least_that_about_each_and_grows_with_targets(
    shape: tuple[int, int, int], noise: float
) -> None:
    variance, cross, target = random_blocks(shape)
    rho = torch.full_like(variance, noise)
    whole = t.itl(variance, cross, target, rho)
    for j in range(cross.shape[-1]):
        alone = t.itl(variance, cross[:, j : j + 1], target[j : j + 1, j : j + 1], rho)
        assert bool((alone <= whole + 1e-7).all())
    # No target can tell more than the value at the point itself.
    assert bool((whole <= t.undirected(variance, rho) + 1e-12).all())
