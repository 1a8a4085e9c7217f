"""Hyperparameters from data: their most probable values, or samples of their posterior.

Lengthscales, prior variance and noise variance have independent log-normal priors whose medians are the declared
values; everything here happens in their logarithms, where the prior is normal, so that without data the most
probable values are the declared ones. The prior mean stays as declared, because a constraint's pessimism is a
decision and not an estimate. One code for every kernel structure, periods and tasks included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from safebo.models.function_model import FunctionModel

FloatArray = NDArray[np.float64]

PRIOR_SPREAD = {"lengthscale": 0.35, "variance": 0.5, "noise": 0.5}
"""Standard deviations of the logarithms under the hyperparameter priors (ours). A lengthscale is thus within
a factor two of the declared one with 95 % prior probability: safety rests on it more than on all else."""

FARTHEST = 4.0
"""Most probable values are sought within so many prior standard deviations of the declared ones."""

WARM_UP, THINNING = 20, 8
"""Steps of the sampler before the first sample, and from one sample to the next."""


class Data(NamedTuple):
    """Observations of one function on the CPU; `added` is their noise variance beyond the one that is sought."""

    X: Float[Tensor, "n D"]
    y: Float[Tensor, " n"]
    added: Float[Tensor, " n"] | None

    @classmethod
    def of(cls, X: Tensor, y: Tensor, added: Tensor | None) -> Data:
        """From wherever they lie; noise that adds nothing is left out."""
        more = None if added is None or not bool(added.any()) else added.cpu()
        return cls(X.cpu(), y.cpu(), more)


def fitted(
    model: FunctionModel,
    X: Float[Tensor, "n D"],
    y: Float[Tensor, " n"],
    added: Float[Tensor, " n"] | None = None,
) -> FunctionModel:
    """Maximum a posteriori hyperparameters of one function; the declared ones where there are under 3
    observations. `added` is the noise variance that observations have beyond what is fitted.

    Deterministic: L-BFGS-B from the declared values, on the CPU wherever the data lies.
    """
    return model if len(y) < 3 else _with(model, _mode(model, Data.of(X, y, added)))


def sampled(
    model: FunctionModel,
    X: Float[Tensor, "n D"],
    y: Float[Tensor, " n"],
    count: int,
    seed: int = 0,
    added: Float[Tensor, " n"] | None = None,
) -> tuple[FunctionModel, ...]:
    """Samples of the hyperparameters' posterior given the data; of their prior where there is none.

    Elliptical slice sampling (Murray, Adams and MacKay 2010) from the most probable values: it has no step size
    and never gets stuck. Steps alternate between the prior's ellipses, which reach the posterior's tails, and
    those of a normal approximation at the mode (Nishihara, Murray and Adams 2014), which move within its bulk
    where data has made it narrow; both leave the posterior invariant. On the CPU wherever the data lies.

    Args:
        model: the declared prior, the median of the hyperparameters' prior.
        X: inputs.
        y: values, warped.
        count: number of samples.
        seed: of the chain: the result is a function of the arguments alone.
        added: noise variance that observations have beyond what is sampled.
    """
    rng = np.random.default_rng(seed)
    data = Data.of(X, y, added)
    declared, spread = _declared(model), _spread(model)
    if len(y) == 0:
        return tuple(_with(model, declared + spread * rng.standard_normal(len(spread))) for _ in range(count))

    def log_posterior(v: FloatArray) -> float:
        with torch.no_grad():
            return float(_log_posterior(model, data, torch.tensor(v)))

    start = _mode(model, data) if len(y) >= 3 else declared
    prior = (declared, np.diag(spread))
    bulk = (start, _bulk_factor(model, data, start))
    chain, samples = start, []
    for step in range(WARM_UP + count * THINNING):
        center, factor = bulk if step % 2 else prior
        chain = _slice_step(chain, log_posterior, center, factor, rng)
        if step >= WARM_UP and (step - WARM_UP) % THINNING == THINNING - 1:
            samples.append(_with(model, chain))
    return tuple(samples)


def _declared(model: FunctionModel) -> FloatArray:
    return np.log([*model.lengthscale, model.variance, model.noise_variance])


def _spread(model: FunctionModel) -> FloatArray:
    scales = [PRIOR_SPREAD["lengthscale"]] * len(model.lengthscale)
    return np.array([*scales, PRIOR_SPREAD["variance"], PRIOR_SPREAD["noise"]])


def _with(model: FunctionModel, v: FloatArray) -> FunctionModel:
    *lengthscale, variance, noise = np.exp(v).tolist()
    return replace(model, lengthscale=tuple(lengthscale), variance=variance, noise_variance=noise)


def _log_likelihood(model: FunctionModel, data: Data, v: Tensor) -> Tensor:
    """Of the logarithms v; -inf where the covariance is numerically singular."""
    X, y = data.X, data.y
    correlation = model.kernel_of(v[:-2].exp(), 1.0)(X, X)
    covariance = v[-2].exp() * correlation + v[-1].exp() * torch.eye(len(y), dtype=X.dtype, device=X.device)
    if data.added is not None:
        covariance = covariance + data.added.diag()
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if bool(failed):
        return v.new_tensor(-math.inf)
    residual = torch.linalg.solve_triangular(factor, (y - model.mean).unsqueeze(-1), upper=False)
    return (
        -0.5 * residual.square().sum()
        - factor.diagonal().log().sum()
        - 0.5 * len(y) * math.log(2.0 * math.pi)
    )


def _log_posterior(model: FunctionModel, data: Data, v: Tensor) -> Tensor:
    """Up to a constant, as a density of the logarithms."""
    standard = (v - torch.tensor(_declared(model))) / torch.tensor(_spread(model))
    return _log_likelihood(model, data, v) - 0.5 * standard.square().sum()


def _loss_and_gradient(model: FunctionModel, data: Data, v: FloatArray) -> tuple[float, FloatArray]:
    with torch.enable_grad():  # a fit may first be needed where nobody wants gradients
        at = torch.tensor(v, requires_grad=True)
        loss = -_log_posterior(model, data, at)
        if not bool(torch.isfinite(loss)):
            return 1e25, np.zeros_like(v)
        (gradient,) = torch.autograd.grad(loss, at)
    return float(loss.detach()), gradient.numpy()


def _mode(model: FunctionModel, data: Data) -> FloatArray:
    declared, spread = _declared(model), _spread(model)
    found = minimize(
        lambda v: _loss_and_gradient(model, data, v),
        declared,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(declared - FARTHEST * spread, declared + FARTHEST * spread, strict=True)),
        options={"maxiter": 200},
    )
    return np.asarray(found.x, dtype=np.float64)


def _bulk_factor(model: FunctionModel, data: Data, mode: FloatArray) -> FloatArray:
    """A root of the inverse curvature of the log posterior at its mode, nowhere wider than twice the prior."""
    h, spread = 1e-4, _spread(model)
    rows = [
        (_loss_and_gradient(model, data, mode + h * e)[1] - _loss_and_gradient(model, data, mode - h * e)[1])
        / (2.0 * h)
        for e in np.eye(len(mode))
    ]
    # In prior standard deviations, where the prior's curvature is the identity.
    curvature = np.array(rows) * np.outer(spread, spread)
    values, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
    return spread[:, None] * vectors / np.sqrt(np.maximum(values, 0.25))


def _slice_step(
    current: FloatArray,
    log_target: Callable[[FloatArray], float],
    center: FloatArray,
    factor: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """One step of elliptical slice sampling with the ellipses of the normal (center, factor factor^T)."""
    inverse = np.linalg.inv(factor)

    def excess(v: FloatArray) -> float:
        standard = inverse @ (v - center)
        return log_target(v) + 0.5 * float(standard @ standard)

    other = factor @ rng.standard_normal(len(center))
    level = excess(current) + math.log(1.0 - rng.random())
    angle = rng.uniform(0.0, 2.0 * math.pi)
    low, high = angle - 2.0 * math.pi, angle
    offset = current - center
    while high - low > 1e-9:
        proposal = center + offset * math.cos(angle) + other * math.sin(angle)
        if excess(proposal) > level:
            return proposal
        low, high = (angle, high) if angle < 0.0 else (low, angle)
        angle = rng.uniform(low, high)
    return current
