"""What is looked at before the first trial moves anything."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from safebo.hardware.constants import (
    DISK_RESERVE_BYTES,
    LISTEN_TIME_S,
    MAX_LOSS,
    MAX_STATE_AGE_S,
    MIN_REAL_TIME,
    RECORD_BYTES_PER_SECOND,
)
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.bounds import ADAPTIVE_CONTACT, ControllerGains
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient, RefusedError
from safebo.hardware.link.connecting import RobotCommands
from safebo.hardware.link.describe import describe
from safebo.robots.quadruped.controller import SETTLE
from safebo.types import Check


def checks(
    client: GuardianClient,
    welcome: m.Welcome,
    robot: str,
    serial: str | None,
    table: ControllerGains,
    gains: Mapping[str, tuple[float, ...]],
    folder: Path | None,
    trials: int,
    commands: RobotCommands,
    seconds: float,
) -> Iterator[Check]:
    """Every check, in the order in which they build on each other.

    Args:
        client: connected, without a trial under way.
        welcome: what the guardian said of itself.
        robot: name of the study's robot.
        serial: of the physical robot that is meant; None: a virtual one.
        table: the gains as the study's controller has them.
        gains: full sets of gains to be tried on the guardian's bounds, by name.
        folder: where records go.
        trials: how many may still come.
        commands: for this guardian, as they are typed.
        seconds: of walking in each.
    """
    yield Check(
        "guardian", True, f"protocol version {welcome.version}, {welcome.rate} control ticks per second"
    )
    yield _robot(welcome, robot, serial)
    same = same_table(welcome, table)
    yield same
    yield _columns(client)
    yield _lease(client)
    before = client.status()
    begin = time.monotonic()
    client.pump(LISTEN_TIME_S)
    after = client.status()
    elapsed = time.monotonic() - begin
    yield _state(after, commands)
    yield from _stream(before, after, elapsed)
    yield _battery(after)
    if same.passed:
        yield from (_gains(client, name, values) for name, values in gains.items())
    if folder is not None:
        yield _room(folder, trials, seconds)


def same_table(welcome: m.Welcome, table: ControllerGains) -> Check:
    """Whether the guardian's controller is the study's: its gains, and whether its contact adapts."""
    same, adaptive = welcome.table == table.identity, table.variant == ADAPTIVE_CONTACT
    other = replace(table, variant="" if adaptive else ADAPTIVE_CONTACT)
    if same:
        message = f"{len(table.names)} gains, by name, unit and order"
    elif welcome.table == other.identity:
        message = (
            "the study has adaptive_contact: true, and the guardian was started without --adaptive-contact"
            if adaptive
            else "the guardian was started with --adaptive-contact, and the study has no adaptive_contact: true"
        )
    else:
        message = (
            f"the guardian has another table of {welcome.gains} gains than this study's of {len(table.names)}: "
            "is the same version of safebo at both ends?"
        )
    return Check("gain table", same, message)


def _robot(welcome: m.Welcome, robot: str, serial: str | None) -> Check:
    kind = "virtual" if welcome.virtual else "physical"
    found = f"a {kind} {welcome.robot}, serial {welcome.serial}"
    if welcome.robot != robot:
        return Check("robot", False, f"{found}; the study is for a {robot}")
    if serial is None and not welcome.virtual:
        return Check("robot", False, f"{found}. To move it, name it: --physical {welcome.serial}")
    if serial is not None and (welcome.virtual or welcome.serial != serial):
        return Check("robot", False, f"{found}; asked for was the physical one with serial {serial}")
    return Check("robot", True, found)


def _columns(client: GuardianClient) -> Check:
    try:
        told = describe(client).get("columns")
    except LinkError as error:
        return Check("telemetry", False, f"the guardian does not say what its telemetry holds: {error}")
    if told != list(COLUMNS):
        message = "the guardian's telemetry has other columns than ours: is the same version of safebo at both ends?"
        return Check("telemetry", False, message)
    return Check("telemetry", True, f"{len(COLUMNS)} columns a tick")


def _lease(client: GuardianClient) -> Check:
    try:
        epoch = client.epoch or client.acquire()
    except RefusedError as error:
        return Check("lease", False, str(error))
    return Check("lease", True, f"epoch {epoch}")


def _state(seen: m.StateMessage, commands: RobotCommands) -> Check:
    name = State(seen.state).name
    if seen.state in LATCHED:
        return Check("state", False, f"{name}: {seen.message}. Look at the robot, then `{commands.clear}`")
    if seen.state == State.DISCONNECTED:
        return Check("state", False, "the guardian hears nothing of the robot")
    if seen.response == Response.REFUSE:
        return Check("state", False, f"{name}, no new trial: {seen.message}")
    return Check("state", True, name)


def _stream(before: m.StateMessage, after: m.StateMessage, elapsed: float) -> Iterator[Check]:
    came = (after.accepted - before.accepted) % (1 << 32)
    missed = (after.missed - before.missed) % (1 << 32)
    loss = missed / max(1, came + missed)
    good = came > 0 and loss <= MAX_LOSS and after.age <= MAX_STATE_AGE_S * 1e6
    message = f"{came} in {elapsed:.1f} s, {100 * loss:.1f} % of ticks without one, newest {after.age / 1e3:.0f} ms old"
    yield Check("robot's states", good, message)
    speed = ((after.tick - before.tick) % (1 << 32)) * 1e-3 / elapsed
    slow = (
        ""
        if speed > MIN_REAL_TIME
        else ": slower than real time, so the trials take longer; nothing is skipped"
    )
    yield Check("robot's clock", speed > 0.0, f"{speed:.2f} of real time{slow}")


def _battery(seen: m.StateMessage) -> Check:
    battery = "charge unknown" if seen.battery == 255 else f"{seen.battery} % charge"
    hottest = "temperatures unknown" if seen.hottest == 255 else f"hottest motor {seen.hottest} degrees C"
    # what is too little or too hot is the guardian's to say, and it says so as a refusal
    return Check("battery and motors", seen.response < Response.REFUSE, f"{battery}, {hottest}")


def _gains(client: GuardianClient, name: str, values: tuple[float, ...]) -> Check:
    try:
        client.set_gains(values)
        held = tuple(client.get_gains(0).tolist())
    except LinkError as error:
        return Check(name, False, str(error))
    if held != values:
        return Check(name, False, "the guardian holds other values than were sent")
    return Check(name, True, "inside the guardian's bounds, read back unchanged")


def _room(folder: Path, trials: int, seconds: float) -> Check:
    place = folder
    while not place.exists():
        place = place.parent
    usage = os.statvfs(place)
    free = usage.f_bavail * usage.f_frsize
    needed = trials * (seconds + SETTLE) * RECORD_BYTES_PER_SECOND + DISK_RESERVE_BYTES
    message = f"{free / 1e9:.1f} GB free, {needed / 1e9:.2f} GB wanted for {trials} trials"
    if not os.access(place, os.W_OK):
        return Check("room for records", False, f"{place} cannot be written")
    return Check("room for records", free >= needed, message)
