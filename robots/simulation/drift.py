"""A plant that changes with the time of its operation: motors that grow weak, joints that grow stiff, and steps.

    torque factor(t) = torque factor * exp(torque * t) * product over steps before t of (1 + step)
    joint damping(t) = joint damping + damping * t

with t the operating time in seconds. A rate of -1 %/min takes a hundredth of what is left in every minute, so that a
factor never becomes negative. Everything is a function of t alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safebo.robots.simulation.disturbance import Disturbance, Four

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_NUMBER = r"\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*"


@dataclass(frozen=True)
class TorqueStep:
    """A sudden change of every motor.

    Args:
        at: operating time, s.
        torque: what is added to the torque factors, as a share of them; above -1.
    """

    at: float
    torque: float


@dataclass(frozen=True)
class Drift:
    """How a plant changes with its operating time. The default does not.

    Args:
        torque: relative rate of the torque factors, 1/s.
        damping: rate of every joint's damping, N m s/rad per s; at least 0.
        steps: sudden changes.
    """

    torque: float = 0.0
    damping: float = 0.0
    steps: tuple[TorqueStep, ...] = ()

    @classmethod
    def from_dict(cls, values: Any) -> Drift:
        """A drift from a study file: `{torque: -1 %/min, damping: 0.01 N m s/rad/min, steps: [{at: 30 min, torque:
        -10 %}]}`.

        Raises:
            ValueError: names the key, what was wrong and what is allowed.
        """
        if not isinstance(values, Mapping) or set(values) - {"torque", "damping", "steps"}:
            raise ValueError(f"drift must be a mapping with torque, damping and steps, got {values!r}")
        steps = values.get("steps", [])
        if not isinstance(steps, Sequence) or isinstance(steps, str):
            raise ValueError(f"drift: steps must be a list of {{at: 30 min, torque: -10 %}}, got {steps!r}")
        damping = _rate("damping", values.get("damping", "0 N m s/rad/s"), "N m s/rad", 1.0)
        if damping < 0:
            raise ValueError(
                f"drift: damping must be at least 0 N m s/rad/min, got {values['damping']!r}: heat does not take away "
                "damping that the model may not have"
            )
        return cls(
            torque=_rate("torque", values.get("torque", "0 %/s"), "%", 0.01),
            damping=damping,
            steps=tuple(_step(i, step) for i, step in enumerate(steps)),
        )

    def __bool__(self) -> bool:
        return self != Drift()

    def factor(self, time: float) -> float:
        """What multiplies the torque factors after so many seconds of operation."""
        steps = math.prod(1.0 + step.torque for step in self.steps if step.at <= time)
        return math.exp(self.torque * time) * steps

    def at(self, gap: Disturbance, time: float) -> Disturbance:
        """The reality gap after so many seconds of operation."""
        f, (a, b, c, d) = self.factor(time), gap.torque_factor
        weak: Four = (f * a, f * b, f * c, f * d)
        return replace(gap, torque_factor=weak, added_damping=gap.added_damping + self.damping * time)


def _step(index: int, value: Any) -> TorqueStep:
    where = f"steps[{index}]"
    if not isinstance(value, Mapping) or set(value) != {"at", "torque"}:
        raise ValueError(f"drift: {where} must be {{at: 30 min, torque: -10 %}}, got {value!r}")
    torque = _measure(f"{where}.torque", value["torque"], {"%": 0.01}, "-10 %")
    if torque <= -1:
        raise ValueError(f"drift: {where}.torque must be above -100 %, got {value['torque']!r}")
    return TorqueStep(_measure(f"{where}.at", value["at"], _SECONDS, "30 min"), torque)


def _rate(key: str, value: Any, unit: str, factor: float) -> float:
    """A change per second."""
    units = {f"{unit}/{name}": factor / seconds for name, seconds in _SECONDS.items()}
    return _measure(key, value, units, f"1 {unit}/min")


def _measure(key: str, value: Any, units: Mapping[str, float], example: str) -> float:
    """A number in one of these units."""
    if isinstance(value, str):
        found = re.fullmatch(_NUMBER + r"(.*?)\s*", value)
        if found and found[2] in units:
            return float(found[1]) * units[found[2]]
    raise ValueError(
        f"drift: {key} must be a number and one of the units {', '.join(units)}, as in {example}, got {value!r}"
    )
