"""Troubles for a guardian, each with the tick in which it must be answered and the response that it calls for.

A trouble is made so that its moment is known by construction, from how it is injected and the published
number of the limit; nothing here asks the guardian's own code when a limit is crossed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from safebo.experiments.robustness.guardian_world import PERIOD, RATE, World
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import Response

Edit = Callable[[RobotObservation], None]


@dataclass
class Injection:
    """A trouble that has been prepared.

    Args:
        response: the response that must answer.
        after: ticks from the first injected one to the one that crosses; 0: the first.
        edit: changes what the robot says, from the first tick on.
        each: called before every tick, with its number.
    """

    response: Response
    after: int
    edit: Edit | None = None
    each: Callable[[World, int], None] | None = None


Maker = Callable[[np.random.Generator, World], Injection]


def _rotated(axis: int, angle: float) -> np.ndarray:
    q = np.zeros(4)
    q[0], q[1 + axis] = math.cos(angle / 2), math.sin(angle / 2)
    return q


class _Count:
    """Numbers the observations it sees."""

    def __init__(self, change: Callable[[RobotObservation, int], None]) -> None:
        self._change, self._k = change, -1

    def __call__(self, seen: RobotObservation) -> None:
        self._k += 1
        self._change(seen, self._k)


def _tilt(rng: np.random.Generator, world: World) -> Injection:
    axis, sign, k = int(rng.integers(2)), rng.choice([-1.0, 1.0]), int(rng.integers(1, 30))

    def change(seen: RobotObservation, n: int) -> None:
        # reaches 0.495 rad a tick before it crosses 0.5
        seen.reading.orientation[:] = _rotated(axis, sign * (0.495 + 0.01 * (n - k + 1)))

    return Injection(Response.DAMP, k, _Count(change))


def _rate(rng: np.random.Generator, world: World) -> Injection:
    axis, k = int(rng.integers(3)), int(rng.integers(0, 20))

    def change(seen: RobotObservation, n: int) -> None:
        seen.reading.angular_velocity[axis] = 6.1 if n >= k else -5.9

    return Injection(Response.DAMP, k, _Count(change))


def _low(rng: np.random.Generator, world: World) -> Injection:
    # thigh and calf of go1 have the same length: height = foot radius + 2 * 0.213 cos(thigh) at calf = -2 thigh
    k = int(rng.integers(0, 20))

    def change(seen: RobotObservation, n: int) -> None:
        height = 0.159 if n >= k else 0.161
        thigh = math.acos((height - 0.023) / 0.426)
        seen.reading.joint_position[:] = np.tile([0.0, thigh, -2.0 * thigh], 4)

    # so low a crouch is also far from the targets; the fall is the more restrictive
    return Injection(Response.DAMP, k, _Count(change))


def _hip(rng: np.random.Generator, world: World) -> Injection:
    hip = 3 * int(rng.integers(4))

    def change(seen: RobotObservation, n: int) -> None:
        seen.reading.joint_position[hip] = 0.863 + 0.06

    return Injection(Response.HOLD, 9, _Count(change))


def _speed(rng: np.random.Generator, world: World) -> Injection:
    joint, sign = int(rng.integers(12)), rng.choice([-1.0, 1.0])
    limit = 20.06 if joint % 3 == 2 else 30.1
    if rng.random() < 0.5:
        share, after, response = 1.1, 9, Response.HOLD
    else:
        share, after, response = 1.6, 0, Response.DAMP

    def change(seen: RobotObservation, n: int) -> None:
        seen.reading.joint_velocity[joint] = sign * share * limit

    return Injection(response, after, _Count(change))


def _torque(rng: np.random.Generator, world: World) -> Injection:
    joint = int(rng.integers(12))

    def change(seen: RobotObservation, n: int) -> None:
        seen.torque[joint] = -1.01 * (35.55 if joint % 3 == 2 else 23.7)

    return Injection(Response.HOLD, 49, _Count(change))


def _tracking(rng: np.random.Generator, world: World) -> Injection:
    leg = int(rng.integers(4))

    def change(seen: RobotObservation, n: int) -> None:
        seen.reading.joint_position[3 * leg + 1] += 0.95

    return Injection(Response.HOLD, 19, _Count(change))


def _silence(rng: np.random.Generator, world: World) -> Injection:
    frozen = bool(rng.random() < 0.5)

    def each(world: World, n: int) -> None:
        world.robot.silent, world.robot.frozen = not frozen, frozen

    # the last state came one tick before the first silent one: 0.1 s are over with the 50th, exceeded by the 51st
    return Injection(Response.HOLD, 50, each=each)


def _impossible(rng: np.random.Generator, world: World) -> Injection:
    value = float(rng.choice([math.nan, math.inf, 1e9]))
    name = str(rng.choice(["joint_position", "joint_velocity", "angular_velocity", "linear_acceleration"]))

    def change(seen: RobotObservation, n: int) -> None:
        getattr(seen.reading, name)[0] = value

    return Injection(Response.DAMP, 2, _Count(change))


def _damaged(rng: np.random.Generator, world: World) -> Injection:
    def each(world: World, n: int) -> None:
        world.damaged += 1

    return Injection(Response.HOLD, 50, each=each)


def _reboot(rng: np.random.Generator, world: World) -> Injection:
    def each(world: World, n: int) -> None:
        if n == 0:
            world.robot.milliseconds = float(rng.integers(0, 300))

    return Injection(Response.DAMP, 0, each=each)


def _says(name: str, value: float, response: Response, after: int) -> Maker:
    """The robot says one value, whatever is true."""

    def edit(seen: RobotObservation) -> None:
        setattr(seen, name, value)

    return lambda rng, world: Injection(response, after, edit)


def _gap(rng: np.random.Generator, world: World) -> Injection:
    late, response = (0.05, Response.HOLD) if rng.random() < 0.5 else (0.12, Response.DAMP)

    def each(world: World, n: int) -> None:
        if n == 0:
            world.now += late

    return Injection(response, 0, each=each)


def _crash(rng: np.random.Generator, world: World) -> Injection:
    nonsense = bool(rng.random() < 0.5)

    def each(world: World, n: int) -> None:
        world.walker.nonsense = nonsense
        world.walker.fails = None if nonsense else ArithmeticError("singular")

    return Injection(Response.DAMP, 0, each=each)


def _slow(rng: np.random.Generator, world: World) -> Injection:
    cycle, after = (0.0041, 4) if rng.random() < 0.5 else (0.021, 0)

    def each(world: World, n: int) -> None:
        world.controller_time = cycle

    return Injection(Response.DAMP, after, each=each)


ANYWHERE: dict[str, Maker] = {
    "tilt": _tilt,
    "body rate": _rate,
    "height": _low,
    "joint range": _hip,
    "joint speed": _speed,
    "joint torque": _torque,
    "tracking": _tracking,
    "state silence": _silence,
    "impossible values": _impossible,
    "damaged packets": _damaged,
    "robot restart": _reboot,
    "battery": _says("battery", 19.0, Response.SIT, 99),
    "temperature": _says("temperature", 86.0, Response.SIT, 9),
    "remote control": _says("remote_stop", True, Response.DAMP, 0),
    "second commander": _says("foreign_commands", True, Response.HOLD, 0),
    "second robot": _says("other_robot", True, Response.HOLD, 0),
    "late commands": _gap,
}
"""Troubles of a robot that stands or walks."""

WALKING: dict[str, Maker] = {"controller crash": _crash, "slow controller": _slow}
"""Troubles of a running controller."""

assert PERIOD * RATE == 1.0
