"""Information about safety and about the maximum: ISE, MES and ISE-BO.

- ISE, Bottero, Luis, Vinogradska, Berkenkamp and Peters, "Information-Theoretic Safe Exploration with
  Gaussian Processes", NeurIPS 2022: how much an observation at x tells about whether a margin is at least 0
  somewhere, `max_z I(1{g_z >= 0}; y_x)`, with the entropy of the sign approximated by a bell curve
- MES, Wang and Jegelka, "Max-value Entropy Search for Efficient Bayesian Optimization", ICML 2017
- ISE-BO, Bottero et al., "Information-Theoretic Safe Bayesian Optimization", arXiv 2402.15347, 2024: the
  larger of the two

All three are meant for candidates in the certified set; none of them certifies a point, and the published
guarantee (safety with high probability) is that of the set. No Lipschitz constant is needed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.joint import (
    JointAcquisition,
    JointMoments,
    Noise,
    marginal_moments,
    one_point_each,
    output_moments,
    sampling_factor,
)
from safebo.acquisition.transductive import correlation
from safebo.errors import InputError

LOG_TWO = math.log(2.0)
C1 = 1.0 / (math.pi * LOG_TWO)
C2 = 2.0 * C1 - 1.0

OPTIMA = 10
"""Sampled optima of MES in the codes of the literature."""

JITTER = 1e-10
"""Added to a covariance where it is factorised for samples, relative to its largest diagonal entry."""


def sign_entropy(mean: Tensor, variance: Tensor) -> Tensor:
    """`ln 2 exp(-c1 mean^2 / variance)`: entropy of a Gaussian's sign, in nats, approximated (ISE).

    A value without variance has no entropy unless it is exactly 0.
    """
    return LOG_TWO * torch.exp(-C1 * mean.square() / _positive(variance))


def expected_sign_entropy(
    mean: Float[Tensor, "*m 1 k"],
    target_variance: Float[Tensor, "*m 1 k"],
    variance: Float[Tensor, "*m n 1"],
    squared_correlation: Float[Tensor, "*m n k"],
    noise: Float[Tensor, "*m n 1"],
) -> Float[Tensor, "*m n k"]:
    """What `sign_entropy` is expected to be after a noisy observation; exact for that approximation.

    Args:
        mean: of the margins at z, thresholds subtracted.
        target_variance: of the margins at z.
        variance: at the candidates x.
        squared_correlation: of the noise-free values at x and z.
        noise: noise variances at the candidates.
    """
    # After y_x the margin at z has variance v' = v_z left / (noise + v) and a mean mu' ~ N(mean, t), t = v_z - v'.
    # E exp(-c1 mu'^2 / v') = sqrt(v' / (v' + 2 c1 t)) exp(-c1 mean^2 / (v' + 2 c1 t)), and
    # v' + 2 c1 t = v_z spread / (noise + v) with c2 = 2 c1 - 1.
    left = noise + variance * (1.0 - squared_correlation)
    spread = _positive(noise + variance * (1.0 + C2 * squared_correlation))
    ratio = mean.square() / _positive(target_variance)
    return LOG_TWO * (left / spread).sqrt() * torch.exp(-C1 * ratio * (noise + variance) / spread)


def ise(
    mean: Float[Tensor, "*m k"],
    target_variance: Float[Tensor, "*m k"],
    variance: Float[Tensor, "*m n"],
    cross: Float[Tensor, "*m n k"],
    noise: Float[Tensor, "*m n"],
) -> Float[Tensor, "*m n k"]:
    """ISE's information, in nats, of an observation at x about the sign of the margin at z.

    Args:
        mean: of the margins at z, thresholds subtracted.
        target_variance: of the margins at z.
        variance: at the candidates x.
        cross: covariances of the values at x and z.
        noise: noise variances at the candidates.
    """
    squared = correlation(variance, cross, target_variance).square()
    mean, target_variance = mean.unsqueeze(-2), target_variance.unsqueeze(-2)
    variance, noise = variance.unsqueeze(-1), noise.unsqueeze(-1)
    after = expected_sign_entropy(mean, target_variance, variance, squared, noise)
    # Where neither the value nor the observation is uncertain there is nothing to learn.
    known = (variance + noise <= 0) | (target_variance <= 0)
    information = (sign_entropy(mean, target_variance) - after).clamp_min(0.0)
    return torch.where(known, torch.zeros_like(information), information)


def mes(
    mean: Float[Tensor, " n"], variance: Float[Tensor, " n"], optima: Float[Tensor, " s"]
) -> Float[Tensor, " n"]:
    """MES: information, in nats, of the noise-free value about the maximum, averaged over sampled optima.

    `mean_s [g phi(g) / (2 Phi(g)) - log Phi(g)]` with `g = (optimum_s - mean) / std`; 0 at certain values.
    """
    std = _positive(variance).sqrt()
    gamma = (optima - mean.unsqueeze(-1)) / std.unsqueeze(-1)
    # phi / Phi by the difference of logarithms: Phi alone is 0 far below the optimum.
    log_cdf = torch.special.log_ndtr(gamma)
    log_density = -0.5 * gamma.square() - 0.5 * math.log(2.0 * math.pi)
    information = (0.5 * gamma * torch.exp(log_density - log_cdf) - log_cdf).mean(-1)
    return torch.where(variance > 0, information, torch.zeros_like(information))


def _positive(variance: Tensor) -> Tensor:
    """Variances with those that are 0 replaced by the smallest normal number."""
    return variance.clamp_min(torch.finfo(variance.dtype).tiny)


def sample_optima(
    model: Any,
    points: Float[Tensor, "n d"],
    count: int = OPTIMA,
    generator: torch.Generator | None = None,
    thresholds: Float[Tensor, " c"] | None = None,
    jitter: float = JITTER,
) -> Float[Tensor, " s"]:
    """Largest values of output 0 over the points in joint posterior samples, exact; `O(n^3)`.

    With thresholds a sample's maximum is over the points where its margins reach them; a sample without such
    a point is left out.

    Args:
        model: any unbatched BoTorch model with a Gaussian joint posterior.
        points: what the maximum is over, `n x d`.
        count: number of samples.
        generator: of the random numbers; torch's own when None.
        thresholds: of the margins, one per output after the first; None for the plain maximum.
        jitter: see `JITTER`.

    Raises:
        InputError: when no sample has a feasible point.
    """
    with torch.no_grad():
        mean, covariance = output_moments(model, points)
        if thresholds is not None and len(thresholds) != len(mean) - 1:
            raise InputError(
                f"{len(thresholds)} thresholds for a model with {len(mean)} outputs: allowed is one for each "
                "output after the first"
            )
        used = 1 if thresholds is None else len(mean)
        factor = sampling_factor(covariance[:used], jitter)
        draws = torch.randn(used, len(points), count, dtype=mean.dtype, generator=generator, device="cpu").to(
            mean.device
        )
        samples = mean[:used, :, None] + factor @ draws
        values = samples[0]
        if thresholds is not None:
            feasible = (samples[1:] >= thresholds[:, None, None]).all(0)
            values = torch.where(feasible, values, -torch.inf)
        optima = values.amax(0)
        optima = optima[torch.isfinite(optima)]
    if len(optima) == 0:
        raise InputError(f"none of {count} posterior samples has a point where every margin holds")
    return optima


class ISE(JointAcquisition):
    """Information-theoretic safe exploration: `max_z max_i I(1{g_i(z) >= threshold_i}; y_i(x))`.

    The published method has one constraint; with several the most informative one counts (ours).

    Args:
        model: any unbatched BoTorch or GPyTorch model with a Gaussian joint posterior.
        points: where safety is asked about, `k x d`.
        constraints: the outputs that are margins; all when None.
        thresholds: where the margins hold, one per constraint; 0 when None.
        noise: see `safebo.acquisition.joint.Noise`.
        X_pending: points being observed now, `p x d`.
    """

    def __init__(
        self,
        model: Any,
        points: Float[Tensor, "k d"],
        constraints: list[int] | None = None,
        thresholds: Float[Tensor, " c"] | None = None,
        noise: Noise = None,
        X_pending: Tensor | None = None,
    ) -> None:
        super().__init__(model, points, noise, X_pending)
        outputs = model.num_outputs
        self.constraints = list(range(outputs)) if constraints is None else list(constraints)
        if not self.constraints or not all(0 <= i < outputs for i in self.constraints):
            raise InputError(f"constraints are {self.constraints}: allowed are outputs 0 to {outputs - 1}")
        if thresholds is None:
            thresholds = torch.zeros(len(self.constraints)).to(points)
        if len(thresholds) != len(self.constraints):
            raise InputError(f"{len(thresholds)} thresholds for {len(self.constraints)} constraints")
        self.register_buffer("thresholds", thresholds)

    def score(self, moments: JointMoments) -> Float[Tensor, " n"]:
        """The largest information over points and constraints."""
        margins = moments.only(self.constraints)
        target_variance = margins.target_covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0.0)
        mean = margins.target_mean - self.thresholds.to(margins.target_mean).unsqueeze(-1)
        return ise(mean, target_variance, margins.variance, margins.cross, margins.noise).amax(-1).amax(0)


class MES(AcquisitionFunction):
    """Max-value entropy search of one output, for given optima (see `sample_optima`); see `mes`.

    Args:
        model: any BoTorch model; one with a joint posterior where points are pending.
        optima: sampled values of the maximum, `s`.
        output: the objective's index.
        noise: of the pending observations; see `safebo.acquisition.joint.Noise`.
        X_pending: points being observed now, `p x d`; they shrink variances and invent no value.
    """

    def __init__(
        self,
        model: Any,
        optima: Float[Tensor, " s"],
        output: int = 0,
        noise: Noise = None,
        X_pending: Tensor | None = None,
    ) -> None:
        super().__init__(model=model)
        if optima.dim() != 1 or len(optima) == 0 or not bool(torch.isfinite(optima).all()):
            raise InputError("optima must be a vector of at least one finite number")
        self.register_buffer("optima", optima)
        self.output = output
        self.noise: Noise = noise
        self.set_X_pending(X_pending)

    def forward(self, X: Float[Tensor, "b 1 d"]) -> Float[Tensor, " b"]:
        """The information at every point."""
        mean, variance = marginal_moments(self.model, one_point_each(self, X), self.noise, self.X_pending)
        return mes(mean[self.output], variance[self.output], self.optima).reshape(X.shape[:-2])


class ISEBO(AcquisitionFunction):
    """ISE-BO: the larger of ISE about the margins and MES about the objective.

    Args:
        ise: of the margins; what is pending for it is pending for both.
        mes: of the objective.
    """

    def __init__(self, ise: ISE, mes: MES) -> None:
        super().__init__(model=ise.model)
        self.ise = ise
        self.mes = mes
        self.set_X_pending(ise.X_pending)

    def set_X_pending(self, X_pending: Float[Tensor, "p d"] | None = None) -> None:
        """Points being observed now, for both parts."""
        super().set_X_pending(X_pending)
        self.ise.set_X_pending(X_pending)
        self.mes.set_X_pending(X_pending)

    def forward(self, X: Float[Tensor, "b 1 d"]) -> Float[Tensor, " b"]:
        """The larger information at every point."""
        return torch.maximum(self.ise(X), self.mes(X))
