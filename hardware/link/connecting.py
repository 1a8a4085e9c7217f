"""A guardian's address and key: a session with it, and the commands that a person types for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.udp import UdpTransport


@contextmanager
def session(host: str, port: int, key: bytes, name: str) -> Iterator[GuardianClient]:
    """A connected client, for as long as the block runs.

    Raises:
        HardwareError: the address cannot be used, or nobody answers there.
    """
    transport = UdpTransport(host, port)
    try:
        client = GuardianClient(transport, key, name=name)
        client.connect()
        yield client
    finally:
        transport.close()


def host_and_port(where: str, example: str) -> tuple[str, int]:
    """The parts of `HOST:PORT`.

    Raises:
        HardwareInputError: it is none.
    """
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise HardwareInputError(f"{where!r}: expected HOST:PORT, for example {example}")
    return host, int(port)


@dataclass(frozen=True)
class RobotCommands:
    """Commands for one guardian, as they are typed.

    Args:
        where: `HOST:PORT` of the guardian.
        key: file of its key; None for the default one.
    """

    where: str
    key: Path | None = None

    def _typed(self, verb: str) -> str:
        key = [] if self.key is None else ["--key", str(self.key.expanduser().resolve())]
        return shlex.join(["safebo", "robot", verb, self.where, *key])

    @property
    def clear(self) -> str:
        """Clears what has latched."""
        return self._typed("clear")

    @property
    def stop(self) -> str:
        """Stops the robot."""
        return self._typed("stop")
