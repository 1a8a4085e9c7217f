"""One packet of the link: a fixed header, a body, and a code that only holders of the shared key can make.

Little-endian throughout. The code is HMAC-SHA256 of header and body, so a packet that was damaged or forged
is not a packet. Who sent it before, and whether it is a repetition, is the business of `safebo.hardware.link.replay`.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from safebo.hardware.constants import MIN_KEY_BYTES
from safebo.hardware.errors import HardwareInputError

MAGIC = b"SBLK"
VERSION = 1
HEADER = struct.Struct("<4sBBHQQ")
"""Magic, protocol version, kind, length of the body, session, sequence."""

TAG_LENGTH = 32
MAX_BODY = 1300
"""Bytes of body, so that a packet passes an Ethernet link unfragmented."""

MAX_PACKET = HEADER.size + MAX_BODY + TAG_LENGTH


class FrameError(ValueError):
    """Bytes that are no packet of this protocol; `reason`: length, magic, version or authentication."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Frame:
    """An authentic packet.

    Args:
        kind: what the body is, see `safebo.hardware.link.messages`.
        session: number that the guardian gave this connection; 0 in the packets that ask for one.
        sequence: counts the sender's packets of this session from 1.
        body: at most `MAX_BODY` bytes.
    """

    kind: int
    session: int
    sequence: int
    body: bytes


def checked_key(key: bytes) -> bytes:
    """The key; `HardwareInputError` when it is too short to be one."""
    if len(key) < MIN_KEY_BYTES:
        raise HardwareInputError(f"link key: needs at least {MIN_KEY_BYTES} bytes, got {len(key)}")
    return bytes(key)


def seal(frame: Frame, key: bytes) -> bytes:
    """The packet's bytes.

    Raises:
        ValueError: a body that is too long.
    """
    if len(frame.body) > MAX_BODY:
        raise ValueError(f"link: a body has at most {MAX_BODY} bytes, got {len(frame.body)}")
    head = HEADER.pack(MAGIC, VERSION, frame.kind, len(frame.body), frame.session, frame.sequence)
    signed = head + frame.body
    return signed + hmac.digest(key, signed, "sha256")


def open_packet(data: bytes, key: bytes) -> Frame:
    """The frame in these bytes.

    Raises:
        FrameError: wrong length, magic word or version, or a code that was not made with this key.
    """
    if not HEADER.size + TAG_LENGTH <= len(data) <= MAX_PACKET:
        raise FrameError("length", f"link: {len(data)} bytes are no packet")
    magic, version, kind, length, session, sequence = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FrameError("magic", "link: the packet does not begin with SBLK")
    if len(data) != HEADER.size + length + TAG_LENGTH:
        raise FrameError("length", f"link: the header promises {length} bytes of body")
    signed, tag = data[:-TAG_LENGTH], data[-TAG_LENGTH:]
    if not hmac.compare_digest(hmac.digest(key, signed, "sha256"), tag):
        raise FrameError("authentication", "link: the packet was not made with this key, or was damaged")
    if version != VERSION:
        raise FrameError("version", f"link: protocol version {version}, this side speaks {VERSION}")
    return Frame(kind, session, sequence, signed[HEADER.size :])
