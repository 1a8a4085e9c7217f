"""Beta by the number of observations: constant, or one of the literature's schedules.

Every schedule gives the multiplier of the standard deviation. `B` bounds the function's norm in the reproducing
kernel Hilbert space of its kernel, `R` the noise (sub-Gaussian), `lambda` is the surrogate's noise variance, K the
prior covariance of the n observed inputs, `gamma_n` the largest information gain of n observations and delta the
probability that some interval is wrong, of one function: several functions share the study's delta equally.

- `constant`: the study's `beta`; no promise
- `posterior`: `z(1 - 6 delta / (pi^2 (n+1)^2))`, z the normal quantile: for functions that are samples of the prior, on
  any domain. Given the data the value at a proposal is Gaussian however the proposal was chosen, so that its lower
  bound fails with that probability and the failures of all trials sum to delta at most (ours, a union bound over
  trials instead of points; it certifies trials, not the whole safe set at once)
- `srinivas2010`: `sqrt(2 ln(|D| (n+1)^2 pi^2 / (6 delta)))`, theorem 1 of Srinivas et al. 2010: for functions that are
  samples of the prior, on a finite domain of |D| points
- `sui2015`: `sqrt(2 B^2 + 300 gamma_n ln^3((n+1) / delta))`, Sui et al. 2015, whose beta multiplies the variance
- `chowdhury2017`: `B + R / sqrt(lambda) sqrt(2 (gamma_n + 1 + ln(1 / delta)))`, Chowdhury and Gopalan 2017
- `fiedler2024`: `B + R / sqrt(lambda) sqrt(2 ln(det(K / lambda + I) / delta))`, the real beta of Fiedler et al.
  2024: the determinant of the data itself in the place of the bound gamma_n. (By Abbasi-Yadkori 2013 its square
  root would do; this is the published form.)
- `logarithmic`: `2 ln(n + 1)`, Wang et al. 2024 (SafeCtrlBO); no promise
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

from safebo.errors import StudyError
from safebo.models.kernels import Kernel
from safebo.models.posterior import Posterior
from safebo.study import ConfidenceSpec

GAIN_POINTS = 512
"""Sobol points of the unit cube among which the largest information gain is sought."""


def information_gain(posterior: Posterior) -> Float[Tensor, " k"]:
    """`1/2 ln det(N^-1 K + I)` of the first 0, 1, ... observations, in nats, `count + 1`; N the noise variances."""
    pivots = posterior.inverse_factor.diagonal()
    if posterior.added_noise is None:
        gain = -pivots.log() - 0.5 * math.log(posterior.noise_variance)
    else:
        gain = -pivots.log() - 0.5 * posterior.noise_variances.log()
    return torch.cat([gain.new_zeros(1), gain.cumsum(0)])


def largest_information_gain(
    kernel: Kernel, noise_variance: float, dimension: int, count: int
) -> Float[Tensor, " k"]:
    """A bound on the information gain of any 0, 1, ... `count` observations of the unit cube, in nats.

    Greedy choice among Sobol points, divided by `1 - 1/e`, which bounds the best choice among them.
    """
    points = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=0).draw(
        GAIN_POINTS, dtype=torch.float64
    )
    variance = kernel.diagonal(points).clone()
    rows: list[Tensor] = []
    gain = [0.0]
    for _ in range(count):
        best = int(variance.argmax())
        gain.append(gain[-1] + 0.5 * math.log1p(float(variance[best]) / noise_variance))
        row = kernel(points[best : best + 1], points)[0]
        for r in rows:
            row = row - r * r[best]
        row = row / math.sqrt(float(variance[best]) + noise_variance)
        rows.append(row)
        variance = (variance - row.square()).clamp_min(0.0)
    return variance.new_tensor(gain) / (1.0 - math.exp(-1.0))


@dataclass(frozen=True)
class BetaSchedule:
    """Beta of every function after any number of its observations.

    Args:
        spec: the schedule's name and numbers.
        constant: beta of the constant schedule.
        functions: number of functions that share delta.
        noise_std: of every function, as declared (`R` where the study gives no other).
        domain_size: number of points of a finite domain; None for a box.

    Raises:
        StudyError: for a schedule that needs a finite domain on a box.
    """

    spec: ConfidenceSpec
    constant: float
    functions: int
    noise_std: tuple[float, ...]
    domain_size: int | None = None

    def __post_init__(self) -> None:
        if self.spec.schedule == "srinivas2010" and self.domain_size is None:
            raise StudyError(
                "tuner.confidence.schedule: srinivas2010 holds on finite domains; use tuner.search.domain: grid or "
                "pool, or one of constant, posterior, sui2015, chowdhury2017, fiedler2024, logarithmic"
            )

    def with_norm(self, norm: float | None) -> BetaSchedule:
        """The same with another norm B; itself for None."""
        return self if norm is None else replace(self, spec=self.spec.model_copy(update={"norm": norm}))

    def history(self, posterior: Posterior, function: int) -> Float[Tensor, " k"]:
        """Beta after 0, 1, ... observations of one function, `count + 1`."""
        spec, n = (
            self.spec,
            torch.arange(posterior.count + 1, dtype=torch.float64, device=posterior.inputs.device),
        )
        delta = spec.delta / self.functions
        if spec.schedule == "constant":
            return torch.full_like(n, self.constant)
        if spec.schedule == "logarithmic":
            return 2.0 * torch.log1p(n)
        if spec.schedule == "posterior":
            return n.new_tensor([_quantile_of(delta, k) for k in range(len(n))])
        if spec.schedule == "srinivas2010":
            return (
                2.0
                * (
                    math.log(self.domain_size or 1)
                    + torch.log((n + 1.0).square() * math.pi**2 / (6.0 * delta))
                )
            ).sqrt()
        noise = self.noise_std[function] if spec.noise_bound is None else spec.noise_bound
        ratio = noise / math.sqrt(posterior.noise_variance)
        if spec.schedule == "fiedler2024":
            return spec.norm + ratio * (2.0 * (2.0 * information_gain(posterior) - math.log(delta))).sqrt()
        gamma = largest_information_gain(
            posterior.kernel, posterior.noise_variance, posterior.inputs.shape[1], posterior.count
        )
        if spec.schedule == "sui2015":
            return (2.0 * spec.norm**2 + 300.0 * gamma * torch.log((n + 1.0) / delta) ** 3).sqrt()
        return spec.norm + ratio * (2.0 * (gamma + 1.0 - math.log(delta))).sqrt()

    def now(self, posterior: Posterior, function: int, trials: int = 0) -> float:
        """Beta of one function now.

        Args:
            posterior: of the function.
            function: its index.
            trials: asked so far, whatever came of them. `posterior` spends its delta on trials: those that are
                pending or failed count where they outnumber the observations.
        """
        if self.spec.schedule == "constant":
            return self.constant
        if self.spec.schedule == "posterior":
            return _quantile_of(self.spec.delta / self.functions, max(posterior.count, trials))
        return float(self.history(posterior, function)[-1])


def _quantile_of(delta: float, n: int) -> float:
    """Beta of the schedule `posterior` after n trials."""
    return -float(ndtri(6.0 * delta / (math.pi * (n + 1.0)) ** 2))
