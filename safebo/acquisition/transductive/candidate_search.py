"""The best of many candidates: one estimate per cell of them, then one by one where it matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from safebo.acquisition.transductive.target_forms import TargetForm, score_of_form
from safebo.models.posterior import Posterior

MAX_REFINED = 30_000
"""Candidates that are scored one by one after their cells."""

SCORED_AT_ONCE = 4096
"""Between two looks at whether more are needed."""


@dataclass(frozen=True)
class CandidateSearch:
    """Candidates to be scored.

    Args:
        rule: `itl` or `vtl`.
        posteriors: one per function, m.
        forms: one per function.
        jitters: one per function, see `safebo.acquisition.transductive.target_forms.jitter_of`.
        points: `s x D`.
        variances: exact posterior variances, `s x m`.
        known: which candidates are targets themselves, `s`.
        at_once: see `SCORED_AT_ONCE`.
    """

    rule: str
    posteriors: Sequence[Posterior]
    forms: Sequence[TargetForm]
    jitters: Sequence[float]
    points: Float[Tensor, "s D"]
    variances: Float[Tensor, "s m"]
    known: Bool[Tensor, " s"]
    at_once: int = SCORED_AT_ONCE

    def score(self, which: Int[Tensor, " c"]) -> Float[Tensor, " c"]:
        """Scores of some candidates, each on its own."""
        points = self.points[which]
        return self._sum([form(points) for form in self.forms], self.variances[which], self.known[which])

    def _sum(self, forms: Sequence[Tensor], variances: Tensor, known: Tensor) -> Float[Tensor, " c"]:
        total = variances.new_zeros(len(variances))
        for i, (posterior, form) in enumerate(zip(self.posteriors, forms, strict=True)):
            noise = posterior.noise_variance
            total += score_of_form(self.rule, form, variances[:, i], known, noise, self.jitters[i])
        return total

    def by_cells(
        self, centroids: Float[Tensor, "c D"], place: Int[Tensor, " s"]
    ) -> tuple[Float[Tensor, " s"], int, float, bool]:
        """Estimates from cells, corrected from the best on: values, how many, largest error, whether settled.

        Args:
            centroids: of the cells.
            place: the cell of every candidate.
        """
        estimates = []
        for i, (form, posterior) in enumerate(zip(self.forms, self.posteriors, strict=True)):
            ratio = form(centroids) / posterior.mean_variance(centroids)[1]
            estimates.append(ratio[place] * self.variances[:, i])
        value = self._sum(estimates, self.variances, self.known)
        # An ITL score of a target needs no form: it is exact already.
        done = self.known.clone() if self.rule == "itl" else torch.zeros_like(self.known)
        best = float(value[done].max()) if bool(done.any()) else -torch.inf
        error, scored = 0.0, 0
        while True:
            remaining = torch.where(done, -torch.inf, value)
            top = torch.topk(remaining, min(self.at_once, len(remaining)))
            contends = (top.values * (1.0 + error) >= best) | (scored == 0)
            which = top.indices[contends & (top.values > -torch.inf)]
            if len(which) == 0 or scored >= MAX_REFINED:
                return value, scored, error, len(which) == 0
            refined = self.score(which)
            best = max(best, float(refined.max()))
            good = (refined > 0.5 * best) | (value[which] > 0.5 * best)
            if bool(good.any()):
                error = max(error, float((refined[good] / value[which][good].clamp_min(1e-300) - 1.0).max()))
            value[which], done[which] = refined, True
            scored += len(which)
