"""Malformed messages on the guardian's own link, beside a valid client, against a reference instance.

The intruder knows the key and has a session of its own, hears and repeats whatever the valid client sends, and
may send from any address; it has no lease. What it cannot be told from the valid client by, session, address and
sequence at once, is not tried: that is the holder of the lease. Nor does it ask for a lease that is free.
"""

from __future__ import annotations

import random as random_module
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safebo.experiments.robustness.fuzz_feed import Findings
from safebo.experiments.robustness.growth import OFF, Meter
from safebo.experiments.robustness.guardian import Scene, beat, resting, scenes
from safebo.experiments.robustness.guardian_world import KEY, TRIAL_STIFFNESS, World
from safebo.hardware.guardian.states import LATCHED, MOTION, State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.frame import HEADER, MAX_BODY, MAX_PACKET, Frame, seal

BATCH = 8
"""Messages that come in one tick."""

STOPS = 0.005
"""Share of stops with the right key, which are allowed to stop, in the last quarter of a storm."""

OTHER_KEY = bytes(range(1, 33))
ANY = tuple(m.FROM_CLIENT.items())


class Tap:
    """A client's transport that remembers what was sent."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.sent: deque[bytes] = deque(maxlen=128)

    def send(self, data: bytes) -> None:
        """Into the network, and kept."""
        self.sent.append(data)
        self._inner.send(data)

    def receive(self, timeout: float) -> bytes | None:
        """What comes out of it."""
        received: bytes | None = self._inner.receive(timeout)
        return received


@dataclass(frozen=True)
class Setting:
    """Where a storm begins.

    Args:
        state: of the guardian.
        leased: whether the valid client holds the lease and goes on proving that it lives.
        scene: world and valid client.
        intruder: session of who makes the storm.
    """

    state: State
    leased: bool
    scene: Scene
    intruder: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.state.name}, {'leased' if self.leased else 'no living lease'}"


def settings(seed: int = 0) -> list[Setting]:
    """Resting, standing, walking a trial; each with a valid client that lives and one that fell silent."""
    found = []
    places = scenes(seed)
    for state in (State.REST, State.HOLD, State.RUNNING):
        for leased in (True, False):
            if state is State.REST:
                world, client = resting(seed, leased)
            else:
                world, client = places[state][0].copy(places[state][1])
            spy = world.client("intruder")
            spy.connect()
            client.pump(0.02)
            found.append(Setting(state, leased, (world, client), spy.channel.session))
    return found


class Intruder:
    """Makes messages.

    Args:
        setting: what the intruder knows of the guardian.
        tap: what the valid client sends.
        epoch: of its lease.
        seed: decides everything.
    """

    def __init__(self, setting: Setting, tap: Tap, client: GuardianClient, seed: int) -> None:
        self.random = random_module.Random(seed)
        self._setting, self._tap = setting, tap
        self._honest, self._epoch = client.channel.session, client.epoch
        self._sequence = 100
        self._kinds = (
            self._noise, self._damaged, self._repeated, self._replayed, self._other_key, self._body,
            self._session, self._epochs, self._hello,
        )  # fmt: skip

    def message(self) -> tuple[str, str, bytes]:
        """Kind, address and bytes of a message that must change nothing."""
        make = self.random.choices(self._kinds, (10, 10, 10, 10, 10, 10, 10, 20, 1))[0]
        address, data = make()
        return make.__name__[1:].replace("_", " "), address, data

    def stop(self) -> bytes:
        """A stop with the right key."""
        return self._own(m.Stop.KIND, m.Stop(self.random.randrange(6), "the intruder").pack())

    def _address(self) -> str:
        return self.random.choice(("tuner", "intruder", "nobody"))

    def _own(self, kind: int, body: bytes, session: int | None = None, key: bytes = KEY) -> bytes:
        self._sequence += 1
        number = self._setting.intruder if session is None else session
        return seal(Frame(kind, number, self._sequence, body), key)

    def _captured(self) -> bytes:
        if not self._tap.sent:
            return seal(Frame(m.Stand.KIND, self._honest, 1, m.Stand(1, self._epoch).pack()), OTHER_KEY)
        return self.random.choice(self._tap.sent)

    def _formed(self, epoch: int | None = None) -> tuple[int, bytes]:
        """A message of the right length, often with fields that make sense."""
        random = self.random
        while True:
            kind, body = random.choice(ANY)
            # stops are made by `stop`; who asks for a free lease gets it, as is right
            if kind in (m.Stop.KIND, m.Hello.KIND) or (
                kind == m.AcquireLease.KIND and not self._setting.leased
            ):
                continue
            break
        sample = body()
        noise = random.randbytes(len(sample.pack()) + (random.randrange(200) if random.random() < 0.1 else 0))
        if random.random() < 0.6:
            noise = sample.pack()
        if epoch is not None and isinstance(sample, m.RequestMessage):
            noise = random.randbytes(4) + epoch.to_bytes(4, "little") + noise[8:]
        elif epoch is not None and isinstance(sample, m.Heartbeat):
            noise = epoch.to_bytes(4, "little") + noise[4:]
        return kind, noise

    # -- from anybody ---------------------------------------------------------------------------------

    def _noise(self) -> tuple[str, bytes]:
        data = self.random.randbytes(self.random.randrange(MAX_PACKET + 40))
        if self.random.random() < 0.3:
            data = self._captured()[: HEADER.size] + data
        return self._address(), data

    def _damaged(self) -> tuple[str, bytes]:
        changed = bytearray(self._captured())
        changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        if self.random.random() < 0.2:
            changed = changed[: self.random.randrange(len(changed))]
        elif self.random.random() < 0.2:
            changed += self.random.randbytes(self.random.randrange(1, 40))
        return self._address(), bytes(changed)

    def _repeated(self) -> tuple[str, bytes]:
        return "tuner", self._captured()

    def _replayed(self) -> tuple[str, bytes]:
        return self.random.choice(("intruder", "nobody")), self._captured()

    def _other_key(self) -> tuple[str, bytes]:
        kind, body = (
            self._formed(self._epoch) if self.random.random() < 0.8 else (m.Stop.KIND, m.Stop(3).pack())
        )
        return self._address(), self._own(kind, body, self._honest, OTHER_KEY)

    # -- with the right key ---------------------------------------------------------------------------

    def _body(self) -> tuple[str, bytes]:
        random = self.random
        known = random.random() < 0.5
        kind = random.choice(ANY)[0] if known else random.randrange(256)
        body = random.randbytes(random.randrange(MAX_BODY + 1))
        if (
            kind == m.Stop.KIND
            or kind == m.Hello.KIND
            or (kind == m.AcquireLease.KIND and not self._setting.leased)
        ):
            body = body[:3]  # never a whole one
        return "intruder", self._own(kind, body)

    def _session(self) -> tuple[str, bytes]:
        kind, body = self._formed(self._epoch)
        if self.random.random() < 0.5:  # the valid client's, from elsewhere
            return self.random.choice(("intruder", "nobody")), self._own(kind, body, self._honest)
        return self._address(), self._own(kind, body, self.random.getrandbits(64))

    def _epochs(self) -> tuple[str, bytes]:
        near = (
            self._epoch,
            self._epoch,
            self._epoch + 1,
            max(0, self._epoch - 1),
            0,
            self.random.getrandbits(32),
        )
        return "intruder", self._own(*self._formed(self.random.choice(near)))

    def _hello(self) -> tuple[str, bytes]:
        nonce = self.random.choice((1, 2, self.random.getrandbits(64)))
        hello = m.Hello(nonce, 1, self.random.choice((1, 1, 0, 255)), "intruder")
        return self._address(), self._own(m.Hello.KIND, hello.pack(), 0)


def manner(world: World) -> tuple[Any, ...]:
    """All of a guardian that an unleased sender must not change."""
    g, command = world.guardian, world.command
    rows = (command.position, command.velocity, command.torque, command.kp, command.kd)
    return (
        g.state, np.array(rows).tobytes(), g.machine.gains_at_work(), g.lease.epoch, g.lease.session, g.lease.alive,
        g.run.token, g.run.outcome, g.run.backup, g.run.started, g.latch.number, g.latch.token, g.machine.refusal,
        tuple(g.staging.gains.items()), g.staging.digest(), len(g.staging._upload),
    )  # fmt: skip


def storm(setting: Setting, count: int, ticks: int, seed: int, findings: Findings, meter: Meter = OFF) -> int:
    """One storm from the setting's beginning, at most so many messages and ticks; how many were sent."""
    world, client = setting.scene[0].copy(setting.scene[1])
    reference, reference_client = setting.scene[0].copy(setting.scene[1])
    tap = Tap(client.channel.transport)
    client.channel.transport = tap
    intruder = Intruder(setting, tap, client, seed)
    sent, stopped = 0, False
    for k in range(ticks):
        if setting.leased:
            beat(client)
            beat(reference_client)
        for _ in range(min(BATCH, count - sent)):
            sent += 1
            if 4 * sent > 3 * count and intruder.random.random() < STOPS:
                stopped = True
                kind, address, data = "stop", "intruder", intruder.stop()
                reference.raw.append((address, data))
            else:
                kind, address, data = intruder.message()
            findings.sent[kind] += 1
            world.raw.append((address, data))
        for one in (world, reference):
            one.tick()
            one.events.clear()
            one.forget("intruder")
        wrong = _wrong(setting, world, reference, stopped)
        if wrong:
            findings.fault(f"{setting.name}, tick {k} of storm {seed}: {wrong}")
            return sent
        meter.at(sent)
        if sent >= count:
            break
    meter.end()
    if setting.leased:
        client.status()
        if not stopped:
            client.get_gains()
    else:
        client.connect()
        client.status()
    return sent


def _wrong(setting: Setting, world: World, reference: World, stopped: bool) -> str:
    if manner(world) != manner(reference):
        return f"{world.state.name} where a guardian that met none of it is in {reference.state.name}, or other gains"
    if stopped:
        moving = world.state in MOTION or TRIAL_STIFFNESS in world.command.kp
        return f"{world.state.name} after a stop" if moving or world.state not in LATCHED else ""
    if setting.leased and world.state is not setting.state:
        return f"{world.state.name}"
    if setting.state is State.REST and world.command.kp.any():
        return "stiffness at rest"
    return ""


def storms(places: Sequence[Setting], count: int, seed: int, findings: Findings, meter: Meter = OFF) -> None:
    """Short storms over all settings in turns, then, for the last quarter, a long one on the first."""
    sent = episode = 0
    short = 3 * count // 4
    while sent < short:
        setting = places[episode % len(places)]
        share = max(1, min(short - sent, 800 * BATCH, -(-short // len(places))))
        sent += storm(setting, share, 800, seed * 1_000_003 + episode, findings)
        episode += 1
    storm(places[0], count - sent, count, seed * 1_000_003 + episode, findings, meter)
