"""Equal scores of a finite set of points, told apart by a seed instead of by round-off.

Where the data are symmetric, candidates are exactly tied, and which of them a computed maximum names hangs on the last
digits: on the processor, the order of the rows, the way a sum is split. Here scores within `RELATIVE` of each other are
tied, and a seed chooses among the tied points, each with the same probability, in whichever order they are listed.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

RELATIVE = 1e-9
"""Scores that differ by less than this, relative to their size, are tied."""

_STREAM = zlib.crc32(b"ties")


def falling(scores: Float[Tensor, " b"], points: Float[Tensor, "b d"], seed: int | None) -> Int[Tensor, " b"]:
    """Rows by falling score; tied ones in an order drawn by the seed, rows of one point together, lowest first.

    Neighbours in that order within `RELATIVE` of each other are tied, and so is what a chain of them connects.

    Args:
        scores: `b`, none of them NaN.
        points: which they belong to, `b x d`.
        seed: of the order among tied points; None leaves them in the order of exact scores, then of rows.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    if seed is None or len(order) < 2:
        return order
    ranked = scores[order]
    fallen = ~within(ranked[1:], ranked[:-1])
    group = torch.cat([fallen.new_zeros(1), fallen]).cumsum(0)
    tied = torch.zeros_like(group, dtype=torch.bool)
    tied[1:] |= ~fallen
    tied[:-1] |= ~fallen
    if not bool(tied.any()):
        return order
    rows = order[tied]
    drawn = _drawn(points[rows], seed)
    sequence = np.lexsort((rows.cpu().numpy(), drawn, group[tied].cpu().numpy()))
    result = order.clone()
    result[tied] = rows[torch.from_numpy(sequence).to(rows.device)]
    return result


def first(scores: Float[Tensor, " n"], points: Float[Tensor, "n d"], seed: int | None) -> int:
    """Row of the largest score, one of those tied with it; the lowest row of that point.

    Args:
        scores: `n`, at least one of them above -inf.
        points: which they belong to, `n x d`.
        seed: of the choice among tied points; None for the lowest row of the largest score.
    """
    largest = scores.max()
    if seed is None:
        best = int((scores == largest).int().argmax())
        near = torch.nonzero(within(scores, largest)).squeeze(-1)
        # Matrix products may treat the last columns differently, by round-off: equal rows are never told apart.
        return int(near[(points[near] == points[best]).all(-1)][0])
    near = torch.nonzero(within(scores, largest)).squeeze(-1)
    return int(near[falling(torch.zeros_like(scores[near]), points[near], seed)[0]])


def within(scores: Float[Tensor, " n"], level: Float[Tensor, "*n"]) -> Bool[Tensor, " n"]:
    """Which scores reach a level, one for all or one each, or are tied with it."""
    return (scores >= level) | (scores >= level - RELATIVE * level.abs())


def _drawn(points: Float[Tensor, "k d"], seed: int) -> NDArray[np.int64]:
    """Place of every point in a drawn order of the different points, `k`; it does not depend on that of the rows."""
    _, number = np.unique(points.cpu().numpy(), axis=0, return_inverse=True)
    number = number.reshape(-1)
    rng = np.random.default_rng([_STREAM, seed])
    return np.asarray(rng.permutation(int(number.max()) + 1)[number])
