"""A finite set of candidates: posteriors cached over all of them, in every context that is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.confidence import Prediction
from safebo.models.grid_posterior import GridPosterior
from safebo.models.surrogate import Surrogate

T = TypeVar("T")

CACHED_CONTEXTS = 8
CACHED_BYTES = 2**31
"""Contexts whose posteriors are kept: so many, and so much memory; the present one always."""


class FiniteDomain:
    """Candidates in the unit cube (or any box), `N x d`, without context columns.

    Args:
        points: candidates, in any order.
    """

    def __init__(self, points: Float[Tensor, "N d"]) -> None:
        self.points = points
        self._caches: OrderedDict[tuple[float, ...], list[GridPosterior]] = OrderedDict()
        self._kept: OrderedDict[object, Any] = OrderedDict()

    def grids(self, context: Float[Tensor, " c"], surrogate: Surrogate) -> list[GridPosterior]:
        """Every function's posterior over the candidates in a context, up to date with the surrogate.

        One new observation costs `O(n N)`; another past, or other hyperparameters, start from the beginning.
        """
        key = tuple(context.tolist())
        if key not in self._caches or len(self._caches[key]) != surrogate.functions:
            points = self.inputs(context)
            self._caches[key] = [GridPosterior(points) for _ in range(surrogate.functions)]
        self._caches.move_to_end(key)
        while len(self._caches) > 1 and (
            len(self._caches) > CACHED_CONTEXTS
            or sum(g.nbytes for grids in self._caches.values() for g in grids) > CACHED_BYTES
        ):
            self._caches.popitem(last=False)
        grids = self._caches[key]
        for grid, posterior in zip(grids, surrogate.posteriors, strict=True):
            grid.update(posterior)
        return grids

    def kept(self, context: Float[Tensor, " c"], make: Callable[[Tensor], T]) -> T:
        """What a rule makes once of the candidates with their context (`N x D`), made when it is first asked for."""
        key = (make, tuple(context.tolist()))
        if key not in self._kept:
            self._kept[key] = make(self.inputs(context))
            while len(self._kept) > CACHED_CONTEXTS:
                self._kept.popitem(last=False)
        return self._kept[key]

    def inputs(self, context: Float[Tensor, " c"]) -> Float[Tensor, "N D"]:
        """Candidates with the context appended."""
        return torch.cat([self.points, context.expand(len(self.points), -1)], 1)

    def predict(self, context: Float[Tensor, " c"], surrogate: Surrogate) -> Prediction:
        """Marginal means and standard deviations of all functions at all candidates, `N x m` each."""
        means, variances = zip(*[(g.mean, g.variance) for g in self.grids(context, surrogate)], strict=True)
        return Prediction(torch.stack(means, -1), torch.stack(variances, -1).sqrt_())

    def predict_beyond(
        self, context: Float[Tensor, " c"], surrogate: Surrogate, extended: Surrogate
    ) -> Prediction:
        """The same for a surrogate that has a few more rows than one that is cached; nothing is kept of them."""
        pairs = zip(self.grids(context, surrogate), extended.posteriors, strict=True)
        means, variances = zip(*[grid.beyond(posterior) for grid, posterior in pairs], strict=True)
        return Prediction(torch.stack(means, -1), torch.stack(variances, -1).sqrt_())
