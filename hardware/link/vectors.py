"""Test vectors of docs/link.md: packets and digests made with a fixed key, for whoever writes another client."""

from __future__ import annotations

import textwrap

from safebo.hardware.link import messages as m
from safebo.hardware.link.digest import (
    MonitorDescription,
    WalkDescription,
    gains_digest,
    pack_gains,
    trial_digest,
)
from safebo.hardware.link.frame import Frame, seal
from safebo.hardware.link.layout import Body

KEY = bytes(range(32))
NONCE = 0x0123456789ABCDEF
SESSION = 77 << 32 | 1
TABLE = 0xFEDCBA9876543210
GAINS = (60.0, 2.5, 0.125)
BACKUP = (50.0, 2.0, 0.25)
WALK = WalkDescription((0.5, 0.5, 0.5, 0.5, 0.0), (0.25, 0.0, 0.0), 0.5, 0.125)
MONITOR = MonitorDescription("lipschitz", (2.0, 0.125, 0.0, 0.0, 0.0, 0.0), 33, 1000, 1, bytes(range(32, 64)))
STATE = m.StateMessage(
    time=100.5,
    tick=4711,
    age=1500,
    state=7,
    response=2,
    cause=24,
    backup=255,
    latch=3,
    epoch=1,
    trial=12,
    outcome=3,
    elapsed=0.0,
    stop_seen=8,
    accepted=5000,
    missed=4,
    rejected=2,
    overruns=1,
    refused=9,
    battery=80,
    hottest=40,
    attitude=(0.125, -0.25),
    height=(0.3125,),
    position=tuple(0.125 * k for k in range(12)),
    velocity=tuple(1.0 + 0.125 * k for k in range(12)),
    torque=tuple(-2.0 + 0.125 * k for k in range(12)),
    target=tuple(3.0 + 0.125 * k for k in range(12)),
    message="the tuner is silent",
)


def packet_vectors() -> list[tuple[str, Frame, Body]]:
    """Name, frame and message of every packet in the worked example."""
    digest = trial_digest(TABLE, GAINS, [], WALK, None)
    exchange: list[tuple[str, int, int, Body]] = [
        ("hello", 0, 1, m.Hello(NONCE, 1, 1, "example")),
        ("welcome", SESSION, 1, m.Welcome(NONCE, SESSION, 1, 1, 500, len(GAINS), TABLE, "go2", "12-345")),
        ("heartbeat", SESSION, 1, m.Heartbeat(0, 0, 5)),
        ("acquire", SESSION, 2, m.AcquireLease(1, 0, "example")),
        ("granted", SESSION, 2, m.Reply(1, m.Code.OK, 1)),
        ("alive", SESSION, 3, m.Heartbeat(1, 3, 5)),
        ("gains", SESSION, 4, m.SetGains(2, 1, 0, TABLE, pack_gains(GAINS))),
        ("held", SESSION, 4, m.Reply(2, m.Code.OK, 0, "", gains_digest(GAINS))),
        ("walk", SESSION, 5, m.SetWalk(3, 1, WALK.gait, WALK.velocity, WALK.ramp, WALK.settle)),
        ("arm", SESSION, 6, m.Arm(4, 1, 12, digest)),
        ("refused", SESSION, 5, m.Reply(4, m.Code.NOT_READY, 0, "the robot does not stand still yet")),
        ("start", SESSION, 7, m.Start(5, 1, 0x7766554433221101, 2.5)),
        ("stop", SESSION, 8, m.Stop(3, "enough")),
        ("state", SESSION, 6, STATE),
    ]
    return [
        (name, Frame(body.KIND, session, sequence, body.pack()), body)
        for name, session, sequence, body in exchange
    ]


def digest_vectors() -> list[tuple[str, str, bytes]]:
    """Name, meaning and bytes of every digest in the worked example."""
    return [
        ("gains-digest", "SHA-256 of the three gains", gains_digest(GAINS)),
        (
            "trial-digest",
            "the gains and the walk, no backup, no monitor",
            trial_digest(TABLE, GAINS, [], WALK, None),
        ),
        (
            "trial-digest-monitor",
            f"with one backup of gains {_shown(BACKUP)} and the monitor {_monitor_description()}",
            trial_digest(TABLE, GAINS, [BACKUP], WALK, MONITOR),
        ),
    ]


def vector_lines() -> list[str]:
    """The worked example as text: `[name] meaning`, then hexadecimal digits, indented."""
    out = ["[key] the shared key", *_hex(KEY)]
    for name, frame, body in packet_vectors():
        out += ["", *_head(name, frame, body), *_hex(seal(frame, KEY))]
    for name, meaning, data in digest_vectors():
        out += ["", *textwrap.wrap(f"[{name}] {meaning}", 116, subsequent_indent="  "), *_hex(data)]
    return out


def _head(name: str, frame: Frame, body: Body) -> list[str]:
    said = ", ".join(f"{part.name} {_shown(getattr(body, part.name), part.code)}" for part in body.parts())
    line = f"[{name}] {body.title()}, session 0x{frame.session:016x}, sequence {frame.sequence}: {said}"
    return textwrap.wrap(line, 116, subsequent_indent="  ", break_on_hyphens=False)


def _shown(value: object, code: str = "") -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{number:g}" for number in value) + ")"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return f"{value:g}"
    assert isinstance(value, int)
    return f"0x{value:x}" if code == "Q" and value > 1 << 32 else str(int(value))


def _monitor_description() -> str:
    w = MONITOR
    return (
        f"{w.rule}, numbers {_shown(w.numbers)}, width {w.width}, states {w.states}, policies {w.policies}, "
        f"digest the bytes {w.digest[0]} to {w.digest[-1]}"
    )


def _hex(data: bytes) -> list[str]:
    return [f"    {data[at : at + 48].hex()}" for at in range(0, len(data), 48)]
