"""Gaussian-process posteriors, confidence intervals and beta from textbook formulas: numpy alone.

A second program beside `safebo`, to check it with: nothing of it is imported here, every posterior is one dense
Cholesky factorisation of all observations, nothing is cached and nothing updated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Groups = tuple[tuple[tuple[int, ...], ...], ...]
"""A sum (outer) of products (inner) of kernels over groups of columns."""


@dataclass(frozen=True)
class Relation:
    """How a simulation's function and the robot's belong together: their joint covariance is
    `k(x, x') [[r^2, r s], [r s, s^2]]` plus, for the robot alone, `(1 - r^2) k'(x, x')`.

    Args:
        correlation: r, of the two at one input.
        ratio: s, the simulation's prior standard deviation over the robot's.
        stretch: lengthscales of k' over those of k.
    """

    correlation: float
    ratio: float
    stretch: float


@dataclass(frozen=True)
class FunctionPrior:
    """What is believed of one function before it is observed.

    Args:
        kind: `rbf`, `matern12`, `matern32` or `matern52`.
        lengthscale: one per column, `D`.
        std: prior standard deviation.
        noise_std: standard deviation of an observation's noise.
        mean: constant prior mean.
        groups: structure of the kernel; None for one kernel over all columns.
        period: one per column, infinite where there is none, `D`; None when there is none at all.
        relation: to a simulation; inputs then have one more column, 1 for the simulation's and 0 for the robot's.
    """

    kind: str
    lengthscale: FloatArray
    std: float
    noise_std: float
    mean: float = 0.0
    groups: Groups | None = None
    period: FloatArray | None = None
    relation: Relation | None = None

    def covariance(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """Prior covariance of the rows of `a` (`n x D`) and `b` (`k x D`), `n x k`."""
        if self.relation is None:
            return self._one(a, b)
        r, s = self.relation.correlation, self.relation.ratio
        scale_a, scale_b = np.where(a[:, -1] == 1, s, r), np.where(b[:, -1] == 1, s, r)
        shared = self._one(a[:, :-1], b[:, :-1]) * np.outer(scale_a, scale_b)
        stretched = replace(self, lengthscale=self.lengthscale * self.relation.stretch)
        both_robot = np.outer(a[:, -1] == 0, b[:, -1] == 0)
        return shared + (1.0 - r**2) * both_robot * stretched._one(a[:, :-1], b[:, :-1])

    def _one(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """Covariance of one function."""
        groups = self.groups or ((tuple(range(a.shape[1])),),)
        total = np.zeros((len(a), len(b)))
        for product in groups:
            term = np.ones((len(a), len(b)))
            for columns in product:
                term *= self._radial(a, b, list(columns))
            total += term
        return self.std**2 * total / len(groups)

    def _radial(self, a: FloatArray, b: FloatArray, columns: list[int]) -> FloatArray:
        squared = np.zeros((len(a), len(b)))
        for j in columns:
            difference = a[:, None, j] - b[None, :, j]
            period = math.inf if self.period is None else self.period[j]
            if math.isfinite(period):
                # The chord between two points of a circle of that circumference.
                difference = period / math.pi * np.sin(math.pi * difference / period)
            squared += (difference / self.lengthscale[j]) ** 2
        r = np.sqrt(squared)
        if self.kind == "rbf":
            return np.exp(-0.5 * squared)
        if self.kind == "matern12":
            return np.exp(-r)
        if self.kind == "matern32":
            return (1.0 + math.sqrt(3.0) * r) * np.exp(-math.sqrt(3.0) * r)
        return (1.0 + math.sqrt(5.0) * r + 5.0 / 3.0 * squared) * np.exp(-math.sqrt(5.0) * r)

    def moments(self, X: FloatArray, y: FloatArray, Z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior means and standard deviations of the robot's function at Z (`k x D`).

        Args:
            X: observed inputs, `n x D`.
            y: observations, `n`.
            Z: where.
        """
        prior = np.full(len(Z), self.std**2)
        if len(X) == 0:
            return np.full(len(Z), self.mean), np.sqrt(prior)
        factor = np.linalg.cholesky(self.covariance(X, X) + self.noise_std**2 * np.eye(len(X)))
        white = np.linalg.solve(factor, self.covariance(X, Z))
        mean = self.mean + white.T @ np.linalg.solve(factor, y - self.mean)
        return mean, np.sqrt(np.maximum(prior - (white**2).sum(0), 1e-12 * prior))

    def information(self, X: FloatArray) -> float:
        """`1/2 ln det(K / noise + I)` of observations at X, in nats."""
        if len(X) == 0:
            return 0.0
        K = self.covariance(X, X) / self.noise_std**2 + np.eye(len(X))
        return 0.5 * float(np.linalg.slogdet(K)[1])


