"""Requests and responses of the robot's services: what they hold, and their XCDR1 bytes.

Every service has a pair of topics, `rt/api/<service>/request` and `.../response`. A response echoes the
request's id and api id. Parameters and data are JSON text.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from safebo.hardware.errors import WireError
from safebo.hardware.unitree.records import ENCAPSULATION

MAX_TEXT = 1 << 20  # bytes of a text that is still believed

OK = 0
SERVER_INTERNAL = 3202
API_NOT_IMPLEMENTED = 3203
PARAMETER_WRONG = 3204

_REQUEST = struct.Struct("<3qiB3x")  # id, api id, lease, priority, no reply
_RESPONSE = struct.Struct("<2qi")  # id, api id, code
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class RpcRequest:
    """A call of a service.

    Args:
        id: chosen by the caller, echoed in the response.
        api: number of the function.
        parameter: JSON text.
        binary: bytes beside the text, hardly ever used.
        lease: the caller's lease, 0 without one.
        priority: as the caller likes.
        no_reply: the caller wants no response.
    """

    id: int
    api: int
    parameter: str = ""
    binary: bytes = b""
    lease: int = 0
    priority: int = 0
    no_reply: bool = False


@dataclass(frozen=True)
class RpcResponse:
    """The answer to a call: `code` 0 for success, `data` as JSON text."""

    id: int
    api: int
    code: int = OK
    data: str = ""
    binary: bytes = b""


def encode_request(request: RpcRequest) -> bytes:
    """Wire bytes of a request."""
    head = _REQUEST.pack(request.id, request.api, request.lease, request.priority, request.no_reply)
    return _finished(head, request.parameter, request.binary)


def encode_response(response: RpcResponse) -> bytes:
    """Wire bytes of a response."""
    return _finished(_RESPONSE.pack(response.id, response.api, response.code), response.data, response.binary)


def decode_request(data: bytes) -> RpcRequest:
    """The request in wire bytes.

    Raises:
        WireError: the bytes are none.
    """
    head, text, binary = _parts("request", data, _REQUEST)
    number, api, lease, priority, no_reply = head
    return RpcRequest(number, api, text, binary, lease, priority, bool(no_reply))


def decode_response(data: bytes) -> RpcResponse:
    """The response in wire bytes; see `decode_request`."""
    (number, api, code), text, binary = _parts("response", data, _RESPONSE)
    return RpcResponse(number, api, code, text, binary)


def _finished(head: bytes, text: str, binary: bytes) -> bytes:
    encoded = text.encode() + b"\0"
    body = head + _LENGTH.pack(len(encoded)) + encoded
    body += bytes(-len(body) % 4) + _LENGTH.pack(len(binary)) + binary
    return ENCAPSULATION + body + bytes(-len(body) % 4)


def _parts(name: str, data: bytes, head: struct.Struct) -> tuple[tuple[int, ...], str, bytes]:
    if bytes(data[:2]) != ENCAPSULATION[:2]:
        raise WireError(
            f"{name}: encapsulation {bytes(data[:4]).hex(' ')}, expected {ENCAPSULATION.hex(' ')}"
        )
    body = bytes(data[4:])
    try:
        values = head.unpack_from(body, 0)
        encoded, end = _counted(body, head.size)
        binary, _ = _counted(body, end + -end % 4)
        text = encoded.split(b"\0", 1)[0].decode()
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise WireError(f"{name}: {len(data)} bytes that are none ({error})") from error
    return values, text, binary


def _counted(body: bytes, at: int) -> tuple[bytes, int]:
    """Bytes behind their own count, and where they end."""
    (count,) = _LENGTH.unpack_from(body, at)
    start = at + _LENGTH.size
    if count > MAX_TEXT or start + count > len(body):
        raise IndexError(f"{count} bytes announced at {at}, {len(body) - start} are left")
    return body[start : start + count], start + count
