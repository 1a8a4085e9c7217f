"""What is different in one walk: the conditions of a scenario, and contexts that change the world and not the gait.

Conditions go over the study's own options, a preset's fields before single ones. Contexts go over both: they are what
the user sets.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.quadruped.controller import VelocityRamp
from safebo.robots.quadruped.gait import Gait, gait_named, robot_gait
from safebo.robots.quadruped.gait_changes import GaitSchedule
from safebo.robots.quadruped.gait_table import GaitTable
from safebo.robots.simulation.disturbance import A_GO1, Disturbance
from safebo.types import FloatArray

TICK = 0.002
"""Control period of a walk, s."""

CONDITION_CONTEXTS: dict[str, tuple[str, str]] = {
    "payload.mass": ("kg", "load fixed to the trunk"),
    "foot_friction": ("1", "friction coefficient under every foot"),
    "velocity.forward": ("m/s", "commanded forward velocity"),
    "velocity.leftward": ("m/s", "commanded leftward velocity"),
    "velocity.yaw_rate": ("rad/s", "commanded yaw rate"),
}
"""Contexts that are no part of the gait, with unit and description."""

_GAP = tuple(item.name for item in fields(Disturbance))
EXTRA_DELAY = "extra_delay"
"""Ticks by which torques come later than on the study's own plant."""
CONDITIONS = ("disturbance", "velocity", "plant", EXTRA_DELAY, *_GAP)
"""What a scenario of a legged robot may change."""

_DELAYS = ("control_delay", "command_delay", "delay_jitter", EXTRA_DELAY)
_TIME = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)\s*")
_SEGMENT = ("seconds", "forward", "leftward", "yaw_rate", "gait")
_FASTEST = 5.0
"""m/s and rad/s that a command may have, as that of the study."""


@dataclass(frozen=True)
class Segment:
    """A commanded velocity for a while: m/s, m/s and rad/s in the heading frame.

    Args:
        seconds: how long; the last one lasts to the end of the walk.
        forward, leftward, yaw_rate: the command.
        gait: name of the gait to change to; empty to stay in the one before.
    """

    seconds: float
    forward: float = 0.0
    leftward: float = 0.0
    yaw_rate: float = 0.0
    gait: str = ""


def gaits_of(segments: Sequence[Segment], first: Gait, robot: RobotModel) -> list[Gait]:
    """The gait of every segment of a walk that would otherwise be in the first one."""
    gaits: list[Gait] = []
    for segment in segments:
        before = gaits[-1] if gaits else first
        gaits.append(robot_gait(robot, segment.gait) if segment.gait else before)
    return gaits


def gait_schedule(
    segments: Sequence[Segment], first: Gait, robot: RobotModel, table: GaitTable | None = None
) -> GaitSchedule:
    """The gaits of a walk, one after another, as its segments say and a table allows.

    Raises:
        ValueError: the table refuses a change.
    """
    gaits = gaits_of(segments, first, robot)
    begins = np.cumsum([0.0, *(segment.seconds for segment in segments)])
    changes = [(float(begins[i]), gait) for i, gait in enumerate(gaits) if i > 0 and gait != gaits[i - 1]]
    return GaitSchedule(gaits[0] if gaits else first, tuple(changes), table)


@dataclass(frozen=True)
class VelocityProfile:
    """Commands one after another, each reached linearly from the one before.

    Args:
        segments: at least one.
        ramp: seconds of every change; the first is from rest.

    Example:
        >>> VelocityProfile((Segment(2.0, 0.4), Segment(2.0, 0.0)), 0.5)(2.25)
        (0.2, 0.0, 0.0)
    """

    segments: tuple[Segment, ...]
    ramp: float

    def __call__(self, time: float) -> tuple[float, float, float]:
        """The command `time` seconds after the walk started."""
        begin, before = 0.0, (0.0, 0.0, 0.0)
        for index, segment in enumerate(self.segments):
            wanted = (segment.forward, segment.leftward, segment.yaw_rate)
            if time < begin + segment.seconds or index == len(self.segments) - 1:
                share = 1.0 if self.ramp <= 0 else min(1.0, max(0.0, (time - begin) / self.ramp))
                forward, leftward, yaw_rate = (
                    (1.0 - share) * a + share * b for a, b in zip(before, wanted, strict=True)
                )
                return forward, leftward, yaw_rate
            begin, before = begin + segment.seconds, wanted
        return before

    def course(self, time: FloatArray, limit: float) -> FloatArray:
        """Forward and leftward command at times (`n`), shortened to the gait's limit, m/s, `n x 2`."""
        command = np.array([self(float(t))[:2] for t in time]).reshape(-1, 2)
        size = np.linalg.norm(command, axis=1, keepdims=True)
        shortened: FloatArray = command * np.minimum(1.0, limit / np.maximum(size, 1e-9))
        return shortened

    def settled(self, time: FloatArray) -> FloatArray:
        """Seconds since the command last began to change, at times (`n`)."""
        ends = np.cumsum([segment.seconds for segment in self.segments])[:-1]
        starts = np.concatenate([[0.0], ends])
        since: FloatArray = time - starts[np.searchsorted(ends, time, side="right")]
        return since


