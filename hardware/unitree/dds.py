"""A Cyclone DDS participant that carries serialised bytes on a Go2's topics.

Cyclone DDS is imported only when a participant is made, so everything else works without it. What has been
learnt about it, and is taken care of here:

- An interface is always named. Without one Cyclone takes any, and a virtual robot would be on the laboratory's
  network. Virtual robots live on a loopback interface only.
- Cyclone 11 and 0.10.2 (a Go2's) do not mix: when they meet, the older process dies in type lookup. So a
  physical robot is joined by 0.10.2 or not at all.
- Creating entities from two threads at once fails now and then: one participant belongs to one thread, and a
  lock keeps participants apart.
- A process can configure a domain once.
- Default quality of service matches the vendor's; asking for a deadline or liveliness matches nothing.
- Cyclone tells of a dead peer after ten seconds, while samples stop at once: watch the age of states.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebo.hardware.errors import DdsVersionError, HardwareInputError, LinkError

PHYSICAL_VERSION = "0.10.2"
VIRTUAL_VERSIONS = ("11.", PHYSICAL_VERSION)
BATCH = 64  # samples taken at once; a flood must not hold up a control loop
_LOOPBACK = 0x8  # IFF_LOOPBACK

_creating = threading.Lock()
_domains: dict[int, tuple[str, Any]] = {}  # a domain's entity must live as long as the process uses it


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
        if not 0 <= self.domain <= 230:
            raise HardwareInputError(f"DDS domain {self.domain}: domains are 0 .. 230")
        flags = Path("/sys/class/net") / self.interface / "flags"
        if "/" in self.interface or not flags.exists():
            known = sorted(path.name for path in Path("/sys/class/net").iterdir())
            raise HardwareInputError(f"no network interface {self.interface!r}: there are {', '.join(known)}")
        loopback = bool(int(flags.read_text(), 16) & _LOOPBACK)
        if self.physical and loopback:
            raise HardwareInputError(
                f"a physical robot is not on {self.interface!r}, a loopback interface; name the wired one"
            )
        if not self.physical and not loopback:
            raise HardwareInputError(
                f"interface {self.interface!r} leads to other machines: a virtual robot stays on a loopback interface "
                "('lo'), and a physical one has to be asked for by name"
            )


def dds_version() -> str | None:
    """The installed version of Cyclone DDS for Python; None when there is none."""
    try:
        return importlib.metadata.version("cyclonedds")
    except importlib.metadata.PackageNotFoundError:
        return None


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


def configuration(interface: str) -> str:
    """Cyclone's configuration: this interface and no other, in any domain."""
    return (
        '<CycloneDDS><Domain Id="any"><General><Interfaces>'
        f'<NetworkInterface name="{interface}"/>'
        "</Interfaces></General></Domain></CycloneDDS>"
    )


class DdsParticipant:
    """A process on a robot's network.

    Args:
        network: see `DdsNetwork`.

    Raises:
        DdsVersionError: see `check_version`.
        HardwareInputError: see `DdsNetwork.check`; or this process has the domain on another interface.
        LinkError: Cyclone DDS refuses.
    """

    def __init__(self, network: DdsNetwork) -> None:
        network.check()
        check_version(network.physical, dds_version())
        from cyclonedds.domain import Domain, DomainParticipant

        self.network = network
        self._thread = threading.get_ident()
        self._ends: list[DdsWriter | DdsReader] = []
        with _creating:
            known = _domains.get(network.domain)
            if known is not None and known[0] != network.interface:
                raise HardwareInputError(
                    f"this process uses DDS domain {network.domain} on {known[0]!r}; it cannot be on "
                    f"{network.interface!r} as well"
                )
            if known is None:
                domain = self._made(lambda: Domain(network.domain, configuration(network.interface)))
                _domains[network.domain] = (network.interface, domain)
            self._participant = self._made(lambda: DomainParticipant(network.domain))

    def writer(self, topic: str, kind: str) -> DdsWriter:
        """A writer with the default quality of service: reliable, last value only, nothing for latecomers.

        Args:
            topic: such as `rt/lowcmd`.
            kind: name of a type in `safebo.hardware.unitree.dds_types`.
        """
        from cyclonedds.pub import DataWriter

        sample, made = self._topic(topic, kind)
        with _creating:
            end = DdsWriter(topic, sample, self._made(lambda: DataWriter(self._participant, made)))
        self._ends.append(end)
        return end

    def reader(self, topic: str, kind: str, depth: int = BATCH, reliable: bool = False) -> DdsReader:
        """A reader that keeps the last `depth` samples; it matches every default writer."""
        from cyclonedds.qos import Policy, Qos
        from cyclonedds.sub import DataReader

        reliability = Policy.Reliability.Reliable(100_000_000) if reliable else Policy.Reliability.BestEffort
        quality = Qos(reliability, Policy.History.KeepLast(depth))
        _, made = self._topic(topic, kind)
        with _creating:
            end = DdsReader(topic, self._made(lambda: DataReader(self._participant, made, quality)))
        self._ends.append(end)
        return end

    def close(self) -> None:
        """Leave the network; its writers and readers are of no use after it."""
        for end in self._ends:
            end.close()
        self._ends.clear()
        self._participant = None

    def _topic(self, topic: str, kind: str) -> tuple[Any, Any]:
        if threading.get_ident() != self._thread:
            raise LinkError(
                "DDS entities are made by the thread that made their participant, and by no other"
            )
        if self._participant is None:
            raise LinkError("this DDS participant is closed")
        from cyclonedds.topic import Topic

        from safebo.hardware.unitree import dds_types

        sample = getattr(dds_types, kind)
        with _creating:
            return sample, self._made(lambda: Topic(self._participant, topic, sample))

    def _made(self, make: Callable[[], Any]) -> Any:
        from cyclonedds.core import DDSException

        try:
            return make()
        except DDSException as error:
            where = f"domain {self.network.domain} on {self.network.interface!r}"
            raise LinkError(f"Cyclone DDS, {where}: {error}") from error


