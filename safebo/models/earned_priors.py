"""Earned priors of constraints that are observed one row after another: what a tuner over a grid certifies by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.discrimination import Rivals
from safebo.models.outliers import disbelief
from safebo.models.posterior import Posterior
from safebo.models.posterior_stack import PosteriorStack
from safebo.models.prior_variants import PriorVariant, at_time
from safebo.models.student_noise import StudentNoise
from safebo.models.surrogate import Surrogate
from safebo.models.trust import FunctionTrust, TrustRule, composed, judged


class EarnedPriors:
    """Earned priors of constraints that are observed one row after another, for functions with fixed priors.

    Args:
        rule: when they are believed.
        prior: the declared surrogate without observations.
        constraints: which of its functions must be earned.
        noises: of every function, its noise where that has a Student distribution; empty where none has.

    Raises:
        InputError: a kernel without lengthscales.
    """

    def __init__(
        self,
        rule: TrustRule,
        prior: Surrogate,
        constraints: Sequence[int],
        noises: Sequence[StudentNoise | None] = (),
    ) -> None:
        self.rule, self.constraints = rule, tuple(constraints)
        self._noises = tuple(noises) or (None,) * prior.functions
        self._compared = tuple(range(prior.functions)) if rule.common_scale else self.constraints
        self._variants = rule.variants
        self._stacks = {
            i: PosteriorStack([variant.of_prior(prior.posteriors[i]) for variant in self._variants])
            for i in self._compared
        }
        self._densities: dict[tuple[PriorVariant, int], list[Tensor]] = {
            (variant, i): []
            for variant in rule.variants
            for i in self._compared
            if self._noises[i] is not None
        }
        self._told = {i: prior.posteriors[i].weights.new_zeros(0) for i in self._compared}
        self._count = 0
        self._judged: tuple[int, tuple[FunctionTrust, ...]] | None = None

    def observe(self, x: Float[Tensor, " D"], values: Sequence[float]) -> None:
        """One more row of all functions."""
        self._count += 1
        for i in self._compared:
            self._told[i] = torch.cat([self._told[i], self._told[i].new_tensor([values[i]])])
        rows = [variant.timed(x, self._count) for variant in self._variants]
        for i, stack in self._stacks.items():
            stack.observe(rows, values[i])
            noise = self._noises[i]
            if noise is not None:
                for variant, posterior in zip(self._variants, stack.posteriors, strict=True):
                    found = noise.predictions(posterior, self._told[i], self._counted(), self._count - 1)
                    density = noise.log_density(found, posterior.noise_variance)
                    self._densities[variant, i].append(density)

    def _posterior(self, variant: PriorVariant, function: int) -> Posterior:
        return self._stacks[function].posteriors[self._variants.index(variant)]

    def judged(self) -> tuple[FunctionTrust, ...]:
        """What is believed of every constraint, in their order."""
        if self._judged is None or self._judged[0] != self._count:
            predictive = [
                dict(zip(self._variants, self._densities_of(i), strict=True)) for i in self._compared
            ]
            counted = [self._counted() for _ in self._compared]
            found = dict(zip(self._compared, judged(self.rule, predictive, counted), strict=True))
            self._judged = (
                self._count,
                tuple(replace(found[i], disbelief=self._disbelief(i)) for i in self.constraints),
            )
        return self._judged[1]

    def _counted(self) -> Tensor:
        return torch.ones(self._count, dtype=torch.bool)

    def _densities_of(self, function: int) -> Sequence[Float[Tensor, " n"]]:
        if self._noises[function] is None or self._count == 0:
            return list(self._stacks[function].log_predictive)
        return [torch.cat(self._densities[variant, function]) for variant in self._variants]

    def _disbelief(self, function: int) -> tuple[float, ...]:
        raw, noise = self._posterior(self.rule.ladder[0], function), self._noises[function]
        measured = self._told[function]
        if noise is None:
            return disbelief(raw, measured)
        return noise.disbelief(raw, measured, self._counted())

    def composed(self, declared: Surrogate) -> tuple[Surrogate, Surrogate | None]:
        """The surrogate with the priors that certify now, and what must certify as well; see `composed`."""
        return composed(
            declared,
            dict(zip(self.constraints, self.judged(), strict=True)),
            lambda v, i: self._robust(at_time(self._posterior(v, i), self._count + 1), i),
        )

    def rivals(self) -> Rivals:
        """Posteriors between which the evidence has not decided yet."""
        found = dict(zip(self.constraints, self.judged(), strict=True))
        return self.rule.rivals(found, self._posterior)

    def _robust(self, posterior: Posterior, function: int) -> Posterior:
        noise = self._noises[function]
        if noise is None:
            return posterior
        return noise.robust(posterior, self._told[function], self._counted())
