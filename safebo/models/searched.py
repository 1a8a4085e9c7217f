"""What a search looks at instead of a surrogate: a condensed one of many observations, or one with places visited."""

from __future__ import annotations

import torch
from torch import Tensor

from safebo.models.condensed import PivotMemo, condensed
from safebo.models.surrogate import Surrogate

EXACT_SEARCH = 300
"""Observations, a prior run's included, up to which searches look at the exact surrogate: evaluating it at one point is
`O(n^2)`, and a search does so thousands of times."""


class SearchedSurrogates:
    """Surrogates as searches see them; what was made for the last ask serves the next, which only saves work."""

    def __init__(self) -> None:
        self._fantasized: tuple[Surrogate, object, Tensor, Surrogate] | None = None
        self._condensed: tuple[Surrogate, Surrogate] | None = None
        self._pivots = PivotMemo()

    def condensed(self, surrogate: Surrogate) -> Surrogate:
        """What a search looks at instead of a surrogate: itself up to `EXACT_SEARCH` observations."""
        if max(p.count for p in surrogate.posteriors) <= EXACT_SEARCH:
            return surrogate
        if self._condensed is None or self._condensed[0] is not surrogate:
            self._condensed = (surrogate, condensed(surrogate, memo=self._pivots))
        return self._condensed[1]

    def fantasized(self, surrogate: Surrogate, X: Tensor, worst: Tensor, value: float) -> Surrogate:
        """With points counted as visited at their means, and others as having that objective value."""
        if len(X) == 0 and len(worst) == 0:
            return surrogate
        before = (worst.numpy().tobytes(), value)
        known = self._fantasized
        if known is None or known[0] is not surrogate or known[1] != before or not _begins(X, known[2]):
            base = surrogate
            for x in worst:
                base = base.observed(x, (value, *([None] * (surrogate.functions - 1))))
            known = (surrogate, before, X[:0], base)
        # Trials that failed stay visited for good: only the new ones are added, with the same result bit for bit.
        new = X[len(known[2]) :]
        result = known[3].fantasized(new) if len(new) else known[3]
        self._fantasized = (surrogate, before, X, result)
        return result


def _begins(X: Tensor, first: Tensor) -> bool:
    """Whether the first rows of X are these, bit for bit."""
    return len(first) <= len(X) and torch.equal(X[: len(first)], first)
