"""A simulation's correlation that is earned: every correlation of a grid until the robot's own measurements refute it.

One function of the robot has, for every correlation r of `GRID`, a posterior given the simulated trials (`TaskPrior`).
With the one-step predictives p_r of the robot's measurements and equal weights w,

    e_r(t) = sum_s w_s p_s(t) / p_r(t)                r is kept while e_r(t) < K
    Phi(-beta_r) = Phi(-beta) (1 + e_r(t)) / 2        interval of r: mean_r -/+ beta_r std_r

If r is the truth e_r is a nonnegative martingale of mean 1 however the trials were chosen, so that r is ever left out
with a probability of at most 1 / K (Ville), and the interval of r fails on average no more often than one with beta
does: what the measurements speak against is believed with less of a reserve, and the more for it (ours; the confidence
set is after Luebsen, Hespe and Eichler 2023, who take it from a hyper-posterior). A constraint's interval is the union
of those of the kept correlations. As 0, the robot alone, is among them until it is refuted, a simulation narrows little
before the data speak for it. No factor of one trial is cut: the robot alone expects least, so that an outlier speaks
for it. The objective, which certifies nothing, is predicted by all correlations in the proportion of their likelihoods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import log_ndtr, ndtri_exp
from torch import Tensor

from safebo.models.function_model import FunctionModel, TaskPrior
from safebo.models.kernels import CoregionalKernel, StationaryKernel
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import MINIMAL_VARIANCE, FixedPoints, Posterior
from safebo.study import PriorDataSpec

SIMULATION = 1.0
"""The task's number in the further column of a simulated input; the robot's is 0 and need not be written."""

GRID = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""What a simulation leaves of the standard deviation, `sqrt(1 - r^2)`, falls from 1 to 0.1, about a quarter a step."""

NEGLIGIBLE = 1e-3
"""Share under which a correlation is left out of a mixture."""

BLOCK_NUMBERS = 2**23
"""Numbers that one prediction may hold at once (64 MiB)."""


SharedCorrelations = list[tuple[StationaryKernel, Tensor, Tensor]]
"""Kernels, observed inputs, and the correlations of points with them: what functions alike need not compute again."""


def correlated_models(model: FunctionModel, spec: PriorDataSpec) -> tuple[FunctionModel, ...]:
    """One prior for every correlation of `GRID`."""
    return tuple(
        replace(model, tasks=TaskPrior(r, spec.std_ratio, spec.discrepancy_lengthscale)) for r in GRID
    )


@dataclass(frozen=True)
class KeptCorrelations:
    """What is believed of one function's correlation.

    Args:
        kept: correlations that the measurements have not refuted, rising.
        against: log e_r of every correlation of `GRID`.
    """

    kept: tuple[float, ...]
    against: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Posterior weight of every correlation of `GRID`."""
        return tuple(math.exp(-value) / len(GRID) for value in self.against)

    @property
    def likeliest(self) -> float:
        """The correlation with the largest share."""
        return GRID[max(range(len(GRID)), key=lambda i: self.shares[i])]

    @property
    def earned(self) -> bool:
        """Whether the simulation narrows an interval: the robot alone is refuted."""
        return self.kept[0] > 0.0

    def __str__(self) -> str:
        low, high = self.kept[0], self.kept[-1]
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"


EVERYTHING = KeptCorrelations(GRID, (0.0,) * len(GRID))
"""Before the first measurement."""


def kept_correlations(log_density: Float[Tensor, "r n"], evidence: float) -> KeptCorrelations:
    """What the robot's measurements leave of the correlations of `GRID`.

    Args:
        log_density: of every measurement given those before it and the simulation, by correlation; 0 where it is no
            Gaussian observation.
        evidence: K.
    """
    total = log_density.sum(-1)
    against = torch.logsumexp(total, 0) - math.log(len(total)) - total
    kept = (against < math.log(evidence)).tolist()
    return KeptCorrelations(
        tuple(r for r, holds in zip(GRID, kept, strict=True) if holds), tuple(against.tolist())
    )


def reserve(beta: float, against: float) -> float:
    """beta_r of a correlation, `Phi(-beta_r) = Phi(-beta) (1 + e_r) / 2`, at least 0.

    Args:
        beta: of an interval whose correlation is known.
        against: log e_r.
    """
    spent = float(log_ndtr(-beta)) + float(np.logaddexp(0.0, against)) - math.log(2.0)
    return max(0.0, -float(ndtri_exp(min(spent, -math.log(2.0)))))


def mixture_density(log_density: Float[Tensor, "r n"], counted: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Log density of every measurement under the mixture of all correlations, given those before it."""
    sums = torch.where(counted, log_density, 0.0).cumsum(-1)
    mixture = torch.logsumexp(sums, 0) - math.log(len(sums))
    return torch.diff(mixture, prepend=mixture.new_zeros(1))