def mixture_moments(
    priors: Sequence[FunctionPrior], X: FloatArray, y: FloatArray, Z: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of an equally weighted mixture of posteriors."""
    means, stds = (np.array(part) for part in zip(*(p.moments(X, y, Z) for p in priors), strict=True))
    return means.mean(0), np.sqrt((stds**2).mean(0) + means.var(0))


def intersected_interval(
    prior: FunctionPrior, X: FloatArray, y: FloatArray, Z: FloatArray, betas: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Intersection of the intervals after 0, 1, ... observations, each refitted; the last where it is empty.

    Args:
        prior: of the function.
        X: observed inputs in their order, `n x D`.
        y: observations, `n`.
        Z: where, `k x D`.
        betas: after 0, 1, ... observations, `n + 1`.
    """
    lower, upper = np.full(len(Z), -math.inf), np.full(len(Z), math.inf)
    low = high = lower
    for count, beta in enumerate(betas):
        mean, std = prior.moments(X[:count], y[:count], Z)
        low, high = mean - beta * std, mean + beta * std
        lower, upper = np.maximum(lower, low), np.minimum(upper, high)
    empty = lower > upper
    return np.where(empty, low, lower), np.where(empty, high, upper)


def lipschitz_margins(
    Z: FloatArray, tried: FloatArray, reference: FloatArray, constants: FloatArray, thresholds: FloatArray
) -> FloatArray:
    """`max over tried points j of reference_ij - L_i ||z - x_j||`, less the thresholds, point by point, `k x c`."""
    result = np.full((len(Z), len(constants)), -math.inf)
    for k, z in enumerate(Z):
        for x, values in zip(tried, reference, strict=True):
            distance = math.sqrt(float(((z - x) ** 2).sum()))
            for i, value in enumerate(values):
                if not math.isnan(value):
                    result[k, i] = max(result[k, i], value - constants[i] * distance - thresholds[i])
    return result


@dataclass(frozen=True)
class BetaRule:
    """Beta after n observations, from the published formulas (`safebo.models.schedules` names the sources).

    Args:
        schedule: its name.
        constant: beta of `constant`.
        delta: of one function.
        norm: B.
        noise: R; None for the prior's own.
        domain_size: points of a finite domain, for `srinivas2010`.
        sample: points of the unit cube among which the largest information gain is sought, `p x D`.
    """

    schedule: str
    constant: float
    delta: float
    norm: float
    noise: float | None
    domain_size: int | None
    sample: FloatArray

    def after(self, prior: FunctionPrior, X: FloatArray) -> float:
        """Beta after observations at X (`n x D`)."""
        n = len(X)
        if self.schedule == "constant":
            return self.constant
        if self.schedule == "logarithmic":
            return 2.0 * math.log(n + 1)
        if self.schedule == "posterior":
            return -NormalDist().inv_cdf(6.0 * self.delta / (math.pi * (n + 1)) ** 2)
        if self.schedule == "srinivas2010":
            assert self.domain_size is not None
            return math.sqrt(
                2.0 * math.log(self.domain_size * (n + 1) ** 2 * math.pi**2 / (6.0 * self.delta))
            )
        ratio = (prior.noise_std if self.noise is None else self.noise) / prior.noise_std
        if self.schedule == "fiedler2024":
            gain = prior.information(X)
            return self.norm + ratio * math.sqrt(2.0 * (2.0 * gain + math.log(1.0 / self.delta)))
        gamma = self.greedy_gain(prior, n)
        if self.schedule == "sui2015":
            return math.sqrt(2.0 * self.norm**2 + 300.0 * gamma * math.log((n + 1) / self.delta) ** 3)
        return self.norm + ratio * math.sqrt(2.0 * (gamma + 1.0 + math.log(1.0 / self.delta)))

    def greedy_gain(self, prior: FunctionPrior, n: int) -> float:
        """Information of n points chosen greedily from the sample, over `1 - 1/e`: no n points of it have more."""
        chosen: list[int] = []
        for _ in range(n):
            # The point with the largest posterior variance adds most.
            _, std = prior.moments(self.sample[chosen], np.zeros(len(chosen)), self.sample)
            chosen.append(int(std.argmax()))
        return prior.information(self.sample[chosen]) / (1.0 - math.exp(-1.0))
