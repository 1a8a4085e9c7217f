"""Both ends of a Go1's low-level interface: `Go1Link` for who commands it, `Go1RobotSide` for a virtual robot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from safebo.hardware.constants import ROBOT_TIMEOUT_S
from safebo.hardware.errors import LinkError, WireError
from safebo.hardware.robot_link import Battery, LinkCounters, RobotState, checked_command
from safebo.hardware.robot_stream import wait_for_stream
from safebo.hardware.unitree import go1_messages as wire
from safebo.hardware.unitree.go1_udp import Address, Go1Network, Go1UdpClient, Go1UdpServer
from safebo.hardware.unitree.joints import JOINT_NAMES
from safebo.hardware.unitree.records import Record
from safebo.hardware.unitree.state import StateStream, battery_temperature
from safebo.robots.quadruped.interface import JointCommand


class Go1Link:
    """A Go1 as a `safebo.hardware.robot_link.RobotLink`.

    The robot speaks only when spoken to: `prepare` sends commands that ask for nothing until states flow, and a
    state after that answers the last `write`. A physical Go1 has to be put into low-level mode with its remote.
    Torques and gains are rounded to the steps of the wire (`go1_messages.TAU_SCALE` and the like).

    Args:
        network: where the robot is.
        joints: order of joints in states and commands.
        period: seconds between two states, to tell how many are missing.
        crc: form of the commands' checksum; see `safebo.hardware.unitree.go1_messages`.
        state_crc: of the states'; None for the same.
        clock: monotonic seconds.

    Raises:
        safebo.hardware.errors.HardwareError: see `Go1Network.check` and `Go1UdpClient`.
    """

    def __init__(
        self,
        network: Go1Network,
        joints: Sequence[str] = JOINT_NAMES,
        period: float = 0.002,
        crc: wire.Checksum = "sealed",
        state_crc: wire.StateCrc | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.joint_names = tuple(joints)
        self.counters = LinkCounters()
        self._clock = clock
        self._stream = StateStream(
            joints,
            partial(wire.decode_low_state, crc=state_crc or crc),
            battery_of,
            wire.TAU_SCALE,
            wire.TICK_SECONDS,
            period,
            self.counters,
        )
        self._crc = crc
        self._idle = wire.encode_low_cmd(wire.new_low_cmd(), crc)
        self._command = wire.new_low_cmd()
        self._command["motor_cmd"]["mode"][self._stream.motors] = wire.MODE_SERVO
        self._udp = Go1UdpClient(network)

    def prepare(self, timeout: float = ROBOT_TIMEOUT_S) -> list[str]:
        """Ask for states with commands that ask the motors for nothing, until they come steadily."""
        try:
            return [wait_for_stream(self, timeout, ask=self._ask)]
        except LinkError as error:
            refused = self._stream.refused
            other = "plain" if self._crc == "sealed" else "sealed"
            why = (
                f"The last packet was refused: {refused}"
                if refused
                else f"A Go1 answers no command whose checksum has the other form: try --checksum {other}"
            )
            raise LinkError(f"{error}. {why}") from error

    def _ask(self) -> None:
        self._udp.send(self._idle)

    def read(self) -> RobotState | None:
        """The newest state that has come since the last call, by the robot's clock; None when none came."""
        return self._stream.newest(self._udp.take(), self._clock())

    def write(self, command: JointCommand) -> None:
        """Send a joint command at once; see `safebo.hardware.robot_link.RobotLink.write`."""
        position, velocity, torque, kp, kd = checked_command(command, self.joint_names)
        motors, slots = self._command["motor_cmd"], self._stream.motors
        wire.set_torque(self._command, slots, torque)
        wire.set_gains(self._command, slots, kp, kd)
        motors["q"][slots] = position
        motors["dq"][slots] = velocity
        self._udp.send(wire.encode_low_cmd(self._command, self._crc))
        self.counters.sent += 1

    def wait(self, seconds: float) -> bool:
        """Wait for a state for at most `seconds`; whether there is one."""
        return self._udp.wait(seconds)

    def serial(self) -> str:
        """The robot's serial number; empty before the first state."""
        return self._stream.serial

    def foreign_commands(self) -> str:
        """Always empty: a Go1 does not tell who else sends it commands."""
        return ""

    def other_robots(self) -> str:
        """Always empty: only packets of the one address are read."""
        return ""

    def close(self) -> None:
        """Give the port back."""
        self._udp.close()


def battery_of(record: Record) -> Battery:
    """The battery in a state."""
    cells = record["bms_state"]
    volts = cells["cell_vol"][cells["cell_vol"] > 0] * wire.CELL_SCALE
    return Battery(
        charge=float(cells["soc"]),
        voltage=float(volts.sum()) if len(volts) else math.nan,
        current=float(cells["current"]) * 1e-3,
        cells=volts,
        temperature=battery_temperature(cells),
    )


class Go1RobotSide:
    """What a Go1 does on its network: hears commands and answers each sender with a state.

    Args:
        port: low-level port; 0 takes a free one.
        crc: form of the commands' checksum.

    Attributes:
        port: where it listens.
        damaged: packets refused for length, head or checksum.
        senders: who sent the commands that the last call of `commands` gave, one for each.
    """

    def __init__(self, port: int = 8007, crc: wire.Checksum = "sealed") -> None:
        self._crc: wire.Checksum = crc
        self._udp = Go1UdpServer(port)
        self.port = self._udp.port
        self.damaged = 0
        self.senders: list[Address] = []

    def commands(self) -> list[Any]:
        """Sound commands (records of `go1_messages.LOW_CMD`) since the last call, oldest first; never blocks.

        Each of them is owed a state: see `answer_packet`.
        """
        sound = []
        self.senders = []
        for data, address in self._udp.take():
            try:
                sound.append(wire.decode_low_cmd(data, self._crc))
            except WireError:
                self.damaged += 1
                continue
            self.senders.append(address)
        return sound

    def answer_packet(self, data: bytes, address: Address) -> None:
        """Send a state that is encoded already, whatever it is, to somebody."""
        self._udp.send(data, address)

    def wait(self, seconds: float) -> bool:
        """Wait for a command for at most `seconds`; whether there is one."""
        return self._udp.wait(seconds)

    def close(self) -> None:
        """Give the port back."""
        self._udp.close()
