"""Who else is in a DDS domain: which process on which host publishes a topic, as discovery tells it.

Cyclone DDS gives every participant its host, process and addresses as properties; ours say besides what they are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

MAX_ENDPOINTS = 10_000  # of a domain, told apart
MARK = b"safebo: "
"""With this the user data of our own participants begin."""


@dataclass(frozen=True)
class Peer:
    """A process in a domain; what it does not say is empty.

    Args:
        host: its machine's name.
        process: its number there.
        program: name of the process.
        about: what it says it is for.
        addresses: where it is reached.
    """

    host: str = ""
    process: str = ""
    program: str = ""
    about: str = ""
    addresses: str = ""

    def __str__(self) -> str:
        number = f"process {self.process}" if self.process else "a process"
        where = f" on host {self.host!r}" if self.host else ""
        if self.about:
            return f"{self.about}, {number}{where}"
        named = f" ({self.program})" if self.program else ""
        at = f" at {self.addresses}" if self.addresses and not self.host else ""
        return f"{number}{named}{where}{at}"


def peer_of(qualities: Iterable[Any]) -> Peer:
    """A participant by its quality of service, as discovery has it; of other makes little may be known."""
    found: dict[str, str] = {}
    about = b""
    for policy in qualities:
        key = getattr(policy, "key", None)
        if isinstance(key, str):
            found[key] = str(getattr(policy, "value", ""))
        data = getattr(policy, "data", None)
        if isinstance(data, bytes | bytearray) and bytes(data).startswith(MARK):
            about = bytes(data)[len(MARK) :]
    return Peer(
        found.get("__Hostname", ""),
        found.get("__Pid", ""),
        found.get("__ProcessName", ""),
        about.decode(errors="replace"),
        found.get("__NetworkAddresses", ""),
    )


def readable(read: Callable[[], list[Any]]) -> list[Any]:
    """What discovery says; nothing while a program in the domain has a name that is not UTF-8.

    Cyclone's Python package then gives out none of what it knows.
    """
    try:
        return read()
    except UnicodeDecodeError:
        return []


class Discovery:
    """Who is in a domain. To ask takes tens of milliseconds in a full one.

    Args:
        own: identity of the participant that asks.
        made: runs what may fail, and raises a LinkError then.
        writers: reader of what discovery says of writers. processes: of participants.
    """

    def __init__(
        self, own: str, made: Callable[[Callable[[], Any]], Any], writers: Any, processes: Any
    ) -> None:
        self._own, self._made, self._writers, self._processes = own, made, writers, processes

    def publishers(self, topic: str) -> list[Peer]:
        """Who publishes a topic, as far as it is known by now; a process for each of its writers.

        Writers of this participant are not among them.
        """
        processes = self._read(self._processes)
        peers = {str(one.key): peer_of(one.qos or ()) for one in processes if hasattr(one, "qos")}
        return [
            peers.get(str(one.participant_key), Peer())
            for one in self._read(self._writers)
            if getattr(one, "topic_name", None) == topic and str(one.participant_key) != self._own
        ]

    def _read(self, known: Any) -> list[Any]:
        return readable(lambda: list(self._made(lambda: known.read(MAX_ENDPOINTS))))
