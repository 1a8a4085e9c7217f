"""A latent utility from answers to "which of the two is better", and how consistent whoever answers is.

    u ~ GP;  P(a better) = Phi((u_a - u_b - w) / (sqrt2 lam)),  P(same) = what is left between a and b,
    P(unacceptable) = Phi((m - u) / lam) for each of the two, m the prior mean: worse than what is expected of any walk

(Chu and Ghahramani, "Preference learning with Gaussian processes", ICML 2005; ties as an ordered probit.) Every answer
says that some difference of utilities, seen with Gaussian noise, lies in an interval, whose likelihood is log-concave,
so that Newton's method finds the one mode. There is no random start and no clipping, which BoTorch's `PairwiseGP` has:
the same answers give the same utility bit for bit. The result is an ordinary `Posterior`, with

    mean(x) = m + k(x, X) a,   cov(x, x') = k(x, x') - k(x, X) P k(X, x'),   P = A' (I + A K A')^-1 A

a the gradient of the log-likelihood at the mode and A'A its negative Hessian.

lambda is taken where the evidence by Laplace's approximation, times a log-normal prior around what is declared, is
largest on a grid; pairs that were asked twice tell it from differences of utility.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import log_ndtr
from torch import Tensor

from safebo.models.posterior import Posterior

FloatArray = NDArray[np.float64]

FACTORS = 2.0 ** np.arange(-3.0, 3.01, 0.5)
"""Candidates of lambda over the declared one."""

LOG_SPREAD = math.log(2.0)
"""Standard deviation of the prior of log lambda."""

STEPS, TOLERANCE = 100, 1e-10


@dataclass(frozen=True)
class Judgements:
    """Answers about the rows of some inputs: row `first` less row `second`, seen with noise, lies in an interval.

    Args:
        first: indices, `m`.
        second: indices, `m`; -1 where the utility of `first` alone, about the prior mean, is judged.
        lower: lower ends, in units of the indifference, `m`.
        upper: upper ends, `m`.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, str]]) -> Judgements:
        """From pairs of rows with what was said: `left` (the first is better), `right`, `same` or `unacceptable`."""
        found: list[tuple[int, int, float, float]] = []
        for a, b, word in rows:
            if word == "unacceptable":
                found += [(a, -1, -math.inf, 0.0), (b, -1, -math.inf, 0.0)]
            elif word == "same":
                found.append((a, b, -1.0, 1.0))
            else:
                better, worse = (a, b) if word == "left" else (b, a)
                found.append((better, worse, 1.0, math.inf))
        first, second, lower, upper = (
            (np.array(c) for c in zip(*found, strict=True)) if found else [np.zeros(0)] * 4
        )
        return cls(first.astype(np.int64), second.astype(np.int64), lower, upper)

    def __len__(self) -> int:
        return len(self.first)

    def differences(self, count: int) -> FloatArray:
        """The rows that are compared as a matrix, `m x count`: 1 and -1."""
        D = np.zeros((len(self), count))
        D[np.arange(len(self)), self.first] += 1.0
        paired = np.nonzero(self.second >= 0)[0]
        D[paired, self.second[paired]] -= 1.0
        return D


@dataclass(frozen=True)
class Consistency:
    """What is concluded of a person's lambda, in the utility's unit.

    Args:
        value: the most probable one on the grid.
        lower: 5 % of the probability lies below it.
        upper: 5 % lies above it.
        repeats: pairs that were asked twice.
        differing: of these, how many were answered otherwise the second time.
    """

    value: float
    lower: float
    upper: float
    repeats: int = 0
    differing: int = 0


@dataclass(frozen=True)
class Mode:
    """Laplace's approximation at the answered rows.

    Args:
        utility: less the prior mean at the mode, `n`.
        weights: gradient of the log-likelihood there, `n`.
        root: `A` with `A'A` the negative Hessian of the log-likelihood, `m x n`.
        factor: lower Cholesky factor of `I + A K A'`, `m x m`.
        evidence: log of the approximated evidence.
    """

    utility: FloatArray
    weights: FloatArray
    root: FloatArray
    factor: FloatArray
    evidence: float


