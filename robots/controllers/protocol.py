"""The protocol of a walking controller, and the errors of one that is not as it should be.

Joints come in robot order: FL, FR, RL, RR, of each hip, thigh, calf; angles in rad, torques in N m, times in s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, runtime_checkable

from safebo.errors import InputError, SafeboError
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gains import Gain, GainTable
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.interface import JointCommand, SensorReading

Command = Callable[[float], tuple[float, float, float]]
"""Forward and leftward speed, m/s (heading frame), and yaw rate, rad/s, by the seconds since the walk began."""

MAX_GAINS = 10_000
"""That a controller may have: what one packet of the guardian's link carries is less, a study's parameters far less."""


@runtime_checkable
class WalkingController(Protocol):
    """Walks a quadruped: sensor readings in, joint commands out, 500 times a second.

    A class is made once, without arguments, and walks again after every `reset`. It may have more:

    - `base`, a `BaseState`: its own estimate of the trunk after `step`, with which trials are scored. Without it, or
      while it is None, an estimate is made from the sensors and the planned contacts.
    - `set_gains(gains)`: takes other gains between two ticks of a walk, for studies whose monitor switches to backups.

    Attributes:
        gains: what can be tuned, in an order that stays: name, unit, default, bounds.
    """

    gains: Sequence[Gain]

    def reset(self, robot: RobotModel, gains: Mapping[str, float], gait: Gait, command: Command) -> None:
        """Begin a walk; the robot stands.

        Args:
            robot: the controller's model of it: masses, lengths, limits, MuJoCo and Pinocchio models.
            gains: all of them, by name, within their bounds.
            gait: contact pattern to walk in; its time is that of the sensors, from 0 on.
            command: the speed to have, called with the time of the sensors.
        """
        ...

    def step(self, sensors: SensorReading) -> JointCommand:
        """One control tick.

        Args:
            sensors: what encoders and inertial unit say. `sensors.time` is the time since the walk began: below 0 the
                robot settles on its feet and has to stand.
        """
        ...


class ControllerInputError(InputError):
    """A controller that cannot be used: a name, a file, a class, its gains; the message says which and why."""


class GainPortError(SafeboError):
    """Gains could not be written or read back; the message says which and why."""


class DatagramError(SafeboError, ValueError):
    """A datagram between a controller's process and whoever drives it that is not what its layout says."""


class ControllerFault(SafeboError):
    """A controller failed while it had a robot: it raised, fell silent, or commanded what must reach no motor."""


def table_of(gains: Any, of: str) -> GainTable:
    """The gains that a controller says it has, checked.

    Args:
        gains: what stands in its attribute `gains`.
        of: the controller, for people.

    Raises:
        ControllerInputError: they are no list of gains, or one of them contradicts itself.
    """
    if isinstance(gains, str) or not isinstance(gains, Sequence) or not 1 <= len(gains) <= MAX_GAINS:
        raise ControllerInputError(
            f"{of}: gains must be a list of 1 to {MAX_GAINS} `safebo.robots.quadruped.gains.Gain`, "
            f"got {short(gains)}"
        )
    names = set[str]()
    for number, gain in enumerate(gains):
        where = f"{of}: gains[{number}]"
        if not isinstance(gain, Gain):
            raise ControllerInputError(
                f"{where} must be a Gain(name, unit, default, lower, upper, description), got {short(gain)}"
            )
        wrong = _fault(gain)
        if wrong:
            raise ControllerInputError(f"{where} {wrong}")
        if gain.name in names:
            raise ControllerInputError(f"{where} {gain.name!r} is there twice")
        names.add(gain.name)
    return GainTable(gains, f"safebo robots gains --controller {of}")


def _fault(gain: Gain) -> str:
    """What is wrong with a gain in itself; empty when nothing is."""
    for name in ("name", "unit", "description"):
        if not isinstance(getattr(gain, name), str):
            return f"has a {name} that is no text: {short(getattr(gain, name))}"
    if not gain.name:
        return "has no name"
    for field in fields(gain):
        value = getattr(gain, field.name)
        if field.name in ("default", "lower", "upper") and (
            isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
        ):
            return f"{gain.name!r} has a {field.name} that is no finite number: {short(value)}"
    if not gain.lower <= gain.default <= gain.upper:
        allowed = f"{gain.lower:g} .. {gain.upper:g} {gain.unit}".rstrip()
        return f"{gain.name!r} has a default, {gain.default:g}, outside {allowed}"
    return ""


def short(value: Any) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
