"""The arrays of a boundary monitor as bytes: what Upload carries, and what SetMonitor describes.

states   m x k doubles, row by row, unscaled
scale    k doubles
lower    p doubles
gain     m doubles
policy   m unsigned 16-bit numbers
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import (
    CostToGoRule,
    GaussianTailRule,
    KernelCovarianceRule,
    LipschitzRule,
    TriggerRule,
)
from safebo.hardware.constants import MAX_POLICIES, MAX_STATES, MAX_WIDTH
from safebo.hardware.link.digest import MonitorDescription
from safebo.types import FloatArray

RULES: dict[str, type[TriggerRule]] = {
    rule.name: rule for rule in (LipschitzRule, GaussianTailRule, KernelCovarianceRule, CostToGoRule)
}
KERNELS = ("matern12", "matern32", "matern52", "rbf")
"""State kernels in the order of their numbers on the wire."""


@dataclass(frozen=True)
class MonitorArrays:
    """What a boundary monitor is made of; shapes and units as in `safebo.boundary.monitor.BoundaryMonitor`."""

    states: FloatArray
    scale: FloatArray
    lower: FloatArray
    gain: FloatArray
    policy: NDArray[np.int64]

    def pack(self) -> bytes:
        """The bytes of the upload."""
        doubles = (self.states, self.scale, self.lower, self.gain)
        return (
            b"".join(np.ascontiguousarray(a, "<f8").tobytes() for a in doubles)
            + np.ascontiguousarray(self.policy, "<u2").tobytes()
        )

    @classmethod
    def unpack(cls, data: bytes, description: MonitorDescription) -> MonitorArrays:
        """The arrays in an upload.

        Raises:
            ValueError: not of the described size, or not what was described.
        """
        m, k, p = description.states, description.width, description.policies
        if not (1 <= m <= MAX_STATES and 1 <= k <= MAX_WIDTH and 1 <= p <= MAX_POLICIES):
            raise ValueError(f"monitor: {m} states of {k} numbers with {p} backups are not allowed")
        if len(data) != size(m, k, p):
            raise ValueError(f"monitor: {len(data)} bytes were uploaded, {size(m, k, p)} are described")
        if hashlib.sha256(data).digest() != description.digest:
            raise ValueError("monitor: the uploaded arrays do not have the described digest")
        doubles = np.frombuffer(data, "<f8", m * k + k + p + m).astype(np.float64)
        states, scale, lower, gain = np.split(doubles, np.cumsum([m * k, k, p]))
        policy = np.frombuffer(data, "<u2", m, 8 * len(doubles)).astype(np.int64)
        if policy.max() >= p:
            raise ValueError(f"monitor: a state names backup {policy.max()} of {p}")
        return cls(states.reshape(m, k), scale, lower, gain, policy)


def size(states: int, width: int, policies: int) -> int:
    """Bytes of an upload."""
    return 8 * (states * width + width + policies + states) + 2 * states


def rule_numbers(rule: TriggerRule) -> tuple[float, ...]:
    """The rule's numbers in the order of its fields, filled up with zeros to six."""
    values = [getattr(rule, item.name) for item in fields(rule)]
    numbers = [float(KERNELS.index(v)) if isinstance(v, str) else float(v) for v in values]
    return tuple(numbers + [0.0] * (6 - len(numbers)))


def rule_of(name: str, numbers: tuple[float, ...]) -> TriggerRule:
    """The rule of this name with these numbers.

    Raises:
        ValueError: an unknown rule, or numbers that it cannot have.
    """
    if name not in RULES:
        raise ValueError(f"monitor: unknown rule {name!r}: known are {', '.join(RULES)}")
    kind = RULES[name]
    names = [item.name for item in fields(kind)]
    if any(numbers[len(names) :]) or not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"monitor: rule {name} has {len(names)} finite numbers, then zeros")
    values: dict[str, object] = dict(zip(names, numbers, strict=False))
    if "state_kernel" in values:
        number = numbers[names.index("state_kernel")]
        if number not in range(len(KERNELS)):
            raise ValueError(f"monitor: state kernel {number:g} is none of 0 to {len(KERNELS) - 1}")
        values["state_kernel"] = KERNELS[int(number)]
    _check_numbers(name, values)
    return kind(**values)


def _check_numbers(name: str, values: dict[str, object]) -> None:
    """Ranges as in the study file."""
    for key, value in values.items():
        if not isinstance(value, float):
            continue
        if key in ("lipschitz", "pessimism", "sigma", "state_lengthscale") and not value > 0:
            raise ValueError(f"monitor: {name}: {key} must be positive, got {value:g}")
        if key.startswith(("tau", "correlation")) and not 0 < value < 1:
            raise ValueError(f"monitor: {name}: {key} must be between 0 and 1, got {value:g}")
        if key == "inter_sample" and not value >= 0:
            raise ValueError(f"monitor: {name}: {key} must be at least 0, got {value:g}")


def build_monitor(data: bytes, description: MonitorDescription) -> BoundaryMonitor:
    """The monitor in an upload. Its backups are numbered only: the gains lie with the guardian.

    Raises:
        ValueError: for whatever is wrong with it.
    """
    arrays = MonitorArrays.unpack(data, description)
    if not (np.isfinite(arrays.scale).all() and np.isfinite(arrays.gain).all()):
        raise ValueError("monitor: scales and gains must be finite")
    return BoundaryMonitor(
        arrays.states,
        arrays.policy,
        arrays.lower,
        [{} for _ in arrays.lower],
        rule_of(description.rule, description.numbers),
        arrays.scale,
        arrays.gain,
    )


def monitor_upload(monitor: BoundaryMonitor) -> tuple[bytes, MonitorDescription]:
    """Upload and description of a monitor that a tuner made; its gains go to slots 1 to `policies`."""
    states = monitor.states * monitor.scale
    data = MonitorArrays(states, monitor.scale, monitor.lower, monitor.gain, monitor.policy).pack()
    description = MonitorDescription(
        monitor.rule.name,
        rule_numbers(monitor.rule),
        states.shape[1],
        len(states),
        len(monitor.lower),
        hashlib.sha256(data).digest(),
    )
    return data, description
