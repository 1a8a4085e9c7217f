"""ISE and MES against numerical integration of what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models import ModelListGP, SingleTaskGP
from botorch.optim import optimize_acqf, optimize_acqf_discrete
from gpytorch.kernels import RBFKernel, ScaleKernel
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from safebo.acquisition import information as info
from safebo.acquisition.joint import sampling_factor
from safebo.errors import InputError

DTYPE = torch.float64
NOISE = (0.01, 0.04)
X = torch.tensor([[0.1, 0.2], [0.4, 0.6], [0.8, 0.3], [0.6, 0.9]], dtype=DTYPE)
GRID = torch.cartesian_prod(*[torch.linspace(0.05, 0.95, 5, dtype=DTYPE)] * 2)
CANDIDATES = torch.cat([torch.rand(12, 2, dtype=DTYPE, generator=torch.Generator().manual_seed(0)), GRID[:3]])


def single(index: int) -> SingleTaskGP:
    y = torch.stack([torch.sin(6 * X).sum(-1), 0.9 - X.sum(-1)])[index].unsqueeze(-1)
    model = SingleTaskGP(X, y, covar_module=ScaleKernel(RBFKernel()), outcome_transform=None)
    model.covar_module.base_kernel.lengthscale = torch.tensor(0.25 + 0.1 * index, dtype=DTYPE)
    model.covar_module.outputscale = torch.tensor(1.0 + index, dtype=DTYPE)
    model.likelihood.noise = torch.tensor(NOISE[index], dtype=DTYPE)
    return model.eval()


def models() -> ModelListGP:
    return ModelListGP(single(0), single(1))


def bell_entropy(mean: float, variance: float) -> float:
    return float(np.log(2) * np.exp(-(mean**2) / variance / np.pi / np.log(2)))


def brute_ise(model: SingleTaskGP, x: torch.Tensor, z: torch.Tensor, noise: float, threshold: float) -> float:
    """Entropy now minus its average over the observation, by quadrature."""
    normal = model.posterior(torch.stack([x, z])).distribution
    mean, covariance = normal.mean.detach().numpy(), normal.covariance_matrix.detach().numpy()
    variance = covariance[0, 0] + noise
    after = covariance[1, 1] - covariance[0, 1] ** 2 / variance
    slope = covariance[0, 1] / np.sqrt(variance)
    expected, _ = quad(
        lambda e: norm.pdf(e) * bell_entropy(mean[1] - threshold + slope * e, after),
        -12,
        12,
        epsabs=1e-12,
        epsrel=1e-12,
        limit=400,
        points=[-(mean[1] - threshold) / slope] if abs(mean[1] - threshold) < 10 * abs(slope) else None,
    )
    return bell_entropy(mean[1] - threshold, covariance[1, 1]) - expected


def test_ise_is_the_largest_expected_fall_of_the_signs_entropy() -> None:
    thresholds = torch.tensor([0.3, -0.2], dtype=DTYPE)
    gps = [single(0), single(1)]
    asked = CANDIDATES[[0, 2, 13]]
    score = info.ISE(models(), GRID, thresholds=thresholds)(asked.unsqueeze(1)).detach()
    for x, value in zip(asked, score.tolist(), strict=True):
        expected = max(
            brute_ise(gps[i], x, z, NOISE[i], float(thresholds[i])) for i in range(2) for z in GRID
        )
        assert value == pytest.approx(expected, abs=1e-8)
    second = info.ISE(models(), GRID, [1], thresholds[1:])(CANDIDATES.unsqueeze(1))
    alone = info.ISE(single(1), GRID, thresholds=thresholds[1:])(CANDIDATES.unsqueeze(1))
    torch.testing.assert_close(second, alone, rtol=1e-9, atol=1e-12)


def test_the_approximated_entropy_is_close_to_that_of_the_sign() -> None:
    for mean in np.linspace(-4, 4, 41):
        p = norm.cdf(mean)
        true = -p * np.log(p) - (1 - p) * np.log1p(-p)
        ours = float(info.sign_entropy(torch.tensor(mean), torch.tensor(1.0, dtype=DTYPE)))
        assert ours == pytest.approx(true, abs=0.03)


def brute_mes(mean: float, std: float, optimum: float) -> float:
    """Entropy of a Gaussian minus that of the same one below the optimum, by quadrature."""
    gamma = (optimum - mean) / std
    mass = norm.cdf(gamma)

    def term(z: float) -> float:
        density = norm.pdf(z) / mass
        return -density * (norm.logpdf(z) - np.log(mass)) if density > 0 else 0.0

    truncated, _ = quad(term, -40, gamma, epsabs=1e-12, epsrel=1e-12, limit=400, points=[min(0.0, gamma) - 1])
    return 0.5 * np.log(2 * np.pi * np.e) - truncated


def test_mes_is_the_mean_fall_of_the_values_entropy() -> None:
    optima = torch.tensor([0.9, 1.4, 2.5], dtype=DTYPE)
    posterior = single(0).posterior(CANDIDATES.unsqueeze(1))
    score = info.MES(models(), optima)(CANDIDATES.unsqueeze(1))
    for value, mean, variance in zip(
        score.tolist(), posterior.mean.flatten().tolist(), posterior.variance.flatten().tolist(), strict=True
    ):
        expected = np.mean([brute_mes(mean, variance**0.5, m) for m in optima.tolist()])
        assert value == pytest.approx(expected, abs=1e-8)


def test_mes_stays_finite_far_from_the_optima() -> None:
    mean = torch.tensor([-1e3, 0.0, 1e3], dtype=DTYPE)
    value = info.mes(mean, torch.tensor([1.0, 0.0, 1.0], dtype=DTYPE), torch.tensor([1.0], dtype=DTYPE))
    assert bool(torch.isfinite(value).all())
    assert value[:2].tolist() == pytest.approx([0.0, 0.0])
    assert float(value[2]) > 1.0


def test_sampled_optima_have_the_distribution_of_the_maximum() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.tensor([[0.2, 0.2], [0.9, 0.9]], dtype=DTYPE)
    optima = info.sample_optima(models(), points, 20_000, generator)
    normal = single(0).posterior(points).distribution
    mean, covariance = normal.mean.detach().numpy(), normal.covariance_matrix.detach().numpy()
    theta = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    a = (mean[0] - mean[1]) / theta
    expected = mean[0] * norm.cdf(a) + mean[1] * norm.cdf(-a) + theta * norm.pdf(a)  # Clark 1961
    assert float(optima.mean()) == pytest.approx(expected, abs=0.03)
    again = info.sample_optima(models(), points, 20_000, torch.Generator().manual_seed(1))
    assert torch.equal(optima, again)


def test_sampled_optima_can_be_held_to_the_margins() -> None:
    generator = torch.Generator().manual_seed(1)
    loose = info.sample_optima(models(), GRID, 50, generator, torch.tensor([-50.0], dtype=DTYPE))
    plain = info.sample_optima(models(), GRID, 50, torch.Generator().manual_seed(1))
    assert len(loose) == len(plain) == 50
    tight = info.sample_optima(models(), GRID, 200, generator, torch.tensor([0.8], dtype=DTYPE))
    assert float(tight.mean()) < float(plain.mean())
    with pytest.raises(InputError, match="none of 5 posterior samples"):
        info.sample_optima(models(), GRID, 5, generator, torch.tensor([50.0], dtype=DTYPE))


def acquisitions() -> list[AcquisitionFunction]:
    optima = info.sample_optima(models(), GRID, 10, torch.Generator().manual_seed(0))
    ise = info.ISE(models(), GRID, [1])
    return [ise, info.MES(models(), optima), info.ISEBO(ise, info.MES(models(), optima))]


def test_ise_bo_is_the_larger_one() -> None:
    ise, mes, both = acquisitions()
    batch = CANDIDATES.unsqueeze(1)
    torch.testing.assert_close(both(batch), torch.maximum(ise(batch), mes(batch)))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_optimize_acqf_finds_at_least_the_best_of_a_grid(index: int) -> None:
    function = acquisitions()[index]
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=DTYPE)
    torch.manual_seed(0)
    x, value = optimize_acqf(function, bounds, q=1, num_restarts=8, raw_samples=128)
    assert x.shape == (1, 2)
    dense = torch.cartesian_prod(*[torch.linspace(0, 1, 13, dtype=DTYPE)] * 2).unsqueeze(1)
    assert float(value) >= float(function(dense).detach().max()) - 1e-4
    with pytest.raises(InputError, match="one point at a time"):
        function(torch.zeros(1, 2, 2, dtype=DTYPE))


def test_gradients_are_those_of_finite_differences() -> None:
    batch = CANDIDATES[:3].unsqueeze(1).clone().requires_grad_()
    for function in acquisitions()[:2]:
        assert torch.autograd.gradcheck(function, (batch,), eps=1e-6, atol=1e-4)


@given(st.floats(-5, 5), st.floats(0.01, 4), st.floats(0.01, 4), st.floats(-1, 1), st.floats(1e-4, 4))
@settings(max_examples=100, deadline=None)
def test_ise_is_never_negative_never_above_one_bit_and_never_grows_with_noise(
    mean: float, target: float, variance: float, rho: float, noise: float
) -> None:
    def score(noise_variance: float) -> float:
        m, tv, v, n = (torch.tensor([a], dtype=DTYPE) for a in (mean, target, variance, noise_variance))
        cross = torch.tensor([[rho * (target * variance) ** 0.5]], dtype=DTYPE)
        return float(info.ise(m, tv, v, cross, n))

    assert 0.0 <= score(noise) <= np.log(2)
    assert score(2 * noise) <= score(noise) + 1e-14
    assert score(1e12) == pytest.approx(0.0, abs=1e-9)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="allowed are outputs 0 to 1"):
        info.ISE(models(), GRID, [2])
    with pytest.raises(InputError, match="1 thresholds for 2 constraints"):
        info.ISE(models(), GRID, thresholds=torch.zeros(1, dtype=DTYPE))
    with pytest.raises(InputError, match="finite"):
        info.MES(models(), torch.tensor([torch.inf], dtype=DTYPE))
    with pytest.raises(InputError, match="2 thresholds for a model with 2 outputs"):
        info.sample_optima(models(), GRID, 5, None, torch.zeros(2, dtype=DTYPE))


PENDING = torch.tensor([[0.25, 0.5], [0.7, 0.7]], dtype=DTYPE)


def given_pending(i: int, points: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Joint mean and covariance of one output, the covariance after noisy observations at PENDING."""
    normal = single(i).posterior(torch.cat([points, PENDING])).distribution
    mean, joint = normal.mean.detach().numpy(), normal.covariance_matrix.detach().numpy()
    n = len(points)
    noisy = joint[n:, n:] + NOISE[i] * np.eye(len(PENDING))
    return mean[:n], joint[:n, :n] - joint[:n, n:] @ np.linalg.solve(noisy, joint[n:, :n])


