"""Packets of a tuner's session: sealed and numbered on their way out, opened and looked through on their way in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from safebo.hardware.link.frame import Frame, FrameError, checked_key, open_packet, seal
from safebo.hardware.link.layout import Body, BodyError
from safebo.hardware.link.messages import FROM_GUARDIAN, StateMessage, Welcome


class Transport(Protocol):
    """Carries packets, or loses them."""

    def send(self, data: bytes) -> None:
        """One packet."""
        ...

    def receive(self, timeout: float) -> bytes | None:
        """The next packet within `timeout` seconds."""
        ...


@dataclass
class ClientCounters:
    """What a client met: packets refused, requests sent again, States received, sequence of the newest."""

    refused: int = 0
    retries: int = 0
    states: int = 0
    newest: int = 0


class ClientChannel:
    """Messages to a guardian and from it.

    Args:
        transport: of the packets.
        key: shared with the guardian.

    Attributes:
        session: number of the session; 0 before there is one.
        sequence: of the last packet that was sent in it.
    """

    def __init__(self, transport: Transport, key: bytes) -> None:
        self.transport, self._key = transport, checked_key(key)
        self.session = self.sequence = 0
        self.counters = ClientCounters()

    def begin(self, session: int) -> None:
        """Send in this session from now on."""
        self.session, self.sequence = session, 0

    def sealed(self, body: Body) -> bytes:
        """The next packet of the session."""
        self.sequence += 1
        return seal(Frame(body.KIND, self.session, self.sequence, body.pack()), self._key)

    def send(self, body: Body) -> None:
        """Send a message."""
        self.transport.send(self.sealed(body))

    def receive(self, timeout: float) -> Body | None:
        """The next message within `timeout` seconds; None when none came or it was refused.

        Refused are damaged ones, those of other sessions, and States that a newer one has overtaken.
        """
        data = self.transport.receive(max(0.0, timeout))
        if data is None:
            return None
        try:
            frame = open_packet(data, self._key)
            body = FROM_GUARDIAN[frame.kind].unpack(frame.body)
        except (FrameError, BodyError, KeyError):
            self.counters.refused += 1
            return None
        if isinstance(body, Welcome):
            return body
        overtaken = isinstance(body, StateMessage) and frame.sequence <= self.counters.newest
        if frame.session != self.session or overtaken:
            self.counters.refused += 1
            return None
        if isinstance(body, StateMessage):
            self.counters.newest = frame.sequence
            self.counters.states += 1
        return body
