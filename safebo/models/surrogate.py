"""The surrogate: one Gaussian process per function over (parameters, context), inputs in the unit cube.

Priors come from `safebo.models.function_model`, hyperparameters from `safebo.models.hyperparameters`, predictions from
`safebo.models.posterior`, never from gpytorch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.confidence import ConfidenceBounds, Prediction, confidence_bounds
from safebo.models.correlations import CorrelatedPosterior, SharedCorrelations
from safebo.models.function_model import FunctionModel
from safebo.models.kernels import StationaryKernel
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import Posterior


class Surrogate:
    """Independent posteriors of several functions over the same inputs; the objective is the first.

    Args:
        posteriors: one per function.
        inflation: factor of beta, at least 1, that whoever certifies must apply: above 1 where a simulation's
            trials are part of the prior.

    A function need not have been observed at every input. Objects never change; `observed` and `fantasized`
    return new surrogates.
    """

    def __init__(self, posteriors: Sequence[Posterior], inflation: float = 1.0) -> None:
        self.posteriors = tuple(posteriors)
        self.inflation = inflation

    @classmethod
    def prior(
        cls,
        models: Sequence[FunctionModel | Sequence[FunctionModel]],
        inflation: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> Surrogate:
        """Before any observation; a function of several models is their mixture."""
        posteriors: list[Posterior] = []
        for entry in models:
            samples = [entry] if isinstance(entry, FunctionModel) else list(entry)
            priors = [model.prior(device) for model in samples]
            posteriors.append(priors[0] if len(priors) == 1 else MixturePosterior(priors))
        return cls(posteriors, inflation)

    def to(self, device: torch.device | str) -> Surrogate:
        """The same surrogate on another device."""
        return Surrogate([p.to(device) for p in self.posteriors], self.inflation)

    @property
    def functions(self) -> int:
        """Number of functions."""
        return len(self.posteriors)

    @property
    def averaged(self) -> bool:
        """Whether a function is a mixture, which has no one factor that could be kept for a grid."""
        return any(isinstance(p, MixturePosterior) for p in self.posteriors)

    @property
    def prior_std(self) -> Float[Tensor, " m"]:
        """Prior standard deviation of every function, the scale on which widths are compared."""
        inputs = self.posteriors[0].inputs
        zero = inputs.new_zeros(1, inputs.shape[1])
        return torch.cat([p.kernel.diagonal(zero) for p in self.posteriors]).sqrt()

    def observed(
        self, x: Float[Tensor, " D"], values: Sequence[float | None], added: Sequence[float] = ()
    ) -> Surrogate:
        """After one more row; a value None was not observed.

        Args:
            x: its inputs.
            values: of every function.
            added: variance of every value's noise beyond the function's; empty where none has more.
        """
        noise = added or [0.0] * len(values)
        return Surrogate(
            [
                p if y is None else p.extended(x, y, more)
                for p, y, more in zip(self.posteriors, values, noise, strict=True)
            ],
            self.inflation,
        )

    def conditioned(
        self,
        X: Float[Tensor, "k D"],
        values: Sequence[Sequence[float | None]],
        added: Sequence[Sequence[float]] = (),
    ) -> Surrogate:
        """After k more rows at once; a value None was not observed, and `added` is each row's as in `observed`."""
        posteriors = []
        for i, p in enumerate(self.posteriors):
            seen = [j for j, row in enumerate(values) if row[i] is not None]
            y = X.new_tensor([values[j][i] for j in seen])
            noise = [added[j][i] if added and added[j] else 0.0 for j in seen]
            posteriors.append(p.conditioned(X[seen], y, noise) if seen else p)
        return Surrogate(posteriors, self.inflation)

    def fantasized(self, X: Float[Tensor, "p D"]) -> Surrogate:
        """After observing exactly the present means at X: the same means, smaller variances.

        For pending trials in acquisitions; never for certification.
        """
        posteriors = self.posteriors
        for x in X:
            posteriors = tuple(p.fantasized(x) for p in posteriors)
        return Surrogate(posteriors, self.inflation)

    def mean(self, X: Float[Tensor, "n D"]) -> Float[Tensor, "n m"]:
        """Means of all functions alone."""
        return torch.stack([p.mean(X) for p in self.posteriors], -1)

    def predict(self, X: Float[Tensor, "n D"]) -> Prediction:
        """Marginal means and standard deviations of all functions, `n x m` each."""
        known: list[tuple[Posterior, Tensor]] = []
        moments = [p.mean_variance(X, _shared_covariance(p, known, X)) for p in self.posteriors]
        means, variances = zip(*moments, strict=True)
        return Prediction(torch.stack(means, -1), torch.stack(variances, -1).sqrt())

    def bounds(
        self, X: Float[Tensor, "n D"], beta: Float[Tensor, " m"], prediction: Prediction | None = None
    ) -> ConfidenceBounds:
        """Confidence bounds of all functions, `n x m` each: `mean -/+ beta std`.

        Of a constraint that knows a simulation by several correlations, the union of their intervals.

        Args:
            X: inputs.
            beta: one per function.
            prediction: at X, if known already.
        """
        known: SharedCorrelations = []
        if not any(isinstance(p, CorrelatedPosterior) for p in self.posteriors):
            return confidence_bounds(self.predict(X) if prediction is None else prediction, beta)
        intervals = []
        for i, p in enumerate(self.posteriors):
            if isinstance(p, CorrelatedPosterior):
                intervals.append((p.interval if i else p.mixed_interval)(X, beta[i], known))
            else:
                mean, variance = p.mean_variance(X)
                intervals.append((mean - beta[i] * variance.sqrt(), mean + beta[i] * variance.sqrt()))
        lower, upper = zip(*intervals, strict=True)
        return ConfidenceBounds(torch.stack(lower, -1), torch.stack(upper, -1))


def _shared_covariance(p: Posterior, known: list[tuple[Posterior, Tensor]], X: Tensor) -> Tensor | None:
    """`k(X, inputs)` of one function; functions that share inputs and lengthscales share the work, others compute it
    themselves.
    """
    if not isinstance(p.kernel, StationaryKernel):
        return None
    for other, correlation in known:
        if shared_correlation(other, p):
            return p.kernel.variance * correlation
    correlation = p.kernel.correlation(X, p.inputs)
    known.append((p, correlation))
    return p.kernel.variance * correlation


def shared_correlation(a: Posterior, b: Posterior) -> bool:
    """Whether two functions share inputs and, but for its variance, their stationary kernel."""
    return (
        isinstance(a.kernel, StationaryKernel)
        and isinstance(b.kernel, StationaryKernel)
        and a.kernel.same_correlation(b.kernel)
        and a.inputs.shape == b.inputs.shape
        and torch.equal(a.inputs, b.inputs)
    )
