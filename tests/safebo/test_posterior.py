"""Posteriors against one dense numpy solve, gpytorch's kernels, and BoTorch's optimizers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition import UpperConfidenceBound, qUpperConfidenceBound
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel
from tuner_cases import direct_posterior

from safebo.models.botorch_model import SurrogateModel
from safebo.models.confidence import confidence_bounds
from safebo.models.function_model import FunctionModel
from safebo.models.hyperparameters import fitted
from safebo.models.kernels import GenericKernel
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate

KINDS = ["matern12", "matern32", "matern52", "rbf"]
LENGTHSCALE = (0.3, 0.2, 0.5)


def model(kind: str, mean: float = -0.4, variance: float = 1.7, noise: float = 0.01) -> FunctionModel:
    return FunctionModel("f", kind, LENGTHSCALE, mean, variance, noise)


def gpytorch_kernel(m: FunctionModel) -> ScaleKernel:
    nu = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
    D = len(m.lengthscale)
    base = RBFKernel(ard_num_dims=D) if m.kind == "rbf" else MaternKernel(nu=nu[m.kind], ard_num_dims=D)
    kernel = ScaleKernel(base).double()
    kernel.base_kernel.lengthscale = torch.tensor(m.lengthscale, dtype=torch.float64)
    kernel.outputscale = m.variance
    return kernel


def data(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    X = torch.tensor(rng.random((n, 3)))
    # A repeated input, as when a seed is tried twice.
    X[n // 2] = X[0]
    return X, torch.tensor(np.sin(5 * X.numpy().sum(1)) + 0.1 * rng.standard_normal(n))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 7, 60])
def test_posterior_equals_a_dense_solve(kind: str, n: int) -> None:
    X, y = data(n)
    Z = torch.rand(28, 3, generator=torch.Generator().manual_seed(1)).double()
    Z[0] = X[0]
    m = model(kind)
    posterior = m.prior()
    for x, value in zip(X, y, strict=True):
        posterior = posterior.extended(x, float(value))
    mean, covariance = direct_posterior(
        kind, np.array(LENGTHSCALE), m.variance, m.mean, m.noise_variance, X.numpy(), y.numpy(), Z.numpy()
    )
    ours, variance = posterior.mean_variance(Z)
    np.testing.assert_allclose(ours, mean, atol=1e-9)
    np.testing.assert_allclose(variance, np.diag(covariance), atol=1e-9)
    joint_mean, joint = posterior.joint(Z.reshape(4, -1, 3))
    np.testing.assert_allclose(joint_mean.reshape(-1), mean, atol=1e-9)
    q = len(Z) // 4
    for b in range(4):
        block = covariance[b * q : (b + 1) * q, b * q : (b + 1) * q]
        np.testing.assert_allclose(joint[b], block, atol=1e-9)
    np.testing.assert_allclose(posterior.cross_covariance(Z[:5], Z), covariance[:5], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_are_gpytorchs(kind: str) -> None:
    X, y = data(20)
    m = model(kind)
    theirs = gpytorch_kernel(m)
    np.testing.assert_allclose(
        m.kernel()(X, X[:7]), theirs(X, X[:7]).to_dense().detach(), atol=1e-7 if kind == "matern12" else 1e-9
    )
    generic = Posterior.prior(GenericKernel(theirs), m.mean, m.noise_variance, 3)
    ours = m.prior()
    with torch.no_grad():
        for x, value in zip(X[:8], y[:8], strict=True):
            generic, ours = generic.extended(x, float(value)), ours.extended(x, float(value))
        Z = X[10:]
        for a, b in zip(generic.mean_variance(Z), ours.mean_variance(Z), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def surrogate(n: int = 12) -> tuple[Surrogate, torch.Tensor, torch.Tensor]:
    X, y = data(n)
    result = Surrogate.prior(
        [model("matern32"), model("matern52", mean=0.1), model("matern32", variance=0.3)]
    )
    for i, (x, value) in enumerate(zip(X, y, strict=True)):
        result = result.observed(x, (None if i % 4 == 3 else float(value), -float(value), 2 * float(value)))
    return result, X, y


def test_functions_need_not_be_observed_together() -> None:
    s, X, y = surrogate()
    Z = torch.rand(9, 3, generator=torch.Generator().manual_seed(2)).double()
    p = s.predict(Z)
    seen = [i for i in range(12) if i % 4 != 3]
    cases = [
        (model("matern32"), X[seen], y[seen]),
        (model("matern52", mean=0.1), X, -y),
        (model("matern32", variance=0.3), X, 2 * y),
    ]
    for i, (m, inputs, values) in enumerate(cases):
        mean, covariance = direct_posterior(
            m.kind, np.array(LENGTHSCALE), m.variance, m.mean, m.noise_variance,
            inputs.numpy(), values.numpy(), Z.numpy(),
        )  # fmt: skip
        np.testing.assert_allclose(p.mean[:, i], mean, atol=1e-9)
        np.testing.assert_allclose(p.std[:, i], np.sqrt(np.diag(covariance)), atol=1e-9)
    bounds = confidence_bounds(p, 4.0)
    np.testing.assert_allclose(bounds.width, 8.0 * p.std, atol=1e-12)
    np.testing.assert_allclose(bounds.lower, p.mean - 4.0 * p.std, atol=1e-12)


def test_fantasized_points_keep_means_and_narrow_intervals() -> None:
    s, _, _ = surrogate()
    Z = torch.rand(40, 3, generator=torch.Generator().manual_seed(3)).double()
    before, after = s.predict(Z), s.fantasized(Z[:4]).predict(Z)
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-9)
    assert (after.std <= before.std + 1e-12).all()
    assert (after.std[:4] < 0.5 * before.std[:4]).all()
    assert s.posteriors[0].count == 9


def test_gradients_are_those_of_finite_differences() -> None:
    s, X, _ = surrogate()
    # One of the points is a datum, where a distance is zero.
    Z = torch.cat([torch.rand(4, 3, generator=torch.Generator().manual_seed(4)).double(), X[:1]])
    Z.requires_grad_(True)

    def f(z: torch.Tensor) -> torch.Tensor:
        p = s.predict(z)
        return (p.mean + 2.0 * p.std).sum()

    (gradient,) = torch.autograd.grad(f(Z), Z)
    assert torch.isfinite(gradient).all()
    h = 1e-6
    for i in range(4):
        for j in range(3):
            step = torch.zeros_like(Z)
            step[i, j] = h
            with torch.no_grad():
                slope = (f(Z + step) - f(Z - step)) / (2 * h)
            assert float(gradient[i, j]) == pytest.approx(float(slope), abs=1e-5)


def test_botorch_sees_the_same_posterior_and_optimizes_on_it() -> None:
    s, _, _ = surrogate()
    wrapped = SurrogateModel(s)
    X = torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(5)).double()
    posterior = wrapped.posterior(X)
    assert posterior.mean.shape == (5, 2, 3)
    flat = s.predict(X.reshape(-1, 3))
    np.testing.assert_allclose(posterior.mean.reshape(-1, 3), flat.mean, atol=1e-9)
    np.testing.assert_allclose(posterior.variance.reshape(-1, 3).sqrt(), flat.std, atol=1e-6)
    assert posterior.rsample(torch.Size([3])).shape == (3, 5, 2, 3)

    single = SurrogateModel(Surrogate(s.posteriors[:1]))
    box = torch.tensor([[0.0] * 3, [1.0] * 3], dtype=torch.float64)
    torch.manual_seed(0)
    found, value = optimize_acqf(
        UpperConfidenceBound(single, beta=4.0), bounds=box, q=1, num_restarts=6, raw_samples=128
    )
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, 25, dtype=torch.float64)] * 3)
    p = Surrogate(s.posteriors[:1]).predict(grid)
    assert float(value) >= float((p.mean + 2.0 * p.std).max()) - 1e-3
    batch = qUpperConfidenceBound(single, beta=4.0, sampler=SobolQMCNormalSampler(torch.Size([32]), seed=0))
    found, _ = optimize_acqf(batch, bounds=box, q=2, num_restarts=2, raw_samples=16)
    assert found.shape == (2, 3)


def test_a_fixed_context_is_appended() -> None:
    s, _, _ = surrogate()
    X = torch.rand(4, 1, 2, generator=torch.Generator().manual_seed(6)).double()
    fixed = torch.tensor([0.3], dtype=torch.float64)
    inside = SurrogateModel(s, fixed).posterior(X).mean
    outside = SurrogateModel(s).posterior(torch.cat([X, fixed.expand(4, 1, 1)], -1)).mean
    np.testing.assert_array_equal(inside, outside)


def test_map_fit_finds_a_longer_lengthscale_and_stays_near_its_prior() -> None:
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.random((60, 3)))
    y = torch.tensor(np.sin(6 * X[:, 0].numpy()) + 0.02 * rng.standard_normal(60))
    declared = FunctionModel("f", "matern52", (0.3, 0.3, 0.3), 0.0, 1.0, 0.001)
    found = fitted(declared, X, y)
    # The function does not depend on the last two inputs.
    assert min(found.lengthscale[1:]) > 1.3 * found.lengthscale[0]
    # Without the prior the irrelevant lengthscales would grow without bound.
    assert max(found.lengthscale) < 3.0
    assert found == fitted(declared, X, y)
    assert fitted(declared, X[:2], y[:2]) == declared
