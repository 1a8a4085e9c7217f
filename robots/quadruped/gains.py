"""All gains of the quadruped controller in one flat, named record with units, defaults and bounds.

A study addresses a gain by its name (`joint.hip.kp`, `mpc.weight.roll`). The joint gains compose by
multiplication: the stiffness of one joint is the value of its type times the factor of its leg,

    kp(leg, type) = joint.<type>.kp * joint.<leg>.kp_scale        kd likewise

so that one (kp, kd) pair per joint type (the types vary, the factors stay 1) and one pair per leg (the
factors vary, the types stay at a common value) are both a choice of which names are tuned. Likewise
`mpc.weight.roll_pitch_scale` multiplies the MPC's costs of roll and pitch, for those who tune both as one.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from safebo.errors import FileError
from safebo.files.reading import read_file
from safebo.robots.descriptions.robot import RobotModel
from safebo.types import FloatArray

JOINT_TYPES = ("hip", "thigh", "calf")


@dataclass(frozen=True)
class Gain:
    """One tunable number: what it is called, its unit, its default and the values that make sense.

    The default is a Go1's. That of another robot is the default times its mass over the Go1's to the power `by_mass`
    and its leg length over the Go1's to the power `by_length`, see `robot_gains`.
    """

    name: str
    unit: str
    default: float
    lower: float
    upper: float
    description: str = ""
    by_mass: float = 0.0
    by_length: float = 0.0


_LEGS = {"fl": "front left", "fr": "front right", "rl": "rear left", "rr": "rear right"}
_JOINTS = {"hip": "hip (abduction)", "thigh": "thigh", "calf": "calf (knee)"}
# A joint's torque goes with weight times length, a time with the root of a length (dynamic similarity).
_FEEDBACK = (
    ("kp", "N m/rad", 60.0, 2000.0, "stiffness", 1.0),
    ("kd", "N m s/rad", 2.0, 100.0, "damping", 1.5),
)

GAINS: tuple[Gain, ...] = (
    *(
        Gain(
            f"joint.{kind}.{which}",
            unit,
            default,
            0.0,
            most,
            f"{what} of every {words} joint",
            1.0,
            by_length,
        )
        for kind, words in _JOINTS.items()
        for which, unit, default, most, what, by_length in _FEEDBACK
    ),
    *(
        Gain(f"joint.{leg}.{which}_scale", "", 1.0, 0.0, 20.0, f"factor on all {what} of the {words} leg")
        for leg, words in _LEGS.items()
        for which, what in (("kp", "stiffnesses"), ("kd", "dampings"))
    ),
    Gain("mpc.weight.roll", "1/rad^2", 5.0, 0.0, 1e4, "cost of a roll error over the horizon"),
    Gain("mpc.weight.pitch", "1/rad^2", 5.0, 0.0, 1e4, "cost of a pitch error over the horizon"),
    Gain("mpc.weight.roll_pitch_scale", "", 1.0, 0.0, 1e3, "factor on the costs of roll and pitch together"),
    Gain("mpc.weight.yaw", "1/rad^2", 10.0, 0.0, 1e4, "cost of a yaw error over the horizon"),
    Gain("mpc.weight.x", "1/m^2", 2.0, 0.0, 1e4, "cost of a position error along world x"),
    Gain("mpc.weight.y", "1/m^2", 2.0, 0.0, 1e4, "cost of a position error along world y"),
    Gain("mpc.weight.height", "1/m^2", 50.0, 0.0, 1e5, "cost of a height error"),
    Gain("mpc.weight.roll_rate", "s^2/rad^2", 0.05, 0.0, 1e3, "cost of angular velocity error about x"),
    Gain("mpc.weight.pitch_rate", "s^2/rad^2", 0.05, 0.0, 1e3, "cost of angular velocity error about y"),
    Gain("mpc.weight.yaw_rate", "s^2/rad^2", 0.3, 0.0, 1e3, "cost of angular velocity error about z"),
    Gain("mpc.weight.velocity_x", "s^2/m^2", 0.5, 0.0, 1e3, "cost of velocity error along world x"),
    Gain("mpc.weight.velocity_y", "s^2/m^2", 0.5, 0.0, 1e3, "cost of velocity error along world y"),
    Gain("mpc.weight.velocity_z", "s^2/m^2", 0.1, 0.0, 1e3, "cost of vertical velocity error"),
    Gain(
        "mpc.force_regularisation",
        "1/N^2",
        1e-5,
        1e-9,
        1.0,
        "cost of a stance force away from an even share of the weight; small is stiff, large is soft",
        by_mass=-2.0,
    ),
    Gain(
        "friction.coefficient",
        "",
        0.5,
        0.05,
        2.0,
        "friction the controller counts on: half-angle of the force pyramid, in the MPC and in the torque QP",
    ),
    Gain("swing.kp_xy", "1/s^2", 400.0, 0.0, 5000.0, "acceleration of a swing foot per horizontal error"),
    Gain("swing.kp_z", "1/s^2", 400.0, 0.0, 5000.0, "acceleration of a swing foot per vertical error"),
    Gain("swing.kd_xy", "1/s", 20.0, 0.0, 200.0, "acceleration of a swing foot per horizontal speed error"),
    Gain("swing.kd_z", "1/s", 20.0, 0.0, 200.0, "acceleration of a swing foot per vertical speed error"),
    Gain(
        "swing.apex_height",
        "m",
        0.06,
        0.0,
        0.2,
        "height of a swing foot over the ground at mid-swing",
        by_length=1.0,
    ),
    Gain(
        "swing.max_speed",
        "m/s",
        3.0,
        0.5,
        10.0,
        "greatest mean speed of a swing foot over the ground; times the share of the stride in which it swings, the "
        "robot's greatest speed",
    ),
    Gain(
        "foothold.velocity_gain",
        "s",
        0.15,
        0.0,
        1.0,
        "how far a foot is placed per velocity error; sqrt(height / g) is the capture point",
        by_length=0.5,
    ),
    Gain("wbc.orientation.kp", "1/s^2", 100.0, 0.0, 2000.0, "angular acceleration of the base per error"),
    Gain("wbc.orientation.kd", "1/s", 10.0, 0.0, 200.0, "angular acceleration of the base per rate error"),
    Gain("wbc.position.kp", "1/s^2", 100.0, 0.0, 2000.0, "acceleration of the base per position error"),
    Gain("wbc.position.kd", "1/s", 10.0, 0.0, 200.0, "acceleration of the base per velocity error"),
    Gain(
        "wbc.weight.angular_acceleration",
        "s^4/rad^2",
        1.0,
        1e-4,
        1e4,
        "cost of giving up one unit of angular base acceleration in the torque QP",
    ),
    Gain(
        "wbc.weight.linear_acceleration",
        "s^4/m^2",
        1.0,
        1e-4,
        1e4,
        "cost of giving up one unit of linear base acceleration in the torque QP",
    ),
    Gain(
        "wbc.force_regularisation",
        "1/N^2",
        1e-4,
        1e-9,
        10.0,
        "cost in the torque QP of a stance force away from the one the MPC planned",
        by_mass=-2.0,
    ),
    Gain(
        "wbc.mpc_blend",
        "",
        0.5,
        0.0,
        1.0,
        "share of the MPC's base acceleration in the wanted one; the rest is the base PD law",
    ),
    Gain(
        "wbc.trajectory_blend",
        "",
        0.5,
        0.0,
        1.0,
        "share of the MPC's predicted trajectory in the wanted base pose; the rest is the command",
    ),
)


class GainTable(Sequence[Gain]):
    """The gains that a controller has, in their order, and the one rule for values of them.

    Args:
        gains: at least one, names once each.
        listed_by: the command that lists them.
    """

    def __init__(self, gains: Iterable[Gain], listed_by: str = "safebo robots gains") -> None:
        self._gains, self._listed_by = tuple(gains), listed_by
        self._by_name = {gain.name: gain for gain in self._gains}

    @overload
    def __getitem__(self, index: int) -> Gain: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Gain]: ...

    def __getitem__(self, index: int | slice) -> Gain | Sequence[Gain]:
        return self._gains[index]

    def __len__(self) -> int:
        return len(self._gains)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all gains."""
        return tuple(self._by_name)

    def named(self, name: str) -> Gain:
        """The description of one gain; `ValueError` with the closest names when there is none."""
        if name in self._by_name:
            return self._by_name[name]
        close = difflib.get_close_matches(str(name), self._by_name, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"unknown gain {name!r}{hint} (`{self._listed_by}` lists all {len(self)})")

    def checked(self, name: str, value: object) -> float:
        """A value of one gain; `ValueError` when it is no number within its bounds."""
        gain = self.named(name)
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
            raise ValueError(f"{name}: expected a number, got {value!r}")
        number = float(value)
        if not math.isfinite(number) or not gain.lower <= number <= gain.upper:
            unit = f" {gain.unit}" if gain.unit else ""
            raise ValueError(f"{name}: {number:g} is outside {gain.lower:g} .. {gain.upper:g}{unit}")
        return number

    def full(self, *chosen: Mapping[str, float]) -> dict[str, float]:
        """All gains in order: the defaults, and over them what was chosen, the last mapping last.

        Raises:
            ValueError: an unknown name, or a value outside its bounds.
        """
        values = {gain.name: gain.default for gain in self._gains}
        for mapping in chosen:
            values.update({name: self.checked(name, value) for name, value in mapping.items()})
        return values


