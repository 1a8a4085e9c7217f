"""Safe acquisitions over BoTorch models: equal to ours over the same posterior, and usable with its optimizers."""

from __future__ import annotations

import pytest
import torch
from botorch.models import ModelListGP, SingleTaskGP
from botorch.optim import optimize_acqf
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.means import ConstantMean

from safebo.acquisition import AcquisitionContext, acquisition_class, context_of_model
from safebo.acquisition.registry import SAFE
from safebo.errors import InputError
from safebo.models.function_model import FunctionModel
from safebo.models.surrogate import Surrogate

DTYPE = torch.float64
X = torch.tensor([[0.5, 0.5], [0.55, 0.45], [0.4, 0.52], [0.5, 0.6]], dtype=DTYPE)
Y = torch.stack([torch.sin(4 * X[:, 0]), 0.9 - X[:, 1]], -1)
SIDE = torch.linspace(0, 1, 12, dtype=DTYPE)
POOL = torch.cartesian_prod(SIDE, SIDE)
MODELS = [FunctionModel(name, "matern52", (0.4, 0.3), 0.0, 1.0, 1e-3) for name in ("f", "g")]


def botorch_model() -> ModelListGP:
    parts = []
    for i in range(2):
        kernel = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=2)).double()
        kernel.base_kernel.lengthscale = torch.tensor([0.4, 0.3], dtype=DTYPE)
        kernel.outputscale = torch.tensor(1.0, dtype=DTYPE)
        mean = ConstantMean().double()
        mean.constant.data.fill_(0.0)
        gp = SingleTaskGP(X, Y[:, i : i + 1], covar_module=kernel, mean_module=mean, outcome_transform=None)
        gp.likelihood.noise = torch.tensor(1e-3, dtype=DTYPE)
        parts.append(gp)
    return ModelListGP(*parts).eval()


def ours(pending: torch.Tensor | None = None) -> AcquisitionContext:
    s = Surrogate.prior(MODELS)
    for x, y in zip(X, Y, strict=True):
        s = s.observed(x, y.tolist())
    found = AcquisitionContext(
        surrogate=s,
        fantasized=s if pending is None else s.fantasized(pending),
        context=torch.zeros(0, dtype=DTYPE),
        dimension=2,
        thresholds=torch.zeros(1, dtype=DTYPE),
        beta=torch.full((2,), 2.0, dtype=DTYPE),
        pool=POOL,
        draw=torch.zeros(2, dtype=DTYPE),
    )
    bounds = found.pool_bounds
    safe = found.certified(bounds)
    object.__setattr__(found, "incumbent", float(bounds.certain.lower[safe, 0].max()))
    return found


@pytest.mark.parametrize("pending", [None, torch.tensor([[0.45, 0.5], [0.6, 0.6]], dtype=DTYPE)])
@pytest.mark.parametrize("name", [n for n in SAFE if n != "random_safe"])
def test_scores_are_those_over_our_own_posterior(name: str, pending: torch.Tensor | None) -> None:
    theirs = context_of_model(
        botorch_model(), 2.0, constraints=(1,), pool=POOL, noise_variances=[1e-3, 1e-3], pending=pending
    )
    with torch.no_grad():
        expected = acquisition_class(name)(ours(pending)).grid_scores()
        found = acquisition_class(name)(theirs).grid_scores()
    certain = torch.isfinite(expected)
    assert certain.any()
    assert torch.equal(certain, torch.isfinite(found))
    # MES draws from another Cholesky factor of the same covariance; elsewhere round-off is all.
    tolerance = 5e-2 if name in ("mes", "ise_bo") else 2e-5
    torch.testing.assert_close(found[certain], expected[certain], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["safeopt", "goose", "itl", "safe_ucb"])
def test_optimize_acqf_finds_certified_points(name: str) -> None:
    acquisition = acquisition_class(name)(context_of_model(botorch_model(), 2.0, (1,), pool=POOL))
    box = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=DTYPE)
    starts = acquisition.starts(3)
    found, value = optimize_acqf(acquisition, box, q=1, num_restarts=3, batch_initial_conditions=starts)
    assert float(value) >= float(acquisition(starts).max()) - 1e-9
    score, slack = acquisition.evaluate(found)
    assert float(slack) >= 0
    assert float(value) == pytest.approx(float(score))


def test_what_does_not_fit_is_refused() -> None:
    model = botorch_model()
    with pytest.raises(InputError, match="outputs 0 to 1"):
        context_of_model(model, 2.0, (2,), pool=POOL)
    with pytest.raises(InputError, match="dimension"):
        context_of_model(model, 2.0, (1,))
    with pytest.raises(InputError, match="thresholds"):
        context_of_model(model, 2.0, (1,), thresholds=[0.0, 1.0], pool=POOL)
    with pytest.raises(InputError, match="betas"):
        context_of_model(model, [2.0], (1,), pool=POOL)
    with pytest.raises(InputError, match="learns by its own means"):
        context_of_model(model, 2.0, (1,), pool=POOL).surrogate.observed(X[0], [0.0, 0.0])
