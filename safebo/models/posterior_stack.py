"""Posteriors of one function under several priors, all brought up to date at once.

Evidence compares a dozen and more priors after every observation. Were each brought up to date by itself, the calls
would cost more than their arithmetic; here what is alike is done for all priors together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.posterior import Posterior, pivots


class PosteriorStack:
    """Posteriors under V priors, which observe the same values.

    Args:
        priors: posteriors without observations, of kernels whose inputs may have further columns (a time).

    Attributes:
        posteriors: the present ones. Their factors are views of one array, whose rows are written once.
        log_predictive: log density of every observation under every prior, given those before it, `V x n`.
    """

    def __init__(self, priors: Sequence[Posterior]) -> None:
        self.posteriors = list(priors)
        self._noise = priors[0].weights.new_tensor([p.noise_variance for p in priors])
        self._mean = priors[0].weights.new_tensor([p.prior_mean for p in priors])
        self._factors = self._noise.new_zeros(len(priors), 16, 16)
        self._weights = self._noise.new_zeros(len(priors), 0)
        self.log_predictive = self._weights

    def observe(self, rows: Sequence[Float[Tensor, " D"]], y: float) -> None:
        """One more value; `O(V n^2)`.

        Args:
            rows: its input, as every prior takes it.
            y: the value.
        """
        n, known = self._weights.shape[1], self.posteriors
        points = [row.reshape(1, -1) for row in rows]
        prior = torch.stack([p.kernel.diagonal(x)[0] for p, x in zip(known, points, strict=True)])
        k = torch.stack([p.kernel(p.inputs, x)[:, 0] for p, x in zip(known, points, strict=True)])
        if n == self._factors.shape[1]:
            self._factors = torch.nn.functional.pad(self._factors, (0, n, 0, n))
        factors = self._factors[:, :n, :n]
        whitened = torch.bmm(factors, k.unsqueeze(-1))
        pivot = pivots(prior, whitened.square().sum((1, 2)), self._noise)
        # As in `Posterior.extended`: the last row of L^-1, and weights that grow by its residual times that row.
        self._factors[:, n, :n] = -torch.bmm(whitened.transpose(1, 2), factors)[:, 0] / pivot.unsqueeze(-1)
        self._factors[:, n, n] = 1.0 / pivot
        residual = (float(y) - self._mean - (k * self._weights).sum(1)) / pivot
        self._weights = torch.nn.functional.pad(self._weights, (0, 1)) + (
            residual.unsqueeze(-1) * self._factors[:, n, : n + 1]
        )
        density = -pivot.log() - 0.5 * (math.log(2.0 * math.pi) + residual.square())
        self.log_predictive = torch.cat([self.log_predictive, density.unsqueeze(-1)], 1)
        self.posteriors = [
            replace(
                p,
                inputs=torch.cat([p.inputs, x]),
                inverse_factor=self._factors[v, : n + 1, : n + 1],
                weights=self._weights[v],
            )
            for v, (p, x) in enumerate(zip(known, points, strict=True))
        ]
