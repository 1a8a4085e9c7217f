"""Forces of feet as variables of a quadratic program: their order, and the friction pyramid in which they stay."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from safebo.boundary.compiled import njit_no_alloc
from safebo.types import BoolArray, FloatArray


@lru_cache(maxsize=128)
def friction_pyramid(
    count: int, friction: float, max_force: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Constraints (A, upper, lower) of `count` contact forces in DAQP's form; not to be written to.

    The variables are the vertical forces of all contacts, then x and y of each contact. Bounds on the first
    `count` keep 0 <= fz <= max_force; the rows of A, of unit length, keep +-fx - mu fz <= 0 and
    +-fy - mu fz <= 0.
    """
    matrix = np.zeros((4 * count, 3 * count))
    scale = 1.0 / math.sqrt(1.0 + friction**2)
    for c in range(count):
        for row, (axis, sign) in enumerate(((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))):
            matrix[4 * c + row, count + 2 * c + axis] = sign * scale
            matrix[4 * c + row, c] = -friction * scale
    upper = np.concatenate([np.full(count, max_force), np.zeros(4 * count)])
    lower = np.concatenate([np.zeros(count), np.full(4 * count, -1e30)])
    return matrix, upper, lower


TOLERANCE = 1e-6
"""By how much forces may break a row of the constraints, which has unit length: DAQP's own."""


@njit_no_alloc(fastmath={"contract"})
def inside_pyramid(forces: FloatArray, friction: float, max_force: float) -> bool:
    """Whether forces, in the order and units of `friction_pyramid`, keep its constraints; NaN does not."""
    count = forces.shape[0] // 3
    scale = 1.0 / math.sqrt(1.0 + friction**2)
    for c in range(count):
        up, across = forces[c], max(abs(forces[count + 2 * c]), abs(forces[count + 2 * c + 1]))
        within = -TOLERANCE <= up <= max_force + TOLERANCE
        if not (within and scale * (across - friction * up) <= TOLERANCE):
            return False
    return True


@njit_no_alloc
def scatter_step(
    solution: FloatArray,
    first: int,
    contacts: BoolArray | FloatArray,
    unit: float,
    forces: FloatArray,
) -> int:
    """Copy the solver's variables of one step into `forces` (`4 x 3`), in N; zero without contact.

    Args:
        solution: of all steps.
        first: number of the contacts in earlier steps.
        contacts: of the four feet in this step, `4`.
        unit: of the solution, N.
        forces: out.

    Returns:
        The number of contacts up to this step.
    """
    total, c = solution.shape[0] // 3, first
    for leg in range(4):
        if contacts[leg]:
            forces[leg, 0] = unit * solution[total + 2 * c]
            forces[leg, 1] = unit * solution[total + 2 * c + 1]
            forces[leg, 2] = unit * solution[c]
            c += 1
        else:
            forces[leg, 0] = forces[leg, 1] = forces[leg, 2] = 0.0
    return c


@njit_no_alloc
def scatter_forces(solution: FloatArray, contacts: FloatArray, unit: float, forces: FloatArray) -> None:
    """`scatter_step` for every step, `contacts` being `steps x 4` and `forces` `steps x 4 x 3`."""
    c = 0
    for j in range(contacts.shape[0]):
        c = scatter_step(solution, c, contacts[j], unit, forces[j])
