"""The first true expander among candidates of a grid, in the order in which they are given.

Published implementations refit the model for every candidate. Here candidates are tested in batches of
growing size by rank-one updates, and first against the few unsafe points that are nearest to certification:
lifting one of them is proof enough, so that only candidates without proof look at all unsafe points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from safebo.models.grid_posterior import GridPosterior
from safebo.models.posterior import Posterior
from safebo.safety.sets import hallucinated_lower

NEAREST_TARGETS = 256
"""How many unsafe points a candidate is tested against first."""

COLUMNS = 2**14
"""How many unsafe points are looked at together."""


@dataclass(frozen=True)
class Constrained:
    """One constraint on a grid: its cached posterior, where its margin is 0, and its confidence multiplier."""

    posterior: Posterior
    grid: GridPosterior
    threshold: float
    beta: float


def batches(total: int, first: int, largest: int) -> Iterator[slice]:
    """Consecutive slices whose lengths grow fourfold from `first` to `largest`."""
    start, size = 0, first
    while start < total:
        yield slice(start, min(start + size, total))
        start, size = start + size, min(4 * size, largest)


class HallucinatedSearch:
    """Candidates whose upper bounds, observed for all constraints, would certify one unsafe point.

    Args:
        constraints: all of them; one and the same unsafe point must satisfy every one.
        safe: the certified points, `N`.
        lower: lower bounds of the constraints, `N x c`.
        upper: upper bounds of the constraints, `N x c`.
    """

    def __init__(
        self,
        constraints: Sequence[Constrained],
        safe: Bool[Tensor, " N"],
        lower: Float[Tensor, "N c"],
        upper: Float[Tensor, "N c"],
    ) -> None:
        self.constraints = tuple(constraints)
        self.tests = 0
        thresholds = lower.new_tensor([c.threshold for c in constraints])
        scale = torch.stack([c.grid.prior_variance.max() for c in constraints]).sqrt().clamp_min(1e-300)
        # No observation at an upper bound lifts a lower bound above the present upper bound.
        self._hopeful = ~safe & (upper >= thresholds - 1e-9 * scale).all(-1)
        targets = torch.nonzero(self._hopeful).squeeze(-1)
        # How far a target is from certification: max over i of (h_i - l_i(x')) / s_i.
        deficit = ((thresholds - lower[targets]) / scale).amax(-1)
        count = min(NEAREST_TARGETS, len(targets))
        self._nearest = targets[torch.topk(deficit, count, largest=False).indices] if count else targets

    def first(self, order: Int[Tensor, " b"]) -> int | None:
        """Position in `order` of the first true expander; None where there is none."""
        if len(self._nearest) == 0:
            return None
        for part in batches(len(order), 16, 256):
            candidates = order[part]
            self.tests += len(candidates)
            proven = self._lifts(candidates, self._nearest)
            unproven = int(proven.int().argmax()) if bool(proven.any()) else len(candidates)
            for piece in batches(unproven, 4, 256):
                found = self._lifts_any(candidates[:unproven][piece])
                if bool(found.any()):
                    return part.start + piece.start + int(found.int().argmax())
            if unproven < len(candidates):
                return part.start + unproven
        return None

    def _lifts_any(self, candidates: Int[Tensor, " b"]) -> Bool[Tensor, " b"]:
        """Which of the candidates lift some unsafe point; true ones after the first may be missed."""
        whitened = [c.grid.whitened(candidates) for c in self.constraints]
        found = self._hopeful.new_zeros(len(candidates))
        for start in range(0, len(self._hopeful), COLUMNS):
            hopeful = self._hopeful[start : start + COLUMNS]
            count = int(hopeful.sum())
            if count == 0:
                continue
            # Gathering columns costs as much as a few candidates' products with them.
            gather = len(candidates) * (len(hopeful) - count) > 8 * count
            columns: slice | Tensor = slice(start, start + len(hopeful))
            if gather:
                columns = start + torch.nonzero(hopeful).squeeze(-1)
            holds = self._holds(candidates, columns, whitened)
            found |= (holds if gather else holds & hopeful).any(-1)
            if bool(found[0]):
                break
        return found

    def _lifts(self, candidates: Int[Tensor, " b"], targets: Int[Tensor, " t"]) -> Bool[Tensor, " b"]:
        whitened = [c.grid.whitened(candidates) for c in self.constraints]
        return self._holds(candidates, targets, whitened).any(-1)

    def _holds(
        self,
        candidates: Int[Tensor, " b"],
        columns: slice | Int[Tensor, " t"],
        whitened: Sequence[Float[Tensor, "n b"]],
    ) -> Bool[Tensor, "b t"]:
        """Whether every constraint would hold at each target."""
        holds = []
        for c, w in zip(self.constraints, whitened, strict=True):
            variance = c.grid.variance_at(columns)
            covariance = c.grid.cross_covariance(c.posterior, candidates, w, columns)
            # l_i(x') as it would be, had u_i(x) been observed at x.
            lower = hallucinated_lower(
                c.grid.mean[columns],
                variance,
                covariance,
                c.grid.variance_at(candidates),
                c.posterior.noise_variance,
                c.beta,
            )
            holds.append(lower >= c.threshold)
        return reduce(torch.logical_and, holds)


class LipschitzSearch:
    """Candidates from which every constraint, by its Lipschitz constant, reaches its threshold somewhere.

    `u_i(x) - L_i ||x - x'|| >= h_i` at some unsafe point `x'`, which may differ between constraints: it is
    then the nearest one.

    Args:
        points: `N x d`, without context.
        safe: the certified points, `N`.
        upper: upper bounds of the constraints, `N x c`.
        thresholds: where the margins are 0, `c`.
        lipschitz: Lipschitz constants of the constraints, `c`.
    """

    def __init__(
        self,
        points: Float[Tensor, "N d"],
        safe: Bool[Tensor, " N"],
        upper: Float[Tensor, "N c"],
        thresholds: Float[Tensor, " c"],
        lipschitz: Float[Tensor, " c"],
    ) -> None:
        self.tests = 0
        self._points, self._upper = points, upper
        self._thresholds, self._lipschitz = thresholds, lipschitz
        self._unsafe = points[~safe]

    def first(self, order: Int[Tensor, " b"]) -> int | None:
        """Position in `order` of the first true expander; None where there is none."""
        if len(self._unsafe) == 0 or len(order) == 0:
            return None
        tree = cKDTree(self._unsafe.cpu().numpy(), balanced_tree=False, compact_nodes=False)
        for part in batches(len(order), 64, 2**14):
            candidates = order[part]
            self.tests += len(candidates)
            nearest = np.asarray(tree.query(self._points[candidates].cpu().numpy())[0])
            distance = torch.from_numpy(nearest).to(self._points.device)
            # u_i(x) - L_i min over unsafe x' of ||x - x'|| >= h_i: the nearest one is the best for every i.
            reach = self._upper[candidates] - self._lipschitz * distance.unsqueeze(-1)
            found = (reach >= self._thresholds).all(-1)
            if bool(found.any()):
                return part.start + int(found.int().argmax())
        return None
