"""Observations, and one surrogate of them that is extended row by row where the list only grew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.prior_variants import DECLARED, PriorVariant
from safebo.models.surrogate import Surrogate

Keys = tuple[tuple[int, tuple[float | None, ...], tuple[bool, ...], tuple[float, ...]], ...]
"""Which observations: trials with their values, which later trials of the same gains change, whether exact, and their
added noise."""

ONE_BY_ONE = 300
"""Rows up to this one are conditioned on one by one. One more row copies the whole factor, `O(n^2)`: a restored run of
thousands would copy for minutes, so that later rows come in blocks whose ends depend on their number alone."""

LARGE_BLOCK, SMALL_BLOCK = 100, 10

Table = tuple[Tensor, list[tuple[float | None, ...]], list[tuple[float, ...]]]
"""Inputs, values and added noise, row by row."""


@dataclass(frozen=True)
class Observation:
    """One row of the surrogate's data: inputs in the unit cube and warped values, None where not observed."""

    trial: int
    x: Float[Tensor, " D"]
    """With the operating time, in seconds, as last entry where the study declares `surrogate.time`."""
    values: tuple[float | None, ...]
    exact: tuple[bool, ...] = ()
    """Which values are measurements with Gaussian noise: not those of a fall, nor clipped ones. Empty where all are."""
    noise: tuple[float, ...] = ()
    """Variance of each value's noise beyond the function's own. Empty where none has more."""


def keys_of(rows: Sequence[Observation]) -> Keys:
    """What tells these observations from others."""
    return tuple((row.trial, row.values, row.exact, row.noise) for row in rows)


def observed(function: int, rows: Sequence[Observation]) -> list[float]:
    """The values of a function, of those rows that have one."""
    return [value for row in rows if (value := row.values[function]) is not None]


def exact(function: int, rows: Sequence[Observation]) -> Tensor:
    """Which of them are measurements with the function's noise: not those of a fall, nor clipped ones."""
    own = [not row.exact or row.exact[function] for row in rows if row.values[function] is not None]
    return torch.tensor(own, dtype=torch.bool)


def table_of(rows: Sequence[Observation], dimension: int = 0) -> Table:
    """Inputs, values and added noise; `dimension` is that of no rows."""
    values, added = [row.values for row in rows], [row.noise for row in rows]
    if not rows:
        return torch.zeros(0, dimension, dtype=torch.float64), values, added
    return torch.stack([row.x for row in rows]), values, added


def stops(first: int, count: int) -> list[int]:
    """The numbers of rows between which a surrogate of `count` rows is extended, from `first` to `count`.

    Up to `ONE_BY_ONE` every number; then every full large block, the small blocks that follow it at once, and the rest
    one by one.
    """
    path = list(range(first, min(count, ONE_BY_ONE) + 1)) or [first]
    path += range((path[-1] // LARGE_BLOCK + 1) * LARGE_BLOCK, count + 1, LARGE_BLOCK)
    small = count // SMALL_BLOCK * SMALL_BLOCK
    path += [small] if small > path[-1] else []
    return path + list(range(path[-1] + 1, count + 1))


class GrowingSurrogate:
    """One surrogate of rows that mostly grow, extended from the last one.

    Args:
        base: before any of the rows.
        first: so many rows are conditioned on at once.
        functions: which of a row's values its posteriors are of.
        variant: of the prior; it says whether rows have a time.
    """

    def __init__(
        self, base: Surrogate, first: int, functions: range, variant: PriorVariant = DECLARED
    ) -> None:
        self.base, self.first, self.variant = base, first, variant
        self.functions = slice(functions.start, functions.stop)
        self._posteriors = Surrogate(base.posteriors[self.functions], base.inflation)
        self._keys: Keys = ()
        self._kept: dict[
            int, Surrogate
        ] = {}  # by the number of rows that they know, the first ones of `_keys`

    def of(self, keys: Keys, rows: Sequence[Observation]) -> Surrogate:
        """The surrogate of these rows, in this order."""
        first, base = self.first, self._posteriors
        self._kept = {n: s for n, s in self._kept.items() if keys[:n] == self._keys[:n]}
        self._keys = keys
        if first not in self._kept:
            self._kept[first] = base.conditioned(*self._table(rows[:first])) if first else base
        path = stops(first, len(rows))
        known = max(n for n in path if n in self._kept)
        surrogate = self._kept[known]
        # Longer lists start from the present one, or from the last stop that all of them have.
        anchor = max(n for n in path if n == first or n <= ONE_BY_ONE or n % LARGE_BLOCK == 0)
        for n, end in pairwise(path[path.index(known) :]):
            block = rows[n:end]
            if len(block) == 1:
                x = self.variant.timed(block[0].x, block[0].trial)
                row = block[0]
                surrogate = surrogate.observed(x, row.values[self.functions], row.noise[self.functions])
            else:
                surrogate = surrogate.conditioned(*self._table(block))
            if end == anchor:
                self._kept[anchor] = surrogate
        self._kept = {n: s for n, s in self._kept.items() if n == anchor} | {len(rows): surrogate}
        return surrogate

    def _table(self, rows: Sequence[Observation]) -> Table:
        values = [row.values[self.functions] for row in rows]
        added = [row.noise[self.functions] for row in rows]
        if not rows:
            return torch.zeros(0, self.base.posteriors[0].inputs.shape[1], dtype=torch.float64), values, added
        return torch.stack([self.variant.timed(row.x, row.trial) for row in rows]), values, added
