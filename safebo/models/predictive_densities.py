"""How likely every prior said a measurement was before it was known: what evidence is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.growing import Keys, Observation, exact, keys_of, observed
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import Posterior
from safebo.models.prior_models import PriorModels
from safebo.models.prior_variants import PriorVariant
from safebo.models.student_noise import StudentNoise, leading
from safebo.models.trust import EVIDENCE_ROWS, log_predictive


def weighed(function: int, rows: Sequence[Observation]) -> Tensor:
    """Which of a function's first measurements count as evidence: those with its noise."""
    return exact(function, rows[:EVIDENCE_ROWS])


class PredictiveDensities:
    """Log predictive densities of the first measurements, by prior and function. They only save work.

    Args:
        prior: of the study; the observations of its simulation come first in every posterior.
        noises: of every function, its noise where that has a Student distribution.
    """

    def __init__(self, prior: PriorModels, noises: Sequence[StudentNoise | None]) -> None:
        self._prior, self._noises = prior, noises
        self._known: tuple[object, dict[tuple[PriorVariant, int], Tensor]] = (None, {})
        # Of measurements with Student noise, which later ones do not change.
        self._student: dict[tuple[PriorVariant, int], tuple[object, Keys, list[Tensor]]] = {}

    def of(
        self,
        fit: object,
        variant: PriorVariant,
        function: int,
        keys: Keys,
        rows: Sequence[Observation],
        posterior: Callable[[], Posterior],
    ) -> Float[Tensor, "*r n"]:
        """Those of a function's first measurements, `r x n` by correlation where these are earned.

        Args:
            fit: what the hyperparameters of all posteriors depend on.
            variant: of the prior.
            function: its index.
            keys: of the observations.
            rows: the observations.
            posterior: gives its posterior of them under the variant.
        """
        first = (fit, keys[:EVIDENCE_ROWS])
        if self._known[0] != first:
            self._known = (first, {})
        known = self._known[1]
        if (variant, function) not in known:
            p = posterior()
            count, n = len(observed(function, rows)), len(weighed(function, rows))
            # A simulation's rows come first; they are part of the prior.
            several = isinstance(p, MixturePosterior) and self._prior.earns_correlation
            parts = p.components if isinstance(p, MixturePosterior) else (p,)
            if self._noises[function] is None:
                found = [log_predictive(part, part.count - count)[:n] for part in parts]
            else:
                found = self._with_student_noise(fit, variant, function, rows, parts)
            known[variant, function] = torch.stack(found) if several else found[0]
        return known[variant, function]

    def values(self, function: int, rows: Sequence[Observation], count: int) -> Float[Tensor, " n"]:
        """A function's measurements in the order of a posterior of so many: the simulation's first, if it has those."""
        own = observed(function, rows)
        if count > len(own):
            own = observed(function, self._prior.simulation) + own
        return torch.tensor(own, dtype=torch.float64)

    def _with_student_noise(
        self,
        fit: object,
        variant: PriorVariant,
        function: int,
        rows: Sequence[Observation],
        parts: Sequence[Posterior],
    ) -> list[Tensor]:
        """Those of measurements with Student noise, by component; only new ones are predicted."""
        noise, counted = self._noises[function], weighed(function, rows)
        assert noise is not None
        fitted, before, found = self._student.get((variant, function), (None, (), []))
        own = tuple(k for k in keys_of(rows[:EVIDENCE_ROWS]) if k[1][function] is not None)
        known = len(before) if fitted == fit and own[: len(before)] == before else 0
        count = len(observed(function, rows))
        densities = []
        measured = self.values(function, rows, parts[0].count)
        for i, part in enumerate(parts):
            first = part if count == len(own) else leading(part, part.count - count + len(own))
            predictions = noise.predictions(first, measured[: first.count], counted, known)
            new = noise.log_density(predictions, part.noise_variance)
            densities.append(torch.cat([found[i], new]) if known else new)
        self._student[variant, function] = (fit, own, densities)
        return densities