def test_pending_points_count_as_observed_at_their_means() -> None:
    optima = torch.tensor([0.9, 1.4], dtype=DTYPE)
    asked = CANDIDATES[[0, 1, 2, 12]]
    ise = info.ISE(models(), GRID, [1], X_pending=PENDING)
    mes = info.MES(models(), optima, X_pending=PENDING)
    for x, value in zip(asked, mes(asked.unsqueeze(1)).tolist(), strict=True):
        mean, covariance = given_pending(0, x[None])
        expected_mes = np.mean([brute_mes(mean[0], covariance[0, 0] ** 0.5, m) for m in optima.tolist()])
        assert value == pytest.approx(expected_mes, abs=1e-8)
    e = np.linspace(-10, 10, 20_001)
    for x, value in zip(asked, ise(asked.unsqueeze(1)).tolist(), strict=True):
        expected = 0.0
        for z in GRID:
            mean, covariance = given_pending(1, torch.stack([x, z]))
            after = covariance[1, 1] - covariance[0, 1] ** 2 / (covariance[0, 0] + NOISE[1])
            slope = covariance[0, 1] / np.sqrt(covariance[0, 0] + NOISE[1])
            bell = np.log(2) * np.exp(-((mean[1] + slope * e) ** 2) / after / np.pi / np.log(2))
            later = float(np.trapezoid(norm.pdf(e) * bell, e))
            expected = max(expected, bell_entropy(mean[1], covariance[1, 1]) - later)
        assert value == pytest.approx(expected, abs=1e-8)


