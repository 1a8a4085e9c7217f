"""What the torque program is told and what comes out of it, by name and in one piece of memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit_no_alloc
from safebo.types import BoolArray, FloatArray


class TorqueProblem(NamedTuple):
    """What the torques of one tick have to realise.

    Args:
        mass_matrix: `18 x 18`.
        bias: Coriolis, centrifugal and gravity force `18`.
        acceleration: wanted generalised acceleration `18`.
        forces: stance forces the MPC planned `4 x 3`, world, N.
        stance: which feet stand `4`.
        rotation: base to world `3 x 3`.
        local: contact points in the base frame `4 x 3`, m.
        jacobian: of those points in the base frame `4 x 3 x 3`, m/rad.
    """

    mass_matrix: FloatArray
    bias: FloatArray
    acceleration: FloatArray
    forces: FloatArray
    stance: BoolArray
    rotation: FloatArray
    local: FloatArray
    jacobian: FloatArray


class Relaxation(NamedTuple):
    """The base accelerations given up, as a function of the forces: delta = effect u + offset.

    Args:
        effect: `6 x 12`, of which the columns of the stance forces are used.
        offset: `6`.
    """

    effect: FloatArray
    offset: FloatArray


class TorqueRoom(NamedTuple):
    """Room for what is found on the way to a solution.

    Args:
        base_block: mass matrix of the base, `6 x 6`, and its factor.
        base_right: what the relaxation is made of, `6 x 13`.
        factor: of H, `12 x 12`.
        column: the solution as a column, `12 x 1`.
        solution: forces in units of the robot's weight, `12`.
    """

    base_block: FloatArray
    base_right: FloatArray
    factor: FloatArray
    column: FloatArray
    solution: FloatArray


class TorqueSettings(NamedTuple):
    """What the torque program is told, constant between two changes of the gains or of the largest force.

    Args:
        weights: cost of the base accelerations given up, linear and angular, `6`.
        regularisation: cost of a force away from the planned one, 1/N^2.
        friction: coefficient.
        unit: of force, the robot's weight, N.
        max_force: largest vertical force of a foot, in that unit.
        torque_limit: N m, `12`.
    """

    weights: FloatArray
    regularisation: float
    friction: float
    unit: float
    max_force: float
    torque_limit: FloatArray


class TorqueAnswer(NamedTuple):
    """What comes out of the torque program.

    Args:
        forces: of the feet `4 x 3`, world, N.
        relaxation: delta, `6`.
        torque: N m, within the limits, `12`.
        elimination: of the relaxation.
        program: H and g, `12 x 12` and `12`, of which the first n rows and columns are used.
    """

    forces: FloatArray
    relaxation: FloatArray
    torque: FloatArray
    elimination: Relaxation
    program: tuple[FloatArray, FloatArray]


TORQUE = np.dtype(
    [
        ("weights", "f8", 6),
        ("regularisation", "f8"),
        ("friction", "f8"),
        ("unit", "f8"),
        ("max_force", "f8"),
        ("torque_limit", "f8", 12),
        ("forces", "f8", (4, 3)),
        ("relaxation", "f8", 6),
        ("torque", "f8", 12),
        ("effect", "f8", (6, 12)),
        ("offset", "f8", 6),
        ("hessian", "f8", (12, 12)),
        ("gradient", "f8", 12),
        ("base_block", "f8", (6, 6)),
        ("base_right", "f8", (6, 13)),
        ("factor", "f8", (12, 12)),
        ("column", "f8", (12, 1)),
        ("solution", "f8", 12),
    ]
)
"""The parts of `TorqueSettings`, `TorqueAnswer` and `TorqueRoom` in one piece of memory."""

TorqueMemory = NDArray[np.uint8]
"""The bytes of one `TORQUE`, see `safebo.boundary.compiled`."""


@njit_no_alloc(forceinline=True)
def torque_parts(memory: TorqueMemory) -> tuple[TorqueSettings, TorqueAnswer]:
    """Settings and answer in a memory."""
    m = memory.view(TORQUE)[0]
    settings = TorqueSettings(
        m["weights"], m["regularisation"], m["friction"], m["unit"], m["max_force"], m["torque_limit"]
    )
    elimination, program = Relaxation(m["effect"], m["offset"]), (m["hessian"], m["gradient"])
    return settings, TorqueAnswer(m["forces"], m["relaxation"], m["torque"], elimination, program)


@njit_no_alloc(forceinline=True)
def torque_room(memory: TorqueMemory) -> TorqueRoom:
    """The room in a memory."""
    m = memory.view(TORQUE)[0]
    return TorqueRoom(m["base_block"], m["base_right"], m["factor"], m["column"], m["solution"])
