"""The posterior of a function whose hyperparameters are uncertain: a mixture over a few samples of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.errors import SafeboError
from safebo.models.kernels import AverageKernel
from safebo.models.posterior import FixedPoints, Posterior


class MixturePosterior(Posterior):
    """The Gaussian with the moments of an equally weighted mixture of posteriors of one function.

    `mean = E[mean_s]`, `covariance = E[covariance_s] + Cov[mean_s]`: where the samples disagree about the
    function the interval is wider than any sample's. The fully Bayesian treatment of Osborne, Garnett and Roberts
    2009 and Snoek, Larochelle and Adams 2012 (who average the acquisition instead).

    Weights stay equal when an observation is added; samples are drawn anew when hyperparameters are (see
    `safebo.models.hyperparameters`). There is no one factor: `inverse_factor`, `weights` and `whiten` raise,
    so what rests
    on them (exact sets on grids, real beta, intersected intervals) needs `hyperparameters: fixed` or `map`.

    Args:
        components: posteriors of the same observations, one per sample.
    """

    def __init__(self, components: Sequence[Posterior]) -> None:
        self.components: tuple[Posterior, ...]
        first = components[0]
        for name, value in {
            "components": tuple(components),
            "kernel": AverageKernel(tuple(p.kernel for p in components)),
            "prior_mean": first.prior_mean,
            "noise_variance": sum(p.noise_variance for p in components) / len(components),
            "inputs": first.inputs,
        }.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("inverse_factor", "weights"):
            raise SafeboError(
                f"a posterior averaged over hyperparameters has no {name}: this method or certificate needs one set "
                "of hyperparameters; use surrogate.hyperparameters: fixed or map"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"MixturePosterior({len(self.components)} samples, {self.count} observations)"

    def to(self, device: torch.device | str) -> MixturePosterior:
        """The same mixture on another device."""
        return MixturePosterior([p.to(device) for p in self.components])

    def extended(self, x: Float[Tensor, " D"], y: float, added: float = 0.0) -> MixturePosterior:
        """After one more observation."""
        return MixturePosterior([p.extended(x, y, added) for p in self.components])

    def conditioned(
        self, X: Float[Tensor, "k D"], y: Float[Tensor, " k"], added: Sequence[float] = ()
    ) -> MixturePosterior:
        """After k more observations."""
        return MixturePosterior([p.conditioned(X, y, added) for p in self.components])

    def shifted(self, change: Float[Tensor, " k"]) -> MixturePosterior:
        """If the last k values were larger by `change`."""
        return MixturePosterior([p.shifted(change) for p in self.components])

    def fantasized(self, x: Float[Tensor, " D"]) -> MixturePosterior:
        """After every component observed its own mean at x: the same means, smaller variances."""
        return MixturePosterior([p.fantasized(x) for p in self.components])

    def mean_variance(
        self, X: Float[Tensor, "m D"], covariance: Float[Tensor, "m n"] | None = None
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Marginal means and variances; `covariance`, which differs between components, is not used."""
        means, variances = zip(*(p.mean_variance(X) for p in self.components), strict=True)
        mean = torch.stack(means)
        between = (mean - mean.mean(0)).square().mean(0)
        return mean.mean(0), torch.stack(variances).mean(0) + between

    def mean(self, X: Float[Tensor, "m D"]) -> Float[Tensor, " m"]:
        """Means at the rows of X."""
        return torch.stack([p.mean(X) for p in self.components]).mean(0)

    def fixed(self, points: Float[Tensor, "k D"]) -> FixedPoints:
        """Points to be compared with by `against`."""
        return FixedPoints(points, *self.mean_variance(points))

    def against(
        self, X: Float[Tensor, "m D"], fixed: FixedPoints
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"], Float[Tensor, "m k"]]:
        """Means and variances at X, and posterior covariances with fixed points."""
        return (*self.mean_variance(X), self.cross_covariance(X, fixed.points))

    def joint(self, X: Float[Tensor, "*b q D"]) -> tuple[Float[Tensor, "*b q"], Float[Tensor, "*b q q"]]:
        """Joint mean and covariance of every batch of q points."""
        means, covariances = zip(*(p.joint(X) for p in self.components), strict=True)
        mean = torch.stack(means)
        spread = mean - mean.mean(0)
        between = (spread.unsqueeze(-1) * spread.unsqueeze(-2)).mean(0)
        return mean.mean(0), torch.stack(covariances).mean(0) + between

    def cross_covariance(self, a: Float[Tensor, "m D"], b: Float[Tensor, "p D"]) -> Float[Tensor, "m p"]:
        """Covariance between the rows of `a` and of `b`."""
        within = torch.stack([p.cross_covariance(a, b) for p in self.components]).mean(0)
        means = [torch.stack([p.mean(X) for p in self.components]) for X in (a, b)]
        spread_a, spread_b = (mean - mean.mean(0) for mean in means)
        return within + spread_a.T @ spread_b / len(self.components)
