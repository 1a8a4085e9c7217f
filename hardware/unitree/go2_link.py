"""Both ends of a Go2's low-level interface: `Go2Link` for who commands it, `Go2RobotSide` for a virtual robot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from safebo.hardware.constants import DISCOVERY_TIME_S, LIE_DOWN_TIME_S, ROBOT_TIMEOUT_S
from safebo.hardware.errors import LinkError, WireError
from safebo.hardware.robot_link import Battery, LinkCounters, RobotState, checked_command
from safebo.hardware.robot_stream import wait_for_stream
from safebo.hardware.unitree import go2_messages as wire
from safebo.hardware.unitree.commanders import CommanderNames
from safebo.hardware.unitree.dds import DdsNetwork, DdsParticipant, DdsWriter
from safebo.hardware.unitree.go2_broadcasts import encode_broadcast, wireless_controller
from safebo.hardware.unitree.joints import JOINT_NAMES
from safebo.hardware.unitree.records import Record
from safebo.hardware.unitree.remote import Remote
from safebo.hardware.unitree.services import (
    ABSENT,
    MOTION_SWITCHER,
    ROBOT_STATE,
    SPORT,
    MotionService,
    MotionWatch,
    ServiceClient,
    ServiceServer,
    release_motion_service,
)
from safebo.hardware.unitree.state import StateStream, battery_temperature
from safebo.hardware.unitree.state_source import StateSource
from safebo.robots.quadruped.interface import JointCommand

COMMANDS = "rt/lowcmd"
STATES = "rt/lowstate"
SLOW_STATES = "rt/lf/lowstate"
MOTION_STATES = "rt/sportmodestate"
SLOW_MOTION_STATES = "rt/lf/sportmodestate"
REMOTES = "rt/wirelesscontroller"
TICK_SECONDS = 1e-3


class Go2Link:
    """A Go2 as a `safebo.hardware.robot_link.RobotLink`.

    It publishes nothing before `prepare` has seen that nobody else commands the robot: its mere presence on the topic
    of commands would stop whoever does.

    Args:
        network: where the robot is.
        about: what this process is, for others on the network.
        joints: order of joints in states and commands.
        period: seconds between two states, to tell how many are missing.
        verify_crc: refuse states with a wrong checksum; some simulators of others send none.
        clock: monotonic seconds.

    Raises:
        safebo.hardware.errors.HardwareError: see `DdsParticipant`.
    """

    def __init__(
        self,
        network: DdsNetwork,
        joints: Sequence[str] = JOINT_NAMES,
        period: float = 0.002,
        verify_crc: bool = True,
        about: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.joint_names = tuple(joints)
        self.counters = LinkCounters()
        self._clock = clock
        self._lie_down = LIE_DOWN_TIME_S if network.physical else 0.0
        self._stream = StateStream(
            joints,
            partial(wire.decode_low_state, verify_crc=verify_crc),
            battery_of,
            1.0,
            TICK_SECONDS,
            period,
            self.counters,
        )
        self._command = wire.new_low_cmd()
        self._source = StateSource(serial_in)
        self._participant = DdsParticipant(network, about)
        self._states = self._participant.reader(STATES, "LowState_")
        # Never taken from: it is there to count who writes commands.
        self._commands = self._participant.reader(COMMANDS, "LowCmd_", depth=1)
        self._names = CommanderNames(partial(self._participant.discovery().publishers, COMMANDS))
        self._writer: DdsWriter | None = None

    def prepare(self, timeout: float = ROBOT_TIMEOUT_S) -> list[str]:
        """Wait for a steady stream of states, then make the vendor's motion service let go (the robot lies down).

        Before that nothing is published, and where somebody else publishes commands nothing ever is.
        """
        end = time.monotonic() + timeout
        done = [wait_for_stream(self, timeout)]
        self._look_around()
        self._refuse_others()
        self._refuse_commanders()
        self.speak()
        left = max(0.0, end - time.monotonic())
        done += release_motion_service(self._switcher, self._sport, left, self._lie_down)
        self._refuse_commanders()  # once more: another one may have begun at the same moment
        return [*done, f"no other program publishes {COMMANDS}"]

    def speak(self) -> None:
        """Appear on the topics of commands and services, where nothing was published before."""
        if self._writer is None:
            self._writer = self._participant.writer(COMMANDS, "LowCmd_")
            self._switcher = ServiceClient(self._participant, MOTION_SWITCHER)
            self._sport = ServiceClient(self._participant, SPORT)
            self._watch = MotionWatch(self._switcher)

    def _look_around(self) -> None:
        """Listen until whoever is on this network has been discovered."""
        end = time.monotonic() + DISCOVERY_TIME_S
        while time.monotonic() < end and self.command_writers() == (self._writer is not None):
            self.read()
            time.sleep(0.002)

    def _refuse_others(self) -> None:
        others = self._source.heard(self._clock())
        if not others:
            return
        numbers = ", ".join(serial or "unknown" for serial in (self.serial(), *others))
        who = "; ".join(map(str, self._participant.publishers(STATES)))
        raise LinkError(
            f"{1 + len(others)} robots publish {STATES} on this network, serials {numbers} ({who}): every command "
            "would reach all of them. Leave one; give a virtual one a domain of its own (`--domain`)"
        )

    def _refuse_commanders(self) -> None:
        if not self._others():
            return
        who = "; ".join(map(str, self._participant.publishers(COMMANDS))) or "a program that is not known yet"
        raise LinkError(
            f"this robot is commanded already, {COMMANDS} is published by {who}. Only one program may: end that one, "
            "or tune through it if it is a guardian (`safebo tune STUDY --robot HOST:PORT`)"
        )

    def read(self) -> RobotState | None:
        """The newest state that has come since the last call, by the robot's clock; None when none came."""
        now = self._clock()
        return self._stream.newest(self._source.own(self._states.take_with_writer(), now), now)

    def write(self, command: JointCommand) -> None:
        """Send a joint command at once; see `safebo.hardware.robot_link.RobotLink.write`."""
        if self._writer is None:
            raise LinkError("this link commands nothing before it is prepared")
        values = checked_command(command, self.joint_names)
        wire.set_joints(self._command, values, self._stream.motors)
        self._writer.write(wire.encode_low_cmd(self._command))
        self.counters.sent += 1

    def wait(self, seconds: float) -> bool:
        """Wait for a state for at most `seconds`; whether there is one."""
        return self._states.wait(seconds)

    def serial(self) -> str:
        """The robot's serial number; empty before the first state."""
        return self._stream.serial

    def command_writers(self) -> int:
        """How many programs publish joint commands on this network, this one included once it is prepared."""
        return self._commands.writers()

    def foreign_commands(self) -> str:
        """Who else commands the joints; empty when nobody does. Never blocks.

        Counts publishers of commands, and asks the robot once a second which motion service is active. Names of
        publishers follow a moment after their number.
        """
        others = self._others()
        who = self._names.named(others)
        if others:
            return (
                f"{COMMANDS} is published by {who}"
                if who
                else f"{others} other program(s) publish {COMMANDS}"
            )
        service = self._watch.look(self._clock()) if self._writer is not None else ""
        return f"the motion service {service!r} commands the joints" if service else ""

    def other_robots(self) -> str:
        """Which other robots publish states on this network, whose joints hear our commands too; empty without any."""
        others = self._source.heard(self._clock())
        if not others:
            return ""
        numbers = ", ".join(serial or "unknown" for serial in others)
        return f"serial {numbers} publishes {STATES} beside the one that is guarded, {self.serial()}"

    def _others(self) -> int:
        """How many other programs publish joint commands."""
        return max(0, self.command_writers() - (self._writer is not None))

    def close(self) -> None:
        """Leave the network."""
        self._names.close()
        self._participant.close()


