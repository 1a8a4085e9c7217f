"""Unitree's order of motors against the controller's order of joints, mapped by name.

Motors come leg by leg FR, FL, RR, RL (hip, thigh, calf each); slots 12 to 19 are unused. The controller's
joints come in the order of its robot model, FL, FR, RL, RR here. Nothing else in the bridge knows either order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safebo.robots.descriptions.description import JOINT_TYPES, LEGS

IndexArray = NDArray[np.intp]

MOTOR_SLOTS = 20
MOTOR_LEGS: tuple[str, ...] = ("FR", "FL", "RR", "RL")
MOTOR_NAMES: tuple[str, ...] = tuple(f"{leg}_{joint}" for leg in MOTOR_LEGS for joint in JOINT_TYPES)
JOINT_NAMES: tuple[str, ...] = tuple(f"{leg}_{joint}" for leg in LEGS for joint in JOINT_TYPES)


def motors_of(joints: Sequence[str] = JOINT_NAMES) -> IndexArray:
    """Motor slot of every joint: `motor_values[motors_of(joints)]` are in the order of `joints`.

    Args:
        joints: names such as `FL_hip`; `FL_hip_joint` is understood as well.

    Raises:
        ValueError: a name that no motor has, or one that comes twice.
    """
    names = [name.removesuffix("_joint") for name in joints]
    unknown = [name for name in names if name not in MOTOR_NAMES]
    if unknown:
        raise ValueError(f"no motor named {unknown[0]!r}: motors are {', '.join(MOTOR_NAMES)}")
    if len(set(names)) != len(names):
        raise ValueError(f"a joint comes twice in {', '.join(names)}")
    return np.array([MOTOR_NAMES.index(name) for name in names], dtype=np.intp)


def feet_of(legs: Sequence[str] = LEGS) -> IndexArray:
    """Slot of every leg's foot sensor; feet come in the motors' order of legs."""
    return np.array([MOTOR_LEGS.index(leg) for leg in legs], dtype=np.intp)
