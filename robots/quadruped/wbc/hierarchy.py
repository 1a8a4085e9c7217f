"""A hierarchy of tasks, solved in strict order of priority by null-space projection.

Kinematic level of whole-body control (Kim et al. 2019, as used by Widmer et al., CoRL 2023): joint position,
velocity and acceleration by iterative null-space projection with the priorities (1) stance feet do not move,
(2) base orientation, (3) base position, (4) swing feet. A lower task acts only in the null space of all higher
ones.
"""

from __future__ import annotations

import math

import numpy as np

from safebo.boundary.compiled import njit
from safebo.types import FloatArray, IntArray

DAMPING = 1e-3  # of the pseudo-inverses: bounds the answer where a leg is nearly straight
RANK_TOLERANCE = 1e-6  # a direction shorter than that, relative to its row, adds nothing to the span


@njit(cache=True, fastmath={"contract", "nsz"})
def solve_hierarchy(
    tasks: FloatArray, sizes: IntArray, targets: FloatArray, damping: float, solution: FloatArray
) -> None:
    """Solve stacked tasks in strict order of priority, for several right-hand sides at once.

    Kim et al. 2019: x_i = x_{i-1} + P_i^+ (t_i - J_i x_{i-1}), P_i = J_i N_{i-1}, with N_{i-1} the projector onto
    the null space of all higher levels. The rows of B being an orthonormal basis of all higher rows,
    N = 1 - B^T B, and a row is projected by taking its part along each row of B out of it (Gram-Schmidt). So
    neither N nor a pseudo-inverse of the stacked Jacobian is ever formed. The pseudo-inverse is damped,
    P^+ = P^T (P P^T + lambda^2)^-1; the projector is not, so damping never lets a lower task disturb a higher one.

    Args:
        tasks: Jacobians of all levels stacked, `rows x n`, highest priority first.
        sizes: rows of every level.
        targets: wanted values, `rows x k`.
        damping: of the pseudo-inverses, in the unit of a singular value.
        solution: out, `n x k`.
    """
    n, columns = tasks.shape[1], targets.shape[1]
    basis = np.empty((n, n))  # B: its first `known` rows
    known = 0
    solution[:] = 0.0
    row = 0
    for level in range(sizes.shape[0]):
        m = sizes[level]
        if m == 0:
            continue
        projected = np.empty((m, n))
        lengths = np.empty(m)
        residual = np.empty((m, columns))
        for i in range(m):
            length, left = 0.0, 0.0
            for j in range(n):
                projected[i, j] = tasks[row + i, j]
                length += tasks[row + i, j] ** 2
            _remove(projected[i], basis, known)  # P_i = J_i (1 - B^T B)
            for j in range(n):
                left += projected[i, j] ** 2
            lengths[i] = length
            if left <= RANK_TOLERANCE**2 * length:  # higher levels leave nothing of this row
                projected[i] = 0.0
            for c in range(columns):
                value = targets[row + i, c]
                for j in range(n):
                    value -= tasks[row + i, j] * solution[j, c]
                residual[i, c] = value  # t_i - J_i x_{i-1}
        # residual := (P P^T + lambda^2)^-1 residual, then x += P^T residual
        gram = np.empty((m, m))
        for i in range(m):
            for j in range(i + 1):
                value = 0.0
                for k in range(n):
                    value += projected[i, k] * projected[j, k]
                gram[i, j] = value
            gram[i, i] += damping * damping
        solve_positive(gram, residual)
        for i in range(m):
            for j in range(n):
                for c in range(columns):
                    solution[j, c] += projected[i, j] * residual[i, c]
        # B takes up the directions of this level; rows of P are orthogonal to the old B but not to one another
        for i in range(m):
            if known == n:
                break
            for j in range(n):
                basis[known, j] = projected[i, j]
            _remove(basis[known], basis, known)
            left = 0.0
            for j in range(n):
                left += basis[known, j] ** 2
            if left > RANK_TOLERANCE**2 * lengths[i]:
                scale = 1.0 / math.sqrt(left)
                for j in range(n):
                    basis[known, j] *= scale
                known += 1
        row += m


@njit(cache=True, fastmath={"contract", "nsz"})
def _remove(vector: FloatArray, basis: FloatArray, known: int) -> None:
    """Project `vector` in place by 1 - B^T B, B being the first `known` rows of `basis`.

    Done twice: after one pass a vector that lay nearly in the span is left with rounding errors as large as
    itself; a second pass makes it orthogonal to machine precision.
    """
    for _ in range(2):
        for b in range(known):
            value = 0.0
            for j in range(vector.shape[0]):
                value += basis[b, j] * vector[j]
            for j in range(vector.shape[0]):
                vector[j] -= value * basis[b, j]


@njit(cache=True)
def solve_positive(matrix: FloatArray, right: FloatArray) -> None:
    """Solve `matrix x = right` in place by Cholesky; only the lower triangle of `matrix` is read.

    A direction in which the matrix is zero gets the answer zero.
    """
    m, columns = right.shape
    for j in range(m):
        value = matrix[j, j]
        for k in range(j):
            value -= matrix[j, k] * matrix[j, k]
        pivot = math.sqrt(value) if value > 1e-300 else 1e150
        matrix[j, j] = pivot
        for i in range(j + 1, m):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = value / pivot
    for c in range(columns):
        for i in range(m):
            value = right[i, c]
            for k in range(i):
                value -= matrix[i, k] * right[k, c]
            right[i, c] = value / matrix[i, i]
        for i in range(m - 1, -1, -1):
            value = right[i, c]
            for k in range(i + 1, m):
                value -= matrix[k, i] * right[k, c]
            right[i, c] = value / matrix[i, i]
