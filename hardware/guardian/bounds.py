"""Hard bounds on every gain, whatever a study says: the last word before a gain reaches a motor.

Starting numbers: wide enough for the shipped studies, far inside what the controller's own record accepts.
Stiffness and damping are bounded as the motors feel them too, type times leg factor.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from safebo.hardware.constants import MAX_DAMPING, MAX_GAINS, MAX_STIFFNESS
from safebo.robots.quadruped.gains import GAINS, Gains, GainTable

_JOINT = {
    **{f"joint.{kind}.kp": (5.0, 250.0) for kind in ("hip", "thigh", "calf")},
    **{f"joint.{kind}.kd": (0.2, 12.0) for kind in ("hip", "thigh", "calf")},
    **{
        f"joint.{leg}.{which}_scale": (0.2, 5.0) for leg in ("fl", "fr", "rl", "rr") for which in ("kp", "kd")
    },
}

HARD_BOUNDS: Mapping[str, tuple[float, float]] = {
    **_JOINT,
    "mpc.weight.roll": (0.05, 500.0),
    "mpc.weight.pitch": (0.05, 500.0),
    "mpc.weight.roll_pitch_scale": (0.01, 100.0),
    "mpc.weight.yaw": (0.0, 500.0),
    "mpc.weight.x": (0.0, 500.0),
    "mpc.weight.y": (0.0, 500.0),
    "mpc.weight.height": (0.5, 5000.0),
    "mpc.weight.roll_rate": (0.0, 50.0),
    "mpc.weight.pitch_rate": (0.0, 50.0),
    "mpc.weight.yaw_rate": (0.0, 50.0),
    "mpc.weight.velocity_x": (0.0, 50.0),
    "mpc.weight.velocity_y": (0.0, 50.0),
    "mpc.weight.velocity_z": (0.0, 50.0),
    "mpc.force_regularisation": (1e-8, 1e-2),
    "friction.coefficient": (0.1, 1.0),
    "swing.kp_xy": (20.0, 2500.0),
    "swing.kp_z": (20.0, 2500.0),
    "swing.kd_xy": (1.0, 150.0),
    "swing.kd_z": (1.0, 150.0),
    "swing.apex_height": (0.02, 0.15),
    "swing.max_speed": (0.5, 6.0),
    "foothold.velocity_gain": (0.0, 0.8),
    "wbc.orientation.kp": (0.0, 1000.0),
    "wbc.orientation.kd": (0.0, 100.0),
    "wbc.position.kp": (0.0, 1000.0),
    "wbc.position.kd": (0.0, 100.0),
    "wbc.weight.angular_acceleration": (1e-3, 1e3),
    "wbc.weight.linear_acceleration": (1e-3, 1e3),
    "wbc.force_regularisation": (1e-7, 1e-1),
    "wbc.mpc_blend": (0.0, 1.0),
    "wbc.trajectory_blend": (0.0, 1.0),
}
"""Lower and upper bound of every gain, in the gain's unit."""


@dataclass(frozen=True)
class ControllerGains:
    """The gains that a controller has, in the order in which they travel.

    Args:
        names, units: of every gain.
        lower, upper: hard bounds.
        baseline: the gains to which every trouble falls back.
        variant: what besides its gains makes the controller another one, in a word; empty for nothing.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    baseline: tuple[float, ...]
    variant: str = ""

    def __post_init__(self) -> None:
        problem = self.problem(self.baseline)
        if problem:
            raise ValueError(f"baseline gains: {problem}")

    @classmethod
    def of(cls, table: GainTable) -> ControllerGains:
        """The gains of a user's own controller; its defaults are the baseline.

        Raises:
            ValueError: more than the link carries, or a baseline beyond what motors may be told.
        """
        if len(table) > MAX_GAINS:
            raise ValueError(f"expected 1 to {MAX_GAINS} gains, got {len(table)}")
        rows = [(gain.name, gain.unit, gain.lower, gain.upper, gain.default) for gain in table]
        names, units, lower, upper, baseline = zip(*rows, strict=True)
        return cls(names, units, lower, upper, baseline)

    @property
    def identity(self) -> int:
        """The first eight bytes, as a little-endian number, of the SHA-256 of `name unit` lines, and of one with the
        variant where there is one.
        """
        lines = "".join(f"{name} {unit}\n" for name, unit in zip(self.names, self.units, strict=True))
        lines += f"{self.variant}\n" if self.variant else ""
        return int.from_bytes(hashlib.sha256(lines.encode()).digest()[:8], "little")

    def problem(self, values: tuple[float, ...]) -> str:
        """Why these gains must not reach the robot; empty when they may."""
        if len(values) != len(self.names):
            return f"expected {len(self.names)} gains, got {len(values)}"
        for name, unit, value, low, high in zip(
            self.names, self.units, values, self.lower, self.upper, strict=True
        ):
            if not math.isfinite(value) or not low <= value <= high:
                return f"{name}: {value:g} is outside {low:g} .. {high:g} {unit}".rstrip()
        return self._effective(dict(zip(self.names, values, strict=True)))

    def _effective(self, gains: Mapping[str, float]) -> str:
        for leg in ("fl", "fr", "rl", "rr"):
            for kind in ("hip", "thigh", "calf"):
                for which, most in (("kp", MAX_STIFFNESS), ("kd", MAX_DAMPING)):
                    value = gains.get(f"joint.{kind}.{which}", 0.0) * gains.get(
                        f"joint.{leg}.{which}_scale", 1.0
                    )
                    if value > most:
                        return f"joint.{kind}.{which} times joint.{leg}.{which}_scale: {value:g} is above {most:g}"
        return ""

    def mapping(self, values: tuple[float, ...]) -> dict[str, float]:
        """Gains by name."""
        return dict(zip(self.names, values, strict=True))


ADAPTIVE_CONTACT = "adaptive contact"
"""Variant of the built-in controller whose feet stand when they are felt to touch."""


def quadruped_table(
    baseline: Mapping[str, float] | None = None, adaptive_contact: bool = False
) -> ControllerGains:
    """The gains of `safebo.robots.quadruped`, with its defaults where `baseline` names no other.

    Raises:
        ValueError: baseline gains that are unknown or outside the hard bounds.
    """
    gains = Gains(baseline)
    return ControllerGains(
        names=tuple(gain.name for gain in GAINS),
        units=tuple(gain.unit for gain in GAINS),
        lower=tuple(HARD_BOUNDS[gain.name][0] for gain in GAINS),
        upper=tuple(HARD_BOUNDS[gain.name][1] for gain in GAINS),
        baseline=tuple(gains[gain.name] for gain in GAINS),
        variant=ADAPTIVE_CONTACT if adaptive_contact else "",
    )
