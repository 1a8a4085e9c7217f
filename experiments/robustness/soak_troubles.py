"""Troubles for a soak: how each begins and goes away, and by which tick which response has to answer.

The ticks follow from how a trouble is made and from the published numbers of the limits; nothing here asks the
guardian's own code when a limit is crossed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from safebo.experiments.robustness.guardian_troubles import ANYWHERE, WALKING, Injection
from safebo.experiments.robustness.guardian_world import PERIOD
from safebo.experiments.robustness.soak_world import STATE_HOLD, STATE_SIT, Promise, SoakWorld, Trouble
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import Response
from safebo.hardware.link.messages import Stop
from safebo.hardware.link.proxy import Faults

Maker = Callable[[np.random.Generator, SoakWorld], Trouble]

BASELINE_WITHIN, SIT_WITHIN = round(0.2 / PERIOD), round(1.0 / PERIOD)
"""Ticks of a tuner's silence after which baseline gains and the way down are promised."""


def _edited(name: str, make: Callable[[np.random.Generator, SoakWorld], Injection]) -> Maker:
    """A trouble of `guardian_troubles` on what the robot says or on the guardian's own ticks."""

    def maker(rng: np.random.Generator, world: SoakWorld) -> Trouble:
        injection = make(rng, world)

        def begin(world: SoakWorld) -> None:
            if injection.edit is not None:
                world.robot.edit = injection.edit

        promise = Promise(injection.response, injection.after)
        return Trouble(name, (promise,), injection.after + 20, begin, injection.each)

    return maker


def _always(
    name: str, promises: tuple[Promise, ...], lasts: int, begin: Callable[[SoakWorld], None]
) -> Maker:
    """A trouble that is the same every time."""
    return lambda rng, world: Trouble(name, promises, lasts, begin)


def _wire(kind: str, promises: tuple[Promise, ...], seconds: float, **more: object) -> Maker:
    """A fault of the virtual robot; what it says arrives one tick later."""

    def begin(world: SoakWorld) -> None:
        world.body.inject(kind=kind, **{"for": seconds}, **more)

    return _always(f"wire: {kind}", promises, round(seconds / PERIOD) + 5, begin)


def _astray(rng: np.random.Generator, world: SoakWorld) -> Trouble:
    """A thigh is where no command has sent it: further than `tracking` allows, for 40 ms."""
    thigh = 3 * int(rng.integers(4)) + 1

    def begin(world: SoakWorld) -> None:
        def edit(seen: RobotObservation) -> None:
            seen.reading.joint_position[thigh] = world.command.position[thigh] - 0.95

        world.robot.edit = edit

    return Trouble("tracking", (Promise(Response.HOLD, 19),), 40, begin)


def _level(name: str) -> Callable[[np.random.Generator, SoakWorld], Injection]:
    """A trouble made for a level trunk, on a trunk that is said to be level."""

    def make(rng: np.random.Generator, world: SoakWorld) -> Injection:
        made = ANYWHERE[name](rng, world)

        def edit(seen: RobotObservation) -> None:
            assert made.edit is not None
            made.edit(seen)
            seen.reading.orientation[:] = (1.0, 0.0, 0.0, 0.0)

        return replace(made, edit=edit)

    return make


_DEAF = (Promise(Response.HOLD, STATE_HOLD), Promise(Response.SIT, STATE_SIT))
_FROZEN = tuple(replace(promise, within=promise.within + 1) for promise in _DEAF)
"""The state that is repeated is the first one of the fault."""
_DAMP_AT_THIRD = (Promise(Response.DAMP, 3),)


def _network(
    name: str,
    change: Callable[[Faults, float], Faults],
    seconds: float,
    promises: tuple[Promise, ...] = (),
    both: bool = True,
) -> Maker:
    """The network is bad, to the guardian or in both directions; without promises not for as long as a tuner may be
    silent.
    """

    def begin(world: SoakWorld) -> None:
        world.impair(lambda faults: change(faults, world.now), both)

    return _always(name, promises, round(seconds / PERIOD), begin)