def serial_in(data: bytes) -> str:
    """The serial number in a state's bytes; empty where they are no state."""
    try:
        first, second = wire.decode_low_state(data)["sn"].tolist()
    except WireError:
        return ""
    return f"{first}-{second}"


def battery_of(record: Record) -> Battery:
    """The battery in a state."""
    cells = record["bms_state"]
    return Battery(
        charge=float(cells["soc"]),
        voltage=float(record["power_v"]),
        current=float(cells["current"]) * 1e-3,
        cells=cells["cell_vol"][cells["cell_vol"] > 0] * 1e-3,
        temperature=battery_temperature(cells),
    )


class Go2RobotSide:
    """What a Go2 does on its network: publishes states, hears commands, answers its services.

    Args:
        network: where the virtual robot lives.
        motion: the motion service in charge at the start.

    Attributes:
        damaged: commands refused for length, head or checksum.
        motion: the motion service; joint commands count for nothing while its `name` is not empty.
    """

    def __init__(self, network: DdsNetwork, motion: MotionService | None = None) -> None:
        self.damaged = 0
        self.motion = motion or MotionService()
        self._participant = DdsParticipant(network)
        self._states = self._participant.writer(STATES, "LowState_")
        self._slow_states = self._participant.writer(SLOW_STATES, "LowState_")
        self._motion_states = self._participant.writer(MOTION_STATES, "SportModeState_")
        self._slow_motion_states = self._participant.writer(SLOW_MOTION_STATES, "SportModeState_")
        self._remotes = self._participant.writer(REMOTES, "WirelessController_")
        self._commands = self._participant.reader(COMMANDS, "LowCmd_")
        self._servers = [
            ServiceServer(self._participant, name, self.motion.answer)
            for name in (MOTION_SWITCHER, SPORT, ROBOT_STATE, *ABSENT)
        ]

    def publish_packet(self, data: bytes) -> None:
        """Send a state that is encoded already, whatever it is; for faults on the wire."""
        self._states.write(data)

    def publish_slow(self, state: Record) -> None:
        """Send a state on the topic for those who want few of them."""
        self._slow_states.write(wire.encode_low_state(state))

    def publish_motion(self, motion: Record, slow: bool = True) -> None:
        """Send a motion state (a record of `go2_broadcasts.SPORT_MODE_STATE`), to those who want few of them too."""
        data = encode_broadcast(motion)
        self._motion_states.write(data)
        if slow:
            self._slow_motion_states.write(data)

    def publish_remote(self, remote: Remote) -> None:
        """Send the remote control on its own topic; it is in every state as well."""
        self._remotes.write(encode_broadcast(wireless_controller(remote)))

    def commands(self) -> list[Any]:
        """Sound commands (records of `go2_messages.LOW_CMD`) since the last call, oldest first; never blocks."""
        sound = []
        for data in self._commands.take():
            try:
                sound.append(wire.decode_low_cmd(data))
            except WireError:
                self.damaged += 1
        return sound

    def wait(self, seconds: float) -> bool:
        """Wait for a command for at most `seconds`; whether there is one."""
        return self._commands.wait(seconds)

    def serve(self) -> None:
        """Answer the calls that have come."""
        for server in self._servers:
            server.serve()

    def close(self) -> None:
        """Leave the network."""
        self._participant.close()
