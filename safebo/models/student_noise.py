"""Noise with a Student distribution: measurements that do not fit the others count with more noise.

`y = f(x) + e`, where e has a Student distribution with `nu` degrees of freedom whose standard deviation is the declared
one, `s_0`, so that its scale is `c = s_0 sqrt((nu - 2) / nu)`. As a mixture, `e | w ~ N(0, c^2 / w)` and
`w ~ Gamma(nu / 2, nu / 2)`. With a mean-field posterior `q(f) q(w)` (Tipping and Lawrence 2005; Jylanki, Vanhatalo and
Vehtari 2011) f has the posterior of Gaussian noise whose variance `1 / E w_i` differs from row to row,

    s_i^2 = (c^2 nu + E e_i^2) / (nu + 1),      E e_i^2 = s_i^4 a_i^2 + s_i^2 - s_i^4 G_ii

with `G = (K + N)^-1` and `a = G (y - mean)`: the square of the row's residual, `s_i^2 a_i`, and the variance of f
there, both given all rows. That form holds as well where a row has further Gaussian noise (`Observation.noise`), which
adds up.

Two things are ours:

- No row counts with less than the declared variance `s_0^2`, although a Student distribution of that standard deviation
  has a narrower middle: ordinary measurements never make the model surer than Gaussian noise does. A row counts with
  more once `E e_i^2 > 3 s_0^2`, whatever nu is.
- All rows start from the declared variance, at every new trial again, and are updated together `PASSES` times. Where
  two measurements of the same gains contradict each other, the bound that the updates climb has a saddle at both taken
  for outliers alike, and a maximum at either; with every pass the logarithm of the ratio of their noises about doubles.
  So a majority has decided after three passes, while what is nearly a tie stays one: the mean lies between the two,
  with a standard deviation that holds both. Run to the end, the prior mean or round-off would decide.

Variances are rounded to quarters of a doubling: then they rarely change once they are known, and not by round-off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp
from torch import Tensor

from safebo.errors import InputError
from safebo.models.correlations import CorrelatedPosterior
from safebo.models.growing import LARGE_BLOCK, ONE_BY_ONE, SMALL_BLOCK
from safebo.models.mixture import MixturePosterior
from safebo.models.outliers import disbelief
from safebo.models.posterior import Posterior

PASSES = 4
"""Updates of all rows together; see above."""

STEPS = 4.0
"""Of a variance, per doubling."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class StudentNoise:
    """Noise with a Student distribution of the standard deviation that a posterior has as its noise's.

    Args:
        degrees: of freedom, nu, above 2.
    """

    degrees: float

    def inflation(self, posterior: Posterior, first: int, counted: Bool[Tensor, " k"]) -> Float[Tensor, " k"]:
        """Variance with which every row from `first` on counts beyond the declared noise.

        Args:
            posterior: with the declared noise (and with what rows have beyond it); one component, no mixture.
            first: rows before it are of another run and stay as they are.
            counted: which of the others are measurements with such noise: not those of a fall, nor clipped ones.
        """
        factor, residual = _arrays(posterior)
        among = np.concatenate([np.zeros(first, dtype=bool), counted.cpu().numpy()])
        found = self._inflation(factor, residual, posterior.noise_variance, among)
        return posterior.weights.new_tensor(found[first:])

    def _inflation(
        self, factor: FloatArray, residual: FloatArray, variance: float, among: NDArray[np.bool_]
    ) -> FloatArray:
        """The same from the inverse factor and the whitened residual, for all rows; `O(n^2 k)` for k inflated rows."""
        weights, diagonal = factor.T @ residual, np.square(factor).sum(0)
        more = np.zeros(len(weights))
        nu = self.degrees
        for _ in range(PASSES):
            own = variance + more
            a, g = _with_more(factor, weights, diagonal, more)
            square = np.square(own * a) + np.maximum(own - own * own * g, 0.0)
            # c^2 nu = s_0^2 (nu - 2).
            update = (variance * (nu - 2.0) + square) / (nu + 1.0) - variance
            more = np.where(among, np.maximum(update, 0.0), 0.0)
            if not more.any():
                break
        doublings = np.round(STEPS * np.log2(1.0 + more / variance)) / STEPS
        return np.asarray(variance * (np.exp2(doublings) - 1.0))

    def robust(
        self, posterior: Posterior, measured: Float[Tensor, " k"], counted: Bool[Tensor, " k"]
    ) -> Posterior:
        """The posterior in which rows that do not fit the others count with more noise; itself where all fit.

        A mixture's components (correlations with a simulation) each judge the rows by themselves.

        Args:
            posterior: with the declared noise; its last k rows are these measurements.
            measured: their values.
            counted: which of them have Student noise.
        """
        if isinstance(posterior, CorrelatedPosterior):
            parts = [self.robust(p, measured, counted) for p in posterior.components]
            return CorrelatedPosterior(parts, posterior.found)
        if isinstance(posterior, MixturePosterior):
            return MixturePosterior([self.robust(p, measured, counted) for p in posterior.components])
        first = posterior.count - len(measured)
        return inflated(posterior, measured, self.inflation(posterior, first, counted))

    def disbelief(
        self, cautious: Posterior, measured: Float[Tensor, " k"], counted: Bool[Tensor, " k"]
    ) -> tuple[float, ...]:
        """By how much less than measured margins count (`safebo.models.outliers`), at three standard deviations of the
        declared noise about what the other rows, as they count, predict: one that is better than that is both lowered
        and believed less.

        Args:
            cautious: posterior of the most cautious prior with the declared noise; no mixture.
            measured: values of its last k rows.
            counted: which of them have Student noise.
        """
        more = self.inflation(cautious, cautious.count - len(measured), counted)
        return disbelief(inflated(cautious, measured, more), measured, more)

    def predictions(
        self, posterior: Posterior, measured: Float[Tensor, " n"], counted: Bool[Tensor, " k"], known: int = 0
    ) -> Float[Tensor, "k 2"]:
        """What the rows before each of the last k predict, from the `known`-th on: how far the measurement lies above
        the predicted mean, and the variance of what is no Student noise.

        The noise of the rows before is what they alone say of it, without the predicted row or later ones, so that a
        prediction is fixed before its measurement and never changes, bit for bit. From the factor L^-1 of the declared
        noise: the pivot gives the variance, the row of L^-1 the weights of the mean, and the rows with more noise are
        an update of as low a rank.

        Args:
            posterior: with the declared noise; one component, no mixture.
            measured: values of all its rows.
            counted: which of the last k have Student noise.
            known: so many of them need no prediction.
        """
        first, n = posterior.count - len(counted), posterior.count
        factor = posterior.inverse_factor.cpu().numpy()
        deviation = measured.cpu().numpy() - posterior.prior_mean
        residual = np.array([factor[t, : t + 1] @ deviation[: t + 1] for t in range(n)])
        among = np.concatenate([np.zeros(first, dtype=bool), counted.cpu().numpy()])
        found = np.empty((n - first - known, 2))
        for row, t in enumerate(range(first + known, n)):
            pivot = 1.0 / factor[t, t]
            above, variance = pivot * residual[t], pivot * pivot - posterior.noise_variance
            before = factor[:t, :t].copy()
            more = self._inflation(before, residual[:t], posterior.noise_variance, among[:t])
            chosen = np.flatnonzero(more)
            if len(chosen):
                # With g = G k(inputs, x): mean' = mean - g_S B a_S and variance' = variance + g_S B g_S.
                root = np.sqrt(more[chosen])
                g, a = -pivot * factor[t, chosen] * root, root * (before[:, chosen].T @ residual[:t])
                inner = before[:, chosen].T @ before[:, chosen] * np.outer(root, root)
                solved = np.linalg.solve(np.eye(len(chosen)) + inner, np.stack([a, g], 1))
                above, variance = above + g @ solved[:, 0], variance + g @ solved[:, 1]
            found[row] = above, max(variance, 0.0)
        return torch.tensor(found)

    def log_density(self, predictions: Float[Tensor, "n 2"], noise_variance: float) -> Float[Tensor, " n"]:
        """Log predictive densities of measurements: `E_w N(above; 0, variance + c^2 / w)`.

        The mixture over w is a sum over fixed nodes, whose weights sum to 1: a density, whatever the nodes are.

        Args:
            predictions: of `predictions`.
            noise_variance: of one measurement, as declared.
        """
        above, variance = self._mixed(predictions, noise_variance)
        terms = self._shares - 0.5 * (np.log(2.0 * math.pi * variance) + np.square(above) / variance)
        return torch.tensor(_log_sum(terms))

    def standardized(self, predictions: Float[Tensor, "n 2"], noise_variance: float) -> Float[Tensor, " n"]:
        """Normal quantiles of the measurements' predictive probabilities: standard normal where the model is right."""
        above, variance = self._mixed(predictions, noise_variance)
        tail = _log_sum(self._shares + log_ndtr(-np.abs(above) / np.sqrt(variance)))
        return torch.tensor(np.copysign(-ndtri_exp(tail), predictions.numpy()[:, 0]))

    def _mixed(self, predictions: Tensor, noise_variance: float) -> tuple[FloatArray, FloatArray]:
        scale = noise_variance * (self.degrees - 2.0) / self.degrees
        values = predictions.numpy()
        return values[:, :1], values[:, 1:] + scale * np.exp(-self._nodes)

    @cached_property
    def _nodes(self) -> FloatArray:
        """Nodes of log w: the trapezoidal rule converges geometrically for these analytic integrands."""
        return np.arange(-30.0, 4.0, 0.2)

    @cached_property
    def _shares(self) -> FloatArray:
        """Logarithms of their weights."""
        log_density = 0.5 * self.degrees * (self._nodes - np.exp(self._nodes))
        return np.asarray(log_density - _log_sum(log_density[None]))


