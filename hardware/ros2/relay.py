"""Between whoever has the robot and a controller that is a node of ROS 2.

One side is that of any controller's process (docs/adapters.md): a datagram with the robot's state in, one with joint
commands out. The other is the node's topics. A state has a time stamp that grows by one control period with every
tick; a command counts for the state whose stamp it repeats, and none is ever sent twice or kept.

The relay is a process of its own: whoever has the robot never joins a network that others join.
"""

from __future__ import annotations

import random
import socket
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

from safebo.hardware.constants import CONTROL_RATE_HZ
from safebo.hardware.dds import Quality, check_domain, is_loopback
from safebo.hardware.errors import HardwareInputError, WireError
from safebo.hardware.link.udp import LOOPBACK
from safebo.hardware.ros2.fixed_layout import NANOSECONDS
from safebo.hardware.ros2.names import topic_name
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.robot_messages import (
    DYNAMIC,
    ODOMETRY,
    CommandReader,
    OdometryReader,
    StateWriter,
)
from safebo.robots.controllers.datagrams import STATE_BYTES, RelayAnswer, RelayState
from safebo.robots.controllers.protocol import DatagramError
from safebo.robots.controllers.ros_node import NodeSettings
from safebo.robots.quadruped.interface import BaseState, JointCommand

PERIOD_NS = round(NANOSECONDS / CONTROL_RATE_HZ)
KEPT = 256
"""States and estimates that are remembered by their stamps."""
DEPTH = 64
LOOK_S = 0.05
"""For which a message is waited for at a time."""
ESTIMATE_S = 0.002
"""The same for an estimate that a command waits for."""


def check_node(node: NodeSettings) -> None:
    """Refuse a network that others share: commands for motors travel inside one machine only.

    Raises:
        HardwareInputError: no such interface or domain, or an interface that leads to other machines.
    """
    check_domain(node.domain)
    if not is_loopback(node.interface):
        raise HardwareInputError(
            f"ros2.interface {node.interface!r} leads to other machines; commands for motors travel inside one machine "
            "only: a loopback interface, such as lo"
        )


class Stamps:
    """Time stamps of control ticks: the wall clock at the first, then one period for each."""

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None  # tick and its stamp
        self._last = 0
        self._ticks: OrderedDict[int, int] = OrderedDict()

    def of(self, tick: int) -> int:
        """The stamp of a tick, nanoseconds, remembered; a tick that falls back begins anew, later."""
        if self._first is None or tick <= self._last:
            newest = next(reversed(self._ticks), 0)
            self._first = tick, max(time.time_ns(), newest + PERIOD_NS)
            self._ticks.clear()
        self._last = tick
        first, begun = self._first
        stamp = begun + (tick - first) * PERIOD_NS
        self._ticks[stamp] = tick
        if len(self._ticks) > KEPT:
            self._ticks.popitem(last=False)
        return stamp

    def tick(self, stamp: int) -> int | None:
        """The tick of a stamp; None for one that is unknown, or too old."""
        return self._ticks.get(stamp)


