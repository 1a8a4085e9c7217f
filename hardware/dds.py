"""A Cyclone DDS participant that carries serialised bytes; what robots and ROS 2 nodes are reached by.

Cyclone DDS is imported only when a participant is made, so everything else works without it. What has been
learnt about it, and is taken care of here:

- An interface is always named. Without one Cyclone takes any.
- Creating entities from two threads at once fails now and then: one participant belongs to one thread, and a
  lock keeps participants apart.
- A process can configure a domain once.
- Cyclone tells of a dead peer after ten seconds, while samples stop at once: watch the age of what comes.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safebo.hardware.dds_peers import MARK, MAX_ENDPOINTS, Discovery, Peer, readable
from safebo.hardware.errors import DdsVersionError, HardwareInputError, LinkError

BATCH = 64  # samples taken at once; a flood must not hold up a control loop
MAX_DOMAIN = 230
_LOOPBACK = 0x8  # IFF_LOOPBACK

_Type = TypeVar("_Type", bound=type)

_creating = threading.Lock()
_domains: dict[int, tuple[str, Any]] = {}  # a domain's entity must live as long as the process uses it


def dds_version() -> str | None:
    """The installed version of Cyclone DDS for Python; None when there is none."""
    try:
        return importlib.metadata.version("cyclonedds")
    except importlib.metadata.PackageNotFoundError:
        return None


def is_loopback(interface: str) -> bool:
    """Whether a network interface leads to this machine only.

    Raises:
        HardwareInputError: there is no such interface.
    """
    flags = Path("/sys/class/net") / interface / "flags"
    if "/" in interface or not flags.exists():
        known = sorted(path.name for path in Path("/sys/class/net").iterdir())
        raise HardwareInputError(f"no network interface {interface!r}: there are {', '.join(known)}")
    return bool(int(flags.read_text(), 16) & _LOOPBACK)


def check_domain(domain: int) -> None:
    """Refuse a domain that does not exist.

    Raises:
        HardwareInputError: see above.
    """
    if not 0 <= domain <= MAX_DOMAIN:
        raise HardwareInputError(f"DDS domain {domain}: domains are 0 .. {MAX_DOMAIN}")


def configuration(interface: str, unicast: bool = False) -> str:
    """Cyclone's configuration: this interface and no other, in any domain; `unicast` as of `Participant`."""
    discovery = (
        "<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>119</MaxAutoParticipantIndex>"
        '<Peers><Peer Address="127.0.0.1"/></Peers></Discovery>'
    )
    return (
        '<CycloneDDS><Domain Id="any"><General><Interfaces>'
        f'<NetworkInterface name="{interface}"/>'
        f"</Interfaces></General>{discovery if unicast else ''}</Domain></CycloneDDS>"
    )


@dataclass(frozen=True)
class Quality:
    """Quality of service of a reader or writer, as far as it is chosen here.

    Args:
        depth: samples kept.
        reliable: sent again until they have come; a reliable reader matches no best-effort writer.
        transient: a writer gives its last samples to readers that come later; a reader asks for that.
        user_data: bytes that peers see at discovery.
    """

    depth: int = 1
    reliable: bool = True
    transient: bool = False
    user_data: bytes = b""


