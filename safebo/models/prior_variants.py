"""Priors beside the declared one: rougher, noisier, of a larger scale, or drifting."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.errors import InputError
from safebo.models.function_model import FunctionModel
from safebo.models.kernels import DriftingKernel, StationaryKernel
from safebo.models.posterior import Posterior
from safebo.types import DRIFT


class PriorVariant(NamedTuple):
    """A prior beside the declared one: factors of its lengthscales, noise and prior standard deviation; the number of
    trials after which knowledge is worth 1/e, where the function drifts and no time is declared; and a factor of the
    declared time where one is (infinite: nothing drifts).
    """

    lengthscale: float = 1.0
    noise: float = 1.0
    scale: float = 1.0
    memory: float = math.inf
    declared_memory: float = 1.0

    @property
    def drifts(self) -> bool:
        """Whether the function changes with time, the last column of its inputs."""
        return math.isfinite(self.memory)

    def of_model(self, model: FunctionModel) -> FunctionModel:
        """The variant of a declared prior."""
        return replace(
            model,
            lengthscale=tuple(self.lengthscale * value for value in model.lengthscale),
            noise_variance=self.noise**2 * model.noise_variance,
            variance=self.scale**2 * model.variance,
            memory=None if model.memory is None else self.declared_memory * model.memory,
        )

    def of_prior(self, prior: Posterior) -> Posterior:
        """The variant of a posterior without observations.

        Raises:
            InputError: its kernel has no lengthscales that could be shortened.
        """
        kernel = prior.kernel
        if not isinstance(kernel, StationaryKernel):
            raise InputError(
                "trust: earned shortens lengthscales, which this kernel does not have: use a stationary kernel of "
                "safebo (matern12, matern32, matern52, rbf, or a registered one), or trust: declared"
            )
        kernel = replace(
            kernel,
            lengthscale=self.lengthscale * kernel.lengthscale,
            variance=self.scale**2 * kernel.variance,
        )
        scaled = replace(prior, kernel=kernel, noise_variance=self.noise**2 * prior.noise_variance)
        return self.drifting(scaled) if self.drifts else scaled

    def drifting(self, prior: Posterior) -> Posterior:
        """A posterior without observations whose function drifts, over inputs with the time as last column."""
        columns = prior.inputs.shape[1]
        kernel = DriftingKernel(prior.kernel, columns, self.memory)
        return Posterior.prior(
            kernel, prior.prior_mean, prior.noise_variance, columns + 1, prior.inputs.device
        )

    def timed(self, x: Float[Tensor, "*k D"], time: float) -> Float[Tensor, "*k E"]:
        """Inputs as this variant takes them: with the time where the function drifts."""
        return torch.cat([x, x.new_full((*x.shape[:-1], 1), time)], -1) if self.drifts else x

    def __str__(self) -> str:
        parts = [
            f"{name} x {factor:g}"
            for name, factor in (
                ("lengthscale", self.lengthscale),
                ("noise", self.noise),
                ("prior_std", self.scale),
            )
            if factor != 1.0
        ]
        if self.drifts:
            parts.append(f"{DRIFT} that halves what is known in {0.7 * self.memory:.0f} trials")
        if math.isinf(self.declared_memory):
            parts.append(f"no {DRIFT}")
        elif self.declared_memory != 1.0:
            parts.append(f"{DRIFT} {1.0 / self.declared_memory:g} times as fast as declared")
        return ", ".join(parts) or "declared"


DECLARED = PriorVariant()

ALTERNATIVES = (
    PriorVariant(lengthscale=0.5),
    PriorVariant(lengthscale=0.25),
    PriorVariant(noise=3.0),
    PriorVariant(noise=10.0),
    PriorVariant(lengthscale=0.5, noise=3.0),
    PriorVariant(scale=3.0),
    PriorVariant(memory=150.0),
    PriorVariant(memory=30.0),
)
"""To a prior that may be refuted, with equal weights: too smooth, too little noise (by a factor, or an order of
magnitude), too small a scale, a drift."""

FASTER = PriorVariant(declared_memory=1.0 / 3.0)
STEADY = PriorVariant(declared_memory=math.inf)

TIMED_ALTERNATIVES = (*(a for a in ALTERNATIVES if not a.drifts), FASTER)
"""The same where a time of drift is declared: it may be too long. That nothing drifts is no objection to a prior which
only forgets too much; its likelihood is weighed by itself (`log_drift`)."""


def at_time(posterior: Posterior, now: float) -> Posterior:
    """A posterior that is asked about a time, where its function drifts."""
    kernel = posterior.kernel
    return (
        replace(posterior, kernel=replace(kernel, now=now))
        if isinstance(kernel, DriftingKernel)
        else posterior
    )
