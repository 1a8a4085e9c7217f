"""Scores of many targets against brute force with numpy, from the kernels' formulas alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from gpytorch.kernels import PeriodicKernel, RBFKernel, ScaleKernel
from numpy.typing import NDArray
from scipy import stats

from safebo.acquisition import GridSettings, GridTuner
from safebo.acquisition.transductive import JITTER
from safebo.acquisition.transductive.scores import TransductiveGrid, exact_scores
from safebo.acquisition.transductive.target_forms import (
    NEIGHBOURS,
    NearestTargets,
    jitter_of,
    low_rank_form,
    score_of_form,
)
from safebo.errors import InputError, UnknownNameError
from safebo.models.kernels import CoregionalKernel, GenericKernel, StationaryKernel
from safebo.models.low_rank import CORRELATION_LOSS, Cells, KernelFeatures, cell_widths, kernel_features
from safebo.models.posterior import Posterior
from safebo.study import TransductiveSpec

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
VARIANCE = 1.5


def square(side: int) -> Array:
    axis = np.linspace(0.0, 1.0, side)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def covariance(kind: str, lengthscale: float, a: Array, b: Array) -> Array:
    r = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)) / lengthscale
    if kind == "rbf":
        return VARIANCE * np.exp(-0.5 * r * r)
    if kind == "matern32":
        return VARIANCE * (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)
    assert kind == "matern52"
    return VARIANCE * (1 + np.sqrt(5) * r + 5 * r * r / 3) * np.exp(-np.sqrt(5) * r)


@dataclass(frozen=True)
class Case:
    kind: str
    lengthscale: float
    noise: float
    observations: int = 20

    @property
    def inputs(self) -> Array:
        return 0.3 + 0.4 * np.random.default_rng(3).random((self.observations, 2))

    def kernel(self) -> StationaryKernel:
        return StationaryKernel(self.kind, torch.full((2,), self.lengthscale, dtype=torch.float64), VARIANCE)

    def posterior(self) -> Posterior:
        p = Posterior.prior(self.kernel(), 0.0, self.noise, 2)
        for x in torch.tensor(self.inputs):
            p = p.extended(x, float(torch.sin(5 * x).sum()))
        return p

    def conditioned(self, points: Array) -> Array:
        """Posterior covariance of the points."""
        seen = covariance(self.kind, self.lengthscale, self.inputs, self.inputs)
        cross = covariance(self.kind, self.lengthscale, points, self.inputs)
        gain = np.linalg.solve(seen + self.noise * np.eye(len(seen)), cross.T)
        return covariance(self.kind, self.lengthscale, points, points) - cross @ gain


def brute(rule: str, case: Case, points: Array, candidates: Mask, targets: Mask) -> Array:
    """Scores of the candidates."""
    full = case.conditioned(points)
    k, cross = full.diagonal()[candidates], full[np.ix_(candidates, targets)]
    target_variance = full.diagonal()[targets]
    if rule == "itl":
        known = full[np.ix_(targets, targets)] + JITTER * VARIANCE * np.eye(int(targets.sum()))
        white = np.linalg.solve(np.linalg.cholesky(known), cross.T)
        left = k - (white**2).sum(0)
        return 0.5 * np.log((k + case.noise) / (left + case.noise))
    if rule == "vtl":
        return (cross**2).sum(1) / (k + case.noise)
    if rule == "ctl":
        return (cross / np.sqrt(k[:, None] * target_variance)).sum(1)
    squared = cross**2 / ((k + case.noise)[:, None] * target_variance)
    return squared.sum(1) if rule == "ctl_squared" else -0.5 * np.log(1 - squared).sum(1)


def marginals(posteriors: list[Posterior], points: Array) -> torch.Tensor:
    X = torch.tensor(points)
    return torch.stack([p.mean_variance(X)[1] for p in posteriors], -1)


def middle(points: Array, radius: float) -> Mask:
    return np.linalg.norm(points - 0.5, axis=1) < radius


def beyond(points: Array, radius: float = 0.3) -> Mask:
    """Targets that begin within the candidates' disc and go on outside, on one side."""
    return (np.linalg.norm(points - 0.5, axis=1) > radius) & (points[:, 0] > 0.5)


def apart(points: Array) -> Mask:
    """Targets away from the candidates' disc."""
    return np.all(points > 0.8, axis=1)


