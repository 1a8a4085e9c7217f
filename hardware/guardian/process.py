"""The guardian's control loop: robot link, guardian, its own link and its log, tick by tick in one thread.

Whatever goes wrong in the loop itself ends in joint damping, sent for a moment before the process ends; after
that the robot's own watchdog has it.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from safebo.hardware.constants import (
    COLLECTING_TICKS,
    DAMPED_TIMEOUT_S,
    FINAL_DAMPING_S,
    FOREIGN_TICKS,
    SLOW_CLOCK,
    SPEED_REPORT_S,
)
from safebo.hardware.errors import HardwareError, LinkError
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.flight_recorder import FlightRecorder
from safebo.hardware.guardian.motion import damped
from safebo.hardware.guardian.observation import observe
from safebo.hardware.guardian.pace import GuardianPace, WaitingLink
from safebo.hardware.guardian.real_time import NOT_ASKED, RealTime
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.states import DAMPED
from safebo.hardware.guardian.tick_times import TickWatch
from safebo.hardware.link.stopped import REMOTE, NotStoppedError, RestWatch, posture
from safebo.hardware.link.udp import UdpAddress
from safebo.robots.quadruped.interface import JointCommand


class PacketServer(Protocol):
    """Where clients come in; `safebo.hardware.link.udp.UdpServer`, or another."""

    def receive(self) -> list[tuple[UdpAddress, bytes]]:
        """What has come since the last tick."""
        ...

    def send(self, address: UdpAddress, data: bytes) -> None:
        """One packet; never blocks."""
        ...

    def close(self) -> None:
        """Nothing more comes in."""
        ...


class Events(Protocol):
    """Where events go; `safebo.hardware.guardian.event_log.EventLog`, or another."""

    def put(self, events: Iterable[EventRow]) -> None:
        """Keep these; never blocks."""
        ...

    def close(self) -> None:
        """That was all."""
        ...


@dataclass
class Speed:
    """How fast the guardian's clock runs against the wall's, over the last few seconds."""

    factor: float = 1.0
    _wall: float = -1.0
    _time: float = 0.0

    def look(self, now: float) -> bool:
        """Measure; whether a new figure is there."""
        wall = time.monotonic()
        if self._wall < 0:
            self._wall, self._time = wall, now
        if wall - self._wall < SPEED_REPORT_S:
            return False
        self.factor = (now - self._time) / (wall - self._wall)
        self._wall, self._time = wall, now
        return True


class GuardianProcess:
    """One guardian at work.

    Args:
        link: the robot, prepared.
        service: guardian and link protocol.
        server: where clients come in.
        pace: when ticks are.
        log: where events go.
        say: prints a line for people; never blocks.
        real_time: what the system granted.
        watch: of ticks on our own clock; None where the robot's clock sets them.
        clear: the command that clears a latch here, as a person types it.
        flights: keeps the seconds before every latch; None keeps none.
    """

    def __init__(
        self,
        link: WaitingLink,
        service: GuardianService,
        server: PacketServer,
        pace: GuardianPace,
        log: Events,
        say: Callable[[str], None],
        real_time: RealTime = NOT_ASKED,
        watch: TickWatch | None = None,
        clear: str = "",
        flights: FlightRecorder | None = None,
    ) -> None:
        self._link, self._service, self._server = link, service, server
        self._pace, self._log, self._say = pace, log, say
        self._real_time, self.watch, self._clear = real_time, watch, clear
        self._flights = flights
        self._foreign = self._other = ""
        self._refused = 0  # commands in a row that the system did not send
        self._speed = Speed()
        self._rest = RestWatch()
        self._damped = math.inf  # since when the joints are damped because the process was asked to end, s
        self.ticks = 0

    @property
    def guardian(self) -> Guardian:
        """What decides."""
        return self._service.guardian

    def tick(self, stop: int = 0) -> None:
        """One control tick; `stop` is the level of a stop asked for at this process."""
        now, state = self._pace.next(self._link)
        late = "" if self.watch is None else self.watch.begin()
        named = False
        if self.ticks % FOREIGN_TICKS == 0:
            known, self._foreign = self._foreign, self._link.foreign_commands()
            self._other = self._link.other_robots()
            named = bool(known and self._foreign and known != self._foreign)
        seen = None if state is None else observe(state, bool(self._foreign), bool(self._other))
        damaged = self._link.counters.damaged
        tick = self._service.tick(now, seen, self._server.receive(), damaged, stop)
        events = [*tick.events, *self._write(now, tick.command)]
        for address, data in tick.outgoing:
            assert isinstance(address, tuple)
            self._server.send(address, data)
        if self._speed.look(now) and self._speed.factor < SLOW_CLOCK:
            message = f"the robot's clock runs at {self._speed.factor:.2f} of real time"
            events = [*events, EventRow(now, "slow", message)]
        if named:  # who it is came after that there is one
            self.guardian.name_commander(self._foreign)
            events = [*events, EventRow(now, "commander", self._foreign)]
        if late:
            events = [*events, EventRow(now, "late", late)]
        self._tell(events)
        if self._flights is not None:
            self._tell(self._flights.tick(now, events))
        if self.watch is not None:
            self.watch.end()
        self.ticks += 1
        if self.ticks % COLLECTING_TICKS == 0:
            gc.collect(1)

    def _write(self, now: float, command: JointCommand) -> list[EventRow]:
        """Send a command. Where the system takes none, as with its cable out, the next one may go out again."""
        try:
            self._link.write(command)
        except LinkError as error:
            self.guardian.not_sent(str(error))
            self._refused += 1
            return [EventRow(now, "network", f"no command goes out: {error}")] if self._refused == 1 else []
        refused, self._refused = self._refused, 0
        words = f"commands go out again, {refused} did not"
        return [EventRow(now, "network", words)] if refused else []

    def run(self, requests: Callable[[], int]) -> str:
        """Tick until asked to end and the robot is seen at rest.

        Args:
            requests: how often this process was asked to end: once, the robot stands down first; twice, joint
                damping at once. The stop is asked for again in every tick, so no client can have the robot move.

        Returns:
            How the robot is, for people.

        Raises:
            HardwareError: the loop failed; joint damping was sent. Or the robot was not seen to come to rest.
        """
        self._real_time.lead()
        gc.collect()
        gc.freeze()
        gc.disable()  # never in the middle of a tick: see `tick`
        try:
            while True:
                asked = requests()
                self.tick(0 if not asked else 2 if asked == 1 else 3)
                if asked and self._over():
                    break
        except Exception as error:
            raise HardwareError(f"the guardian's loop failed: {type(error).__name__}: {error}") from error
        finally:
            gc.enable()
            self._leave()
        if self._rest.why:
            raise NotStoppedError(
                f"ended with the joints damped, but the robot was NOT seen to come to rest: {self._rest.why}. Look at "
                f"it, and {REMOTE}"
            )
        return posture(self.guardian.status())

    def _over(self) -> bool:
        """Whether the robot has been seen at rest, or has been damped for so long that it will not be."""
        status = self.guardian.status()
        if self.guardian.state in DAMPED:
            self._damped = min(self._damped, status.time)
        rests = self._rest.look(status)
        if self._refused:
            rests, self._rest.why = False, "no command goes out to it"
        return rests or status.time - self._damped > DAMPED_TIMEOUT_S

    def _leave(self) -> None:
        command = damped(self.guardian.command.position)
        end = time.monotonic() + FINAL_DAMPING_S
        try:
            while time.monotonic() < end:
                with suppress(LinkError):
                    self._link.write(command)
                time.sleep(0.002)
        finally:
            if self._flights is not None:
                self._flights.close()
            self._log.close()
            self._server.close()
            self._link.close()

    def _tell(self, events: list[EventRow]) -> None:
        if not events:
            return
        self._log.put(events)
        who = {"another commander": self._foreign, "another robot": self._other}
        for row in events:
            extra = next((more for words, more in who.items() if more and words in row.message), "")
            self._say(f"{row.time:10.3f}  {row.kind:8}  {row.message}{': ' if extra else ''}{extra}")
            if row.kind == "latch" and self._clear:
                self._say(f"{'':22}to clear it, once somebody has looked at the robot: {self._clear}")