class Relay:
    """Carries states, commands and estimates. Made by the thread that calls `run`.

    Args:
        node: what it speaks to.
        joints: names of the robot's joints, in robot order.
        port: UDP port for states, on the loopback interface.
        say: is told what is wrong with what comes, in words, once each.
    """

    def __init__(
        self, node: NodeSettings, joints: Sequence[str], port: int, say: Callable[[str], None]
    ) -> None:
        from safebo.hardware.ros2.topic_types import topic_type

        check_node(node)
        self._node, self._say = node, say
        self._writer, self._commands, self._estimates = (
            StateWriter(joints),
            CommandReader(joints),
            OdometryReader(),
        )
        self._stamps, self._age = Stamps(), round(node.odometry_age * NANOSECONDS)
        self._bases: OrderedDict[int, BaseState] = OrderedDict()
        self._salt, self._said = random.SystemRandom().randbytes(8), ""
        self._participant = join(node.interface, node.domain)
        dynamic, odometry = topic_type(DYNAMIC), topic_type(ODOMETRY)
        quality = Quality(DEPTH, reliable=False)  # matches every publisher
        self._states = self._participant.writer(topic_name(node.state), dynamic, Quality(DEPTH))
        self._command_topic = self._participant.reader(topic_name(node.command), dynamic, quality)
        self._odometry_topic = self._participant.reader(topic_name(node.odometry), odometry, quality)
        for topic in (self._command_topic, self._odometry_topic):
            topic.wait(0.0)  # what waiting needs is made by this thread
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, port))
        self._driver: tuple[str, int] | None = None
        self._not_a_state = (
            f"is not that of one of the last {KEPT} states; a message repeats the stamp of the state on "
            f"{node.state} that it was computed with"
        )
        self._ended = threading.Event()

    def run(self) -> None:
        """Carry until told to end."""
        answers = threading.Thread(target=self._answer, name="answers", daemon=True)
        answers.start()
        try:
            while not self._ended.is_set():
                data, driver = self._socket.recvfrom(STATE_BYTES + 1)
                try:
                    state = RelayState.unpack(data)
                except DatagramError as error:
                    self._tell(f"{error}")
                    continue
                self._driver = driver
                self._states.write(self._writer.written(self._stamps.of(state.tick), state))
        finally:
            self._ended.set()
            answers.join(1.0)
            self._socket.close()
            self._participant.close()

    # -- in the other thread ----------------------------------------------------------------------------

    def _answer(self) -> None:
        """Send commands as they come; whatever ends this ends the relay, which is seen and started anew."""
        try:
            self._answer_commands()
        finally:
            self._ended.set()

    def _answer_commands(self) -> None:
        """Send commands as they come, each as soon as its estimate is there."""
        while not self._ended.is_set():
            if not self._command_topic.wait(LOOK_S):
                if self._driver is not None and not self._command_topic.writers():
                    self._tell(f"command: nobody publishes on {self._node.command}")
                continue
            waiting: tuple[int, JointCommand, int] | None = None
            while not self._ended.is_set():
                waiting = self._newest_command() or waiting
                self._hear_estimates()
                if waiting is None or self._send(*waiting):
                    break
                self._odometry_topic.wait(ESTIMATE_S)

    def _newest_command(self) -> tuple[int, JointCommand, int] | None:
        """Stamp, command and writer of the newest one that answers a state."""
        found = None
        for data, writer in self._command_topic.take_with_writer():
            try:
                stamp, command = self._commands.read(data)
            except WireError as error:
                self._tell(str(error))
                continue
            if self._stamps.tick(stamp) is None:
                self._tell(f"command: header.stamp {self._not_a_state}")
            elif found is None or stamp > found[0]:
                found = stamp, command, writer
        return found

    def _hear_estimates(self) -> None:
        for data in self._odometry_topic.take():
            try:
                stamp, base = self._estimates.read(data)
            except WireError as error:
                self._tell(str(error))
                continue
            if not self._age and self._stamps.tick(stamp) is None:
                self._tell(f"odometry: header.stamp {self._not_a_state}; see ros2.odometry_age")
            self._bases[stamp] = base
            if len(self._bases) > KEPT:
                self._bases.popitem(last=False)

    def _send(self, stamp: int, command: JointCommand, writer: int) -> bool:
        """Send an answer; False while its estimate is not there."""
        base = self._bases.get(stamp)
        if base is None and self._age:
            base = next((self._bases[s] for s in reversed(self._bases) if 0 <= stamp - s <= self._age), None)
        if base is None:
            if not self._odometry_topic.writers():
                self._tell(f"odometry: nobody publishes on {self._node.odometry}")
            return False
        if (publishers := self._command_topic.writers()) > 1:
            self._tell(f"{publishers} nodes publish on {self._node.command}; one commands a robot")
        tick, driver = self._stamps.tick(stamp), self._driver
        if tick is not None and driver is not None:
            # another writer is another start of the node
            instance = zlib.crc32(self._salt + writer.to_bytes(8, "little", signed=writer < 0)) or 1
            self._socket.sendto(RelayAnswer(instance, tick, 0, command, base).pack(), driver)
        return True

    def _tell(self, what: str) -> None:
        if what != self._said:
            self._said = what
            self._say(what)