@pytest.mark.parametrize("rule", ["itl", "vtl", "ctl", "ctl_squared", "mm_itl"])
def test_few_targets_are_scored_exactly(rule: str) -> None:
    points = square(15)
    candidates = middle(points, 0.4)
    targets = (np.round(points * 14) % 5 == 2).all(1)
    cases = [Case("rbf", 0.2, 1e-3), Case("matern52", 0.3, 1e-2)]
    posteriors = [c.posterior() for c in cases]
    grid = TransductiveGrid(torch.tensor(points))
    result = grid.scores(
        rule, posteriors, marginals(posteriors, points), torch.tensor(candidates), torch.tensor(targets)
    )
    expected = np.sum([brute(rule, c, points, candidates, targets) for c in cases], axis=0)
    assert result.method == "exact"
    assert result.scored == candidates.sum()
    np.testing.assert_allclose(result.values.numpy()[candidates], expected, rtol=1e-8, atol=1e-8)
    assert (result.values.numpy()[~candidates] == -np.inf).all()


SMOOTH = [
    Case("rbf", 0.1, 1e-3),
    Case("rbf", 0.2, 1e-5),
    Case("rbf", 0.2, 1e-1),
    Case("rbf", 0.5, 1e-4),
    Case("matern52", 0.3, 1e-3),
    Case("matern32", 0.4, 1e-2),
]


def low_rank_scores(
    rule: str,
    posterior: Posterior,
    features: KernelFeatures,
    X: torch.Tensor,
    candidates: Mask,
    targets: Mask,
) -> Array:
    """One function's scores at all candidates, each on its own, with the covariance of low rank."""
    aims, chosen = X[torch.tensor(targets)], X[torch.tensor(candidates)]
    form = low_rank_form(rule, posterior, features, aims)(chosen)
    variance, known = posterior.mean_variance(chosen)[1], torch.tensor(targets[candidates])
    noise, jitter = posterior.noise_variance, jitter_of(posterior, aims)
    return score_of_form(rule, form, variance, known, noise, jitter).numpy()


@pytest.mark.parametrize("case", SMOOTH, ids=str)
@pytest.mark.parametrize("rule", ["itl", "vtl"])
@pytest.mark.parametrize("space", [beyond, apart])
def test_many_targets_are_scored_nearly_exactly(rule: str, case: Case, space: object) -> None:
    points = square(18)
    candidates, targets = middle(points, 0.35), space(points)  # type: ignore[operator]
    posterior = case.posterior()
    X = torch.tensor(points)
    features = kernel_features(case.kernel(), X)
    values = low_rank_scores(rule, posterior, features, X, candidates, targets)
    expected = brute(rule, case, points, candidates, targets)
    np.testing.assert_allclose(values, expected, rtol=0, atol=4e-3 * expected.max())
    assert expected[values.argmax()] >= 0.99 * expected.max()


@pytest.mark.parametrize("kind", ["rbf", "matern52"])
@pytest.mark.parametrize("rule", ["itl", "vtl"])
@pytest.mark.parametrize("space", [beyond, apart])
def test_cells_of_candidates_and_targets_choose_nearly_the_best(rule: str, kind: str, space: object) -> None:
    points = square(32)
    candidates, targets = middle(points, 0.35), space(points)  # type: ignore[operator]
    cases = [Case(kind, 0.5, 1e-3), Case(kind, 0.7, 1e-3)]
    posteriors = [c.posterior() for c in cases]
    grid = TransductiveGrid(
        torch.tensor(points), maximal_rank=200, exact_pairs=0, max_candidates=50, max_targets=50
    )
    result = grid.scores(
        rule, posteriors, marginals(posteriors, points), torch.tensor(candidates), torch.tensor(targets)
    )
    values = result.values.numpy()[candidates]
    expected = np.sum([brute(rule, c, points, candidates, targets) for c in cases], axis=0)
    assert result.method == "cells"
    assert result.settled
    assert expected[values.argmax()] >= 0.99 * expected.max()
    np.testing.assert_allclose(values, expected, rtol=0, atol=0.03 * expected.max())


def test_the_search_scores_few_candidates_one_by_one() -> None:
    points = square(32)
    candidates, targets = middle(points, 0.35), beyond(points)
    case = Case("rbf", 0.4, 1e-3)
    X, masks = torch.tensor(points), (torch.tensor(candidates), torch.tensor(targets))
    variance = marginals([case.posterior()], points)
    grid = TransductiveGrid(X, exact_pairs=0, max_candidates=50, max_targets=50, scored_at_once=40)
    result = grid.scores("vtl", [case.posterior()], variance, *masks)
    expected = brute("vtl", case, points, candidates, targets)
    assert 40 <= result.scored < 0.5 * candidates.sum()
    assert result.cell_error > 0
    assert expected[result.values.numpy()[candidates].argmax()] >= 0.99 * expected.max()


