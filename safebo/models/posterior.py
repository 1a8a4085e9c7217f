"""Gaussian-process posteriors from a cached inverse Cholesky factor, extended by one row per observation.

gpytorch 1.15.2 builds the full test x test covariance in every prediction; here a prediction at `m` points
costs `O(m n^2)` time and `O(m n)` memory. Everything is float64 and differentiable in the test points.
Objects never change: `extended` returns a new posterior, so that hypothetical observations cost nothing to
undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.kernels import Kernel

BLOCK = 256
"""From twice as many observations on, variances are computed by so many rows of the inverse factor at a time: without
the half of it that is zero, and without a number for every point and observation."""

MINIMAL_VARIANCE = 1e-12
"""Posterior variances are kept at or above this fraction of the prior's, so that their root is defined."""


def pivots(
    prior: Float[Tensor, "*v"], explained: Float[Tensor, "*v"], noise: Float[Tensor, "*v"]
) -> Float[Tensor, "*v"]:
    """Last diagonals of Cholesky factors of `K + N`: roots of the Schur complements `prior + noise - explained`.

    A Schur complement is at least the noise variance; round-off must not take it below, nor to 0.
    """
    least = torch.maximum(noise, MINIMAL_VARIANCE * prior).clamp_min(1e-300)
    return torch.maximum(prior + noise - explained, least).sqrt()


@dataclass(frozen=True)
class FixedPoints:
    """Points that many others are compared with: targets of an acquisition, with what is needed again and again.

    Args:
        points: `k x D`.
        mean: posterior means there.
        variance: posterior variances there.
        white: whitened prior covariances with the observed inputs, `k x n`; None where there is no one factor.
    """

    points: Float[Tensor, "k D"]
    mean: Float[Tensor, " k"]
    variance: Float[Tensor, " k"]
    white: Float[Tensor, "k n"] | None = None