def _lost(faults: Faults, now: float) -> Faults:
    return replace(faults, drop=1.0)


_SILENT = (Promise(Response.HOLD, BASELINE_WITHIN), Promise(Response.SIT, SIT_WITHIN))
NETWORK_CUT = _network("network cut", _lost, 1.2, _SILENT)
TUNER_SILENCE = _network("tuner silence", _lost, 1.2, _SILENT, both=False)
"""For longer than the tuner may be silent."""


def _stop(rng: np.random.Generator, world: SoakWorld) -> Trouble:
    """Somebody without a lease stops the robot."""
    level = int(rng.integers(1, 4))
    response = (Response.HOLD, Response.SIT, Response.DAMP)[level - 1]

    def begin(world: SoakWorld) -> None:
        world.raw.append((world.viewer.name, world.viewer.channel.sealed(Stop(level, "soak"))))

    return Trouble(f"stop, level {level}", (Promise(response, 0),), 5, begin)


def _ask_twice(world: SoakWorld) -> None:
    """A person asks twice at the tuner; that takes the tuner's own steps, over a network that loses packets."""
    world.asked = 2


_MADE_HERE = {"state silence", "damaged packets", "robot restart", "tracking", "height"}
"""Those for a robot that follows its commands exactly, and those that are made on the wire here."""

STANDING: tuple[Maker, ...] = (
    *(_edited(name, make) for name, make in ANYWHERE.items() if name not in _MADE_HERE),
    _edited("height", _level("height")),
    _astray,
    _wire("silence", _DEAF, 0.7),
    _wire("freeze", _FROZEN, 0.7),
    _wire("bad_crc", _DEAF, 0.7),
    _wire("bad_head", _DEAF, 0.7),
    _wire("truncated", _DEAF, 0.7),
    _wire("silence", _DEAF[:1], 0.15),
    _wire("nan", _DAMP_AT_THIRD, 0.02),
    _wire("impossible", _DAMP_AT_THIRD, 0.02),
    _wire("reboot", (Promise(Response.HOLD, STATE_HOLD), Promise(Response.DAMP, 153)), 0.3),
    _wire("low_battery", (Promise(Response.SIT, 100),), 0.3),
    _wire("hot_motor", (Promise(Response.SIT, 10),), 0.1),
    _wire("remote_stop", (Promise(Response.DAMP, 1),), 0.5),
    _wire("duplicate", (), 0.5),
    _wire("reorder", (), 0.3, value=0.3),
    _wire("loss", (), 0.3, value=0.2),
    TUNER_SILENCE,
    NETWORK_CUT,
    _stop,
    _network("burst of loss", _lost, 0.08),
    _network("stuck network", lambda faults, now: replace(faults, freeze=((now, now + 0.08),)), 0.1),
    _network(
        "bad network",
        lambda faults, now: replace(faults, drop=0.15, duplicate=0.3, reorder=0.3, corrupt=0.1),
        0.5,
    ),
)
"""For a robot on its feet."""

STEPPING: tuple[Maker, ...] = (
    *(_edited(name, make) for name, make in WALKING.items()),
    _always("stop at the tuner", (Promise(Response.DAMP, 100),), 110, _ask_twice),
    _wire("tip_over", (), 0.3),
    _wire("push", (), 0.1),
)
"""For a robot that walks. What throws it over crosses a limit when the body says so: see `IndependentChecker`."""

RISING: tuple[Maker, ...] = (
    *(
        _edited(name, ANYWHERE[name])
        for name in ("body rate", "remote control", "second commander", "battery")
    ),
    _wire("silence", _DEAF, 0.7),
    _wire("nan", _DAMP_AT_THIRD, 0.02),
    _wire("remote_stop", (Promise(Response.DAMP, 1),), 0.5),
    TUNER_SILENCE,
    _stop,
)
"""For a robot that gets up: there is no standing still half-way, so what asks for baseline gains sends it down."""

PHYSICAL = frozenset({"wire: tip_over", "wire: push", "wire: loss", "wire: reorder"})
"""May or may not end in a fall."""

assert math.isclose(STATE_HOLD * PERIOD, 0.102)
