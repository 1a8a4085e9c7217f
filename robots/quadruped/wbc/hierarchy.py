"""A hierarchy of tasks, solved in strict order of priority by null-space projection.

Kinematic level of whole-body control (Kim et al. 2019, as used by Widmer et al., CoRL 2023): joint position,
velocity and acceleration by iterative null-space projection with the priorities (1) stance feet do not move,
(2) base orientation, (3) base position, (4) swing feet. A lower task acts only in the null space of all higher
ones.
"""

from __future__ import annotations

import math

import numpy as np

from safebo.boundary.compiled import njit, njit_no_alloc, product
from safebo.types import FloatArray, IntArray

DAMPING = 1e-3  # of the pseudo-inverses: bounds the answer where a leg is nearly straight
RANK_TOLERANCE = 1e-6  # a direction shorter than that, relative to its row, adds nothing to the span


@njit(cache=True, fastmath={"contract", "nsz"})
def solve_hierarchy(
    tasks: FloatArray, sizes: IntArray, targets: FloatArray, damping: float, solution: FloatArray
) -> None:
    """Solve stacked tasks in strict order of priority, for several right-hand sides at once.

    Kim et al. 2019: x_i = x_{i-1} + P_i^+ (t_i - J_i x_{i-1}), P_i = J_i N_{i-1}, with N_{i-1} the projector onto
    the null space of all higher levels. The pseudo-inverse is damped, P^+ = P^T (P P^T + lambda^2)^-1; the projector
    is not, so damping never lets a lower task disturb a higher one.

    Coordinates are turned so that N only leaves out the first ones: a Householder reflection H = 1 - s h h^T for every
    new direction puts it onto an axis of its own, J H_1 H_2 ... = L is lower triangular, and x = H_1 H_2 ... y. With
    the `known` directions of the higher levels

        J_i x_{i-1} = L_i[:, :known] y,   P_i = L_i[:, known:]

    so that neither N nor a pseudo-inverse of the stacked Jacobian is ever formed.

    Args:
        tasks: Jacobians of all levels stacked, `rows x n`, highest priority first.
        sizes: rows of every level.
        targets: wanted values, `rows x k`.
        damping: of the pseudo-inverses, in the unit of a singular value.
        solution: out, `n x k`.
    """
    rows, n = tasks.shape
    columns = targets.shape[1]
    turned = tasks.T.copy()  # L^T: a task in each column, so that inner loops run along tasks
    mirrors, scales = np.empty((n, n)), np.empty(n)  # h and s
    lengths, along = np.zeros(rows), np.empty(rows)
    gram, residual, y = np.empty((rows, rows)), np.empty((rows, columns)), np.zeros((columns, n))
    for j in range(n):
        for i in range(rows):
            lengths[i] += product(turned[j, i], turned[j, i])
    row, known = 0, 0
    for level in range(sizes.shape[0]):
        m, higher = sizes[level], known
        for i in range(row, row + m):
            if _left(turned, higher, i) <= RANK_TOLERANCE**2 * lengths[i]:
                turned[higher:, i] = 0.0  # higher levels leave nothing of this row
        for i in range(row, row + m):
            left = _left(turned, known, i)
            if left <= RANK_TOLERANCE**2 * lengths[i]:
                turned[known:, i] = 0.0  # the level's own earlier rows leave nothing of it
                continue
            scales[known] = _reflect(turned, known, i, math.sqrt(left), mirrors[known], along)
            known += 1
        # y := P^T (P P^T + lambda^2)^-1 (t - J x) along the new directions
        for i in range(m):
            for j in range(i + 1):
                value = 0.0
                for k in range(higher, known):
                    value += turned[k, row + i] * turned[k, row + j]
                gram[i, j] = value
            gram[i, i] += damping * damping
            for c in range(columns):
                value = targets[row + i, c]
                for k in range(higher):
                    value -= turned[k, row + i] * y[c, k]
                residual[i, c] = value
        solve_positive(m, columns, gram, residual)
        for k in range(higher, known):
            for c in range(columns):
                value = 0.0
                for i in range(m):
                    value += turned[k, row + i] * residual[i, c]
                y[c, k] = value
        row += m
    for k in range(known - 1, -1, -1):  # x = H_1 H_2 ... y
        mirror = mirrors[k]
        for c in range(columns):
            line, value = y[c], 0.0
            for j in range(k, n):
                value += mirror[j] * line[j]
            value *= scales[k]
            for j in range(k, n):
                line[j] -= value * mirror[j]
    for j in range(n):
        for c in range(columns):
            solution[j, c] = y[c, j]


@njit_no_alloc(fastmath={"contract", "nsz"}, forceinline=True)
def _reflect(
    turned: FloatArray, known: int, task: int, norm: float, mirror: FloatArray, along: FloatArray
) -> float:
    """Turn all tasks so that what is left of one lies on the axis `known`; returns the reflection's scale.

    Args:
        turned: tasks in their columns.
        known: number of directions found before.
        task: column of the one.
        norm: length of what is left of it.
        mirror: out, the reflection's vector `n`; nothing before `known` is written.
        along: room for as many as there are tasks.
    """
    n, rows = turned.shape
    first = turned[known, task]
    for j in range(known, n):
        mirror[j] = turned[j, task]
    mirror[known] += norm if first >= 0.0 else -norm
    scale = 1.0 / (norm * (norm + abs(first)))
    along[:] = 0.0
    for j in range(known, n):  # a foot moves with few joints: many components of a reflection are zero
        value, line = mirror[j], turned[j]
        if value == 0.0:
            continue
        for r in range(rows):
            along[r] += value * line[r]
    for j in range(known, n):
        value, line = scale * mirror[j], turned[j]
        if value == 0.0:
            continue
        for r in range(rows):
            line[r] -= value * along[r]
    return scale


@njit_no_alloc(fastmath={"contract", "nsz"}, forceinline=True)
def _left(turned: FloatArray, known: int, task: int) -> float:
    """What the first `known` directions leave of a task, its squared length; nothing where they are all there are."""
    value = 0.0
    for j in range(known, turned.shape[0]):
        value += product(turned[j, task], turned[j, task])
    return value


@njit_no_alloc(fastmath={"contract", "nsz"})
def solve_positive(size: int, columns: int, matrix: FloatArray, right: FloatArray) -> None:
    """Solve `matrix x = right` in place by Cholesky; only the lower triangle of `matrix` is read.

    Of both the first `size` rows are used, of `right` the first `columns` columns. A direction in which the matrix is
    zero gets the answer zero.
    """
    for j in range(size):
        value = matrix[j, j]
        for k in range(j):
            value -= matrix[j, k] * matrix[j, k]
        pivot = math.sqrt(value) if value > 1e-300 else 1e150
        matrix[j, j] = pivot
        for i in range(j + 1, size):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = value / pivot
    for i in range(size):  # all columns at once
        for k in range(i):
            share = matrix[i, k]
            for c in range(columns):
                right[i, c] -= share * right[k, c]
        for c in range(columns):
            right[i, c] /= matrix[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            share = matrix[k, i]
            for c in range(columns):
                right[i, c] -= share * right[k, c]
        for c in range(columns):
            right[i, c] /= matrix[i, i]
