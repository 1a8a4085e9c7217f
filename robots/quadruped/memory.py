"""What a chain remembers from one tick to the next, in one piece of memory that compiled calls take as one argument.

A call from Python pays for every array that it hands over, at 500 Hz as much as for what is computed. So feet, base and
wanted base are fields of one record. Both sides see the same numbers: `Motion` is how Python names them, `motion_of`
how a compiled function does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit
from safebo.robots.quadruped.feet import FeetMemory, standing_feet
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.mpc.reference import BaseReference
from safebo.types import FloatArray

_FEET = ("stance", "jacobian", "rotation", "points")
_BASE = ("position", "orientation", "linear_velocity", "angular_velocity")
_REFERENCE = ("command", "heading", "wanted", "blended", "wanted_rotation", "velocity")

MOTION = np.dtype(
    [
        *(
            (name, "u1" if part.dtype == np.bool_ else "f8", part.shape)
            for names, parts in (
                (_FEET, standing_feet()),
                (_BASE, BaseState.at_rest()),
                (_REFERENCE, BaseReference.at_rest()),
            )
            for name, part in zip(names, parts, strict=True)
        )
    ]
)
"""The parts of `FeetMemory`, `BaseState` and `BaseReference`; truth values are numbers in such a record."""

Memory = NDArray[np.void]
"""One `MOTION`, in an array of one."""


class Motion(NamedTuple):
    """Feet, base and wanted base of a tick.

    Args:
        feet: see `name_feet`.
        base: as estimated or known.
        reference: as wanted.
    """

    feet: FeetMemory
    base: BaseState
    reference: BaseReference


def allocate_motion() -> tuple[Memory, Motion]:
    """Memory of a robot that stands level at the origin, and what Python sees of it."""
    memory = np.zeros(1, MOTION)

    def views(names: tuple[str, ...]) -> list[FloatArray]:
        return [memory[name][0] for name in names]

    stance, *rest = views(_FEET)
    feet = stance.view(np.bool_), rest[0], rest[1], rest[2]
    motion = Motion(feet, BaseState(*views(_BASE)), BaseReference(*views(_REFERENCE)))
    first = Motion(standing_feet(), BaseState.at_rest(), BaseReference.at_rest())
    for parts, begin in zip(motion, first, strict=True):
        for part, values in zip(parts, begin, strict=True):
            part[...] = values
    return memory, motion


@njit(cache=True)
def motion_of(memory: Memory) -> Motion:
    """Feet, base and wanted base in a memory."""
    m = memory[0]
    return Motion(
        (m["stance"], m["jacobian"], m["rotation"], m["points"]),
        BaseState(m["position"], m["orientation"], m["linear_velocity"], m["angular_velocity"]),
        BaseReference(
            m["command"], m["heading"], m["wanted"], m["blended"], m["wanted_rotation"], m["velocity"]
        ),
    )
