"""The UDP link of a Go1: the end that commands it, and the end of a virtual robot.

A Go1 answers every low-level command with a state, to wherever the command came from. Datagrams are lost,
doubled and overtaken; nothing here waits for one or sends one again.
"""

from __future__ import annotations

import ipaddress
import select
import socket
from dataclasses import dataclass

from safebo.hardware.errors import HardwareInputError, LinkError

ROBOT_ADDRESS = "192.168.123.10"
ROBOT_PORT = 8007
BATCH = 64  # datagrams taken at once; a flood must not hold up a control loop
_LARGEST = 2048

Address = tuple[str, int]


@dataclass(frozen=True)
class Go1Network:
    """Where a Go1 is.

    Args:
        address: IPv4 address; a physical robot's motion controller is `192.168.123.10`.
        port: of its low-level interface.
        local_port: ours; 0 takes a free one.
        physical: whether a physical robot may be there.
    """

    address: str = "127.0.0.1"
    port: int = ROBOT_PORT
    local_port: int = 0
    physical: bool = False

    def check(self) -> None:
        """Refuse addresses that mix virtual and physical robots.

        Raises:
            HardwareInputError: no IPv4 address, a port that does not exist, a virtual robot beyond this machine, a
                physical one on it.
        """
        try:
            loopback = ipaddress.IPv4Address(self.address).is_loopback
        except ValueError as error:
            raise HardwareInputError(f"Go1: {self.address!r} is no IPv4 address") from error
        for port in (self.port, self.local_port):
            if not 0 <= port <= 65535:
                raise HardwareInputError(f"Go1: port {port} does not exist, ports are 0 .. 65535")
        if self.physical and loopback:
            raise HardwareInputError(f"a physical Go1 is not on this machine ({self.address})")
        if not self.physical and not loopback:
            raise HardwareInputError(
                f"{self.address} is another machine: a virtual robot stays on 127.0.0.1, and a physical one has to be "
                "asked for by name"
            )


class _Socket:
    """A datagram socket that never blocks."""

    def __init__(self, local: Address) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(local)
        except OSError as error:
            self._socket.close()
            raise LinkError(f"UDP port {local[1]} on {local[0]}: {error.strerror}") from error

    @property
    def port(self) -> int:
        """The local port."""
        return int(self._socket.getsockname()[1])

    def wait(self, seconds: float) -> bool:
        """Wait for a datagram for at most `seconds`; whether there is one."""
        return bool(select.select([self._socket], [], [], max(0.0, seconds))[0])

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def _take(self) -> list[tuple[bytes, Address]]:
        taken = []
        for _ in range(BATCH):
            try:
                taken.append(self._socket.recvfrom(_LARGEST))
            except BlockingIOError:
                break
            except OSError:
                continue  # the other end, or the network, was not there when something was sent; age tells
        return taken

    def _send(self, data: bytes, address: Address) -> bool:
        try:
            self._socket.sendto(data, address)
        except (BlockingIOError, ConnectionError):
            return False  # as good as lost on the way
        except OSError as error:
            raise LinkError(f"UDP to {address[0]}:{address[1]}: {error.strerror}") from error
        return True


class Go1UdpClient(_Socket):
    """The end that commands a Go1; it hears nobody else."""

    def __init__(self, network: Go1Network) -> None:
        network.check()
        self._robot: Address = (network.address, network.port)
        super().__init__(("127.0.0.1" if not network.physical else "0.0.0.0", network.local_port))
        self.strangers = 0

    def send(self, data: bytes) -> bool:
        """Send a packet to the robot; False when the system had no room for it.

        Raises:
            LinkError: there is no way to the robot.
        """
        return self._send(data, self._robot)

    def take(self) -> list[bytes]:
        """Packets of the robot since the last call, oldest first; packets of others are counted and dropped."""
        taken = self._take()
        own = [data for data, address in taken if address == self._robot]
        self.strangers += len(taken) - len(own)
        return own


class Go1UdpServer(_Socket):
    """The end of a virtual Go1, on this machine only.

    Args:
        port: low-level port; 0 takes a free one.
    """

    def __init__(self, port: int = ROBOT_PORT) -> None:
        Go1Network(port=port).check()
        super().__init__(("127.0.0.1", port))

    def take(self) -> list[tuple[bytes, Address]]:
        """Packets and senders since the last call, oldest first."""
        return self._take()

    def send(self, data: bytes, address: Address) -> bool:
        """Send a packet to who sent a command; False when the system had no room for it."""
        return self._send(data, address)
