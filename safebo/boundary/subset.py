"""Which rows of a recording to keep: those that say most about all of it.

Rows of a walk are alike: a robot passes through nearly the same states in every stride. The rows that a Gaussian
process over states would learn most from are found greedily, by Cholesky's factorisation with the largest remaining
variance as the next pivot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit_no_alloc
from safebo.boundary.kernels import radial_kernel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SPARED = 0.2
"""Standard deviation, as a share of the prior's, under which a row that is left out would have added little."""

PART = 250
"""Most rows that `kept_rows` chooses from one part of a path: what a walk of 5 s reports."""


@dataclass(frozen=True)
class Subset:
    """Some of `n` rows, in the order in which they were chosen: the first of them are the choice for a smaller budget.

    Args:
        rows: their numbers, `m`.
        variance: of every one of them, given those before it, as a share of the prior's; it never grows, `m`.
        residual: of every row, given all that were chosen, the same; 0 for those, `n`.
    """

    rows: IntArray
    variance: FloatArray
    residual: FloatArray


def informative_rows(
    states: FloatArray,
    budget: int,
    lengthscale: float = 1.0,
    kernel: str = "matern32",
    spared: float = SPARED,
) -> Subset:
    """Rows chosen one after another, each the one of which those before it say least.

    Stops at the budget, or when every row left out has a standard deviation of at most `spared`. The same rows always
    give the same choice: of equal ones the first is taken, so that the first row is always kept. Takes `O(n m^2)` time
    and `O(n m)` memory.

    Source: pivoted Cholesky factorisation; greedy choice of what to measure of a known path.

    Args:
        states: scaled, so that a difference of 1 counts alike in every coordinate, `n x k`.
        budget: most rows to choose.
        lengthscale: of the kernel, in units of scaled distance.
        kernel: its name (`safebo.boundary.kernels`).
        spared: standard deviation at which to stop, as a share of the prior's.

    Raises:
        ValueError: for states that are not a finite `n x k` array, or a budget, lengthscale or share out of range.
        UnknownNameError: for an unknown kernel.
    """
    rows = np.ascontiguousarray(states, dtype=np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"states must be finite and n x k, got shape {rows.shape}")
    if budget < 0 or not (0.0 < lengthscale < np.inf) or not 0.0 <= spared < 1.0:
        raise ValueError(
            "budget must be at least 0, lengthscale positive and spared from 0 to under 1, got "
            f"{budget}, {lengthscale:g} and {spared:g}"
        )
    correlation = radial_kernel(kernel).correlation
    n, columns = len(rows), np.ascontiguousarray(rows.T)
    most = min(int(budget), n)
    residual = np.ones(n)
    factor = np.empty((most, n))
    chosen = np.empty(most, dtype=np.int64)
    variance = np.empty(most)
    for m in range(most):
        i = int(np.argmax(residual))
        if residual[i] <= spared * spared:
            most = m
            break
        chosen[m], variance[m] = i, residual[i]
        _distances(columns, i, lengthscale, factor[m])
        factor[m] = correlation(factor[m], np)
        _condition(factor, m, i, residual)
        residual[i] = 0.0  # and stays so
    return Subset(chosen[:most].copy(), variance[:most].copy(), residual)


def kept_rows(states: FloatArray, budget: int) -> IntArray:
    """Rows of a path to keep, in the order of the path, the first always among them.

    A path of which more than `PART` rows are kept is cut into consecutive parts with equal shares, so that the time
    it takes grows with its length alone. Rows that coincide are kept once.

    Args:
        states: scaled, `n x k`.
        budget: most rows to keep, at least 0.

    Raises:
        ValueError: for states that are not a finite `n x k` array.
    """
    n = len(states)
    if budget >= n:
        return np.arange(n)
    parts = max(1, -(-budget // PART))
    edges = np.linspace(0, n, parts + 1).astype(np.int64)
    shares = np.diff(np.linspace(0, budget, parts + 1).astype(np.int64))
    return np.concatenate(
        [
            start + np.sort(informative_rows(states[start:stop], int(share), spared=0.0).rows)
            for start, stop, share in zip(edges[:-1], edges[1:], shares, strict=True)
        ]
    )


@njit_no_alloc
def _distances(columns: FloatArray, i: int, lengthscale: float, out: FloatArray) -> None:
    """Of every row to row `i`, in lengthscales; `columns` holds the rows' coordinates one after another, `k x n`."""
    for j in range(out.shape[0]):
        out[j] = 0.0
    for c in range(columns.shape[0]):
        column = columns[c]
        place = column[i]
        for j in range(out.shape[0]):
            d = column[j] - place
            out[j] += d * d
    for j in range(out.shape[0]):
        out[j] = np.sqrt(out[j]) / lengthscale


@njit_no_alloc
def _condition(factor: FloatArray, m: int, i: int, residual: FloatArray) -> None:
    """Turn row `m` of the factor from correlations with row `i` into its column, and take it from what is left.

    Sums are taken in one order on every machine, so that the same rows are chosen.
    """
    column = factor[m]
    for earlier in range(m):
        share = factor[earlier, i]
        for j in range(column.shape[0]):
            column[j] -= share * factor[earlier, j]
    most = residual[i]
    root = np.sqrt(most)
    for j in range(column.shape[0]):
        column[j] /= root
        # What rounding leaves of a variance must not be negative, nor grow again.
        residual[j] = min(max(residual[j] - column[j] * column[j], 0.0), most)
