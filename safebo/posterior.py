"""Gaussian-process posteriors from a cached inverse Cholesky factor, extended by one row per observation.

gpytorch 1.15.2 builds the full test x test covariance in every prediction; here a prediction at `m` points
costs `O(m n^2)` time and `O(m n)` memory. Everything is float64 and differentiable in the test points.
Objects never change: `extended` returns a new posterior, so that hypothetical observations cost nothing to
undo.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

KernelKind = Literal["matern12", "matern32", "matern52", "rbf"]

MINIMAL_VARIANCE = 1e-12
"""Posterior variances are kept at or above this fraction of the prior's, so that their root is defined."""


@dataclass(frozen=True)
class StationaryKernel:
    """`variance * rho(||(x - x') / lengthscale||)`, the four kernels of the study file.

    Args:
        kind: Matern 1/2, 3/2, 5/2 or the squared exponential.
        lengthscale: `D`, in the unit cube.
        variance: the prior variance.
    """

    kind: KernelKind
    lengthscale: Float[Tensor, " D"]
    variance: float = 1.0

    def correlation(self, a: Float[Tensor, "*b n D"], b: Float[Tensor, "*b m D"]) -> Float[Tensor, "*b n m"]:
        """The kernel over its variance."""
        # Distances from differences, not from the expanded square: exact for coincident points, and autograd
        # gives a zero gradient there.
        r = torch.cdist(
            a / self.lengthscale, b / self.lengthscale, compute_mode="donot_use_mm_for_euclid_dist"
        )
        if self.kind == "matern12":
            return torch.exp(-r)
        if self.kind == "matern32":
            s = math.sqrt(3.0) * r
            return (1.0 + s) * torch.exp(-s)
        if self.kind == "matern52":
            s = math.sqrt(5.0) * r
            return (1.0 + s + s * s / 3.0) * torch.exp(-s)
        return torch.exp(-0.5 * r * r)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of the rows of `a` (`n x D`) and `b` (`m x D`), `n x m`."""
        return self.variance * self.correlation(a, b)

    def diagonal(self, a: Float[Tensor, "*b n D"]) -> Float[Tensor, "*b n"]:
        """Prior variance at the rows of `a`."""
        return torch.full(a.shape[:-1], self.variance, dtype=a.dtype)


@dataclass(frozen=True)
class GenericKernel:
    """Any gpytorch kernel (sums, products, additive ones) behind the same two calls."""

    kernel: Callable[..., object]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of the rows of `a` and `b`."""
        return self.kernel(a, b).to_dense()  # type: ignore[attr-defined]

    def diagonal(self, a: Tensor) -> Tensor:
        """Prior variance at the rows of `a`."""
        return self.kernel(a, diag=True)  # type: ignore[return-value]


Kernel = StationaryKernel | GenericKernel


@dataclass(frozen=True)
class Posterior:
    """Posterior of one function with constant prior mean and homoscedastic Gaussian noise.

    Args:
        kernel: the prior covariance.
        prior_mean: the constant prior mean.
        noise_variance: variance of an observation's noise.
        inputs: observed inputs, `n x D`.
        inverse_factor: the inverse of the lower Cholesky factor of `K + noise I`, `n x n`.
        weights: `(K + noise I)^-1 (y - prior_mean)`, `n`.
    """

    kernel: Kernel
    prior_mean: float
    noise_variance: float
    inputs: Float[Tensor, "n D"]
    inverse_factor: Float[Tensor, "n n"] = field(
        default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64)
    )
    weights: Float[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))

    @classmethod
    def prior(cls, kernel: Kernel, prior_mean: float, noise_variance: float, dimension: int) -> Posterior:
        """The posterior of no observations."""
        return cls(kernel, prior_mean, noise_variance, torch.zeros(0, dimension, dtype=torch.float64))

    @property
    def count(self) -> int:
        """Number of observations."""
        return self.inputs.shape[0]

    def extended(self, x: Float[Tensor, " D"], y: float) -> Posterior:
        """The posterior after one more observation; `O(n^2)`."""
        row = x.detach().reshape(1, -1)
        n = self.count
        prior_variance = float(self.kernel.diagonal(row)[0]) + self.noise_variance
        whitened = self.inverse_factor @ self.kernel(self.inputs, row)[:, 0]
        # The Schur complement is at least the noise variance; round-off must not take it below.
        pivot = math.sqrt(max(prior_variance - float(whitened @ whitened), self.noise_variance, 1e-300))
        factor = torch.zeros(n + 1, n + 1, dtype=row.dtype)
        factor[:n, :n] = self.inverse_factor
        factor[n, :n] = -(whitened @ self.inverse_factor) / pivot
        factor[n, n] = 1.0 / pivot
        mean = self.prior_mean + float(self.kernel(row, self.inputs)[0] @ self.weights)
        residual = (float(y) - mean) / pivot
        weights = torch.cat([self.weights, self.weights.new_zeros(1)]) + residual * factor[n]
        return Posterior(
            self.kernel,
            self.prior_mean,
            self.noise_variance,
            torch.cat([self.inputs, row]),
            factor,
            weights,
        )

    def whiten(self, covariance: Float[Tensor, "*b m n"]) -> Float[Tensor, "*b m n"]:
        """`k(X, inputs) L^-T`: rows whose inner products are the explained covariance."""
        return covariance @ self.inverse_factor.T

    def mean_variance(
        self, X: Float[Tensor, "m D"], covariance: Float[Tensor, "m n"] | None = None
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Marginal means and variances at the rows of X; `covariance` is `k(X, inputs)` if known already."""
        k = self.kernel(X, self.inputs) if covariance is None else covariance
        prior = self.kernel.diagonal(X)
        explained = self.whiten(k).square().sum(-1)
        variance = torch.maximum(prior - explained, MINIMAL_VARIANCE * prior)
        return self.prior_mean + k @ self.weights, variance

    def joint(self, X: Float[Tensor, "*b q D"]) -> tuple[Float[Tensor, "*b q"], Float[Tensor, "*b q q"]]:
        """Joint mean and covariance of every batch of q points."""
        k = self.kernel(X, self.inputs.expand(*X.shape[:-2], *self.inputs.shape))
        white = self.whiten(k)
        covariance = self.kernel(X, X) - white @ white.transpose(-1, -2)
        return self.prior_mean + k @ self.weights, covariance

    def cross_covariance(self, a: Float[Tensor, "m D"], b: Float[Tensor, "p D"]) -> Float[Tensor, "m p"]:
        """Posterior covariance between the rows of `a` and of `b`."""
        white_a = self.whiten(self.kernel(a, self.inputs))
        white_b = self.whiten(self.kernel(b, self.inputs))
        return self.kernel(a, b) - white_a @ white_b.T
