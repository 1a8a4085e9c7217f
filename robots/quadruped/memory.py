"""What a chain remembers from one tick to the next, and what its plans are told, in one piece of memory.

Compiled functions take it as one argument (`safebo.boundary.compiled` says why). Both sides see the same numbers:
`motion_of` names them in a compiled function, `allocate_motion` in Python.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.quadruped.contact_timing import ContactRules, Contacts
from safebo.robots.quadruped.feet import Feet, FootParameters
from safebo.robots.quadruped.gait import GaitTiming
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.kinematics import LegGeometry
from safebo.robots.quadruped.mpc.reference import BaseReference
from safebo.types import FloatArray

_PARAMETERS = [
    ("duty", "f8", 4),
    ("stride", "f8", 4),
    ("offsets", "f8", 4),
    ("legs", "f8", (4, 7, 3)),
    ("hip", "f8", (4, 3)),
    ("foot_radius", "f8"),
    ("period", "f8"),
    ("velocity_gain", "f8"),
    ("swing", "f8", 2),
    ("rules", "f8", len(ContactRules._fields)),
]


def _fields(name: str, parts: NamedTuple) -> list[tuple[str, str, tuple[int, ...]]]:
    """Those of a record of arrays; truth values are numbers in memory."""
    return [
        (f"{name}.{part}", "u1" if values.dtype == np.bool_ else values.dtype.str, values.shape)
        for part, values in parts._asdict().items()
    ]


MOTION = np.dtype(
    [
        *_PARAMETERS,
        *_fields("feet", Feet.standing()),
        *_fields("base", BaseState.at_rest()),
        *_fields("reference", BaseReference.at_rest()),
        *_fields("contacts", Contacts.standing()),
    ],
    align=True,
)
"""The parts of `FootParameters`, `Feet`, `BaseState`, `BaseReference` and `Contacts`."""

Memory = NDArray[np.uint8]
"""The bytes of one `MOTION`."""


class Motion(NamedTuple):
    """Feet, base and wanted base of a tick.

    Args:
        parameters: gait, legs and gains of the feet.
        feet: measured and planned.
        base: as estimated or known.
        reference: as wanted.
        contacts: as planned and as felt.
    """

    parameters: FootParameters
    feet: Feet
    base: BaseState
    reference: BaseReference
    contacts: Contacts


def allocate_motion(
    geometry: LegGeometry, period: float, rules: ContactRules | None = None
) -> tuple[Memory, Motion]:
    """Memory of a robot that stands level at the origin, and what Python sees of it.

    Args:
        geometry: of its legs.
        period: control period, s.
        rules: how contact adapts; not at all where None.
    """
    memory, rules = np.zeros(1, MOTION), rules or ContactRules()
    for name, value in (*geometry._asdict().items(), ("period", period), ("rules", rules)):
        memory[name] = value

    def views(name: str, parts: NamedTuple) -> list[FloatArray]:
        found = []
        for part, values in parts._asdict().items():
            view = memory[f"{name}.{part}"][0]
            found.append(view.view(np.bool_) if values.dtype == np.bool_ else view)
            found[-1][...] = values
        return found

    timing = GaitTiming(*(memory[name][0] for name in GaitTiming._fields))
    motion = Motion(
        FootParameters(timing, geometry, period, 0.0, (0.0, 0.0), rules),
        Feet(*views("feet", Feet.standing())),  # type: ignore[arg-type]
        BaseState(*views("base", BaseState.at_rest())),
        BaseReference(*views("reference", BaseReference.at_rest())),
        Contacts(*views("contacts", Contacts.standing())),  # type: ignore[arg-type]
    )
    return memory.view(np.uint8), motion


def set_swing(memory: Memory, velocity_gain: float, apex: float, max_speed: float) -> None:
    """Write the gains of the feet, see `FootParameters`."""
    record = memory.view(MOTION)
    record["velocity_gain"], record["swing"] = velocity_gain, (apex, max_speed)


@njit_no_alloc(forceinline=True)
def motion_of(memory: Memory) -> Motion:
    """Feet, base and wanted base in a memory."""
    m = memory.view(MOTION)[0]
    geometry = LegGeometry(m["legs"], m["hip"], m["foot_radius"])
    timing, swing, r = GaitTiming(m["duty"], m["stride"], m["offsets"]), m["swing"], m["rules"]
    rules = ContactRules(r[0] != 0.0, r[1], r[2], r[3], r[4], r[5], r[6], r[7])
    return Motion(
        FootParameters(timing, geometry, m["period"], m["velocity_gain"], (swing[0], swing[1]), rules),
        Feet(
            m["feet.stance"],
            m["feet.local"],
            m["feet.jacobian"],
            m["feet.axes"],
            m["feet.drift"],
            m["feet.world"],
            m["feet.velocity"],
            m["feet.start"],
            m["feet.target"],
            m["feet.shift"],
            m["feet.wanted"],
            m["feet.wanted_velocity"],
            m["feet.wanted_acceleration"],
            m["feet.rotation"],
        ),
        BaseState(
            m["base.position"],
            m["base.orientation"],
            m["base.linear_velocity"],
            m["base.angular_velocity"],
        ),
        BaseReference(
            m["reference.command"],
            m["reference.heading"],
            m["reference.wanted"],
            m["reference.blended"],
            m["reference.rotation"],
            m["reference.velocity"],
        ),
        Contacts(
            m["contacts.mode"],
            m["contacts.planned"],
            m["contacts.progress"],
            m["contacts.known"],
            m["contacts.touching"],
            m["contacts.empty"],
            m["contacts.free"],
            m["contacts.held"],
            m["contacts.lowered"],
            m["contacts.ground"],
            m["contacts.lift"],
            m["contacts.level"],
        ),
    )
