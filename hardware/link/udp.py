"""Sockets of the link. Loopback unless another address is asked for by name."""

from __future__ import annotations

import select
import socket

from safebo.hardware.constants import MAX_PACKETS_PER_TICK, PORT
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.link.frame import MAX_PACKET

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
UdpAddress = tuple[str, int]


class UdpServer:
    """The guardian's socket; never blocks.

    Args:
        host: address to listen on.
        port: 0 for any free one.

    Raises:
        HardwareInputError: the address cannot be used.
    """

    def __init__(self, host: str = LOOPBACK, port: int = PORT) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise HardwareInputError(f"link: cannot listen on {host}:{port}: {error.strerror}") from None
        self.address: UdpAddress = self._socket.getsockname()

    def receive(self) -> list[tuple[UdpAddress, bytes]]:
        """What has come, at most `MAX_PACKETS_PER_TICK` packets."""
        out: list[tuple[UdpAddress, bytes]] = []
        for _ in range(MAX_PACKETS_PER_TICK):
            try:
                data, address = self._socket.recvfrom(MAX_PACKET + 1)
            except BlockingIOError:
                break
            except OSError:
                continue  # a former client's port is gone: its system says so here
            out.append((address, data))
        return out

    def send(self, address: UdpAddress, data: bytes) -> None:
        """One packet; one that the system cannot take now is lost, as on the way."""
        try:
            self._socket.sendto(data, address)
        except OSError:
            return

    def close(self) -> None:
        """Give the address back."""
        self._socket.close()


class UdpTransport:
    """A client's socket.

    Raises:
        HardwareInputError: a host name that cannot be resolved.
    """

    def __init__(self, host: str = LOOPBACK, port: int = PORT) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.connect((host, port))
        except OSError as error:
            self._socket.close()
            raise HardwareInputError(f"link: cannot reach {host}:{port}: {error}") from None

    def send(self, data: bytes) -> None:
        """One packet; lost when nobody listens."""
        try:
            self._socket.send(data)
        except OSError:
            return

    def receive(self, timeout: float) -> bytes | None:
        """The next packet; None when none comes within `timeout` seconds."""
        ready, _, _ = select.select([self._socket], [], [], max(0.0, timeout))
        if not ready:
            return None
        try:
            return self._socket.recv(MAX_PACKET + 1)
        except OSError:
            return None

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