@dataclass(frozen=True)
class Posterior:
    """Posterior of one function with constant prior mean and Gaussian noise, which an observation may have more of.

    Args:
        kernel: the prior covariance.
        prior_mean: the constant prior mean.
        noise_variance: variance of an observation's noise.
        inputs: observed inputs, `n x D`.
        inverse_factor: the inverse of the lower Cholesky factor of `K + N`, `n x n`, N the diagonal noise variances.
        weights: `(K + N)^-1 (y - prior_mean)`, `n`.
        added_noise: variance of every observation's noise beyond `noise_variance`, `n`; None where none has more.
    """

    kernel: Kernel
    prior_mean: float
    noise_variance: float
    inputs: Float[Tensor, "n D"]
    inverse_factor: Float[Tensor, "n n"]
    weights: Float[Tensor, " n"]
    added_noise: Float[Tensor, " n"] | None = None

    @classmethod
    def prior(
        cls,
        kernel: Kernel,
        prior_mean: float,
        noise_variance: float,
        dimension: int,
        device: torch.device | str = "cpu",
    ) -> Posterior:
        """The posterior of no observations, float64, on a device (the kernel's)."""
        empty = torch.zeros(0, dtype=torch.float64, device=device)
        inputs = empty.new_zeros(0, dimension)
        return cls(kernel, prior_mean, noise_variance, inputs, empty.new_zeros(0, 0), empty)

    def to(self, device: torch.device | str) -> Posterior:
        """The same posterior on another device."""
        return replace(
            self,
            kernel=self.kernel.to(device),
            inputs=self.inputs.to(device),
            inverse_factor=self.inverse_factor.to(device),
            weights=self.weights.to(device),
            added_noise=None if self.added_noise is None else self.added_noise.to(device),
        )

    @property
    def count(self) -> int:
        """Number of observations."""
        return self.inputs.shape[0]

    @property
    def noise_variances(self) -> Float[Tensor, " n"]:
        """Variance of every observation's noise."""
        declared = torch.full_like(self.weights, self.noise_variance)
        return declared if self.added_noise is None else declared + self.added_noise

    def extended(self, x: Float[Tensor, " D"], y: float, added: float = 0.0) -> Posterior:
        """The posterior after one more observation; `O(n^2)`.

        Args:
            x: its input.
            y: its value.
            added: variance of its noise beyond `noise_variance`, at least 0.
        """
        row = self._rows(x.reshape(1, -1))
        n = self.count
        k = self.kernel(self.inputs, row)[:, 0]
        whitened = self.inverse_factor @ k
        noise = row.new_tensor(self.noise_variance + added)
        pivot = float(pivots(self.kernel.diagonal(row)[0], whitened @ whitened, noise))
        # The last row of L^-1: (-w^T L^-1, 1) / pivot with w = L^-1 k(inputs, x) and pivot^2 the Schur complement.
        factor = row.new_zeros(n + 1, n + 1)
        factor[:n, :n] = self.inverse_factor
        factor[n, :n] = -(whitened @ self.inverse_factor) / pivot
        factor[n, n] = 1.0 / pivot
        mean = self.prior_mean + float(k @ self.weights)
        # weights = L^-T L^-1 (y - mean): one more row adds its residual times itself.
        residual = (float(y) - mean) / pivot
        weights = torch.cat([self.weights, self.weights.new_zeros(1)]) + residual * factor[n]
        return Posterior(
            self.kernel,
            self.prior_mean,
            self.noise_variance,
            torch.cat([self.inputs, row]),
            factor,
            weights,
            self._added([added]),
        )

    def _added(self, more: Sequence[float]) -> Float[Tensor, " k"] | None:
        """`added_noise` with further observations."""
        if self.added_noise is None and not any(more):
            return None
        known = torch.zeros_like(self.weights) if self.added_noise is None else self.added_noise
        return torch.cat([known, known.new_tensor(more)])

    def conditioned(
        self, X: Float[Tensor, "k D"], y: Float[Tensor, " k"], added: Sequence[float] = ()
    ) -> Posterior:
        """The posterior after k more observations at once; `O(n^2 k + k^3)`.

        Args:
            X: their inputs.
            y: their values.
            added: variances of their noise beyond `noise_variance`; empty where none has more.
        """
        added = list(added) or [0.0] * len(X)
        rows, n = self._rows(X), self.count
        whitened = self.inverse_factor @ self.kernel(self.inputs, rows)
        schur = self.kernel(rows, rows) - whitened.T @ whitened
        schur.diagonal().add_(self.noise_variance)
        if any(added):
            schur.diagonal().add_(rows.new_tensor(added))
        corner, failed = torch.linalg.cholesky_ex(schur)
        smallest = torch.maximum(
            MINIMAL_VARIANCE * self.kernel.diagonal(rows), rows.new_tensor(0.5 * self.noise_variance)
        )
        if bool(failed) or bool((corner.diagonal().square() < smallest).any()):
            # Repeated inputs with hardly any noise: row by row, where pivots are kept positive.
            result = self
            for row, value, more in zip(rows, y, added, strict=True):
                result = result.extended(row, float(value), more)
            return result
        inverse = torch.linalg.solve_triangular(
            corner, torch.eye(len(rows), dtype=rows.dtype, device=rows.device), upper=False
        )
        # L^-1 = [[L_11^-1, 0], [-L_22^-1 L_21 L_11^-1, L_22^-1]] with L_21 = w^T and L_22 L_22^T the Schur complement.
        factor = rows.new_zeros(n + len(rows), n + len(rows))
        factor[:n, :n] = self.inverse_factor
        factor[n:, :n] = -(inverse @ whitened.T) @ self.inverse_factor
        factor[n:, n:] = inverse
        residual = y.to(rows) - self.prior_mean - self.kernel(rows, self.inputs) @ self.weights
        weights = torch.cat([self.weights, rows.new_zeros(len(rows))]) + factor[n:].T @ (inverse @ residual)
        return replace(
            self,
            inputs=torch.cat([self.inputs, rows]),
            inverse_factor=factor,
            weights=weights,
            added_noise=self._added(added),
        )

    def shifted(self, change: Float[Tensor, " k"]) -> Posterior:
        """The posterior if the last k values were larger by `change`: `weights + L^-T L^-1 (0, change)`; `O(n^2)`."""
        rows = self.inverse_factor[:, self.count - len(change) :]
        return replace(self, weights=self.weights + self.inverse_factor.T @ (rows @ change))

    def fantasized(self, x: Float[Tensor, " D"]) -> Posterior:
        """After observing exactly the present mean at x: the same means, smaller variances."""
        return self.extended(x, float(self.mean_variance(x.reshape(1, -1))[0][0]))

    def _rows(self, X: Float[Tensor, "k D"]) -> Float[Tensor, "k D"]:
        """Inputs as they are stored; rows without a task's number are of task 0 (`CoregionalKernel`), those without a
        time are of now (`DriftingKernel`).
        """
        rows = X.detach().to(self.inputs)
        now = getattr(self.kernel, "now", 0.0)
        return torch.nn.functional.pad(rows, (0, self.inputs.shape[1] - rows.shape[1]), value=now)

    def whitened_residual(self) -> Float[Tensor, " n"]:
        """`L^-1 (y - mean)`, from the weights `L^-T L^-1 (y - mean)`; its first rows never change."""
        return torch.linalg.solve_triangular(
            self.inverse_factor.T, self.weights.unsqueeze(-1), upper=True
        ).squeeze(-1)

    def whiten(self, covariance: Float[Tensor, "*b m n"]) -> Float[Tensor, "*b m n"]:
        """`k(X, inputs) L^-T`: rows whose inner products are the explained covariance."""
        return covariance @ self.inverse_factor.T

    def mean_variance(
        self, X: Float[Tensor, "m D"], covariance: Float[Tensor, "m n"] | None = None
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Marginal means and variances at the rows of X; `covariance` is `k(X, inputs)` if known already."""
        k = self.kernel(X, self.inputs) if covariance is None else covariance
        prior = self.kernel.diagonal(X)
        variance = torch.maximum(prior - self._explained(k), MINIMAL_VARIANCE * prior)
        return self.prior_mean + k @ self.weights, variance

    def _explained(self, k: Float[Tensor, "m n"]) -> Float[Tensor, " m"]:
        n, factor = self.count, self.inverse_factor
        if n < 2 * BLOCK:
            return self.whiten(k).square().sum(-1)
        ends = [*range(BLOCK, n, BLOCK), n]
        rows = [
            (k[:, :end] @ factor[start:end, :end].T).square().sum(-1) for start, end in pairwise([0, *ends])
        ]
        return torch.stack(rows).sum(0)

    def mean(self, X: Float[Tensor, "m D"]) -> Float[Tensor, " m"]:
        """Posterior means at the rows of X, `O(m n)`."""
        return self.prior_mean + self.kernel(X, self.inputs) @ self.weights

    def fixed(self, points: Float[Tensor, "k D"]) -> FixedPoints:
        """Points to be compared with by `against`."""
        mean, variance = self.mean_variance(points)
        return FixedPoints(points, mean, variance, self.whiten(self.kernel(points, self.inputs)))

    def against(
        self, X: Float[Tensor, "m D"], fixed: FixedPoints
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"], Float[Tensor, "m k"]]:
        """Means and variances at X, and posterior covariances with fixed points."""
        k = self.kernel(X, self.inputs)
        white, prior = self.whiten(k), self.kernel.diagonal(X)
        variance = torch.maximum(prior - white.square().sum(-1), MINIMAL_VARIANCE * prior)
        assert fixed.white is not None
        cross = self.kernel(X, fixed.points) - white @ fixed.white.T
        return self.prior_mean + k @ self.weights, variance, cross

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