def student_noises(degrees: Sequence[float | None] | None, functions: int) -> tuple[StudentNoise | None, ...]:
    """The noise of every function where it has a Student distribution; None where it is Gaussian.

    Raises:
        InputError: not one for each function, or degrees of freedom that are none.
    """
    if degrees is None:
        return (None,) * functions
    if len(degrees) != functions:
        raise InputError(
            f"noise_degrees needs a number or None for every function ({functions}), got {len(degrees)}"
        )
    for nu in degrees:
        if nu is not None and not 2.0 < nu <= 30.0:
            raise InputError(f"noise_degrees must be above 2 and at most 30, or None, got {nu:g}")
    return tuple(None if nu is None else StudentNoise(nu) for nu in degrees)


def inflated(posterior: Posterior, measured: Float[Tensor, " k"], more: Float[Tensor, " k"]) -> Posterior:
    """The posterior whose last k rows, these measurements, have so much more noise; itself where none has.

    Rows up to the first that has more stay as they are, and later ones are conditioned on in blocks whose ends depend
    on their numbers alone: one more row leaves the factor of the full blocks before it as it is.
    """
    n, first = posterior.count, posterior.count - len(measured)
    if not bool(more.any()):
        return posterior
    unchanged = first + int(torch.nonzero(more)[0])
    ends = [*range(0, min(n, ONE_BY_ONE), SMALL_BLOCK), *range(ONE_BY_ONE, n, LARGE_BLOCK), n]
    begin = max(first, max(end for end in ends if end <= unchanged))
    result = leading(posterior, begin)
    known = torch.zeros_like(posterior.weights) if posterior.added_noise is None else posterior.added_noise
    added = (known[first:] + more).tolist()
    for start, end in pairwise([begin, *(e for e in ends if e > begin)]):
        own = slice(start - first, end - first)
        result = result.conditioned(posterior.inputs[start:end], measured[own], added[own])
    return result


