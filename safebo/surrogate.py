"""The surrogate: one Gaussian process per function over (parameters, context), inputs in the unit cube.

Hyperparameters are the declared ones, or their maximum a posteriori estimate under log-normal priors whose
medians are the declared values (gpytorch kernels and priors, BoTorch's fit). Predictions come from
`safebo.posterior`, never from gpytorch.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.confidence import Prediction
from safebo.posterior import Kernel, KernelKind, Posterior, StationaryKernel
from safebo.study import Study

MATERN_NU: dict[str, float] = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}

PRIOR_SPREAD = {"lengthscale": 0.35, "variance": 0.5, "noise": 0.5}
"""Standard deviations of the logarithms under the hyperparameter priors (ours). A lengthscale is thus within
a factor two of the declared one with 95 % prior probability: safety rests on it more than on all else."""


@dataclass(frozen=True)
class FunctionModel:
    """Prior of one function on its warped scale.

    Args:
        name: of the function, for messages.
        kind: kernel family.
        lengthscale: `D` lengthscales in the unit cube.
        mean: constant prior mean.
        variance: prior variance.
        noise_variance: variance of the observation noise.
    """

    name: str
    kind: KernelKind
    lengthscale: tuple[float, ...]
    mean: float
    variance: float
    noise_variance: float

    def kernel(self) -> StationaryKernel:
        """The prior covariance."""
        return StationaryKernel(self.kind, torch.tensor(self.lengthscale, dtype=torch.float64), self.variance)

    def prior(self) -> Posterior:
        """The posterior of no observations."""
        return Posterior.prior(self.kernel(), self.mean, self.noise_variance, len(self.lengthscale))


def function_models(study: Study) -> tuple[FunctionModel, ...]:
    """Priors of the objective and then of every constraint, as the study declares them."""
    spec = study.surrogate
    lengthscale = tuple(p.lengthscale or spec.lengthscale for p in study.parameters) + tuple(
        v.lengthscale or spec.context_lengthscale for v in study.context.variables
    )
    return tuple(
        FunctionModel(
            name=f.name,
            kind=spec.kernel,
            lengthscale=lengthscale,
            mean=f.prior_mean,
            variance=f.prior_std**2,
            noise_variance=f.noise_std**2,
        )
        for f in (study.objective, *study.constraints)
    )


def gpytorch_kernel(model: FunctionModel) -> Any:
    """The prior covariance as a gpytorch `ScaleKernel`."""
    from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel

    dimension = len(model.lengthscale)
    if model.kind == "rbf":
        base = RBFKernel(ard_num_dims=dimension)
    else:
        base = MaternKernel(nu=MATERN_NU[model.kind], ard_num_dims=dimension)
    kernel = ScaleKernel(base).double()
    kernel.base_kernel.lengthscale = torch.tensor(model.lengthscale, dtype=torch.float64)
    kernel.outputscale = model.variance
    return kernel


def fitted(model: FunctionModel, X: Float[Tensor, "n D"], y: Float[Tensor, " n"]) -> FunctionModel:
    """Maximum a posteriori hyperparameters of one function; the declared ones where there are under 3
    observations.

    Lengthscales, variance and noise have log-normal priors whose medians are the declared values; the mean
    stays as declared, because a constraint's pessimism is a decision and not an estimate. Deterministic:
    the fit always starts from the declared values.
    """
    if len(y) < 3:
        return model
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.constraints import GreaterThan
    from gpytorch.likelihoods import GaussianLikelihood
    from gpytorch.means import ConstantMean
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.priors import LogNormalPrior

    kernel = gpytorch_kernel(model)
    spread = PRIOR_SPREAD
    scales = torch.tensor(model.lengthscale, dtype=torch.float64)
    kernel.base_kernel.register_prior(
        "lengthscale_prior", LogNormalPrior(scales.log(), spread["lengthscale"]), "lengthscale"
    )
    log_variance = torch.tensor(model.variance, dtype=torch.float64).log()
    kernel.register_prior(
        "outputscale_prior", LogNormalPrior(log_variance, spread["variance"]), "outputscale"
    )
    log_noise = torch.tensor(model.noise_variance, dtype=torch.float64).log()
    likelihood = GaussianLikelihood(
        noise_prior=LogNormalPrior(log_noise, spread["noise"]),
        noise_constraint=GreaterThan(1e-3 * model.noise_variance),
    ).double()
    likelihood.noise = model.noise_variance
    mean = ConstantMean().double()
    mean.constant.data.fill_(model.mean)
    mean.constant.requires_grad_(False)
    with warnings.catch_warnings():
        # BoTorch recommends standardised data; ours has a declared scale, which is the prior's.
        warnings.simplefilter("ignore")
        gp = SingleTaskGP(
            X, y.unsqueeze(-1), likelihood=likelihood, covar_module=kernel, mean_module=mean,
            outcome_transform=None,
        )  # fmt: skip
        fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
    found = gp.covar_module
    return replace(
        model,
        lengthscale=tuple(found.base_kernel.lengthscale.detach().reshape(-1).tolist()),
        variance=float(found.outputscale.detach()),
        noise_variance=float(gp.likelihood.noise.detach().reshape(-1)[0]),
    )


class Surrogate:
    """Independent posteriors of several functions over the same inputs; the objective is the first.

    Args:
        posteriors: one per function.

    A function need not have been observed at every input. Objects never change; `observed` and `imagined`
    return new surrogates.
    """

    def __init__(self, posteriors: Sequence[Posterior]) -> None:
        self.posteriors = tuple(posteriors)

    @classmethod
    def prior(cls, models: Sequence[FunctionModel]) -> Surrogate:
        """Before any observation."""
        return cls([model.prior() for model in models])

    @property
    def functions(self) -> int:
        """Number of functions."""
        return len(self.posteriors)

    @property
    def prior_std(self) -> Float[Tensor, " m"]:
        """Prior standard deviation of every function, the scale on which widths are compared."""
        D = self.posteriors[0].inputs.shape[1]
        zero = torch.zeros(1, D, dtype=torch.float64)
        return torch.cat([p.kernel.diagonal(zero) for p in self.posteriors]).sqrt()

    def observed(self, x: Float[Tensor, " D"], values: Sequence[float | None]) -> Surrogate:
        """After one more row; a value None was not observed."""
        return Surrogate(
            [p if y is None else p.extended(x, y) for p, y in zip(self.posteriors, values, strict=True)]
        )

    def imagined(self, X: Float[Tensor, "p D"]) -> Surrogate:
        """After observing exactly the present means at X: the same means, smaller variances.

        For pending trials in acquisitions; never for certification.
        """
        posteriors = list(self.posteriors)
        for x in X:
            for i, p in enumerate(posteriors):
                mean = p.mean_variance(x.reshape(1, -1))[0]
                posteriors[i] = p.extended(x, float(mean[0]))
        return Surrogate(posteriors)

    def predict(self, X: Float[Tensor, "n D"]) -> Prediction:
        """Marginal means and standard deviations of all functions, `n x m` each."""
        means, variances = [], []
        known: list[tuple[Posterior, Tensor]] = []
        for p in self.posteriors:
            covariance = _shared_covariance(p, known, X)
            mean, variance = p.mean_variance(X, covariance)
            means.append(mean)
            variances.append(variance)
        return Prediction(torch.stack(means, -1), torch.stack(variances, -1).sqrt())


def _shared_covariance(p: Posterior, known: list[tuple[Posterior, Tensor]], X: Tensor) -> Tensor:
    """`k(X, inputs)` of one function; functions that share inputs and lengthscales share the work."""
    if not isinstance(p.kernel, StationaryKernel):
        return p.kernel(X, p.inputs)
    for other, correlation in known:
        kernel: Kernel = other.kernel
        if (
            isinstance(kernel, StationaryKernel)
            and kernel.kind == p.kernel.kind
            and torch.equal(kernel.lengthscale, p.kernel.lengthscale)
            and other.inputs.shape == p.inputs.shape
            and torch.equal(other.inputs, p.inputs)
        ):
            return p.kernel.variance * correlation
    correlation = p.kernel.correlation(X, p.inputs)
    known.append((p, correlation))
    return p.kernel.variance * correlation
