"""Hurt a guardian in lock-step, at random and by thousands, and count what it did not answer in time.

    python -m experiments.robustness.guardian --trials 1000 --fuzz 100000

Every trial: a robot that stands, is armed or walks a trial; one trouble, or two at once. The joint command of
the very tick that crosses the limit must be the answer: baseline gains, the way down, or joint damping, the
most restrictive of what crossed. Then nothing the tuner asks for may start motion before the two steps of
clearing. The fuzz sends random, damaged, repeated and rearranged packets, many of them with the right key.
"""

from __future__ import annotations

import argparse
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np

from experiments.robustness.guardian_troubles import ANYWHERE, WALKING, Injection
from experiments.robustness.guardian_world import KEY, TRIAL_STIFFNESS, World
from hardware.guardian.states import LATCHED, MOTION, Response, State
from hardware.link import messages as m
from hardware.link.client import GuardianClient
from hardware.link.frame import MAX_BODY, MAX_PACKET, Frame, seal
from robots.sensors import JointCommand

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


def answered(command: JointCommand, response: Response) -> bool:
    """Whether a joint command, by itself, is this rung of the ladder."""
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
        _beat(client)
        world.tick()
    return name, _endure(world, client, found)


def _beat(client: GuardianClient) -> None:
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
        _beat(client)
        command = world.tick()
    if not answered(command, wanted):
        return f"{wanted.name} expected, the state is {world.state.name}, kp {command.kp[0]:g}"
    return _stays(world, client)


def _stays(world: World, client: GuardianClient) -> str:
    """Nothing but the two steps leads from a latch back to motion; the ladder is only climbed."""
    ladder = {State.HOLD_LATCHED: 2, State.SIT_LATCHED: 3, State.DAMP_LATCHED: 4}
    rung = ladder.get(world.state, 0)
    for k in range(60):
        if k % 10 == 0:
            for request in (m.Stand(), m.Start(token=world.guardian.run.token, duration=1.0), m.Arm(trial=2)):
                client._send(replace(request, request=client._next_id(), epoch=client.epoch))
        _beat(client)
        command = world.tick()
        now = ladder.get(world.state, 0)
        if world.state in MOTION or now < rung:
            return f"{world.state.name} after a latch"
        if TRIAL_STIFFNESS in command.kp:
            return "the trial's gains are at work after a latch"
        rung = now
    return ""


def fuzz(count: int, seed: int, world: World) -> tuple[Counter[str], str]:
    """Random packets against a resting guardian: what they were, and what went wrong.

    Every fourth tick brings 64 of them. None may crash it, move the robot or make it grow.
    """
    random = Random(seed)
    world.run(1.2)
    client = world.client("honest")
    client.connect()
    session, sequence = client._session, 1000
    kinds: Counter[str] = Counter()
    recorded = [seal(Frame(kind, session, 1, body().pack()), KEY) for kind, body in m.FROM_CLIENT.items()]
    grown = 0
    for sent in range(count):
        kind = random.choice(("noise", "damaged", "repeated", "body", "message", "session"))
        kinds[kind] += 1
        if kind == "noise":
            data = random.randbytes(random.randrange(MAX_PACKET + 40))
        elif kind == "damaged":
            changed = bytearray(random.choice(recorded))
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
            data = bytes(changed[: random.randrange(len(changed) + 1)] if random.random() < 0.2 else changed)
        elif kind == "repeated":
            data = recorded[random.randrange(1, len(recorded))]
        else:
            sequence += 1
            data = _authentic(random, kind, session, sequence)
        world.raw.append(("honest", data))
        if len(world.raw) == 64:
            command = world.tick()
            if world.state in MOTION or command.kp.any():
                return kinds, f"motion after {sent} packets: {world.state.name}"
            world.forget("honest")
        if sent == count // 4:
            tracemalloc.start()
            grown = tracemalloc.get_traced_memory()[0]
    after = tracemalloc.get_traced_memory()[0] - grown if tracemalloc.is_tracing() else 0
    tracemalloc.stop()
    if after > 4_000_000:
        return kinds, f"{after} bytes more memory in use"
    client.counters.newest = 0
    client.connect()
    client.status()
    return kinds, ""


def _authentic(random: Random, kind: str, session: int, sequence: int) -> bytes:
    """A packet with the right key: a body of noise, a well-formed message, or one of another session."""
    number, body = random.choice(list(m.FROM_CLIENT.items()))
    if kind == "body":
        return seal(
            Frame(random.randrange(256), session, sequence, random.randbytes(random.randrange(MAX_BODY))), KEY
        )
    size = len(body().pack())
    noise = random.randbytes(size)
    if number == m.Stop.KIND and kind == "message":
        number, noise = m.GetStatus.KIND, m.GetStatus(random.randrange(1 << 32)).pack()
    if kind == "session":
        session = random.getrandbits(64)
    return seal(Frame(number, session, sequence, noise), KEY)


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--fuzz", type=int, default=0, help="packets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    if options.trials:
        scene, met = scenes(options.seed), Counter[str]()
        for k in range(options.trials):
            name, wrong = trial(options.seed * 1_000_003 + k, scene)
            met.update(name.split(" + "))
            if wrong:
                bad += 1
                print(f"trial {k}, {name}: {wrong}")
        print(
            f"{options.trials - bad} of {options.trials} trials answered in the tick that crossed the limit"
        )
        print("troubles: " + ", ".join(f"{name} {count}" for name, count in sorted(met.items())))
    if options.fuzz:
        world = World(options.seed)
        kinds, wrong = fuzz(options.fuzz, options.seed, world)
        print(f"{options.fuzz} packets: {', '.join(f'{k} {n}' for k, n in sorted(kinds.items()))}")
        print(f"refused: {dict(world.service.link.refused)}")
        print(wrong or "no crash, no motion, no growth")
        bad += bool(wrong)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
