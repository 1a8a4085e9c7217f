"""From the address of a robot's guardian to sessions with it and to what a person types for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.connecting import RobotCommands, session
from safebo.hardware.link.key import key_at
from safebo.hardware.link.udp import UdpTransport
from safebo.hardware.tuning.session import Session
from safebo.hardware.tuning.watching import LatchWatch
from safebo.types import RobotAddress


def network_session(address: RobotAddress) -> Session:
    """A session over the network, kept alive in the background."""
    key = key_at(_key_file(address), print)
    return Session(lambda: GuardianClient(UdpTransport(address.host, address.port), key, name="safebo tune"))


def commands_of(address: RobotAddress) -> RobotCommands:
    """What a person types for the guardian there."""
    return RobotCommands(f"{address.host}:{address.port}", _key_file(address))


def latch_watch(address: RobotAddress, tell: Callable[[str], None]) -> LatchWatch:
    """Have a person told at once what the guardian latches, and that it is silent; to be closed. It moves nothing.

    Args:
        address: where the guardian is.
        tell: is told; called from another thread.
    """
    key = key_at(_key_file(address), print)
    connect = partial(session, address.host, address.port, key, "latch watch")
    return LatchWatch(connect, commands_of(address), tell).start()


def _key_file(address: RobotAddress) -> Path | None:
    return None if address.key is None else Path(address.key)
