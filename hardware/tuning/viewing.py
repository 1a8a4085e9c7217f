"""A robot as a page sees it: a session without a lease that follows its guardian, and stops it on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from safebo.hardware.constants import (
    GUARDIAN_SILENT_S,
    PUMP_TIME_S,
    UNKNOWN_BYTE,
    VIEW_SILENT_S,
    WATCH_RETRY_S,
)
from safebo.hardware.errors import HardwareError, LinkError
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.describe import describe
from safebo.hardware.link.key import key_at
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.link.stopped import REMOTE, RestWatch, posture
from safebo.hardware.link.udp import UdpTransport
from safebo.types import RobotAddress, RobotStatus

CLEARING = frozenset({State.HOLD_ACKNOWLEDGED, State.DAMP_ACKNOWLEDGED})
"""States in which the first of two steps of clearing was taken."""


class GuardianView:
    """Follows one guardian from a thread of its own, and begins anew when it was lost.

    Args:
        make_transport: a fresh socket.
        key: shared with the guardian.
        clock: monotonic, s.
    """

    def __init__(
        self,
        make_transport: Callable[[], UdpTransport],
        key: bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_transport, self._key, self._clock = make_transport, key, clock
        self._transport: UdpTransport | None = None
        self._rest = RestWatch()
        self._stopped = False
        self._limits: dict[str, float] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._client: GuardianClient | None = None
        self._heard = clock()
        self._token: int | None = None
        self._thread = threading.Thread(target=self._follow, name="robot view", daemon=True)
        self._thread.start()

    def look(self) -> RobotStatus:
        """How the robot stands; see `safebo.types.RobotView`."""
        client = self._client
        silent = self._clock() - self._heard
        if client is None or client.state is None or client.welcome is None or silent > VIEW_SILENT_S:
            raise LinkError(f"nothing was heard of the guardian for {silent:.1f} s")
        seen, welcome = client.state, client.welcome
        state = State(seen.state)
        return RobotStatus(
            robot=f"{'virtual' if welcome.virtual else 'physical'} {welcome.robot}, serial {welcome.serial}",
            state=state.name,
            message=seen.message,
            latched=state in LATCHED,
            latch=seen.latch,
            acknowledged=state in CLEARING,
            stopped=self._stopped,
            why_not=posture(seen) if self._stopped else self._rest.why,
            age=seen.age * 1e-6,
            silent=silent,
            missed=seen.missed,
            rejected=seen.rejected,
            overruns=seen.overruns,
            battery=None if seen.battery == UNKNOWN_BYTE else seen.battery,
            hottest=None if seen.hottest == UNKNOWN_BYTE else seen.hottest,
            roll=seen.attitude[0],
            pitch=seen.attitude[1],
            height=seen.height[0],
            lease=bool(seen.epoch),
            trial=seen.trial,
            elapsed=seen.elapsed,
            limits=self._limits,
        )

    def stop(self, reason: str) -> str:
        """Joint damping at once."""
        return self._stop(Response.DAMP, reason)

    def baseline(self, reason: str) -> str:
        """Baseline gains."""
        return self._stop(Response.HOLD, reason)

    def _stop(self, level: Response, reason: str) -> str:
        with self._lock:
            client = self._client
            if client is not None and client.stop(level, reason):
                return client.describe()
        with suppress(HardwareError, OSError), closing(self._make_transport()) as transport:
            # by a session of its own, where that one is lost
            fresh = self._client_on(transport)
            fresh.connect()
            if fresh.stop(level, reason):
                return fresh.describe()
        raise LinkError(f"the guardian has not confirmed the stop: {REMOTE}")

    def acknowledge(self, latch: int) -> None:
        """First step of clearing a latch; see `safebo.types.RobotView`."""
        with self._lock:
            self._token = self._connected().acknowledge(latch)

    def clear(self) -> None:
        """Second step."""
        with self._lock:
            client = self._connected()
            if self._token is None:
                raise LinkError("nothing was acknowledged here: acknowledge it first")
            token, self._token = self._token, None
            client.clear(token)

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(2.0)

    def _connected(self) -> GuardianClient:
        if self._client is None:
            raise LinkError("there is no session with the guardian")
        return self._client

    def _client_on(self, transport: UdpTransport) -> GuardianClient:
        return GuardianClient(transport, self._key, name="safebo console")

    def _see(self, seen: StateMessage) -> None:
        """Every new State, in the thread that listens."""
        self._heard = self._clock()
        self._stopped = self._rest.look(seen)

    def _begin(self) -> None:
        """A new session in place of the one before."""
        try:
            transport = self._make_transport()
        except (HardwareError, OSError):
            return  # no network now: again soon
        try:
            client = self._client_on(transport)
            client.connect(WATCH_RETRY_S)
            with suppress(LinkError):  # an older guardian does not say them
                self._limits = limits_of(describe(client))
        except (HardwareError, OSError):
            transport.close()
            return
        client.on_state = self._see
        with self._lock:
            old, self._transport = self._transport, transport
            self._client, self._token, self._rest, self._stopped = client, None, RestWatch(), False
        if old is not None:
            old.close()

    def _follow(self) -> None:
        tried = float("-inf")
        while not self._ended.is_set():
            now = self._clock()
            if now - self._heard > GUARDIAN_SILENT_S or self._client is None:
                self._stopped = False
                if now - tried >= WATCH_RETRY_S:
                    tried = now
                    self._begin()
            if self._client is None:
                self._ended.wait(PUMP_TIME_S)
                continue
            with self._lock, suppress(HardwareError, OSError):
                self._client.pump(PUMP_TIME_S)
            time.sleep(0.001)  # a lock that is let go and taken at once is never anybody else's
        if self._transport is not None:
            self._transport.close()


def limits_of(told: Mapping[str, Any]) -> dict[str, float]:
    """Thresholds by the limit's name, from what a guardian says of itself."""
    return {str(name): float(value) for name, value in dict(told.get("limits", {})).items()}


def view(address: RobotAddress) -> GuardianView:
    """Looks at the robot behind the guardian at an address, without disturbing who tunes it.

    Raises:
        HardwareError: the key cannot be read.
    """
    key = key_at(None if address.key is None else Path(address.key), print)
    return GuardianView(lambda: UdpTransport(address.host, address.port), key)
