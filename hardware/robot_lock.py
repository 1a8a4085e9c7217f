"""One process for one robot on this machine: a name that the system gives to one process and takes back when it ends.

It is a Unix socket in the abstract namespace: no file is left behind by a process that was killed, every user of the
machine sees it, and it reaches as far as the loopback interface does. What runs on another machine is not seen.
"""

from __future__ import annotations

import errno
import os
import shlex
import socket
import struct
from pathlib import Path

from safebo.hardware.errors import HardwareError

_CREDENTIALS = struct.Struct("3i")  # process, user, group


class RobotLock:
    """Held until it is closed or the process ends.

    Args:
        role: of the process, such as `guardian`.
        robot: which robot, such as `go2 in DDS domain 0 on 'eth0'`.

    Raises:
        HardwareError: another process holds it; the message says which.
    """

    def __init__(self, role: str, robot: str) -> None:
        address = f"\0safebo/{role}/{robot}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(address)
            self._socket.listen(1)
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                raise HardwareError(f"the lock of the {robot}: {error.strerror}") from error
            raise HardwareError(f"the {robot} has a {role} already: {_holder(address)}") from None

    def close(self) -> None:
        """Let another process have the robot."""
        self._socket.close()


def _holder(address: str) -> str:
    """Who holds a lock, for people."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        asking.settimeout(1.0)
        asking.connect(address)
        seen = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return "a process that ends just now; try again"
    finally:
        asking.close()
    process, user, _ = _CREDENTIALS.unpack(seen)
    if process <= 0:
        return "a process of another container on this machine"
    return f"{process_words(process)}{'' if user == os.getuid() else f', of user {user}'}, on this machine"


def process_words(process: int) -> str:
    """A process of this machine, for people: its number and its command line."""
    try:
        parts = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        parts = []
    command = shlex.join(part for part in parts if part)
    return f"process {process}" + (f" ({command})" if command else "")
