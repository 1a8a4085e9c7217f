"""Which of the backups' stored states a monitor keeps, where there are more than it may hold.

Most stored states never decide anything: another one is nearer to every state that a trial comes into. Those that do
are known once trials without a certificate were walked: they are nearest to states far from all stored ones, in which
the monitor was about to trigger. They are kept first. What is left of the room goes to the states that say most about
the path of each backup (`safebo.boundary.subset`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FAR = 0.5
"""Share of its radius by which a state must be away from a stored one, so that this one counts as deciding."""
SHARE = 0.5
"""Of the room, that states which decided may take."""


def thinned(
    paths: Sequence[FloatArray],
    capacity: int,
    radii: Sequence[FloatArray] = (),
    visited: Sequence[FloatArray] = (),
) -> list[IntArray]:
    """Which states of every trial to keep so that at most `capacity` remain in all.

    Dropping a stored state can only shrink what is covered, so triggers only become more frequent. After states that
    decided, every trial keeps an even share, those that say most about its path; the first state always stays, because
    every trial starts near it.

    Args:
        paths: scaled states of every trial, `n x k` each.
        capacity: of all together; at least one per trial is kept while it lasts, newest trials first.
        radii: how far every state covers, `n` each; needed with `visited`.
        visited: scaled states of trials without a certificate, `m x k` each, in the order of time.
    """
    from safebo.boundary.subset import kept_rows  # with numba, which only global trials need

    counts = [len(path) for path in paths]
    if sum(counts) <= capacity:
        return [np.arange(count) for count in counts]
    most = max(0, min(int(SHARE * capacity), capacity - len(paths)))
    first = deciding_rows(paths, radii, visited, most) if len(visited) else []
    shares = _shares(counts, capacity - sum(map(len, first)))
    rest = [kept_rows(path, share) for path, share in zip(paths, shares, strict=True)]
    return [np.union1d(*rows) for rows in zip(first, rest, strict=True)] if first else rest


def deciding_rows(
    paths: Sequence[FloatArray], radii: Sequence[FloatArray], visited: Sequence[FloatArray], most: int
) -> list[IntArray]:
    """The stored states that covered visited ones from far, those that covered from farthest first; by path, growing.

    Of every trial its states count up to the first that no stored state covers: there the monitor triggers.

    Args:
        paths: scaled states of every backup, `n x k` each.
        radii: how far they cover, `n` each.
        visited: scaled states of other trials, `m x k` each, in the order of time.
        most: of all paths together.
    """
    from safebo.boundary.state_index import StateIndex

    states, reach = np.concatenate(paths), np.concatenate(radii)
    index = StateIndex.build(states, reach, np.zeros(len(states)))
    farthest: dict[int, float] = {}
    last = 0
    for path in visited:
        for state in path:
            row, last, excess = index.search(state, last, False)
            if excess > -FAR * reach[row]:
                farthest[row] = max(excess, farthest.get(row, -np.inf))
            if excess > 0.0:
                break
    chosen = sorted(farthest, key=lambda row: (-farthest[row], row))[:most]
    edges = np.cumsum([0, *(len(path) for path in paths)])
    rows = np.sort(np.array(chosen, dtype=np.int64))
    return [rows[(rows >= start) & (rows < stop)] - start for start, stop in itertools.pairwise(edges)]


def _shares(counts: Sequence[int], capacity: int) -> list[int]:
    """How many of every trial's states to keep, so that at most `capacity` remain in all."""
    kept = [0] * len(counts)
    room = capacity
    # Short paths first, so that what they do not use is shared among the long ones.
    order = sorted(range(len(counts)), key=lambda i: (counts[i], -i))
    if len(counts) > capacity:
        order = sorted(range(len(counts) - capacity, len(counts)), key=lambda i: (counts[i], -i))
    for position, i in enumerate(order):
        kept[i] = min(counts[i], room // (len(order) - position))
        room -= kept[i]
    return kept
