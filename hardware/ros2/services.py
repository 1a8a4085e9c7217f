"""Services over DDS as rmw_cyclonedds_cpp carries them: a request with a header of 16 bytes, a reply with the same.

The header is the client's number (u64; rmw writes the handle of its writer, here it is random) and the request's (i64,
counts up). A server repeats both, and clients pick their replies by them. rmw_fastrtps_cpp has no such header and
correlates by the sample's DDS identity: its nodes are found, and cannot be called.

Client and server name themselves in the user data of reader and writer (`clientid=...;`, `serviceid=...;`), by which
a real middleware waits until a reply can arrive.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from safebo.hardware.dds import DdsReader, DdsWriter, Participant, Quality
from safebo.hardware.errors import LinkError, WireError
from safebo.hardware.ros2.cdr import Message, decode, encode
from safebo.hardware.ros2.names import nodes_among, reply_topic, request_topic

HEADER = struct.Struct("<Qq")
SIGNALS_S = 0.1
"""After which a wait looks whether the process was told to end."""
REPLIES = 16
"""That a server keeps, for requests that come again."""

Answer = Callable[[dict[str, Any]], Message]


def _quality(role: str, number: int) -> Quality:
    return Quality(depth=64, user_data=f"{role}={number:x};".encode())


def header_of(data: bytes) -> tuple[int, int]:
    """Client's and request's number in a request or reply.

    Raises:
        WireError: it is too short for a header.
    """
    if len(data) < 4 + HEADER.size:
        raise WireError(f"service: {len(data)} bytes, too short for a header")
    client, number = HEADER.unpack_from(data, 4)
    return int(client), int(number)


class ServiceClient:
    """Calls one service of one node.

    Args:
        participant: this process in the node's domain.
        node: such as `/my_mpc`.
        service: such as `get_parameters`.
        kind: of the service, such as `rcl_interfaces/srv/GetParameters`.
        again: seconds after which a request that nobody has answered is sent once more; infinite: never.

    Attributes:
        foreign: replies that carried another header than ours: for other clients, or without any.
    """

    def __init__(
        self, participant: Participant, node: str, service: str, kind: str, again: float = 0.5
    ) -> None:
        from safebo.hardware.ros2.topic_types import topic_type

        self._participant, self._node, self._service, self._kind = participant, node, service, kind
        self._number, self._again = secrets.randbits(63), again
        self._count = self.foreign = 0
        quality = _quality("clientid", self._number)
        self._requests: DdsWriter = participant.writer(
            request_topic(node, service), topic_type(f"{kind}_Request"), quality
        )
        self._replies: DdsReader = participant.reader(
            reply_topic(node, service), topic_type(f"{kind}_Response"), quality
        )

    def ready(self, timeout: float) -> bool:
        """Whether the node is there, after at most `timeout` seconds."""
        end = time.monotonic() + timeout
        while not (self._requests.readers() and self._replies.writers()):
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        return True

    def call(self, request: Message, timeout: float) -> dict[str, Any]:
        """Call it and wait for the reply.

        Raises:
            LinkError: nobody offers it, or nobody answers in time.
            WireError: a request that cannot be written, or a reply that is none.
        """
        end = time.monotonic() + timeout
        foreign, data = self.foreign, self.send(request, timeout)
        send = time.monotonic() + self._again
        while (now := time.monotonic()) < end:
            if now >= send:
                self._requests.write(data)
                send = now + self._again
            if (response := self.reply(min(end, send) - now)) is not None:
                return response
        said = f"{self._node}: no answer to {self._service} within {timeout:g} s"
        if self.foreign > foreign:
            said += (
                f"; {self.foreign - foreign} replies came that answer other requests: "
                "is the node run with RMW_IMPLEMENTATION=rmw_cyclonedds_cpp?"
            )
        raise LinkError(said)

    def send(self, request: Message, timeout: float) -> bytes:
        """Begin a call, of which `reply` hears; the request's bytes.

        Raises:
            LinkError: nobody offers it. WireError: a request that cannot be written.
        """
        if not self.ready(timeout):
            raise LinkError(self._absent(timeout))
        self._count += 1
        data = encode(f"{self._kind}_Request", request, HEADER.pack(self._number, self._count))
        self._requests.write(data)
        return data

    def reply(self, seconds: float) -> dict[str, Any] | None:
        """The reply to what was sent last; None when it has not come within so many seconds.

        Raises:
            WireError: a reply that is none.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            if not self._replies.wait(min(left, SIGNALS_S)):
                continue
            for reply in self._replies.take():
                header = header_of(reply) if len(reply) >= 4 + HEADER.size else (0, 0)
                if header == (self._number, self._count):
                    return decode(f"{self._kind}_Response", reply, HEADER.size)
                self.foreign += header[0] != self._number
        return None

    def offered(self) -> bool:
        """Whether somebody answers it now."""
        return self._replies.writers() > 0

    def _absent(self, timeout: float) -> str:
        nodes = nodes_among(list(self._participant.topics()))
        there = f"nodes there: {', '.join(nodes)}" if nodes else "no node with parameters is there"
        return (
            f"{self._node}: nobody offers {self._service} in DDS {self._participant.where} ({timeout:g} s waited; "
            f"{there}); "
            "is the node up, with this ROS_DOMAIN_ID and RMW_IMPLEMENTATION=rmw_cyclonedds_cpp?"
        )


class ServiceServer:
    """Answers one service of a node.

    Args:
        participant: this process in its domain.
        node: the node's name.
        service: such as `get_parameters`.
        kind: of the service.
        answer: gives the response to a request; it must not raise.

    Attributes:
        damaged: requests that were none.
    """

    def __init__(self, participant: Participant, node: str, service: str, kind: str, answer: Answer) -> None:
        from safebo.hardware.ros2.topic_types import topic_type

        self._kind, self._answer = kind, answer
        self._sent: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self.damaged = 0
        quality = _quality("serviceid", secrets.randbits(63))
        self._requests = participant.reader(
            request_topic(node, service), topic_type(f"{kind}_Request"), quality
        )
        self._replies = participant.writer(
            reply_topic(node, service), topic_type(f"{kind}_Response"), quality
        )

    def serve(self) -> int:
        """Answer what has come since the last call; never blocks. How many requests that were."""
        data = self._requests.take()
        for request in data:
            try:
                header = header_of(request)
                reply = self._sent.get(header) or self._made(header, request)
            except WireError:
                self.damaged += 1
                continue
            self._replies.write(reply)
        return len(data)

    def _made(self, header: tuple[int, int], request: bytes) -> bytes:
        """A request that comes again is answered by what was answered, and done once."""
        response = self._answer(decode(f"{self._kind}_Request", request, HEADER.size))
        reply = encode(f"{self._kind}_Response", response, HEADER.pack(*header))
        self._sent[header] = reply
        while len(self._sent) > REPLIES:
            self._sent.popitem(last=False)
        return reply