WHOLE_BODY, JACOBIAN_TRANSPOSE, NONLINEAR_MPC = LAWS = ("whole-body", "jacobian-transpose", "nonlinear-mpc")
"""Names of the laws of the chain: the convex MPC under whole-body control or under `jacobian_transpose`, and
whole-body control of what the nonlinear MPC of `mpc.pendulum_mpc` plans.
"""

FOOTHOLD_COST = Gain(
    "mpc.foothold_cost",
    "1/m^2",
    20.0,
    0.0,
    1e4,
    "cost in the nonlinear MPC of a foothold away from where the foothold rule puts it",
    by_length=-2.0,
)

ALL_GAINS = (*GAINS, FOOTHOLD_COST)
"""Of all laws together."""

_TURNING = tuple(f"mpc.weight.{name}" for name in ("roll", "pitch", "yaw"))


def gains_of(law: str) -> tuple[Gain, ...]:
    """The gains that count under a law: whole-body control has some of its own, and so has the nonlinear MPC, which
    plans no orientation.
    """
    if law == NONLINEAR_MPC:
        return tuple(gain for gain in ALL_GAINS if not gain.name.startswith(_TURNING))
    return tuple(gain for gain in GAINS if law == WHOLE_BODY or not gain.name.startswith("wbc."))