@dataclass(frozen=True)
class WalkConditions:
    """What one walk's world is like.

    Args:
        disturbance: the reality gap.
        velocity: constant command: forward, leftward (m/s) and yaw rate (rad/s).
        segments: commands one after another instead of it; empty for none.
        plant: the robot that walks, where it is another than the controller believes.
    """

    disturbance: Disturbance
    velocity: tuple[float, float, float]
    segments: tuple[Segment, ...] = field(default=())
    plant: RobotModel | None = None


def walk_conditions(
    conditions: Mapping[str, Any],
    context: Mapping[str, float],
    base: Disturbance,
    velocity: tuple[float, float, float],
    seconds: float,
    size: RobotSize = A_GO1,
) -> WalkConditions:
    """The world of one walk.

    Args:
        conditions: of its scenario; empty for none.
        context: of the trial; what belongs to the gait is left to the gait.
        base: the reality gap of the study's options.
        velocity: the command of the study's options.
        seconds: length of the walk.
        size: of the robot, for presets.

    Raises:
        ValueError: names the condition, what was wrong and what is allowed.
    """
    gap = base
    for key in conditions:
        if key not in CONDITIONS:
            close = difflib.get_close_matches(str(key), CONDITIONS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"unknown condition {key!r}{hint} (allowed: {', '.join(CONDITIONS)})")
    if "disturbance" in conditions:
        gap = _with_preset(gap, conditions["disturbance"], size)
    own = {key: _ticks(key, value) for key, value in conditions.items() if key in _GAP}
    parsed = Disturbance.from_dict(own)
    gap = replace(gap, **{key: getattr(parsed, key) for key in own})
    if EXTRA_DELAY in conditions:
        gap = replace(gap, control_delay=gap.control_delay + extra_ticks(conditions[EXTRA_DELAY]))
    segments: tuple[Segment, ...] = ()
    if "velocity" in conditions:
        velocity, segments = _command(conditions["velocity"], seconds)
    plant = _plant(conditions["plant"]) if "plant" in conditions else None
    changes: dict[str, Any] = {}
    if "payload.mass" in context:
        changes["payload_mass"] = context["payload.mass"]
    if "foot_friction" in context:
        changes["foot_friction"] = context["foot_friction"]
    set_by_user = [context.get(f"velocity.{name}") for name in ("forward", "leftward", "yaw_rate")]
    if any(value is not None for value in set_by_user):
        forward, leftward, yaw_rate = (
            old if new is None else new for old, new in zip(velocity, set_by_user, strict=True)
        )
        velocity, segments = (forward, leftward, yaw_rate), ()
    return WalkConditions(replace(gap, **changes), velocity, segments, plant)


def _with_preset(gap: Disturbance, value: Any, size: RobotSize) -> Disturbance:
    """A preset, or fields of a disturbance, over another one: what they leave as it is nominally stays."""
    if not isinstance(value, str | Mapping):
        raise ValueError(f"disturbance must be a preset's name or a mapping, got {value!r}")
    nominal = Disturbance()
    given = value if isinstance(value, Mapping) else {}
    found = Disturbance.from_dict(
        {key: _ticks(str(key), v) for key, v in given.items()} if given else value, size
    )
    changed = {
        name: getattr(found, name)
        for name in _GAP
        if name in given or getattr(found, name) != getattr(nominal, name)
    }
    return replace(gap, **changed)