def test_a_kernel_too_rough_for_few_features_is_scored_from_the_nearest_targets() -> None:
    points = square(18)
    candidates, targets = middle(points, 0.35), beyond(points)
    case = Case("matern32", 0.3, 1e-3)
    posterior = case.posterior()
    X = torch.tensor(points)
    features = kernel_features(case.kernel(), X, maximal_rank=40)
    assert features.rank == 40
    assert features.relative_missing > 1e-3
    values = low_rank_scores("itl", posterior, features, X, candidates, targets)
    expected = brute("itl", case, points, candidates, targets)
    assert (values <= expected + 1e-9).all()
    np.testing.assert_allclose(values, expected, atol=0.02 * expected.max())
    itself = targets[candidates]
    np.testing.assert_allclose(values[itself], expected[itself], rtol=1e-6)
    assert expected[values.argmax()] >= 0.99 * expected.max()


def test_nearest_targets_explain_all_when_they_are_all_targets() -> None:
    case = Case("matern52", 0.3, 1e-3)
    points, targets = square(9), np.random.default_rng(0).random((NEIGHBOURS, 2))
    jitter = JITTER * VARIANCE
    near = NearestTargets(
        case.posterior(), torch.tensor(targets), torch.tensor(targets), torch.ones(2).double(), jitter
    )
    full = case.conditioned(np.concatenate([points, targets]))
    n = len(points)
    expected = (full[:n, n:] @ np.linalg.inv(full[n:, n:]) * full[:n, n:]).sum(1)
    np.testing.assert_allclose(near(torch.tensor(points)).numpy(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", SMOOTH[:4], ids=str)
def test_features_give_prior_and_posterior_covariances_also_between_grid_points(case: Case) -> None:
    features = kernel_features(case.kernel(), torch.tensor(square(25)))
    x = np.random.default_rng(1).random((60, 2))
    phi = features(torch.tensor(x))
    np.testing.assert_allclose(
        (phi @ phi.T).numpy(), covariance(case.kind, case.lengthscale, x, x), atol=1e-6
    )
    psi = phi @ features.posterior_root(case.posterior())
    np.testing.assert_allclose((psi @ psi.T).numpy(), case.conditioned(x), atol=1e-6)


def test_features_stop_at_the_tolerance_and_say_what_they_miss() -> None:
    case = Case("rbf", 0.3, 1e-3)
    X = torch.tensor(square(25))
    features = kernel_features(case.kernel(), X, tolerance=1e-4)
    left = case.kernel().diagonal(X) - features(X).square().sum(-1)
    assert float(left.max()) == pytest.approx(float(features.missing[-1]), rel=1e-6)
    assert float(features.missing[-1]) <= 1e-4 * VARIANCE < float(features.missing[-2])
    fewer = features.truncated(0.1)
    left = case.kernel().diagonal(X) - fewer(X).square().sum(-1)
    assert fewer.rank < features.rank
    assert 0.0 < float(left.max()) <= 0.1


def test_other_tasks_observations_count_as_the_joint_prior_says() -> None:
    case = Case("rbf", 0.3, 1e-2)
    shared = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    kernel = CoregionalKernel(((case.kernel(), shared),), 2)
    posterior = Posterior.prior(kernel, 0.0, 1e-2, 3)
    for i, x in enumerate(torch.tensor(case.inputs)):
        posterior = posterior.extended(torch.cat([x, torch.tensor([float(i % 2)]).double()]), 0.0)
    points = torch.tensor(square(16))
    candidates, targets = (torch.tensor(mask(points.numpy())) for mask in (lambda p: middle(p, 0.35), beyond))
    variance = posterior.mean_variance(points)[1].unsqueeze(-1)
    for rule in ("itl", "vtl"):
        exact = TransductiveGrid(points).scores(rule, [posterior], variance, candidates, targets)
        low = TransductiveGrid(points, exact_pairs=0).scores(rule, [posterior], variance, candidates, targets)
        assert (exact.method, low.method) == ("exact", "low_rank")
        best = float(exact.values.max())
        np.testing.assert_allclose(low.values[candidates], exact.values[candidates], atol=4e-3 * best)


def test_cells_are_as_long_as_the_correlation_allows() -> None:
    kernel = StationaryKernel("rbf", torch.tensor([0.2, 0.4, 1.0], dtype=torch.float64))
    points = torch.tensor(np.random.default_rng(0).random((500, 3)))
    points[:, 2] = 0.5
    widths = cell_widths(kernel, points)
    exact = np.array([0.2, 0.4]) * np.sqrt(-2 * np.log(1 - CORRELATION_LOSS))
    assert (widths[:2].numpy() <= exact).all()
    assert (widths[:2].numpy() >= 0.9 * exact).all()
    assert widths[2] == torch.inf


def test_cells_do_not_skip_a_period() -> None:
    periodic = PeriodicKernel().double()
    periodic.period_length, periodic.lengthscale = 0.25, 1.0
    points = torch.linspace(0.0, 1.0, 101, dtype=torch.float64).unsqueeze(-1)
    with torch.no_grad():
        assert float(cell_widths(GenericKernel(periodic), points)) < 0.02


def test_centroids_stand_for_their_points() -> None:
    points = torch.tensor(np.random.default_rng(0).random((2000, 2)))
    cells = Cells.of(points, [torch.tensor([0.11, 0.3]).double(), torch.tensor([0.2, 0.2]).double()])
    chosen = torch.nonzero(points[:, 0] > 0.4).squeeze(-1)
    centroids, weights, place = cells.centroids(chosen)
    assert weights.sum() == len(chosen)
    np.testing.assert_allclose((weights @ centroids).numpy(), points[chosen].sum(0).numpy())
    gap = (points[chosen] - centroids[place]).abs().amax(0)
    assert (gap < torch.tensor([0.11, 0.2])).all()
    for i in (0, len(weights) // 2, len(weights) - 1):
        np.testing.assert_allclose(centroids[i].numpy(), points[chosen][place == i].mean(0).numpy())


def test_what_cannot_be_scored_is_refused() -> None:
    case = Case("rbf", 0.3, 1e-2)
    points = torch.zeros(50_000, 2, dtype=torch.float64)
    every = torch.ones(50_000, dtype=torch.bool)
    grid, variance = TransductiveGrid(points), torch.ones(50_000, 1, dtype=torch.float64)
    with pytest.raises(UnknownNameError, match="known are itl, vtl, ctl, ctl_squared, mm_itl"):
        grid.scores("entropy", [case.posterior()], variance, every, every)
    with pytest.raises(InputError, match="50000 candidates and 0 targets"):
        grid.scores("itl", [case.posterior()], variance, every, ~every)
    with pytest.raises(InputError, match="mm_itl with 50000 candidates and 50000 targets: allowed are 2e"):
        grid.scores("mm_itl", [case.posterior()], variance, every, every)


def test_itl_takes_few_features_for_many_targets_of_a_smooth_kernel_and_loses_nothing() -> None:
    case = Case("rbf", 0.4, 1e-2)
    points = torch.tensor(square(36))
    posterior = case.posterior()
    grid = TransductiveGrid(points)
    variance = posterior.mean_variance(points)[1].clamp_min(0.0)[:, None]
    candidates = (points[:, 0] < 0.6) & (points[:, 1] > 0.2)
    targets = points.sum(-1) > 0.4
    assert int(targets.sum()) > 500
    compact = grid.scores("itl", [posterior], variance, candidates, targets)
    assert compact.method == "low_rank"
    exact = exact_scores("itl", posterior, points, variance[:, 0], candidates, targets)
    assert torch.allclose(compact.values[candidates], exact, rtol=1e-3, atol=1e-6)
    assert float(exact[compact.values[candidates].argmax()]) >= float(exact.max()) * (1 - 1e-6)
    rough = Case("matern32", 0.1, 1e-2).posterior()
    variance = rough.mean_variance(points)[1].clamp_min(0.0)[:, None]
    assert grid.scores("itl", [rough], variance, candidates, targets).method == "exact"


def test_maxima_sampled_in_features_are_those_of_the_joint_posterior() -> None:
    kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]
    for kernel in kernels:
        kernel.base_kernel.lengthscale = 0.3
    spec = TransductiveSpec(samples=4000)
    axis = np.linspace(0.0, 1.0, 20)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    tuner = GridTuner(
        "mes", kernels, [1e-2, 1e-2], points, [-np.inf, 0.0], 2.0, settings=GridSettings(transductive=spec)
    )
    rng = np.random.default_rng(0)
    for x in rng.random((6, 2)):
        tuner.tell(x, [np.sin(5 * x[0]), 0.5 + x[1]])
    acquisition = tuner.acquisition(tuner.acquisition_context())
    features = acquisition._features()
    assert features is not None
    assert max(f.rank for f in features) < 200
    fast = acquisition.optima
    acquisition._features = lambda: None
    del acquisition.__dict__["optima"]
    joint = acquisition.optima
    assert stats.ks_2samp(fast.numpy(), joint.numpy()).pvalue > 1e-3
    assert abs(float(fast.mean() - joint.mean())) < 0.02