def _log_sum(terms: FloatArray) -> FloatArray:
    """Logarithms of the sums of exponentials, row by row."""
    largest = terms.max(1)
    return np.asarray(largest + np.log(np.exp(terms - largest[:, None]).sum(1)))


def _arrays(posterior: Posterior) -> tuple[FloatArray, FloatArray]:
    """The inverse factor and the whitened residual."""
    return posterior.inverse_factor.cpu().numpy(), posterior.whitened_residual().cpu().numpy()


def leading(posterior: Posterior, count: int) -> Posterior:
    """The posterior of the first `count` rows."""
    factor = posterior.inverse_factor[:count, :count]
    return replace(
        posterior,
        inputs=posterior.inputs[:count],
        inverse_factor=factor,
        weights=factor.T @ posterior.whitened_residual()[:count],
        added_noise=None if posterior.added_noise is None else posterior.added_noise[:count],
    )


def _with_more(
    factor: FloatArray, weights: FloatArray, diagonal: FloatArray, more: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """`G (y - mean)` and the diagonal of G for noise that has more than that of the factor, G = L^-T L^-1.

    `G' = G - G_S R (I + R G_SS R)^-1 R G_S^T` with R the roots of what the rows S have more.
    """
    chosen = np.flatnonzero(more)
    if len(chosen) == 0:
        return weights, diagonal
    root = np.sqrt(more[chosen])
    columns = (factor.T @ factor[:, chosen]) * root
    inner = np.eye(len(chosen)) + root[:, None] * columns[chosen]
    solved = np.linalg.solve(inner, np.column_stack([root * weights[chosen], columns.T]))
    return weights - columns @ solved[:, 0], diagonal - np.einsum("ns,sn->n", columns, solved[:, 1:])
