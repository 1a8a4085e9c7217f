"""A posterior of many observations through a few pivots: what a search looks at where exact answers take too long.

The fully independent training conditional (Snelson and Ghahramani 2006), with pivots chosen among the observed inputs.
Intervals are wider than the exact ones as far as the pivots do not tell; nothing is certified by them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from safebo.models.correlations import CorrelatedPosterior
from safebo.models.kernels import Kernel, StationaryKernel
from safebo.models.low_rank import PivotedCholesky, pivoted_cholesky, with_last_pivots
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate, shared_correlation

RANK = 256
"""Pivots. An evaluation then costs what it does at so many observations, however many there are."""

FRESH = 10
"""Pivots are chosen among the observations up to a multiple of this number, once for them all; those after it are
pivots too, so that a search knows at once what was told last."""

KNOWN = 0.01
"""Variance that a pivot may miss everywhere before it is left out, as a part of the noise's."""


class PivotMemo:
    """Pivots chosen before: the choice is a function of its arguments, and takes a fifth of an ask."""

    def __init__(self) -> None:
        self._known: list[tuple[Kernel, Tensor, tuple[int, float], PivotedCholesky]] = []

    def pivots(self, kernel: Kernel, inputs: Tensor, rank: int, tolerance: float) -> PivotedCholesky:
        """`pivoted_cholesky` of these arguments."""
        for known, points, limits, found in self._known:
            if known is kernel and limits == (rank, tolerance) and torch.equal(points, inputs):
                return found
        found = pivoted_cholesky(kernel, inputs, rank, tolerance)
        self._known = [*self._known[-3:], (kernel, inputs, (rank, tolerance), found)]
        return found


def condensed(surrogate: Surrogate, rank: int = RANK, memo: PivotMemo | None = None) -> Surrogate:
    """The surrogate with every function's posterior through about `rank` pivots, in `O(n^2 + n rank^2)`."""
    known: list[tuple[Posterior, PivotedCholesky]] = []
    memo = PivotMemo() if memo is None else memo
    return Surrogate([_condensed(p, rank, known, memo) for p in surrogate.posteriors], surrogate.inflation)


def _condensed(
    posterior: Posterior, rank: int, known: list[tuple[Posterior, PivotedCholesky]], memo: PivotMemo
) -> Posterior:
    if isinstance(posterior, CorrelatedPosterior):
        return posterior
    if isinstance(posterior, MixturePosterior):
        return MixturePosterior([_condensed(p, rank, [], memo) for p in posterior.components])
    if posterior.count <= rank:
        return posterior
    kernel, inputs, noise = posterior.kernel, posterior.inputs, posterior.noise_variance
    noises = noise if posterior.added_noise is None else noise + posterior.added_noise
    chosen = _pivots(posterior, rank, known, memo)
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
    weighted = V / (left + noises)
    S, U = torch.linalg.eigh(weighted @ V.T)
    S, rotated = S.clamp_min(0.0), U.T @ inverse
    root = (S / (1.0 + S)).sqrt().unsqueeze(-1) * rotated
    weights = rotated.T @ ((U.T @ (weighted @ residual)) / (1.0 + S))
    return Posterior(kernel, posterior.prior_mean, noise, inputs[chosen.pivots], root, weights)


def _pivots(
    posterior: Posterior, rank: int, known: list[tuple[Posterior, PivotedCholesky]], memo: PivotMemo
) -> PivotedCholesky:
    """Functions that differ in their variance alone share their pivots, and predictions then their covariances."""
    kernel, inputs = posterior.kernel, posterior.inputs
    for other, chosen in known:
        if shared_correlation(posterior, other):
            assert isinstance(kernel, StationaryKernel)
            assert isinstance(other.kernel, StationaryKernel)
            ratio = kernel.variance / other.kernel.variance
            return replace(chosen, rows=chosen.rows * ratio**0.5, left=chosen.left * ratio)
    tolerance = KNOWN * posterior.noise_variance / float(kernel.diagonal(inputs).max())
    settled = posterior.count // FRESH * FRESH
    found = memo.pivots(kernel, inputs[:settled], rank, tolerance)
    known.append((posterior, with_last_pivots(kernel, inputs, found, tolerance)))
    return known[-1][1]
