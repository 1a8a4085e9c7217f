"""Publishes a robot behind its guardian for ROS 2's viewers: a watcher without a lease, in a process of its own.

It commands nothing and the guardian does not wait for it; a second one does no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from safebo.hardware.constants import GUARDIAN_SILENT_S, WATCH_RETRY_S
from safebo.hardware.dds import Quality, check_domain, dds_version, is_loopback
from safebo.hardware.errors import HardwareError
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.messages import StateMessage, Welcome
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.ros2.cdr import Message, encode
from safebo.hardware.ros2.names import topic_name
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.robot_view import (
    DESCRIPTION,
    DIAGNOSTICS,
    KINDS,
    TF,
    RobotView,
    diagnostics,
)
from safebo.hardware.ros2.urdf import urdf_of
from safebo.hardware.unitree.dds import check_version
from safebo.robots.descriptions.model import RobotModel

MAX_RATE_HZ = 50
DIAGNOSTICS_S = 0.5
DEPTH, TF_DEPTH = 10, 100


def check_network(interface: str, domain: int) -> None:
    """Refuse a network on which a robot's own processes might meet another Cyclone DDS than theirs.

    Raises:
        HardwareInputError: no such interface or domain.
        DdsVersionError: an interface that leads to other machines, and another version than a Go2's.
    """
    check_domain(domain)
    check_version(not is_loopback(interface), dds_version())


class Bridge:
    """Publishers of one robot. Made and used by one thread.

    Args:
        robot: its model.
        interface: network interface by name.
        domain: ROS_DOMAIN_ID.
        rate: States a second that are published, at most `MAX_RATE_HZ`.
        say: is told when the guardian falls silent and is heard again.
    """

    def __init__(
        self, robot: RobotModel, interface: str, domain: int, rate: float, say: Callable[[str], None]
    ) -> None:
        from safebo.hardware.ros2.topic_types import topic_type

        check_network(interface, domain)
        self._period, self._say = 1.0 / min(rate, MAX_RATE_HZ), say
        self._view = RobotView(RobotDrawing(robot))
        self._participant = join(interface, domain)
        quality = {DESCRIPTION: Quality(1, transient=True), TF: Quality(TF_DEPTH)}
        self._writers = {
            topic: self._participant.writer(
                topic_name(topic), topic_type(kind), quality.get(topic, Quality(DEPTH))
            )
            for topic, kind in KINDS.items()
        }
        self._diagnosed, self._state = 0.0, -1
        self._write(DESCRIPTION, {"data": urdf_of(robot)})

    def run(self, connect: Callable[[], AbstractContextManager[GuardianClient]]) -> None:
        """Follow a guardian until Ctrl-C; one that was started anew, or was silent, is asked again."""
        heard = True
        while True:
            try:
                with connect() as client:
                    self._say("the guardian is heard" if heard else "the guardian is heard again")
                    heard = True
                    self._follow(client)
            except HardwareError as error:
                if heard:
                    self._say(f"the guardian is silent: {error}")
                heard = False
            self.publish(None, None)
            time.sleep(WATCH_RETRY_S)

    def _follow(self, client: GuardianClient) -> None:
        """Until it has been silent for `GUARDIAN_SILENT_S`."""
        count, heard = -1, time.monotonic()
        while time.monotonic() - heard < GUARDIAN_SILENT_S:
            client.pump(self._period)
            if client.state is not None and client.counters.states != count:
                count, heard = client.counters.states, time.monotonic()
                self.publish(client.state, client.welcome)

    def publish(self, seen: StateMessage | None, welcome: Welcome | None) -> None:
        """Everything about a State; None where the guardian is silent."""
        now = time.time_ns()
        if seen is not None:
            for topic, message in self._view.messages(seen, now - 1000 * seen.age):
                self._write(topic, message)
        state = -1 if seen is None else seen.state
        if state != self._state or time.monotonic() >= self._diagnosed:
            self._state, self._diagnosed = state, time.monotonic() + DIAGNOSTICS_S
            self._write(DIAGNOSTICS, diagnostics(seen, welcome, now))

    def close(self) -> None:
        """Leave the network."""
        self._participant.close()

    def _write(self, topic: str, message: Message) -> None:
        self._writers[topic].write(encode(KINDS[topic], message))
