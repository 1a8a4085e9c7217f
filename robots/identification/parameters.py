"""What may differ on the plant, as numbers: names, priors and the disturbance that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from safebo.robots.descriptions.description import JOINT_TYPES, LEGS
from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.simulation.disturbance import A_GO1, Disturbance
from safebo.types import FloatArray


@dataclass(frozen=True)
class PlantParameter:
    """A number of a `Disturbance` that can be identified.

    Args:
        field: of the disturbance.
        entry: which of its entries, by name; empty where it has one.
        unit: of the number.
        median, spread: of what is believed before any walk: mean and standard deviation.
        step: of finite differences.
        lower, upper: physical range.
    """

    field: str
    entry: str
    unit: str
    median: float
    spread: float
    step: float
    lower: float
    upper: float

    @property
    def name(self) -> str:
        """As in a study, with the entry behind a dot."""
        return f"{self.field}.{self.entry}" if self.entry else self.field


_ENTRIES = {
    "payload_position": ("x", "y", "z"),
    "torque_factor": LEGS,
    "joint_damping": JOINT_TYPES,
    "joint_friction": JOINT_TYPES,
    "armature": JOINT_TYPES,
}
_SAME_LEGS = 0.05
"""By how much the motors of one leg differ from those of all, standard deviation."""

# field, entry, unit, median, spread, step, lower, upper: of a Go1
_GO1 = (
    ("payload_mass", "", "kg", 0.75, 1.5, 0.02, 0.0, 12.0),
    ("payload_position", "x", "m", 0.0, 0.05, 0.002, -0.3, 0.3),
    ("payload_position", "y", "m", 0.0, 0.03, 0.002, -0.15, 0.15),
    ("payload_position", "z", "m", 0.06, 0.05, 0.002, -0.1, 0.4),
    *(("torque_factor", leg, "1", 1.0, 0.1, 0.002, 0.3, 1.7) for leg in LEGS),
    *(("joint_damping", kind, "N m s/rad", 0.1, 0.3, 0.005, 0.0, 5.0) for kind in JOINT_TYPES),
    ("joint_friction", "hip", "N m", 0.2, 0.2, 0.01, 0.0, 5.0),
    ("joint_friction", "thigh", "N m", 0.2, 0.2, 0.01, 0.0, 5.0),
    ("joint_friction", "calf", "N m", 0.3, 0.3, 0.01, 0.0, 5.0),
    *(("armature", kind, "kg m^2", 0.008, 0.01, 0.0003, 0.0005, 0.2) for kind in ("hip", "thigh")),
    ("armature", "calf", "kg m^2", 0.01, 0.01, 0.0003, 0.0005, 0.2),
    ("foot_friction", "", "1", 0.8, 0.2, 0.01, 0.05, 2.0),
)


def _scale(field: str, size: RobotSize) -> float:
    """By what a number grows with the robot, as `Disturbance.to_scale` has it."""
    mass, length = size
    return {
        "payload_mass": mass,
        "payload_position": length,
        "joint_damping": mass * length**1.5,
        "joint_friction": mass * length,
        "armature": mass * length**2,
    }.get(field, 1.0)


@dataclass(frozen=True)
class Family:
    """The plants among which the robot is looked for.

    Args:
        parameters: the numbers in which they differ.
        base: everything else of the plant.
    """

    parameters: tuple[PlantParameter, ...]
    base: Disturbance = field(default_factory=Disturbance)

    @classmethod
    def of(cls, size: RobotSize = A_GO1, names: Sequence[str] | None = None) -> Family:
        """All parameters, those of some fields (`payload_mass`), or single ones (`armature.calf`), for a robot's size.

        Raises:
            ValueError: an unknown name; lists those there are.
        """
        whole = []
        for name, entry, unit, *numbers in _GO1:
            scaled = [value * _scale(name, size) for value in numbers]
            whole.append(PlantParameter(name, entry, unit, *scaled))
        if names is None:
            return cls(tuple(whole))
        known = {name for p in whole for name in (p.name, p.field)}
        for name in names:
            if name not in known:
                raise ValueError(f"unknown parameter {name!r}: known are {', '.join(p.name for p in whole)}")
        return cls(tuple(p for p in whole if p.name in names or p.field in names))

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(p.name for p in self.parameters)

    def _all(self, what: str) -> FloatArray:
        return np.array([getattr(p, what) for p in self.parameters])

    @cached_property
    def mean(self) -> FloatArray:
        """Of the prior, `p`."""
        return self._all("median")

    @cached_property
    def spread(self) -> FloatArray:
        """Standard deviations of the prior, `p`."""
        return self._all("spread")

    @cached_property
    def steps(self) -> FloatArray:
        """Of finite differences, `p`."""
        return self._all("step")

    @cached_property
    def precision(self) -> FloatArray:
        """Of the prior, `p x p`. The legs' motors are alike: most of what is unknown of them is common to all."""
        covariance = np.diag(self.spread**2)
        legs = [i for i, p in enumerate(self.parameters) if p.field == "torque_factor"]
        for i in legs:
            for j in legs:
                if i != j:
                    covariance[i, j] = self.spread[i] * self.spread[j] - _SAME_LEGS**2
        return np.asarray(np.linalg.inv(covariance))

    def clipped(self, values: FloatArray) -> FloatArray:
        """Values within their physical range, `p`."""
        return np.asarray(np.clip(values, self._all("lower"), self._all("upper")))

    def disturbance(self, values: FloatArray) -> Disturbance:
        """The plant with these values, `p`; what is not among the parameters is as in `base`."""
        changes: dict[str, Any] = {}
        for parameter, value in zip(self.parameters, values.tolist(), strict=True):
            if not parameter.entry:
                changes[parameter.field] = value
                continue
            entries = _ENTRIES[parameter.field]
            old = changes.get(parameter.field, getattr(self.base, parameter.field))
            old = [0.0] * len(entries) if old is None else list(old)
            old[entries.index(parameter.entry)] = value
            changes[parameter.field] = tuple(old)
        return replace(self.base, **changes)