class DdsWriter:
    """Publishes serialised messages on a topic."""

    def __init__(self, topic: str, sample: Any, writer: Any) -> None:
        self.topic, self._sample, self._writer = topic, sample, writer

    def write(self, data: bytes) -> None:
        """Publish a message, encapsulation included.

        Raises:
            LinkError: Cyclone DDS refuses, or the participant is closed.
        """
        with _refusals("writing", self.topic):
            self._writer.write(self._sample(data))

    def readers(self) -> int:
        """How many readers are matched, this process's own included."""
        return _matched("dds_get_matched_subscriptions", self._writer._ref)

    def close(self) -> None:
        """Leave the topic."""
        self._writer = _Closed()


class DdsReader:
    """Receives serialised messages from a topic."""

    def __init__(self, topic: str, reader: Any) -> None:
        self.topic, self._reader = topic, reader
        self._waiting: Any = None

    def take(self) -> list[bytes]:
        """Messages that have come since the last call, encapsulation included, oldest first; never blocks.

        Raises:
            LinkError: Cyclone DDS refuses, or the participant is closed.
        """
        with _refusals("reading", self.topic):
            samples = self._reader.take(BATCH)
        return [
            sample.data for sample in samples if hasattr(sample, "data")
        ]  # others tell of lives and deaths

    def wait(self, seconds: float) -> bool:
        """Wait for a message for at most `seconds`; whether there is one."""
        with _refusals("waiting for", self.topic):
            if self._waiting is None:
                self._waiting = self._condition()
            waiter, _ = self._waiting
            return bool(waiter.wait(round(seconds * 1e9)))

    def writers(self) -> int:
        """How many writers are matched, this process's own included."""
        return _matched("dds_get_matched_publications", self._reader._ref)

    def close(self) -> None:
        """Leave the topic."""
        self._waiting = None
        self._reader = _Closed()

    def _condition(self) -> tuple[Any, Any]:
        from cyclonedds.core import InstanceState, ReadCondition, SampleState, ViewState, WaitSet

        some = ReadCondition(self._reader, SampleState.Any | ViewState.Any | InstanceState.Any)
        waiter = WaitSet(self._reader.participant)
        waiter.attach(some)
        return waiter, some


class _Closed:
    """Stands where a writer or reader was."""

    def __getattr__(self, name: str) -> Any:
        raise LinkError("this DDS participant is closed")


def _matched(function: str, entity: int) -> int:
    """Peers of a reader or writer, from the C library: the Python package of 0.10.2 has no word for it."""
    from cyclonedds.internal import DDS

    call = DDS._dll_handle[function]
    call.argtypes, call.restype = (ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_int32
    count = int(call(entity, None, 0))
    if count < 0:
        raise LinkError(f"{function}: Cyclone DDS refuses with code {count}")
    return count


@contextmanager
def _refusals(doing: str, topic: str) -> Iterator[None]:
    """Cyclone's exceptions as ours."""
    from cyclonedds.core import DDSException

    try:
        yield
    except DDSException as error:
        raise LinkError(f"{doing} {topic}: {error}") from error