def _ticks(key: str, value: Any) -> Any:
    """A delay in ticks, also written as a time: `4 ms`; everything else as it is."""
    if key not in _DELAYS or not isinstance(value, str):
        return value
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError(
            f"{key} must be a whole number of ticks of {1000 * TICK:g} ms, or a time as 4 ms, got {value!r}"
        )
    ticks = float(found[1]) * (0.001 if found[2] == "ms" else 1.0) / TICK
    if abs(ticks - round(ticks)) > 1e-6:
        low, high = (1000 * TICK * count for count in (math.floor(ticks), math.ceil(ticks)))
        raise ValueError(
            f"{key}: {value} is {ticks:g} control ticks of {1000 * TICK:g} ms, and a delay is a whole number of them: "
            f"give {low:g} ms or {high:g} ms"
        )
    return round(ticks)


def extra_ticks(value: Any) -> int:
    """The value of `extra_delay` in ticks.

    Raises:
        ValueError: it is no whole number of ticks, nor a time that is one.
    """
    ticks = _ticks(EXTRA_DELAY, value)
    number = isinstance(ticks, int | float) and not isinstance(ticks, bool) and math.isfinite(ticks)
    if not number or ticks < 0 or int(ticks) != ticks:
        raise ValueError(
            f"{EXTRA_DELAY} must be a whole number of ticks of {1000 * TICK:g} ms, at least 0, or a time as 4 ms, "
            f"got {value!r}"
        )
    return int(ticks)


def _command(value: Any, seconds: float) -> tuple[tuple[float, float, float], tuple[Segment, ...]]:
    """A constant command, or segments; the first is then the constant one."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        if all(isinstance(item, Mapping) for item in value):
            segments = tuple(_segment(i, item) for i, item in enumerate(value))
            planned = math.fsum(s.seconds for s in segments)
            if planned > seconds + 1e-9:
                raise ValueError(f"velocity: its segments take {planned:g} s, and a walk lasts {seconds:g} s")
            first = segments[0]
            return (first.forward, first.leftward, first.yaw_rate), segments
        if len(value) == 3 and not any(isinstance(item, Mapping) for item in value):
            x, y, turn = (_speed(f"velocity[{i}]", item) for i, item in enumerate(value))
            return (x, y, turn), ()
    raise ValueError(
        "velocity must be [forward m/s, leftward m/s, yaw rate rad/s], or a list of segments as "
        f"{{seconds: 2, forward: 0.4}}, got {value!r}"
    )


def _segment(index: int, value: Mapping[str, Any]) -> Segment:
    where = f"velocity[{index}]"
    for key in value:
        if key not in _SEGMENT:
            close = difflib.get_close_matches(str(key), _SEGMENT, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{where}: unknown key {key!r}{hint} (allowed: {', '.join(_SEGMENT)})")
    lasts = value.get("seconds")
    if isinstance(lasts, bool) or not isinstance(lasts, int | float) or not 0 < lasts < math.inf:
        raise ValueError(f"{where}: seconds must be a number > 0, got {lasts!r}")
    speeds = {key: _speed(f"{where}.{key}", value[key]) for key in _SEGMENT[1:4] if key in value}
    gait = value.get("gait", "")
    if gait != "" or "gait" in value:
        try:
            gait_named(gait)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    return Segment(float(lasts), **speeds, gait=gait)


def _speed(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _FASTEST:
        raise ValueError(f"{where} must be a number from -{_FASTEST:g} to {_FASTEST:g}, got {value!r}")
    return float(value)


def _plant(value: Any) -> RobotModel:
    """The robot that walks, by name or by the absolute path of a file: a relative one has no one place to start at."""
    if not isinstance(value, str):
        raise ValueError(f"plant must be a robot's name or the path of a file, got {value!r}")
    if ("/" in value or "." in value) and not Path(value).expanduser().is_absolute():
        raise ValueError(f"plant: give a robot's name or an absolute path, not {value!r}")
    return _loaded(str(Path(value).expanduser()))


@cache
def _loaded(robot: str) -> RobotModel:
    return load_robot(robot)


def command_of(world: WalkConditions, ramp: float) -> Callable[[float], tuple[float, float, float]]:
    """The command of a walk by the time since it began; without segments it grows from rest over `ramp` seconds."""
    if world.segments:
        return VelocityProfile(world.segments, ramp)
    return VelocityRamp(*world.velocity, ramp)