_TABLE = GainTable(ALL_GAINS)
_INDEX = {gain.name: i for i, gain in enumerate(ALL_GAINS)}


def gain_named(name: str) -> Gain:
    """The description of one gain; `ValueError` with the closest names when there is none."""
    return _TABLE.named(name)


class Gains(Mapping[str, float]):
    """An immutable full set of gains: what is not named keeps its default.

    Raises:
        ValueError: an unknown name, or a value outside its bounds.

    >>> Gains({"joint.hip.kp": 40})["joint.hip.kp"]
    40.0
    """

    __slots__ = ("_given", "_values")

    def __init__(self, values: Mapping[str, float] | None = None) -> None:
        vector = np.array([gain.default for gain in ALL_GAINS])
        self._given = {name: _TABLE.checked(name, value) for name, value in (values or {}).items()}
        for name, value in self._given.items():
            vector[_INDEX[name]] = value
        self._values = vector

    @classmethod
    def load(cls, path: str | Path) -> Gains:
        """Gains from a YAML file with the mapping `gains: {name: value}`; other keys are left alone."""
        try:
            return cls(read_gains(path))
        except FileError:
            raise
        except ValueError as error:
            raise ValueError(f"{path}: gains: {error}") from None

    def replace(self, values: Mapping[str, float]) -> Gains:
        """These gains with some of them changed."""
        return Gains({**self._given, **values})

    def given(self) -> dict[str, float]:
        """The gains that were named when these were made."""
        return dict(self._given)

    def changed(self) -> dict[str, float]:
        """The gains that differ from a Go1's defaults."""
        return {name: value for name, value in self.items() if value != gain_named(name).default}

    def __getitem__(self, name: str) -> float:
        index = _INDEX.get(name)
        if index is None:
            raise KeyError(name)
        return float(self._values[index])

    def __iter__(self) -> Iterator[str]:
        return iter(_INDEX)

    def __len__(self) -> int:
        return len(_INDEX)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gains) and bool(np.array_equal(self._values, other._values))

    def __hash__(self) -> int:
        return hash(self._values.tobytes())

    def __repr__(self) -> str:
        return f"Gains({self.changed()})"

    def joint_stiffness(self, legs: tuple[str, ...]) -> FloatArray:
        """Stiffness of every joint in N m/rad, leg-major (hip, thigh, calf), `3 * legs`."""
        return self._joint("kp", legs)

    def joint_damping(self, legs: tuple[str, ...]) -> FloatArray:
        """Damping of every joint in N m s/rad, leg-major (hip, thigh, calf), `3 * legs`."""
        return self._joint("kd", legs)

    def _joint(self, which: str, legs: tuple[str, ...]) -> FloatArray:
        kinds = np.array([self[f"joint.{kind}.{which}"] for kind in JOINT_TYPES])
        scales = np.array([self[f"joint.{leg.lower()}.{which}_scale"] for leg in legs])
        return np.outer(scales, kinds).ravel()

    def swing_feedback(self) -> FloatArray:
        """Feedback of a swing foot per world axis x, y, z: rows kp (1/s^2) and kd (1/s), `2 x 3`."""
        rows = ("kp_xy", "kp_xy", "kp_z"), ("kd_xy", "kd_xy", "kd_z")
        return np.array([[self[f"swing.{name}"] for name in row] for row in rows])

    def mpc_weights(self) -> FloatArray:
        """MPC state weights `12`: roll, pitch, yaw, x, y, z, then their velocities in the same order."""
        poses = ("roll", "pitch", "yaw", "x", "y", "height")
        rates = ("roll_rate", "pitch_rate", "yaw_rate", "velocity_x", "velocity_y", "velocity_z")
        names = poses + rates
        weights = np.array([self[f"mpc.weight.{name}"] for name in names])
        weights[:2] *= self["mpc.weight.roll_pitch_scale"]
        return weights


def read_gains(path: str | Path) -> dict[str, float]:
    """What stands under `gains` in a YAML file; names and values are not checked.

    Raises:
        FileError: it cannot be read, or has no such mapping.
    """
    content = read_file(path)
    if not isinstance(content, dict) or not isinstance(content.get("gains"), dict):
        raise FileError(f"{path}: expected a mapping `gains: {{name: value, ...}}`")
    return content["gains"]


def robot_gains(robot: RobotModel, chosen: Mapping[str, float] | None = None) -> Gains:
    """The gains of a robot: a Go1's defaults to its scale, what its description wants otherwise, what was chosen.

    Raises:
        ValueError: an unknown gain, or a value outside its bounds.
    """
    mass, length = robot.size
    scaled = {}
    for gain in ALL_GAINS:
        factor = mass**gain.by_mass * length**gain.by_length
        if factor != 1.0:
            scaled[gain.name] = min(gain.upper, max(gain.lower, gain.default * factor))
    return Gains({**scaled, **robot.gains, **(chosen or {})})
