"""Hurt a guardian in lock-step, at random and by thousands, and count what it did not answer in time.

    python -m safebo.experiments.robustness.guardian --trials 1000

Every trial: a robot that stands, is armed or walks a trial; one trouble, or two at once. The joint command of
the very tick that crosses the limit must be the answer: baseline gains, the way down, or joint damping, the
most restrictive of what crossed. Then nothing the tuner asks for may start motion before the two steps of
clearing. `fuzz.py` sends malformed packets and messages, `soak.py` goes on for long.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import typer

from safebo.experiments.robustness.guardian_troubles import ANYWHERE, WALKING, Injection
from safebo.experiments.robustness.guardian_world import TRIAL_STIFFNESS, World
from safebo.hardware.guardian.states import LATCHED, MOTION, Response, State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient
from safebo.robots.quadruped.interface import JointCommand

POSTURE = {"tilt", "joint range"}
"""Troubles in whose posture the trunk is higher than the trouble `height` was made for."""

Scene = tuple[World, GuardianClient]

HIDING = {"state silence", "impossible values"}
"""Troubles that keep the guardian from seeing others."""


def scenes(seed: int = 0) -> dict[State, Scene]:
    """A standing, an armed and a walking robot."""
    world = World(seed)
    client = world.client()
    world.standing(client)
    standing = world.copy(client)
    token = world.armed(client)
    armed = world.copy(client)
    client.start(token, 20.0)
    client.pump(0.3)
    return {State.HOLD: standing, State.ARMED: armed, State.RUNNING: (world, client)}


def resting(seed: int, leased: bool = True) -> Scene:
    """A robot that lies, and a client with the lease or without."""
    world = World(seed)
    client = world.client()
    world.run(1.2)
    client.connect()
    if leased:
        client.acquire()
        client.pump(0.1)
    return world, client


def answered(command: JointCommand, response: Response) -> bool:
    """Whether a joint command, by itself, is this response."""
    if response is Response.DAMP:
        return not (command.kp.any() or command.torque.any() or command.velocity.any()) and bool(
            np.all(command.kd == 3.0)
        )
    if response is Response.SIT:
        return bool(np.all(command.kp == 60.0) and np.all(command.kd == 5.0) and not command.torque.any())
    return bool(command.kp.any()) and TRIAL_STIFFNESS not in command.kp


def trial(seed: int, scene: dict[State, Scene]) -> tuple[str, str]:
    """One trial: its name, and what went wrong; empty when nothing did."""
    rng = np.random.default_rng(seed)
    state = list(scene)[int(rng.integers(len(scene)))]
    world, client = scene[state][0].copy(scene[state][1])
    choices = {**ANYWHERE, **(WALKING if state is State.RUNNING else {})}
    drawn = rng.choice(list(choices), size=1 + int(rng.random() < 0.3), replace=False)
    names = [str(n) for n in drawn]
    if len(names) == 2 and set(names) & HIDING:
        names = [n for n in names if n in HIDING][:1]
    if "height" in names and set(names) & POSTURE:
        names.remove("height")
    name = " + ".join(names)
    found = [choices[n](rng, world) for n in names]
    for _ in range(int(rng.integers(1, 40))):
        beat(client)
        world.tick()
    return name, _endure(world, client, found)


def beat(client: GuardianClient) -> None:
    """Keep the tuner alive without letting time pass."""
    while client._receive(0.0) is not None:
        pass
    client._keep_alive()


def _endure(world: World, client: GuardianClient, found: list[Injection]) -> str:
    edits = [i.edit for i in found if i.edit is not None]

    def edit(seen: object) -> None:
        for one in edits:
            one(seen)  # type: ignore[arg-type]

    world.robot.edit = edit
    first = min(i.after for i in found)
    wanted = max(i.response for i in found if i.after == first)
    for k in range(first + 1):
        if world.state in LATCHED:
            return f"answered {first - k + 1} ticks early, by {world.guardian.latch.cause.name}"
        for injection in found:
            if injection.each is not None:
                injection.each(world, k)
        beat(client)
        command = world.tick()
    if not answered(command, wanted):
        return f"{wanted.name} expected, the state is {world.state.name}, kp {command.kp[0]:g}"
    return stays(world, client)


def stays(world: World, client: GuardianClient, stiffness: float = TRIAL_STIFFNESS) -> str:
    """Nothing but the two steps leads from a latch back to motion; its severity only grows."""
    severities = {State.HOLD_LATCHED: 2, State.SIT_LATCHED: 3, State.DAMP_LATCHED: 4}
    severity = severities.get(world.state, 0)
    for k in range(60):
        if k % 10 == 0:
            for request in (m.Stand(), m.Start(token=world.guardian.run.token, duration=1.0), m.Arm(trial=2)):
                client.channel.send(replace(request, request=client._next_id(), epoch=client.epoch))
        beat(client)
        command = world.tick()
        now = severities.get(world.state, 0)
        if world.state in MOTION or now < severity:
            return f"{world.state.name} after a latch"
        if stiffness in command.kp:
            return "the trial's gains are at work after a latch"
        severity = now
    return ""


def main(trials: int = 1000, seed: int = 0) -> None:
    """Hurt a guardian at random and count what it did not answer in time; exit code 1 on any."""
    bad = 0
    scene, met = scenes(seed), Counter[str]()
    for k in range(trials):
        name, wrong = trial(seed * 1_000_003 + k, scene)
        met.update(name.split(" + "))
        if wrong:
            bad += 1
            print(f"trial {k}, {name}: {wrong}")
    print(f"{trials - bad} of {trials} trials answered in the tick that crossed the limit")
    print("troubles: " + ", ".join(f"{name} {count}" for name, count in sorted(met.items())))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    typer.run(main)