class CorrelatedPosterior(MixturePosterior):
    """The posterior of one function of the robot over correlations with a simulation.

    Moments are those of the mixture by shares, the interval is the union over the kept correlations. Correlations that
    are neither kept nor have a share are left out, as they say nothing.

    Args:
        components: posteriors of the same observations, one per correlation of `GRID`, over a `CoregionalKernel`.
        found: what is believed of the correlations.
    """

    def __init__(self, components: Sequence[Posterior], found: KeptCorrelations) -> None:
        super().__init__(components)
        self.found: KeptCorrelations
        self.active: tuple[int, ...]
        kept = [r in found.kept for r in GRID]
        active = tuple(i for i in range(len(GRID)) if kept[i] or found.shares[i] >= NEGLIGIBLE)
        object.__setattr__(self, "found", found)
        object.__setattr__(self, "active", active)

    def __repr__(self) -> str:
        return f"CorrelatedPosterior({self.found}, {self.count} observations)"

    def _again(self, components: Sequence[Posterior]) -> CorrelatedPosterior:
        return CorrelatedPosterior(components, self.found)

    def to(self, device: torch.device | str) -> CorrelatedPosterior:
        """The same on another device."""
        return self._again([p.to(device) for p in self.components])

    def extended(self, x: Float[Tensor, " D"], y: float, added: float = 0.0) -> CorrelatedPosterior:
        """After one more observation, which does not change what is believed of the correlations."""
        return self._again([p.extended(x, y, added) for p in self.components])

    def conditioned(
        self, X: Float[Tensor, "k D"], y: Float[Tensor, " k"], added: Sequence[float] = ()
    ) -> CorrelatedPosterior:
        """After k more observations, likewise."""
        return self._again([p.conditioned(X, y, added) for p in self.components])

    def shifted(self, change: Float[Tensor, " k"]) -> CorrelatedPosterior:
        """If the last k values were larger by `change`, which changes nothing of the correlations either."""
        return self._again([p.shifted(change) for p in self.components])

    def fantasized(self, x: Float[Tensor, " D"]) -> CorrelatedPosterior:
        """After every component observed its own mean at x: the same means, smaller variances."""
        return self._again([p.fantasized(x) for p in self.components])

    @cached_property
    def _weights(self) -> Float[Tensor, " a"]:
        shares = self.inputs.new_tensor([self.found.shares[i] for i in self.active])
        return shares / shares.sum()

    @cached_property
    def _kept(self) -> list[int]:
        return [j for j, i in enumerate(self.active) if GRID[i] in self.found.kept]

    @cached_property
    def _simulated(self) -> tuple[Float[Tensor, "s s"], Float[Tensor, " a"]]:
        """The factor of the simulated rows, which come first and have one for all correlations, and by correlation what
        covariances with them are multiplied by.
        """
        components = [self.components[i] for i in self.active]
        count = int((self.inputs[:, -1] == SIMULATION).int().cumprod(0).sum())
        scales = torch.stack([self._kernel(p).parts[0][1][0, int(SIMULATION)] for p in components])
        return components[0].inverse_factor[:count, :count], scales

    @cached_property
    def _parts(self) -> tuple[tuple[StationaryKernel, Tensor, Tensor], ...]:
        """Of every part of the kernel, what its covariances are multiplied by for means (`n x a`) and for the rows of
        the robot in the roots of the explained variance (`n x (a (n - s))`).

        Component r has the covariance `k(x, z) B_r[0, task of z]`, so that its factor can carry the matrix B.
        """
        components = [self.components[i] for i in self.active]
        n, first = self.inputs.shape[0], len(self._simulated[0])
        parts = []
        for q, (kernel, _) in enumerate(self._kernel(components[0]).parts):
            assert isinstance(kernel, StationaryKernel)
            tasks = self.inputs[:, -1].round().long()
            rows = [self._kernel(p).parts[q][1][0, tasks] for p in components]
            means = torch.stack([w * p.weights for w, p in zip(rows, components, strict=True)], 1)
            roots = torch.stack([p.inverse_factor[first:] * w for w, p in zip(rows, components, strict=True)])
            parts.append((kernel, means, roots.reshape(-1, n).T.contiguous()))
        return tuple(parts)

    @staticmethod
    def _kernel(p: Posterior) -> CoregionalKernel:
        assert isinstance(p.kernel, CoregionalKernel)
        return p.kernel

    def by_correlation(
        self, X: Float[Tensor, "m D"], known: SharedCorrelations | None = None
    ) -> tuple[Float[Tensor, "m a"], Float[Tensor, "m a"]]:
        """Means and variances at X of the active correlations.

        Args:
            X: inputs without a task's column.
            known: correlations of X with inputs that functions share; those computed here are added.
        """
        (factor, scales), count = self._simulated, len(self.active)
        first, n = len(factor), self.inputs.shape[0]
        size = max(1, BLOCK_NUMBERS // max(1, n + (n - first) * count))
        if len(X) > size:
            blocks = [self.by_correlation(part) for part in X.split(size)]
            return torch.cat([mean for mean, _ in blocks]), torch.cat([variance for _, variance in blocks])
        mean = X.new_full((len(X), count), self.prior_mean)
        white = X.new_zeros(len(X), count * (n - first))
        explained = X.new_zeros(len(X), count)
        for q, (kernel, means, roots) in enumerate(self._parts):
            k = kernel.variance * self._correlation(kernel, X, [] if known is None else known)
            mean, white = mean + k @ means, white + k @ roots
            if q == 0:  # what the simulation does not explain has no covariance with it
                explained = (k[:, :first] @ factor.T).square().sum(-1, keepdim=True) * scales.square()
        prior = self.components[0].kernel.diagonal(X).unsqueeze(-1)
        explained = explained + white.reshape(len(X), count, n - first).square().sum(-1)
        return mean, torch.maximum(prior - explained, MINIMAL_VARIANCE * prior)

    def _correlation(self, kernel: StationaryKernel, X: Tensor, known: SharedCorrelations) -> Tensor:
        for other, inputs, found in known:
            if kernel.same_correlation(other) and torch.equal(inputs, self.inputs):
                return found
        found = kernel.correlation(X, self.inputs[:, :-1])
        known.append((kernel, self.inputs, found))
        return found

    def interval(
        self,
        X: Float[Tensor, "m D"],
        beta: float | Tensor,
        known: SharedCorrelations | None = None,
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """The union of the intervals of the kept correlations at X."""
        mean, variance = self.by_correlation(X, known)
        betas = [reserve(float(beta), self.found.against[i]) for i in self.active]
        reach = mean.new_tensor(betas) * variance.sqrt()
        return (mean - reach)[:, self._kept].amin(-1), (mean + reach)[:, self._kept].amax(-1)

    def mixed_interval(
        self,
        X: Float[Tensor, "m D"],
        beta: float | Tensor,
        known: SharedCorrelations | None = None,
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """The interval of the mixture by shares, for a function that certifies nothing."""
        mean, variance = self._mixed(*self.by_correlation(X, known))
        return mean - beta * variance.sqrt(), mean + beta * variance.sqrt()

    def mean_variance(
        self, X: Float[Tensor, "m D"], covariance: Float[Tensor, "m n"] | None = None
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Moments of the mixture by shares; `covariance` is not used."""
        mean, variance = self.by_correlation(X)
        return self._mixed(mean, variance)

    def _mixed(
        self, mean: Float[Tensor, "m a"], variance: Float[Tensor, "m a"]
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        middle = mean @ self._weights
        between = (mean - middle.unsqueeze(-1)).square()
        return middle, (variance + between) @ self._weights

    def mean(self, X: Float[Tensor, "m D"]) -> Float[Tensor, " m"]:
        """Means at the rows of X."""
        mean = self.by_correlation(X)[0]
        return mean @ self._weights

    def against(
        self, X: Float[Tensor, "m D"], fixed: FixedPoints
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"], Float[Tensor, "m k"]]:
        """Means and variances at X, and posterior covariances with fixed points."""
        return (*self.mean_variance(X), self.cross_covariance(X, fixed.points))

    def joint(self, X: Float[Tensor, "*b q D"]) -> tuple[Float[Tensor, "*b q"], Float[Tensor, "*b q q"]]:
        """Joint mean and covariance of every batch of q points."""
        means, covariances = zip(*(self.components[i].joint(X) for i in self.active), strict=True)
        weights = self._weights
        mean = torch.stack(means, -1)
        middle = mean @ weights
        spread = mean - middle.unsqueeze(-1)
        return middle, torch.stack(covariances, -1) @ weights + _outer(spread, spread, weights)

    def cross_covariance(self, a: Float[Tensor, "m D"], b: Float[Tensor, "p D"]) -> Float[Tensor, "m p"]:
        """Covariance between the rows of `a` and of `b`."""
        chosen = [self.components[i] for i in self.active]
        within = torch.stack([p.cross_covariance(a, b) for p in chosen], -1) @ self._weights
        spreads = []
        for X in (a, b):
            mean = self.by_correlation(X)[0]
            spreads.append(mean - (mean @ self._weights).unsqueeze(-1))
        return within + _outer(spreads[0], spreads[1], self._weights)


def _outer(
    a: Float[Tensor, "*b m r"], b: Float[Tensor, "*b p r"], weights: Tensor
) -> Float[Tensor, "*b m p"]:
    """Covariance between components of two sets of means, by weights."""
    return (a * weights) @ b.transpose(-1, -2)
