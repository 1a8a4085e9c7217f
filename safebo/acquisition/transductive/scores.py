"""ITL, VTL, CTL and MM-ITL for the points of a finite domain with any number of targets among them.

Three ways, from small to large; `TransductiveGrid` chooses and says which it took:

- `exact`: the formulas of `safebo.acquisition.transductive` on exact posterior covariances,
  `O(|S| |A| n + |A|^3)`.
- `low_rank`: ITL and VTL at every candidate from `safebo.acquisition.transductive.target_forms`.
- `cells`: their form over the point's variance varies slowly, so it is computed once per cell of candidates, and
  then at the best candidates themselves until no other can be better as far as the errors seen tell.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.transductive import ctl, itl, mm_itl, vtl
from safebo.acquisition.transductive.candidate_search import SCORED_AT_ONCE, CandidateSearch
from safebo.acquisition.transductive.target_forms import (
    LOW_RANK_RULES,
    jitter_of,
    low_rank_form,
)
from safebo.errors import InputError, UnknownNameError
from safebo.models.kernels import Kernel
from safebo.models.low_rank import MAXIMAL_RANK, TOLERANCE, Cells, KernelFeatures, kernel_features
from safebo.models.posterior import Posterior

EXACT_RULES = ("itl", "vtl", "ctl", "ctl_squared", "mm_itl")

EXACT_TARGETS = 3_000
EXACT_PAIRS = 2 * 10**7
"""ITL and VTL are computed exactly up to so many pairs of candidate and target; ITL, which factorizes the targets'
covariance, up to so many targets."""

MANY_TARGETS = 500
"""Of more targets ITL takes the form of low rank where features of a third of their number miss nothing (smooth
kernels on dense grids): to factorize the targets would be slower, and no more exact."""

MAX_PAIRS = 2 * 10**9
"""More pairs than this are refused for the rules that have no low-rank form: minutes of work per trial."""

MAX_TARGET_POINTS = 5_000
MAX_CANDIDATES = 10_000
"""More targets, or candidates, are first looked at by cells."""

CACHED_KERNELS = 16
"""Kernels whose features and cells are kept."""

_PAIRS_AT_ONCE = 2**23


@dataclass(frozen=True)
class TransductiveScores:
    """Scores over the points of a finite domain.

    Args:
        values: the rule's score summed over functions; `-inf` at points that are no candidates, `N`.
        method: how they were computed.
        scored: candidates scored one by one; the others have the value of their cell, corrected for their own
            variance.
        cell_error: largest relative difference between the two seen among good candidates.
        settled: whether no candidate that was not scored itself, raised by that error, exceeds the best.
        missing: largest fraction of the prior variance that the features miss; 0 for exact scores.
    """

    values: Float[Tensor, " N"]
    method: Literal["exact", "low_rank", "cells"]
    scored: int
    cell_error: float = 0.0
    settled: bool = True
    missing: float = 0.0


def exact_scores(
    rule: str,
    posterior: Posterior,
    points: Float[Tensor, "N D"],
    variance: Float[Tensor, " N"],
    candidates: Bool[Tensor, " N"],
    targets: Bool[Tensor, " N"],
) -> Float[Tensor, " s"]:
    """One function's scores at the candidates, in the order of their rows, with exact covariances.

    Args:
        rule: one of `EXACT_RULES`.
        posterior: of the function.
        points: `N x D`.
        variance: exact posterior variances, `N`.
        candidates: mask of the points to score.
        targets: mask of the points to learn about.
    """
    chosen, aims = torch.nonzero(candidates).squeeze(-1), points[targets]
    if len(aims) == 0 or len(chosen) == 0:
        return points.new_zeros(len(chosen))
    # Posterior covariances of targets A and candidates x: k(A, A) - W_A W_A^T and k(x, A) - W_x W_A^T, where
    # W = k(., inputs) L^-T.
    white = posterior.whiten(posterior.kernel(aims, posterior.inputs))
    covariance, jitter = variance.new_zeros(0, 0), 0.0
    if rule == "itl":
        covariance = posterior.kernel(aims, aims) - white @ white.T
        jitter = jitter_of(posterior, aims) / float(covariance.diagonal().max().clamp_min(1e-300))
    parts = []
    # ITL factorizes the targets' covariance for every part: parts that outnumber the targets make that little.
    least = 2 * len(aims) if rule == "itl" else 256
    for rows in chosen.split(max(least, _PAIRS_AT_ONCE // len(aims))):
        x, k = points[rows], variance[rows]
        cross = posterior.kernel(x, aims) - posterior.whiten(posterior.kernel(x, posterior.inputs)) @ white.T
        noise = torch.full_like(k, posterior.noise_variance)
        if rule == "itl":
            parts.append(itl(k, cross, covariance, noise, jitter))
        elif rule == "vtl":
            parts.append(vtl(k, cross, noise))
        elif rule == "mm_itl":
            parts.append(mm_itl(k, cross, variance[targets], noise))
        else:
            parts.append(ctl(k, cross, variance[targets], noise, squared=rule == "ctl_squared"))
    return torch.cat(parts)


class TransductiveGrid:
    """Transductive scores over fixed points; what depends on kernels and points alone is computed once.

    Args:
        points: `N x D`, context included.
        maximal_rank: of the features; past it scores degrade, see `TransductiveScores.missing`.
        exact_pairs: ITL and VTL are exact up to so many pairs of candidate and target.
        max_candidates: more candidates are first looked at by cells.
        max_targets: more targets are counted by cells.
        scored_at_once: candidates scored one by one between two looks at whether more are needed.
    """

    def __init__(
        self,
        points: Float[Tensor, "N D"],
        maximal_rank: int = MAXIMAL_RANK,
        exact_pairs: int = EXACT_PAIRS,
        max_candidates: int = MAX_CANDIDATES,
        max_targets: int = MAX_TARGET_POINTS,
        scored_at_once: int = SCORED_AT_ONCE,
    ) -> None:
        self.points, self.maximal_rank = points, maximal_rank
        self.exact_pairs, self.max_candidates, self.max_targets = exact_pairs, max_candidates, max_targets
        self.scored_at_once = scored_at_once
        self._features: OrderedDict[int, KernelFeatures] = OrderedDict()
        self._cells: OrderedDict[tuple[float, ...], Cells] = OrderedDict()

    def scores(
        self,
        rule: str,
        posteriors: Sequence[Posterior],
        variances: Float[Tensor, "N m"],
        candidates: Bool[Tensor, " N"],
        targets: Bool[Tensor, " N"],
    ) -> TransductiveScores:
        """Scores summed over functions.

        Args:
            rule: one of `EXACT_RULES`.
            posteriors: one per function, m.
            variances: their exact posterior variances at the points (`GridPosterior` keeps them), `N x m`.
            candidates: mask of the points to score.
            targets: mask of the points to learn about.

        Raises:
            InputError: no candidates, no targets, or too many of both for a rule without a low-rank form.
        """
        if rule not in EXACT_RULES:
            raise UnknownNameError("transductive rule", rule, EXACT_RULES)
        counts = int(candidates.sum()), int(targets.sum())
        if 0 in counts:
            raise InputError(
                f"{counts[0]} candidates and {counts[1]} targets: at least one of each is needed"
            )
        pairs = counts[0] * counts[1]
        if rule not in LOW_RANK_RULES and pairs > MAX_PAIRS:
            raise InputError(
                f"{rule} with {counts[0]} candidates and {counts[1]} targets: allowed are {MAX_PAIRS:g} pairs; "
                f"take a smaller target space, a coarser grid, or one of {', '.join(LOW_RANK_RULES)}"
            )
        with torch.no_grad():
            few = pairs <= self.exact_pairs and (rule != "itl" or counts[1] <= EXACT_TARGETS)
            if few and rule == "itl" and counts[1] > MANY_TARGETS:
                few = not self._of_low_rank(posteriors, counts[1])
            if few or rule not in LOW_RANK_RULES:
                parts = [
                    exact_scores(rule, p, self.points, variances[:, i], candidates, targets)
                    for i, p in enumerate(posteriors)
                ]
                values = torch.full_like(variances[:, 0], -torch.inf)
                values[candidates] = torch.stack(parts).sum(0)
                return TransductiveScores(values, "exact", counts[0])
            return self._low_rank(rule, posteriors, variances, candidates, targets)

    def _of_low_rank(self, posteriors: Sequence[Posterior], targets: int) -> bool:
        """Whether features, far fewer than the targets, miss nothing of any function."""
        found = [self.features(p.kernel) for p in posteriors]
        return all(3 * f.rank <= targets and f.relative_missing <= TOLERANCE for f in found)

    def features(self, kernel: Kernel) -> KernelFeatures:
        """The features of a kernel, computed when it is first seen."""
        if id(kernel) not in self._features:
            self._features[id(kernel)] = kernel_features(kernel, self.points, maximal_rank=self.maximal_rank)
            while len(self._features) > CACHED_KERNELS:
                self._features.popitem(last=False)
        self._features.move_to_end(id(kernel))
        return self._features[id(kernel)]

    def cells(self, features: Sequence[KernelFeatures]) -> Cells:
        """Cells short enough for some kernels."""
        key = tuple(torch.stack([f.widths for f in features]).amin(0).tolist())
        if key not in self._cells:
            self._cells[key] = Cells.of(self.points, [f.widths for f in features])
            while len(self._cells) > CACHED_KERNELS:
                self._cells.popitem(last=False)
        self._cells.move_to_end(key)
        return self._cells[key]

    def _low_rank(
        self,
        rule: str,
        posteriors: Sequence[Posterior],
        variances: Float[Tensor, "N m"],
        candidates: Bool[Tensor, " N"],
        targets: Bool[Tensor, " N"],
    ) -> TransductiveScores:
        features = [self.features(p.kernel) for p in posteriors]
        aims = torch.nonzero(targets).squeeze(-1)
        forms = []
        for posterior, own in zip(posteriors, features, strict=True):
            grouped = self.cells([own]).centroids(aims)[:2] if len(aims) > self.max_targets else None
            forms.append(low_rank_form(rule, posterior, own, self.points[aims], grouped))
        jitters = [jitter_of(p, self.points[aims]) for p in posteriors]
        rows = torch.nonzero(candidates).squeeze(-1)
        values = torch.full_like(variances[:, 0], -torch.inf)
        missing = max(f.relative_missing for f in features)
        search = CandidateSearch(
            rule,
            posteriors,
            forms,
            jitters,
            self.points[rows],
            variances[rows],
            targets[rows],
            self.scored_at_once,
        )
        if len(rows) <= self.max_candidates:
            values[rows] = search.score(torch.arange(len(rows), device=rows.device))
            return TransductiveScores(values, "low_rank", len(rows), missing=missing)
        centroids, _, place = self.cells(features).centroids(rows)
        estimate, scored, error, settled = search.by_cells(centroids, place)
        values[rows] = estimate
        return TransductiveScores(values, "cells", scored, error, settled, missing)
