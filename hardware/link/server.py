"""The guardian's end of the link: bytes in, messages out; messages in, bytes out. No sockets, no clock.

It authenticates, refuses repetitions, opens sessions, answers repeated requests with their first answer, and
tells proof of life from late packets. What messages mean is the guardian's business.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from safebo.hardware.constants import MAX_ECHO_AGE_S, MAX_REPLIES, MAX_SESSIONS
from safebo.hardware.link.frame import VERSION, Frame, FrameError, checked_key, open_packet, seal
from safebo.hardware.link.layout import Body, BodyError
from safebo.hardware.link.messages import (
    FROM_CLIENT,
    Code,
    Heartbeat,
    Hello,
    Reply,
    RequestMessage,
    StateMessage,
    Stop,
    Welcome,
)
from safebo.hardware.link.replay import ReplayWindow

Address = Hashable
Outgoing = tuple[Address, bytes]

"""Sessions kept. One that has never been used gives way first, then the one longest unheard; never the lease's.

So Hellos that somebody recorded and sends again, for which no answer to the Welcome ever comes, push out each other
and nobody who has spoken.
"""


@dataclass(frozen=True)
class Inbound:
    """An authentic, new message. `proof`: a heartbeat that answers a recent State."""

    session: int
    body: Body
    sequence: int
    proof: bool = False


@dataclass
class _Session:
    address: Address
    name: str
    heard: float
    used: bool = False
    window: ReplayWindow = field(default_factory=ReplayWindow)
    sent: int = 0
    every: int = 0
    stop_seen: int = 0
    states: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=256))
    replies: OrderedDict[int, tuple[bytes, Reply | None]] = field(default_factory=OrderedDict)


class LinkServer:
    """Sessions of all clients.

    Args:
        key: shared with the clients.
        identity: what Welcome says of this guardian; nonce, session and version are filled in.
        boot: random number of this start of the guardian, under 2^32: no session of an earlier start is valid.

    Attributes:
        identity: what Welcome says of this guardian.
        refused: how many packets were refused, by reason.
    """

    def __init__(self, key: bytes, identity: Welcome, boot: int) -> None:
        if not 0 < boot < 1 << 32:
            raise ValueError(f"link: boot must be a number from 1 to 2^32 - 1, got {boot}")
        self._key = checked_key(key)
        self.identity = identity
        self._boot = boot
        self._opened = 0
        self._sessions: dict[int, _Session] = {}
        self._welcomed: OrderedDict[tuple[Address, int], int] = OrderedDict()
        self.refused: Counter[str] = Counter()

    def receive(
        self, now: float, data: bytes, address: Address, pinned: int = 0
    ) -> tuple[Inbound | None, list[Outgoing]]:
        """What one packet says, and what has to be answered at once.

        Args:
            now: guardian's clock, s.
            data: the packet.
            address: where it came from, and where the answer goes.
            pinned: the session that holds the lease.
        """
        try:
            frame = open_packet(data, self._key)
        except FrameError as error:
            self.refused[error.reason] += 1
            return None, []
        kind = FROM_CLIENT.get(frame.kind)
        if kind is None:
            self.refused["kind"] += 1
            return None, []
        try:
            body = kind.unpack(frame.body)
        except BodyError:
            self.refused["body"] += 1
            return None, []
        if isinstance(body, Hello):
            return None, self._welcome(now, frame, body, address, pinned)
        session = self._sessions.get(frame.session)
        if session is None or session.address != address:
            self.refused["session"] += 1
            return None, []
        order = session.window.admit(frame.sequence)
        # An overtaken stop still stops, and an overtaken heartbeat still proves life by the State that it echoes;
        # anything else that was overtaken is out of date.
        if order == "repeated" or (order == "late" and not isinstance(body, Stop | Heartbeat)):
            self.refused[order] += 1
            return None, []
        session.heard, session.used = now, True
        if isinstance(body, RequestMessage):
            known = self._answered(frame, session, body)
            if known is not None:
                return None, known
        proof = False
        if isinstance(body, Heartbeat):
            if order == "newest":
                session.every = max(1, body.every)
            proof = any(
                number == body.echo and now - when <= MAX_ECHO_AGE_S for number, when in session.states
            )
        if isinstance(body, Stop):
            session.stop_seen = max(session.stop_seen, frame.sequence)
        return Inbound(frame.session, body, frame.sequence, proof), []

    def reply(self, session: int, answer: Reply) -> list[Outgoing]:
        """The packet of an answer; retries of the request get the same one."""
        found = self._sessions.get(session)
        if found is None:
            return []
        if answer.request in found.replies:
            asked, _ = found.replies[answer.request]
            found.replies[answer.request] = (asked, answer)
        return [self._send(session, found, answer)]

    def wanted(self, count: int) -> bool:
        """Whether anybody wants State number `count`."""
        return any(s.every and count % s.every == 0 for s in self._sessions.values())

    def states(self, now: float, count: int, state: StateMessage) -> list[Outgoing]:
        """The packets of State number `count` for all who want it."""
        out = []
        refused = sum(self.refused.values()) & 0xFFFFFFFF
        for number, session in self._sessions.items():
            if session.every and count % session.every == 0:
                session.states.append((session.sent + 1, now))
                mine = replace(state, stop_seen=session.stop_seen, refused=refused)
                out.append(self._send(number, session, mine))
        return out

    def silent(self, now: float, seconds: float) -> None:
        """Send no more State to sessions that were not heard for so long."""
        for session in self._sessions.values():
            if now - session.heard > seconds:
                session.every = 0

    def _send(self, number: int, session: _Session, body: Body) -> Outgoing:
        session.sent += 1
        return session.address, seal(Frame(body.KIND, number, session.sent, body.pack()), self._key)

    def _answered(self, frame: Frame, session: _Session, body: RequestMessage) -> list[Outgoing] | None:
        """The answer that a repeated request had; None when it is new (and is now remembered)."""
        asked = bytes([frame.kind]) + frame.body
        if body.request not in session.replies:
            session.replies[body.request] = (asked, None)
            while len(session.replies) > MAX_REPLIES:
                session.replies.popitem(last=False)
            return None
        before, answer = session.replies[body.request]
        if before != asked:
            self.refused["request"] += 1
            answer = Reply(
                body.request, Code.REQUEST_REUSED, 0, "this request id was used for another request"
            )
        return [] if answer is None else [self._send(frame.session, session, answer)]

    def _welcome(
        self, now: float, frame: Frame, hello: Hello, address: Address, pinned: int
    ) -> list[Outgoing]:
        if frame.session != 0 or not hello.lowest <= VERSION <= hello.highest:
            self.refused["version" if frame.session == 0 else "session"] += 1
            return []
        asked = (address, hello.nonce)
        number = self._welcomed.get(asked, 0)
        if number not in self._sessions:
            self._opened += 1
            number = self._boot << 32 | (self._opened & 0xFFFFFFFF)
            self._sessions[number] = _Session(address, hello.name, now)
            self._welcomed[asked] = number
            self._make_room(number, pinned)
        session = self._sessions[number]
        answer = replace(self.identity, nonce=hello.nonce, session=number, version=VERSION)
        return [self._send(number, session, answer)]

    def _make_room(self, newest: int, pinned: int) -> None:
        while len(self._sessions) > MAX_SESSIONS:
            oldest = min(
                (s for s in self._sessions if s not in (newest, pinned)),
                key=lambda s: (self._sessions[s].used, self._sessions[s].heard),
            )
            del self._sessions[oldest]
        self._welcomed = OrderedDict((k, v) for k, v in self._welcomed.items() if v in self._sessions)