class Participant:
    """A process in a domain. What is made of it is made by the thread that made it, and by no other.

    Args:
        interface: network interface by name.
        domain: 0 to `MAX_DOMAIN`.
        about: what this process is, for others in the domain who ask who publishes; see `publishers`.
        unicast: on a loopback interface, looks for others by their ports too. Cyclone before 11 has no multicast there,
            and without this neither finds the other. One of 0.10 that announces types dies of it (see
            `safebo.hardware.unitree.dds`).

    Attributes:
        where: domain and interface, for people.

    Raises:
        HardwareInputError: this process has the domain on another interface.
        DdsVersionError: Cyclone DDS is not installed.
        LinkError: Cyclone DDS refuses.
    """

    def __init__(self, interface: str, domain: int, about: str = "", unicast: bool = False) -> None:
        if dds_version() is None:
            raise DdsVersionError("Cyclone DDS is not installed: `pip install 'safebo[hardware]'`")
        from cyclonedds.domain import Domain, DomainParticipant
        from cyclonedds.qos import Policy, Qos

        self.where = f"domain {domain} on {interface!r}"
        self._thread = threading.get_ident()
        self._ends: list[DdsWriter | DdsReader] = []
        with _creating:
            known = _domains.get(domain)
            if known is not None and known[0] != interface:
                raise HardwareInputError(
                    f"this process uses DDS domain {domain} on {known[0]!r}; it cannot be on {interface!r} as well"
                )
            if known is None:
                made = self._made(lambda: Domain(domain, configuration(interface, unicast)))
                _domains[domain] = (interface, made)
            said = Qos(Policy.Userdata(MARK + about.encode())) if about else None
            self._participant = self._made(lambda: DomainParticipant(domain, qos=said))

    def writer(self, topic: str, sample: Any, quality: Quality | None = None) -> DdsWriter:
        """A writer; without `quality` with the defaults: reliable, last value only, nothing for latecomers.

        Args:
            topic: such as `rt/lowcmd`.
            sample: Cyclone's type of it, whose instances are their own serialised bytes (`serialised`).
            quality: of service.
        """
        from cyclonedds.pub import DataWriter

        made = self._topic(topic, sample)
        chosen = None if quality is None else self._quality(quality)
        with _creating:
            end = DdsWriter(topic, sample, self._made(lambda: DataWriter(self._participant, made, chosen)))
        self._ends.append(end)
        return end

    def reader(self, topic: str, sample: Any, quality: Quality) -> DdsReader:
        """A reader of a topic, as `writer`."""
        from cyclonedds.sub import DataReader

        made = self._topic(topic, sample)
        with _creating:
            end = DdsReader(
                topic, self._made(lambda: DataReader(self._participant, made, self._quality(quality)))
            )
        self._ends.append(end)
        return end

    def topics(self) -> dict[str, str]:
        """Names and types of the topics that somebody writes in this domain, as far as they are known by now."""
        from cyclonedds.builtin import BuiltinTopicDcpsPublication

        reader = self._built_in(BuiltinTopicDcpsPublication)
        seen = readable(lambda: list(self._made(lambda: reader.read(MAX_ENDPOINTS))))
        return {sample.topic_name: sample.type_name for sample in seen if hasattr(sample, "topic_name")}

    def publishers(self, topic: str) -> list[Peer]:
        """Who publishes a topic in this domain, as far as it is known by now; see `Discovery.publishers`."""
        return self.discovery().publishers(topic)

    def discovery(self) -> Discovery:
        """What discovery knows of this domain, to be asked later, by another thread if need be."""
        from cyclonedds import builtin

        kinds = (builtin.BuiltinTopicDcpsPublication, builtin.BuiltinTopicDcpsParticipant)
        writers, processes = (self._built_in(kind) for kind in kinds)
        return Discovery(str(self._participant.guid), self._made, writers, processes)

    def _built_in(self, kind: Any) -> Any:
        from cyclonedds.builtin import BuiltinDataReader

        self._check_usable()
        with _creating:
            return self._made(lambda: BuiltinDataReader(self._participant, kind))

    def close(self) -> None:
        """Leave the network; its writers and readers are of no use after it."""
        for end in self._ends:
            end.close()
        self._ends.clear()
        self._participant = None

    def _check_usable(self) -> None:
        if threading.get_ident() != self._thread:
            raise LinkError(
                "DDS entities are made by the thread that made their participant, and by no other"
            )
        if self._participant is None:
            raise LinkError("this DDS participant is closed")

    def _topic(self, topic: str, sample: Any) -> Any:
        self._check_usable()
        from cyclonedds.topic import Topic

        with _creating:
            return self._made(lambda: Topic(self._participant, topic, sample))

    def _quality(self, quality: Quality) -> Any:
        from cyclonedds.qos import Policy, Qos

        reliability = (
            Policy.Reliability.Reliable(100_000_000) if quality.reliable else Policy.Reliability.BestEffort
        )
        durability = Policy.Durability.TransientLocal if quality.transient else Policy.Durability.Volatile
        data = (Policy.Userdata(quality.user_data),) if quality.user_data else ()
        return Qos(reliability, durability, Policy.History.KeepLast(quality.depth), *data)

    def _made(self, make: Callable[[], Any]) -> Any:
        from cyclonedds.core import DDSException

        try:
            return make()
        except DDSException as error:
            raise LinkError(f"Cyclone DDS, {self.where}: {error}") from error


def serialised(cls: _Type) -> _Type:
    """Samples of `cls` are their own serialised bytes, encapsulation included; the fields are for the network only.

    A decorator and not a base class: Cyclone DDS takes every base for a part of the type. Its own codec takes a
    hundred times as long as a fixed layout, and one damaged sample in a batch would cost the others.
    """

    def create(self: Any, data: bytes) -> None:
        self.data = data

    def serialize(self: Any, *_: Any, **__: Any) -> bytes:
        return bytes(self.data)

    def deserialize(data: bytes, *_: Any, **__: Any) -> Any:
        return cls(data)

    for name, value in (
        ("__init__", create),
        ("serialize", serialize),
        ("deserialize", staticmethod(deserialize)),
        ("deserialize_key", staticmethod(deserialize)),
    ):
        setattr(cls, name, value)
    return cls


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
        return [data for data, _ in self.take_with_writer()]

    def take_with_writer(self) -> list[tuple[bytes, int]]:
        """As `take`, each with the handle of the writer that it came from."""
        with _refusals("reading", self.topic):
            samples = self._reader.take(BATCH)
        return [
            (sample.data, int(sample.sample_info.publication_handle))
            for sample in samples
            if hasattr(sample, "data")
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
