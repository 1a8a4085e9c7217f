"""The same numbers on a GPU, and nothing created on the default device where inputs lie on another."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from safebo.models.botorch_model import SurrogateModel
from safebo.models.function_model import FunctionModel, TaskPrior
from safebo.models.gpytorch_kernels import fixed_kernel
from safebo.models.hyperparameters import fitted
from safebo.models.kernels import GenericKernel
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate

LENGTHSCALE = (0.3, 0.2, 0.5)
PLAIN = FunctionModel("f", "matern32", LENGTHSCALE, -0.4, 1.7, 0.01)
STRUCTURED = FunctionModel(
    "f", "matern52", LENGTHSCALE, 0.1, 0.6, 0.001, (math.inf, 0.8, 1.0), (((0,), (2,)), ((1,), (2,)))
)
RELATED = FunctionModel("f", "rbf", LENGTHSCALE, 0.0, 1.0, 1e-4, tasks=TaskPrior(0.8, 1.2, 0.5))
SURROGATES: dict[str, list[FunctionModel | list[FunctionModel]]] = {
    "plain": [PLAIN, PLAIN],
    "structured": [STRUCTURED],
    "related": [RELATED],
    "mixture": [[PLAIN, FunctionModel("f", "matern32", (0.5, 0.4, 0.3), -0.4, 0.9, 0.02)], STRUCTURED],
}


def points(n: int, seed: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).random((n, 3)))


def targets() -> torch.Tensor:
    return torch.sin(7 * points(30, 0).sum(1))


def numbers(
    models: list[FunctionModel | list[FunctionModel]], X: torch.Tensor, Z: torch.Tensor, y: list[float]
) -> list[torch.Tensor]:
    """Everything that a surrogate computes, on the device of X."""
    values = [[v] * len(models) for v in y]
    surrogate = Surrogate.prior(models, device=X.device).conditioned(X[:20], values[:20])
    for x, row in zip(X[20:], values[20:], strict=True):
        surrogate = surrogate.observed(x, row)
    prediction = surrogate.predict(Z)
    result = [
        prediction.mean,
        prediction.std,
        surrogate.prior_std,
        surrogate.fantasized(Z[:2]).predict(Z).std,
    ]
    for p in surrogate.posteriors:
        result += [*p.joint(Z.reshape(3, 4, 3)), p.cross_covariance(Z, X)]
    noisy = SurrogateModel(surrogate).posterior(Z.reshape(3, 4, 3), observation_noise=True)
    result += [noisy.mean, noisy.variance]
    z = Z.clone().requires_grad_(True)
    bounds = surrogate.predict(z)
    return [*result, *torch.autograd.grad((bounds.mean + bounds.std).sum(), z)]


@pytest.mark.parametrize("name", list(SURROGATES))
def test_nothing_is_made_on_the_default_device(name: str) -> None:
    X, Z, y = points(30, 0), points(12, 1), targets().tolist()
    plain = numbers(SURROGATES[name], X, Z, y)
    # What is made on the meta device has no value: nothing that depends on it could come back.
    with torch.device("meta"):
        guarded = numbers(SURROGATES[name], X, Z, y)
    for a, b in zip(plain, guarded, strict=True):
        assert b.device.type == "cpu"
        assert torch.equal(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", list(SURROGATES))
def test_a_gpu_computes_the_same(name: str) -> None:
    X, Z, y = points(30, 0), points(12, 1), targets().tolist()
    cpu = numbers(SURROGATES[name], X, Z, y)
    gpu = numbers(SURROGATES[name], X.cuda(), Z.cuda(), y)
    for a, b in zip(cpu, gpu, strict=True):
        assert b.device.type == "cuda"
        np.testing.assert_allclose(b.detach().cpu(), a.detach(), atol=1e-6)
    moved = Surrogate.prior(SURROGATES[name]).conditioned(X, [[v] * len(SURROGATES[name]) for v in y])
    there = moved.to("cuda").predict(Z.cuda())
    np.testing.assert_allclose(there.mean.cpu(), moved.predict(Z).mean, atol=1e-6)
    np.testing.assert_allclose(there.std.cpu(), moved.predict(Z).std, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_any_gpytorch_kernel_moves_to_a_gpu() -> None:
    import gpytorch

    base = gpytorch.kernels.RBFKernel(ard_num_dims=3) + gpytorch.kernels.LinearKernel()
    kernel = fixed_kernel(base, 3)
    assert isinstance(kernel, GenericKernel)
    X, Z, y = points(20, 0), points(8, 1), targets()[:20]
    cpu = Posterior.prior(kernel, 0.0, 0.01, 3).conditioned(X, y)
    for a, b in zip(cpu.mean_variance(Z), cpu.to("cuda").mean_variance(Z.cuda()), strict=True):
        np.testing.assert_allclose(b.cpu(), a, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_hyperparameters_are_the_same_wherever_the_data_lies() -> None:
    X, y = points(20, 0), targets()[:20]
    assert fitted(PLAIN, X.cuda(), y.cuda()) == fitted(PLAIN, X, y)
