"""A posterior of many observations through a few pivots: what a search looks at where exact answers take too long.

The fully independent training conditional (Snelson and Ghahramani 2006), with pivots chosen among the observed inputs.
Intervals are wider than the exact ones as far as the pivots do not tell; nothing is certified by them.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from safebo.models.kernels import StationaryKernel
from safebo.models.low_rank import PivotedCholesky, pivoted_cholesky
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate, shared_correlation

RANK = 256
"""Pivots. An evaluation then costs what it does at so many observations, however many there are."""

KNOWN = 0.01
"""Variance that a pivot may miss everywhere before it is left out, as a part of the noise's."""


def condensed(surrogate: Surrogate, rank: int = RANK) -> Surrogate:
    """The surrogate with every function's posterior through at most `rank` pivots, in `O(n^2 + n rank^2)`."""
    known: list[tuple[Posterior, PivotedCholesky]] = []
    return Surrogate([_condensed(p, rank, known) for p in surrogate.posteriors], surrogate.inflation)


def _condensed(posterior: Posterior, rank: int, known: list[tuple[Posterior, PivotedCholesky]]) -> Posterior:
    if isinstance(posterior, MixturePosterior):
        return MixturePosterior([_condensed(p, rank, []) for p in posterior.components])
    if posterior.count <= rank:
        return posterior
    kernel, inputs, noise = posterior.kernel, posterior.inputs, posterior.noise_variance
    chosen = _pivots(posterior, rank, known)
    V, left = chosen.rows, chosen.left
    eye = torch.eye(len(V), dtype=V.dtype, device=V.device)
    inverse = torch.linalg.solve_triangular(V[:, chosen.pivots].T.tril(), eye, upper=False)
    # y - prior mean = L L^-1 (y - prior mean), with the inverse of L at hand.
    residual = torch.linalg.solve_triangular(
        posterior.inverse_factor, posterior.whitened_residual().unsqueeze(-1), upper=False
    ).squeeze(-1)
    # With features phi(x) = L_P^-1 k(P, x), V = phi(X), weights 1 / (left + noise) of the observations and
    # B = I + V W V^T = U (I + S) U^T: mean = prior mean + phi B^-1 V W (y - prior mean) and explained variance
    # phi (I - B^-1) phi, whose root is S^(1/2) (I + S)^(-1/2) U^T phi.
    weighted = V / (left + noise)
    S, U = torch.linalg.eigh(weighted @ V.T)
    S, rotated = S.clamp_min(0.0), U.T @ inverse
    root = (S / (1.0 + S)).sqrt().unsqueeze(-1) * rotated
    weights = rotated.T @ ((U.T @ (weighted @ residual)) / (1.0 + S))
    return Posterior(kernel, posterior.prior_mean, noise, inputs[chosen.pivots], root, weights)


def _pivots(
    posterior: Posterior, rank: int, known: list[tuple[Posterior, PivotedCholesky]]
) -> PivotedCholesky:
    """Functions that differ in their variance alone share their pivots, and predictions then their covariances."""
    kernel, inputs = posterior.kernel, posterior.inputs
    for other, chosen in known:
        if shared_correlation(posterior, other):
            assert isinstance(kernel, StationaryKernel)
            assert isinstance(other.kernel, StationaryKernel)
            ratio = kernel.variance / other.kernel.variance
            return replace(chosen, rows=chosen.rows * ratio**0.5, left=chosen.left * ratio)
    largest = float(kernel.diagonal(inputs).max())
    known.append(
        (posterior, pivoted_cholesky(kernel, inputs, rank, KNOWN * posterior.noise_variance / largest))
    )
    return known[-1][1]
