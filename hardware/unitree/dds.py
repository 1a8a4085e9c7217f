"""A process on a Go2's network: which networks and which versions of Cyclone DDS it may be.

- A virtual robot lives on a loopback interface only: on another it would be on the laboratory's network.
- Cyclone 11 and 0.10.2 (a Go2's) do not mix: when they meet, the older process dies in type lookup. So a
  physical robot is joined by 0.10.2 or not at all.
- Default quality of service matches the vendor's; asking for a deadline or liveliness matches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safebo.hardware.dds import (
    BATCH,
    DdsReader,
    DdsWriter,
    Participant,
    Quality,
    check_domain,
    dds_version,
    is_loopback,
)
from safebo.hardware.dds_peers import Discovery, Peer
from safebo.hardware.errors import DdsVersionError, HardwareInputError

PHYSICAL_VERSION = "0.10.2"
VIRTUAL_VERSIONS = ("11.", PHYSICAL_VERSION)

__all__ = [
    "PHYSICAL_VERSION",
    "DdsNetwork",
    "DdsParticipant",
    "DdsReader",
    "DdsWriter",
    "check_version",
    "dds_version",
]


@dataclass(frozen=True)
class DdsNetwork:
    """Where a robot is.

    Args:
        interface: network interface by name.
        domain: DDS domain; a Go2 is in 0, simulations in 1 by convention.
        physical: whether a physical robot may be there.
    """

    interface: str = "lo"
    domain: int = 1
    physical: bool = False

    def check(self) -> None:
        """Refuse networks that mix virtual and physical robots.

        Raises:
            HardwareInputError: no such interface, a virtual robot outside a loopback interface, a physical one
                on it, a domain that does not exist.
        """
        check_domain(self.domain)
        loopback = is_loopback(self.interface)
        if self.physical and loopback:
            raise HardwareInputError(
                f"a physical robot is not on {self.interface!r}, a loopback interface; name the wired one"
            )
        if not self.physical and not loopback:
            raise HardwareInputError(
                f"interface {self.interface!r} leads to other machines: a virtual robot stays on a loopback interface "
                "('lo'), and a physical one has to be asked for by name"
            )


def check_version(physical: bool, version: str | None) -> None:
    """Refuse a version that must not meet this robot, before anything is on the network.

    Raises:
        DdsVersionError: none is installed, or another one than this robot needs.
    """
    if version is None:
        raise DdsVersionError(
            "Cyclone DDS is not installed: a virtual Go2 needs `pip install 'safebo[hardware]'`, a physical one "
            f"cyclonedds {PHYSICAL_VERSION}"
        )
    if physical and version != PHYSICAL_VERSION:
        raise DdsVersionError(
            f"cyclonedds {version} must not join a Go2's network: the robot runs {PHYSICAL_VERSION}, and processes of "
            f"that version crash when they meet a newer one. Install cyclonedds {PHYSICAL_VERSION} in an environment "
            "for the robot (it is built from source against the same version of the C library)"
        )
    if not physical and not version.startswith(VIRTUAL_VERSIONS):
        raise DdsVersionError(
            f"cyclonedds {version} has not been tried with a virtual robot: use 11.x, or {PHYSICAL_VERSION} at both "
            "ends"
        )


class DdsParticipant:
    """A process on a robot's network.

    Args:
        network: see `DdsNetwork`.
        about: what this process is, for others on the network.

    Raises:
        DdsVersionError: see `check_version`.
        HardwareInputError: see `DdsNetwork.check`; or this process has the domain on another interface.
        LinkError: Cyclone DDS refuses.
    """

    def __init__(self, network: DdsNetwork, about: str = "") -> None:
        network.check()
        check_version(network.physical, dds_version())
        self.network = network
        self._participant = Participant(network.interface, network.domain, about)

    def writer(self, topic: str, kind: str) -> DdsWriter:
        """A writer with the default quality of service: reliable, last value only, nothing for latecomers.

        Args:
            topic: such as `rt/lowcmd`.
            kind: name of a type in `safebo.hardware.unitree.dds_types`.
        """
        return self._participant.writer(topic, _type(kind))

    def reader(self, topic: str, kind: str, depth: int = BATCH, reliable: bool = False) -> DdsReader:
        """A reader that keeps the last `depth` samples; it matches every default writer."""
        return self._participant.reader(topic, _type(kind), Quality(depth, reliable))

    def publishers(self, topic: str) -> list[Peer]:
        """Which other processes publish a topic; see `safebo.hardware.dds.Participant.publishers`."""
        return self._participant.publishers(topic)

    def discovery(self) -> Discovery:
        """What discovery knows, to be asked later, by another thread if need be."""
        return self._participant.discovery()

    def close(self) -> None:
        """Leave the network; its writers and readers are of no use after it."""
        self._participant.close()


def _type(kind: str) -> Any:
    from safebo.hardware.unitree import dds_types

    return getattr(dds_types, kind)