def interval_likelihood(
    s: FloatArray, lower: FloatArray, upper: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log of `P(lower < s + noise e < upper)`, its derivative in s, and minus its second derivative, `m` each."""
    low, high = (lower - s) / noise, (upper - s) / noise
    flipped = low > 0  # in the upper tail differences cancel: mirrored they do not
    low, high = np.where(flipped, -high, low), np.where(flipped, -low, high)
    top, bottom = log_ndtr(high), log_ndtr(low)
    with np.errstate(divide="ignore"):
        log_p = top + np.log(-np.expm1(np.minimum(bottom - top, -1e-300)))

    def ratio(z: FloatArray) -> FloatArray:
        """phi(z) / P, 0 at the infinite ends."""
        return np.where(
            np.isfinite(z), np.exp(-0.5 * np.square(z) - 0.5 * math.log(2 * math.pi) - log_p), 0.0
        )

    at_low, at_high = ratio(low), ratio(high)
    slope = at_low - at_high
    low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
    curvature = slope**2 + high * at_high - low * at_low
    gradient = np.where(flipped, -slope, slope) / noise
    return log_p, gradient, np.maximum(curvature, 0.0) / noise**2


def mode(K: FloatArray, judged: Judgements, lam: float, indifference: float) -> Mode:
    """Laplace's approximation by Newton's method with halved steps.

    Args:
        K: prior covariances of the rows, `n x n`; it may be singular.
        judged: the answers.
        lam: standard deviation of a person's judgement of one walk.
        indifference: half width of the differences that look the same.
    """
    D = judged.differences(len(K))
    lower, upper = (
        np.where(np.isinf(e), e, np.nan_to_num(e) * indifference) for e in (judged.lower, judged.upper)
    )
    noise = np.where(judged.second >= 0, math.sqrt(2.0), 1.0) * lam
    weights = np.zeros(len(K))

    def objective(a: FloatArray) -> float:
        log_p, _, _ = interval_likelihood(D @ (K @ a), lower, upper, noise)
        return float(log_p.sum() - 0.5 * a @ K @ a)

    value = objective(weights)
    for _ in range(STEPS):
        u = K @ weights
        _, gradient, curvature = interval_likelihood(D @ u, lower, upper, noise)
        A = np.sqrt(curvature)[:, None] * D
        b = A.T @ (A @ u) + D.T @ gradient
        inner = np.linalg.solve(np.eye(len(A)) + A @ K @ A.T, A @ (K @ b))
        step = b - A.T @ inner - weights
        size, found = 1.0, objective(weights + step)
        while found < value - 1e-12 and size > 1e-8:
            size *= 0.5
            found = objective(weights + size * step)
        weights, value = weights + size * step, found
        if size * float(np.abs(K @ step).max(initial=0.0)) < TOLERANCE:
            break
    u = K @ weights
    log_p, gradient, curvature = interval_likelihood(D @ u, lower, upper, noise)
    A = np.sqrt(curvature)[:, None] * D
    factor: FloatArray = np.linalg.cholesky(np.eye(len(A)) + A @ K @ A.T).astype(np.float64)
    evidence = float(log_p.sum() - 0.5 * weights @ u - np.log(np.diagonal(factor)).sum())
    return Mode(u, D.T @ gradient, A, factor, evidence)


def most_consistent(
    K: FloatArray, judged: Judgements, declared: float, indifference: float
) -> tuple[Mode, Consistency]:
    """The mode at the most probable lambda, and what the answers say of it.

    Args:
        K: prior covariances of the rows, `n x n`.
        judged: the answers.
        declared: lambda, the median of its prior.
        indifference: half width of the differences that look the same.
    """
    candidates = declared * FACTORS
    modes = [mode(K, judged, lam, indifference) for lam in candidates]
    log_prior = -0.5 * np.square(np.log(FACTORS) / LOG_SPREAD)
    posterior = np.array([m.evidence for m in modes]) + log_prior
    share = np.exp(posterior - posterior.max())
    below = np.cumsum(share / share.sum())
    best = int(posterior.argmax())
    low, high = (float(candidates[int(np.searchsorted(below, q))]) for q in (0.05, 0.95))
    return modes[best], Consistency(float(candidates[best]), low, high)


def utility_posterior(prior: Posterior, X: Float[Tensor, "n D"], found: Mode) -> Posterior:
    """A mode as the posterior of a function of all inputs.

    Args:
        prior: of the utility, without observations.
        X: the answered rows.
        found: the mode there.
    """
    F = torch.linalg.solve_triangular(torch.tensor(found.factor), torch.tensor(found.root), upper=False)
    # A lower triangular factor of P = F'F: with J the reversal, F J = Q R gives P = (J R J)'(J R J).
    n = len(X)
    R = torch.linalg.qr(torch.cat([F, F.new_zeros(n, n)]).flip(1), mode="r").R
    return replace(
        prior,
        inputs=X,
        inverse_factor=R.flip(0).flip(1),
        weights=torch.tensor(found.weights),
        added_noise=None,
    )
