"""Link and guardian in one: packets and a robot state in, packets and a joint command out. Still no sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safebo.hardware.constants import CONTROL_RATE_HZ, VIEWER_TIMEOUT_S
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.description import description
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.link.messages import Welcome
from safebo.hardware.link.server import Address, Inbound, LinkServer, Outgoing
from safebo.robots.quadruped.interface import JointCommand


@dataclass(frozen=True)
class Tick:
    """What one tick gives: the joint command, packets to send, and what happened."""

    command: JointCommand
    outgoing: list[Outgoing]
    events: list[EventRow]


class GuardianService:
    """One guardian and its link.

    Args:
        guardian: see `safebo.hardware.guardian.core`.
        key: shared with the clients.
        boot: random number of this start, 1 to 2^32 - 1.
        virtual: whether the robot is a virtual one.
        serial: of the robot.
        rate: ticks per second.
    """

    def __init__(
        self,
        guardian: Guardian,
        key: bytes,
        boot: int,
        virtual: bool,
        serial: str = "",
        rate: float = CONTROL_RATE_HZ,
    ) -> None:
        table = guardian.controller.table
        identity = Welcome(
            virtual=int(virtual),
            rate=round(rate),
            gains=len(table.names),
            table=table.identity,
            robot=guardian.robot.name,
            serial=serial,
        )
        self.described = description(guardian.watch.limits, table, identity)
        guardian.describe(self.described)
        self.guardian = guardian
        self.link = LinkServer(key, identity, boot)
        self._count = 0

    def tick(
        self,
        now: float,
        observation: RobotObservation | None,
        packets: Sequence[tuple[Address, bytes]] = (),
        damaged: int = 0,
        stop: int = 0,
    ) -> Tick:
        """One control tick.

        Args:
            now: monotonic, s.
            observation: what the robot said since the last tick, if anything.
            packets: what came over the link, with where it came from.
            damaged: packets from the robot that were refused since the start.
            stop: level of a stop asked for at the guardian itself; 0: none.
        """
        guardian, link = self.guardian, self.link
        inbox: list[Inbound] = []
        outgoing: list[Outgoing] = []
        for address, data in packets:
            message, answers = link.receive(now, data, address, guardian.lease.session)
            outgoing += answers
            if message is not None:
                inbox.append(message)
        step = guardian.step(now, observation, inbox, damaged, stop)
        for session, reply in step.replies:
            outgoing += link.reply(session, reply)
        link.silent(now, VIEWER_TIMEOUT_S)
        if link.wanted(self._count):
            outgoing += link.states(now, self._count, guardian.status())
        self._count += 1
        return Tick(step.command, outgoing, step.events)
