"""How far what the guardian holds against its robot's sensors stays from its limits while nothing is wrong with them.

    python -m safebo.experiments.robustness.sensor_margins

A virtual Go1 behind its wire gets up, walks in every gait and with every disturbance, and stands again; then it lies
down. Told is the worst of every quantity that has lasted for as long as its limit asks for, in the limit's own states,
and its share of the threshold. The thresholds are to be at least twice the worst seen. Exit code 1 where one is not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Annotated

import numpy as np
import typer

from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.guardian_world import RATE, TROT
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.limits import LIMITS, QUANTITIES, SCOPES, Limit
from safebo.hardware.guardian.states import State
from safebo.hardware.link.digest import WalkDescription, trial_digest
from safebo.robots.quadruped.gait import GAITS
from safebo.robots.quadruped.sensor_memory import FOUND
from safebo.types import FloatArray

DISTURBANCES = (
    "nominal",
    "paper",
    "go2_identified",
    "payload",
    "heavy_and_weak",
    "jitter",
    "slippery",
    "socks",
    "patches",
    "leaned_on",
    "struck_from_above",
    "pushed_forward",
    "shoved_aside",
    "pushed",
    "steps",
    "rough",
)
SPEEDS = ((0.3, 0.0, 0.0), (0.5, 0.1, 0.5), (0.4, -0.1, -0.8))
WATCHED = [limit for limit in LIMITS if limit.quantity in FOUND]


def walk_of(gait: str, speed: tuple[float, float, float]) -> WalkDescription:
    """A walk in a gait."""
    return replace(TROT, gait=astuple(GAITS[gait]), velocity=speed)


def values_of(
    disturbance: str, gait: str, speed: tuple[float, float, float], seconds: float, seed: int
) -> tuple[FloatArray, list[State], str]:
    """What is measured at every tick of a trial, `n x quantities`, the guardian's states, and how it ended."""
    world = WireWorld(seed, disturbance=disturbance)
    watch = world.guardian.watch
    for number, limit in enumerate(watch.limits):
        if limit.quantity in FOUND:
            watch._threshold[number] = np.inf
    rows: list[FloatArray] = []
    states: list[State] = []
    tick = world.tick

    def noted():  # type: ignore[no-untyped-def]
        command = tick()
        rows.append(watch.values.copy())
        states.append(world.state)
        return command

    world.tick = noted  # type: ignore[method-assign]
    client, ended = world.client(), "done"
    try:
        world.standing(client)
        gains = world.table.baseline
        client.set_gains(gains)
        walk = walk_of(gait, speed)
        client.set_walk(walk)
        client.start(client.arm(1, trial_digest(world.table.identity, gains, [], walk, None)), seconds)
        client.wait_for(lambda state: state.outcome != 0, 2.0 * seconds + 2.0)
        client.pump(2.5)
        client.lie_down()
        client.pump(2.5)
    except LinkError as error:  # what came before counts, and how it ended is printed
        ended = str(error)
    return np.array(rows), states, world.guardian.latch.message or ended


def lasted(values: FloatArray, inside: Sequence[bool], limit: Limit) -> float:
    """The worst value that a limit would have been crossed with for long enough; nan without any."""
    sign = -1.0 if limit.below else 1.0
    at = sign * values[:, QUANTITIES.index(limit.quantity)]
    at = np.where(np.isnan(at) | ~np.asarray(inside), -np.inf, at)
    needed = max(1, round(limit.seconds * RATE))
    if len(at) < needed:
        return float("nan")
    windows = np.lib.stride_tricks.sliding_window_view(at, needed).min(axis=1)
    worst = windows.max()
    return float("nan") if np.isinf(worst) else sign * float(worst)


def main(
    disturbances: Annotated[str, typer.Option(help="names, by commas")] = ",".join(DISTURBANCES),
    gaits: Annotated[str, typer.Option(help="names, by commas")] = ",".join(GAITS),
    seconds: float = 4.0,
    seed: int = 0,
) -> None:
    """Measure; exit code 1 where a threshold is less than twice the worst seen."""
    worst: dict[str, tuple[float, str]] = {}
    begin, walked = time.monotonic(), 0.0
    for number, disturbance in enumerate(disturbances.split(",")):
        for gait in gaits.split(","):
            speed = SPEEDS[number % len(SPEEDS)]
            values, states, end = values_of(disturbance, gait, speed, seconds, seed + number)
            walked += len(states) / RATE
            told = []
            for limit in WATCHED:
                seen = lasted(values, [state in SCOPES[limit.scope] for state in states], limit)
                told.append(f"{limit.name} {seen:.4g}")
                if np.isnan(seen):
                    continue
                before = worst.get(limit.name)
                if before is None or (seen < before[0] if limit.below else seen > before[0]):
                    worst[limit.name] = seen, f"{disturbance}, {gait}"
            print(f"{disturbance}, {gait} {speed}: {end}; " + ", ".join(told), flush=True)
    close = 0
    for limit in WATCHED:
        seen, where = worst.get(limit.name, (float("nan"), "never known"))
        share = limit.threshold / seen if limit.below else seen / limit.threshold
        close += share > 0.5
        print(
            f"{limit.name:16s} worst {seen:9.4g} {limit.unit:8s} limit {limit.threshold:7g}, "
            f"{100 * share:5.1f} % of it ({where})"
        )
    print(
        f"{walked:.0f} s of robot time in {time.monotonic() - begin:.0f} s; {close} above half of their limit"
    )
    sys.exit(1 if close else 0)


if __name__ == "__main__":
    typer.run(main)
