"""The tuner's end of the link: sessions, retried requests, heartbeats, stop.

One thread, no background work: heartbeats go out while a request waits and in `pump`, so a tuner that hangs is
silent, and the guardian takes over. All times are monotonic.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from safebo.hardware.constants import (
    ARM_WAIT_TIMEOUT_S,
    FIRST_RETRY_S,
    HEARTBEAT_S,
    LAST_RETRY_S,
    MAX_PENDING,
    REQUEST_TIMEOUT_S,
    STOP_TIMEOUT_S,
)
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.states import Response
from safebo.hardware.link import messages as m
from safebo.hardware.link.channel import ClientChannel, Transport
from safebo.hardware.link.digest import MonitorDescription, WalkDescription, gains_digest, pack_gains
from safebo.hardware.link.frame import VERSION
from safebo.hardware.link.layout import Body
from safebo.hardware.link.messages import (
    PIECE,
    Code,
    Heartbeat,
    Hello,
    Reply,
    RequestMessage,
    StateMessage,
    Stop,
    Welcome,
)
from safebo.types import FloatArray


class RefusedError(LinkError):
    """The guardian refused a request; nothing has changed.

    Args:
        request: what was asked.
        reply: the answer; its `code` is one of `safebo.hardware.link.messages.Code`.
    """

    def __init__(self, request: RequestMessage, reply: Reply) -> None:
        self.reply = reply
        code = Code(reply.code).name if reply.code in list(Code) else str(reply.code)
        super().__init__(f"the guardian refuses {type(request).__name__}: {reply.detail or code} ({code})")


@dataclass
class _Pending:
    request: RequestMessage
    started: float
    due: float
    pause: float = FIRST_RETRY_S


class GuardianClient:
    """Speaks to one guardian.

    Args:
        transport: `safebo.hardware.link.udp.UdpTransport`, or another.
        key: shared with the guardian.
        name: of this client, for people.
        every: wants every n-th State.
        clock: monotonic, s.
        nonce: makes the random number of a Hello.

    Attributes:
        time: its clock.
        channel: its packets.
        welcome: what the guardian said of itself.
        state: the newest State, or None.
    """

    def __init__(
        self,
        transport: Transport,
        key: bytes,
        name: str = "tuner",
        every: int = 5,
        clock: Callable[[], float] = time.monotonic,
        nonce: Callable[[], int] = lambda: secrets.randbits(64),
    ) -> None:
        self.channel = ClientChannel(transport, key)
        self.name, self._every, self.time, self._nonce = name, every, clock, nonce
        self._request = 0
        self._beat = -np.inf
        self.epoch = 0
        self.welcome: Welcome | None = None
        self.state: StateMessage | None = None
        self.counters = self.channel.counters
        self.on_state: Callable[[StateMessage], None] = lambda _state: None

    # -- session --------------------------------------------------------------------------------------

    def connect(self, patience: float = REQUEST_TIMEOUT_S) -> Welcome:
        """Open a session.

        Raises:
            LinkError: nobody answers: no guardian there, another key, or another protocol version.
        """
        self.channel.begin(0)
        self.epoch = self.counters.newest = 0
        hello = Hello(self._nonce(), VERSION, VERSION, self.name)
        end, due, pause = self.time() + patience, -np.inf, FIRST_RETRY_S
        while self.time() < end:
            if self.time() >= due:
                self.channel.send(hello)
                due, pause = self.time() + pause, min(LAST_RETRY_S, 2.0 * pause)
            body = self._receive(min(due, end) - self.time())
            if isinstance(body, Welcome) and body.nonce == hello.nonce:
                self.welcome = body
                self.channel.begin(body.session)
                return body
        raise LinkError(
            f"no guardian answered within {patience:g} s: is it running there, with this key, and with "
            f"protocol version {VERSION}?"
        )

    def pump(self, seconds: float) -> None:
        """Listen and send heartbeats for so long."""
        end = self.time() + seconds
        while True:
            left = end - self.time()
            self._keep_alive()
            if left <= 0:
                return
            self._receive(min(left, HEARTBEAT_S))

    def wait_for(self, what: Callable[[StateMessage], bool], patience: float) -> StateMessage:
        """The first State of which `what` holds.

        Args:
            what: to wait for.
            patience: s of the guardian's clock, which a virtual robot on a busy machine slows down; and s of ours
                without a newer State.

        Raises:
            LinkError: none came in time.
        """
        heard, last, passed = self.time(), None, 0.0
        while passed < patience and self.time() - heard < patience:
            self.pump(HEARTBEAT_S)
            if self.state is None:
                continue
            if what(self.state):
                return self.state
            if self.state.time != last:
                heard = self.time()
                passed += 0.0 if last is None else max(0.0, self.state.time - last)
                last = self.state.time
        raise LinkError(f"the guardian did not get there within {patience:g} s: {self.describe()}")

    def describe(self) -> str:
        """The newest State as text, for people."""
        if self.state is None:
            return "no State was received"
        return f"state {self.state.state}, cause {self.state.cause}: {self.state.message or 'nothing to say'}"

    # -- requests -------------------------------------------------------------------------------------

    def ask(self, request: RequestMessage, patience: float = REQUEST_TIMEOUT_S) -> Reply:
        """Send one request until it is answered; its id and epoch are filled in.

        Raises:
            RefusedError: the guardian refuses. LinkError: no answer in time; whether it was done is unknown.
        """
        return self.ask_all([request], patience)[0]

    def ask_all(self, requests: Iterable[RequestMessage], patience: float = REQUEST_TIMEOUT_S) -> list[Reply]:
        """Send requests, a few at a time, until all are answered; `patience` is for each.

        Raises:
            RefusedError: the first that is refused. LinkError: one was not answered in time.
        """
        waiting = [replace(r, request=self._next_id(), epoch=self.epoch) for r in requests]
        order = [r.request for r in waiting]
        pending: dict[int, _Pending] = {}
        answers: dict[int, Reply] = {}
        waiting.reverse()
        while len(answers) < len(order):
            now = self.time()
            while waiting and len(pending) < MAX_PENDING:
                request = waiting.pop()
                pending[request.request] = _Pending(request, now, now)
            self._send_due(now, pending.values(), patience)
            self._keep_alive()
            due = min(p.due for p in pending.values())
            body = self._receive(min(HEARTBEAT_S, due - self.time()))
            if isinstance(body, Reply) and body.request in pending:
                request = pending.pop(body.request).request
                if body.code != Code.OK:
                    raise RefusedError(request, body)
                answers[body.request] = body
        return [answers[number] for number in order]

    def _send_due(self, now: float, pending: Iterable[_Pending], patience: float) -> None:
        for item in pending:
            if now - item.started > patience:
                raise LinkError(
                    f"{type(item.request).__name__} was not answered within {patience:g} s: whether it was "
                    "done is not known; ask for the status before anything else"
                )
            if now >= item.due:
                self.counters.retries += now > item.started
                self.channel.send(item.request)
                item.due, item.pause = now + item.pause, min(LAST_RETRY_S, 2.0 * item.pause)

    def acquire(self) -> int:
        """Take the lease; its epoch."""
        self.epoch = self.ask(m.AcquireLease(name=self.name)).value
        return self.epoch

    def release(self) -> None:
        """Give the lease back; a standing robot lies down."""
        self.ask(m.ReleaseLease())
        self.epoch = 0

    def stand(self) -> None:
        """Stand up."""
        self.ask(m.Stand())

    def lie_down(self) -> None:
        """Lie down."""
        self.ask(m.LieDown())

    def reset_trial(self) -> None:
        """Forget gains, walk and monitor that were sent before."""
        self.ask(m.ResetTrial())

    def set_gains(self, values: Sequence[float], slot: int = 0) -> None:
        """A full set of gains in table order, verified by what the guardian says it holds.

        Raises:
            LinkError: the guardian holds something else.
        """
        reply = self.ask(m.SetGains(slot=slot, table=self._welcomed().table, values=pack_gains(values)))
        if reply.data != gains_digest(values):
            raise LinkError(f"gains of slot {slot}: the guardian holds other values than were sent")

    def get_gains(self, slot: int = 65535) -> FloatArray:
        """Read back gains; those at work by default."""
        return np.frombuffer(self.ask(m.GetGains(slot=slot)).data, "<f8").astype(np.float64)

    def set_walk(self, walk: WalkDescription) -> None:
        """Gait and speed."""
        self.ask(m.SetWalk(gait=walk.gait, velocity=walk.velocity, ramp=walk.ramp, settle=walk.settle))

    def set_monitor(self, data: bytes, monitor: MonitorDescription) -> None:
        """Send a boundary monitor (`safebo.hardware.link.arrays.monitor_upload`)."""
        offsets = range(0, len(data), PIECE)
        self.ask_all([m.Upload(total=len(data), offset=at, data=data[at : at + PIECE]) for at in offsets])
        self.ask(
            m.SetMonitor(
                rule=monitor.rule,
                numbers=monitor.numbers,
                width=monitor.width,
                states=monitor.states,
                policies=monitor.policies,
                digest=monitor.digest,
            )
        )

    def arm(self, trial: int, digest: bytes, patience: float = ARM_WAIT_TIMEOUT_S) -> int:
        """Arm a trial, waiting while the robot calms down or a monitor is built; the token to start it."""
        end = self.time() + patience
        while True:
            try:
                return self.ask(m.Arm(trial=trial, digest=digest)).value
            except RefusedError as refusal:
                if refusal.reply.code != Code.NOT_READY or self.time() >= end:
                    raise
            self.pump(0.1)

    def start(self, token: int, duration: float) -> None:
        """Start the armed trial for at most `duration` seconds of walking."""
        self.ask(m.Start(token=token, duration=duration))

    def abort(self, trial: int) -> None:
        """End the trial: baseline gains, brake, stand."""
        self.ask(m.Abort(trial=trial))

    def acknowledge(self, latch: int) -> int:
        """First step of clearing, for a person who has seen the latch; the token of the second."""
        return self.ask(m.Acknowledge(latch=latch)).value

    def clear(self, token: int) -> None:
        """Second step of clearing."""
        self.ask(m.Clear(token=token))

    def status(self) -> StateMessage:
        """How everything stands, asked for."""
        return StateMessage.unpack(self.ask(m.GetStatus()).data)

    def telemetry(
        self,
        trial: int,
        columns: int,
        first: int = 0,
        most: int | None = None,
        patience: float = REQUEST_TIMEOUT_S,
    ) -> FloatArray:
        """Telemetry of the last trial, or of the running one as far as it has come, `n x columns`.

        Args:
            trial: its number.
            columns: numbers in a row.
            first: row at which to begin.
            most: rows at most; None: all.
            patience: s, for each piece.
        """
        width = 8 * columns
        total = self.ask(m.Fetch(trial=trial, offset=0, length=0), patience).value
        begin = first * width
        end = total if most is None else min(total, begin + most * width)
        asked = [
            m.Fetch(trial=trial, offset=at, length=min(PIECE, end - at)) for at in range(begin, end, PIECE)
        ]
        data = b"".join(reply.data for reply in self.ask_all(asked, patience))
        return np.frombuffer(data, "<f8").astype(np.float64).reshape(-1, columns)

    def stop(
        self, level: Response = Response.DAMP, reason: str = "", patience: float = STOP_TIMEOUT_S
    ) -> bool:
        """Software stop, sent again until a State shows it; whether one did in time. Needs no lease."""
        end, first = self.time() + patience, self.channel.sequence + 1
        wire = {Response.HOLD: 1, Response.SIT: 2}.get(level, 3)
        while self.time() < end:
            self.channel.send(Stop(wire, reason))
            self.pump(HEARTBEAT_S)
            if self.state is not None and self.state.stop_seen >= first:
                return True
        return False

    def _welcomed(self) -> Welcome:
        if self.welcome is None:
            raise LinkError("not connected: call `connect` first")
        return self.welcome

    def _next_id(self) -> int:
        self._request = self._request % 0xFFFFFFFF + 1
        return self._request

    def _keep_alive(self) -> None:
        now = self.time()
        if self.channel.session and now - self._beat >= HEARTBEAT_S:
            self._beat = now
            self.channel.send(Heartbeat(self.epoch, self.counters.newest, self._every))

    def _receive(self, timeout: float) -> Body | None:
        """The next message, None when none came or it was refused; a State is kept."""
        body = self.channel.receive(timeout)
        if isinstance(body, StateMessage):
            self.state = body
            self.on_state(body)
        return body
