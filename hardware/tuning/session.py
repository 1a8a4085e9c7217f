"""A tuner's session with a guardian that stays alive between trials, while the optimizer thinks and people decide.

Heartbeats come from a thread that shares the client with whoever runs a trial, under one lock; a trial that hangs
holds the lock, so its heartbeats stop and the guardian takes over. A robot that waits for long lies down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from safebo.hardware.constants import (
    CLEAR_TIMEOUT_S,
    CONNECT_PAUSE_S,
    LYING_TIMEOUT_S,
    PUMP_TIME_S,
    REST_TIMEOUT_S,
    SAT_TIMEOUT_S,
    STANDING_TIMEOUT_S,
)
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient, RefusedError
from safebo.hardware.link.connecting import RobotCommands
from safebo.hardware.link.stopped import REMOTE, posture, see_rest

STOPS = frozenset(limit.number for limit in LIMITS if limit.quantity in ("stop", "remote_stop"))
"""Limits that only a person crosses. What a person has stopped, a person clears, on a virtual robot too."""


class Session:
    """One tuner's session.

    Args:
        make_client: a fresh client with its own socket.
        rest_after: s.
        background: send heartbeats from a thread between trials; without it whoever uses the session does.
    """

    def __init__(
        self,
        make_client: Callable[[], GuardianClient],
        rest_after: float = REST_TIMEOUT_S,
        background: bool = True,
    ) -> None:
        self.background = background
        self._make_client, self._rest_after = make_client, rest_after
        self._client: GuardianClient | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._used = time.monotonic()
        self._thread: threading.Thread | None = None

    def stop(self, reason: str) -> bool:
        """Software stop, joint damping, on a path of its own: whoever holds the client is not waited for."""
        client = self._make_client()
        client.connect()
        return client.stop(Response.DAMP, reason)

    @contextmanager
    def client(self) -> Iterator[GuardianClient]:
        """The client for as long as the block runs; nobody sends heartbeats meanwhile but the block itself."""
        with self._lock:
            if self._client is None:
                raise LinkError("there is no session with a guardian")
            try:
                yield self._client
            finally:
                self._used = time.monotonic()

    def open(self) -> m.Welcome:
        """Connect, again where the guardian was lost, and keep alive from now on.

        Raises:
            LinkError: nobody answers.
        """
        with self._lock:
            client = self._client
            if client is not None and alive(client):
                assert client.welcome is not None
                return client.welcome
            client = self._make_client()
            welcome = client.connect()
            client.pump(CONNECT_PAUSE_S)
            self._client = client
            self._used = time.monotonic()
        if self._thread is None and self.background:
            self._thread = threading.Thread(target=self._keep_alive, name="heartbeats", daemon=True)
            self._thread.start()
        return welcome

    def close(self) -> str:
        """Give the lease back, which makes a standing robot lie down, and watch until it is seen at rest.

        Returns:
            How the robot is, or that it was not seen to come to rest, for people; empty for a session that never had
            the lease.
        """
        self._ended.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)
        with self._lock:
            client, self._client = self._client, None
            if client is None or not client.epoch:
                return ""
            try:
                with suppress(
                    RefusedError
                ):  # a lease that ran out meanwhile: the guardian lays it down by itself
                    client.release()
                seen, _ = see_rest(client, SAT_TIMEOUT_S)
            except LinkError as error:
                return f"The robot was NOT seen to come to rest: {error}. Look at it, and {REMOTE}."
            cause = f" ({seen.message})" if seen.message else ""
            return (
                f"The robot is seen at rest, {State(seen.state).name}{cause}: joints damped; {posture(seen)}."
            )

    def _keep_alive(self) -> None:
        while not self._ended.is_set():
            with self._lock, suppress(LinkError):
                client = self._client
                if client is not None:
                    client.pump(PUMP_TIME_S)
                    self._rest(client)
            time.sleep(0.001)  # a lock that is let go and taken at once is never anybody else's

    def _rest(self, client: GuardianClient) -> None:
        waited = time.monotonic() - self._used
        standing = client.state is not None and client.state.state == State.HOLD
        if standing and client.epoch and waited > self._rest_after:
            self._used = time.monotonic()
            client.lie_down()


def alive(client: GuardianClient) -> bool:
    """Whether the guardian still speaks to this client."""
    before = client.counters.states
    client.pump(CONNECT_PAUSE_S)
    return client.counters.states > before


def get_ready(client: GuardianClient, clears: bool, commands: RobotCommands) -> None:
    """Lease, no latch, on its feet and calm.

    Args:
        client: connected.
        clears: clear latches without a person.
        commands: for this guardian, as they are typed.

    Raises:
        LinkError: the guardian refuses, or something is latched that a person has to look at.
    """
    seen = client.status()
    if not client.epoch or seen.epoch != client.epoch:
        client.epoch = 0
        client.acquire()
        client.pump(CONNECT_PAUSE_S)
        seen = client.status()
    if seen.state in LATCHED:
        if not clears or seen.cause in STOPS:
            raise LinkError(
                f"the guardian has latched: {seen.message}. Look at the robot, then clear it: `{commands.clear}`"
            )
        get_clear(client)
        seen = client.status()
        if seen.state in LATCHED:
            raise LinkError(
                f"what has latched cannot be cleared: {seen.message}. By hand: `{commands.clear}`"
            )
    if seen.response == Response.REFUSE:
        raise LinkError(f"the guardian refuses motion: {seen.message}")
    if seen.state == State.DISCONNECTED:
        raise LinkError("the guardian hears nothing of the robot")
    if seen.state == State.LYING_DOWN:
        client.wait_for(lambda s: s.state != State.LYING_DOWN, LYING_TIMEOUT_S)
        seen = client.status()
    if seen.state == State.REST:
        client.stand()
    client.wait_for(lambda s: s.state == State.HOLD or s.state in LATCHED, STANDING_TIMEOUT_S)
    seen = client.status()
    if seen.state != State.HOLD:
        raise LinkError(f"the robot did not get up: {seen.message}")


def get_clear(client: GuardianClient) -> None:
    """Clear whatever is latched but a person's stop, where that can be done; for virtual robots."""
    with suppress(LinkError):
        client.acquire()
        client.pump(CONNECT_PAUSE_S)
        seen = client.status()
        if seen.state == State.SIT_LATCHED:
            client.wait_for(lambda s: s.state != State.SIT_LATCHED, LYING_TIMEOUT_S)
            seen = client.status()
        if seen.state in LATCHED and seen.cause not in STOPS:
            clear(client, seen.latch)


def clear(client: GuardianClient, latch: int, patience: float = CLEAR_TIMEOUT_S) -> None:
    """Both steps of clearing a latch, waiting while its cause goes away.

    Raises:
        LinkError: the cause stays.
    """
    end = time.monotonic() + patience
    while True:
        try:
            client.clear(client.acknowledge(latch))
            return
        except LinkError:
            if time.monotonic() >= end:
                raise
        client.pump(0.2)
        latch = client.status().latch