def test_what_is_pending_for_ise_bo_is_pending_for_both_parts() -> None:
    _, _, both = acquisitions()
    alone = both(CANDIDATES.unsqueeze(1)).detach()
    both.set_X_pending(PENDING)
    batch = CANDIDATES.unsqueeze(1)
    assert torch.equal(both.ise.X_pending, PENDING)
    assert torch.equal(both.mes.X_pending, PENDING)
    torch.testing.assert_close(both(batch), torch.maximum(both.ise(batch), both.mes(batch)))
    assert bool((both(batch) < alone - 1e-6).any())
    both.set_X_pending(None)
    torch.testing.assert_close(both(batch).detach(), alone)
    with pytest.raises(InputError, match="cannot be told apart"):
        info.MES(models(), torch.ones(1, dtype=DTYPE), noise=0.0, X_pending=PENDING[[0, 0]])(batch)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_three_points_in_turn_through_botorchs_optimizers(index: int) -> None:
    function = acquisitions()[index]
    chosen, _ = optimize_acqf_discrete(function, q=3, choices=GRID, unique=False)
    expected: list[torch.Tensor] = []
    for _ in range(3):
        again = acquisitions()[index]
        again.set_X_pending(torch.stack(expected) if expected else None)
        expected.append(GRID[int(again(GRID.unsqueeze(1)).argmax())])
    torch.testing.assert_close(chosen, torch.stack(expected))
    assert len(torch.unique(chosen, dim=0)) == 3
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=DTYPE)
    torch.manual_seed(0)
    x, _ = optimize_acqf(function, bounds, q=3, num_restarts=2, raw_samples=16, sequential=True)
    assert float(torch.pdist(x).min()) > 0.02
    assert function.X_pending is None


def test_samples_of_what_is_known_well_need_more_jitter_than_others() -> None:
    """What is left of a prior has the prior's rounding."""
    points = torch.linspace(0, 1, 60, dtype=torch.float64)[:, None]
    prior = torch.exp(-0.5 * (points - points.T).square() / 0.3**2)
    rounding = torch.randn(60, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1e-16
    left = 1e-7 * prior + 0.5 * (rounding + rounding.T)
    assert int(torch.linalg.cholesky_ex(left + 1e-17 * torch.eye(60).double()).info) > 0
    factor = sampling_factor(torch.stack([left, prior]), 1e-10)
    torch.testing.assert_close(factor @ factor.mT, torch.stack([left, prior]), atol=1e-7, rtol=0)
    unchanged = sampling_factor(prior, 1e-6)
    torch.testing.assert_close(unchanged, torch.linalg.cholesky(prior + 1e-6 * torch.eye(60).double()))
    with pytest.raises(InputError, match="not finite"):
        sampling_factor(torch.full((3, 3), torch.nan).double(), 1e-10)
