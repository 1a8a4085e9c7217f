"""A ROS 2 message's bytes, and back: plain CDR, little-endian, as every ROS 2 middleware writes it.

Four bytes of encapsulation (`00 01 00 00`) come first; every number is aligned to its own size, counted from behind
them. A text has its length with a closing zero before it, a sequence the number of its items.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from safebo.hardware.errors import WireError
from safebo.hardware.ros2.interfaces import PRIMITIVES, Field, fields_of

Message = Mapping[str, Any]
"""A message: its fields by name; those that are left out are zero or empty."""

ENCAPSULATION = b"\x00\x01\x00\x00"
MAX_ITEMS = 1 << 20  # of a sequence or characters of a text that are still believed

_COUNT = struct.Struct("<I")


class Writer:
    """Bytes under way.

    Args:
        head: raw bytes behind the encapsulation, such as a service's header; a multiple of eight.

    Attributes:
        body: what was written behind the encapsulation.
        numbers: where every double stands in `body`, in eights; None unless it is a list.
    """

    def __init__(self, head: bytes = b"") -> None:
        self.body = bytearray(head)
        self.numbers: list[int] | None = None

    def align(self, size: int) -> None:
        """Fill up to a multiple of `size`."""
        self.body += bytes(-len(self.body) % size)

    def count(self, number: int) -> None:
        """An unsigned number of four bytes."""
        self.align(4)
        self.body += _COUNT.pack(number)

    def data(self) -> bytes:
        """All bytes, encapsulation included, filled up to a multiple of four as DDS asks for."""
        return ENCAPSULATION + bytes(self.body) + bytes(-len(self.body) % 4)


class Reader:
    """Bytes that are read.

    Args:
        body: what stands behind the encapsulation.
        at: where reading begins.
    """

    def __init__(self, body: bytes, at: int = 0) -> None:
        self.body, self.at = body, at

    def align(self, size: int) -> None:
        """Go on to a multiple of `size`."""
        self.at += -self.at % size

    def count(self) -> int:
        """An unsigned number of four bytes."""
        self.align(4)
        (number,) = _COUNT.unpack_from(self.body, self.at)
        self.at += 4
        return int(number)


def encode(name: str, message: Message, head: bytes = b"") -> bytes:
    """A message's bytes.

    Args:
        name: its type, such as `std_msgs/msg/String`.
        message: its fields.
        head: raw bytes before it; see `Writer`.

    Raises:
        WireError: a field that the type does not have, or a value that does not fit.
    """
    writer = Writer(head)
    write(name, message, writer)
    return writer.data()


def write(name: str, message: Message, writer: Writer) -> None:
    """Append a message; see `encode`."""
    try:
        _encoder(name)(writer, message)
    except (struct.error, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"{name}: {message!r} cannot be written: {error}") from error


def decode(name: str, data: bytes, skip: int = 0) -> dict[str, Any]:
    """The message in some bytes; `skip` bytes behind the encapsulation are left out.

    Raises:
        WireError: the bytes are no such message.
    """
    body = body_of(name, data)
    try:
        return _decoder(name)(Reader(body, skip))
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise WireError(f"{name}: {len(data)} bytes that are none ({error})") from error


def body_of(name: str, data: bytes) -> bytes:
    """What stands behind the encapsulation.

    Raises:
        WireError: another encapsulation than plain CDR, little-endian.
    """
    if bytes(data[:2]) != ENCAPSULATION[:2]:
        raise WireError(
            f"{name}: encapsulation {bytes(data[:4]).hex(' ')}, expected {ENCAPSULATION.hex(' ')}"
        )
    return bytes(data[4:])


# -- one function for each type --------------------------------------------------------------------------

_Encoder = Callable[[Writer, Any], None]
_Decoder = Callable[[Reader], Any]


@cache
def _encoder(name: str) -> _Encoder:
    parts = [(field.name, _field_encoder(field), _default(field)) for field in fields_of(name)]
    known = {field.name for field in fields_of(name)}

    def run(writer: Writer, message: Any) -> None:
        if not message.keys() <= known:
            raise ValueError(f"{name} has no field {sorted(message.keys() - known)[0]!r}")
        for field, encoder, default in parts:
            encoder(writer, message.get(field, default))

    return run


@cache
def _decoder(name: str) -> Callable[[Reader], dict[str, Any]]:
    parts = [(field.name, _field_decoder(field)) for field in fields_of(name)]

    def run(reader: Reader) -> dict[str, Any]:
        return {field: decoder(reader) for field, decoder in parts}

    return run


def _default(field: Field) -> Any:
    if field.many:
        return (_zero(field.kind),) * (field.fixed or 0)
    return _zero(field.kind)


def _zero(kind: str) -> Any:
    if kind == "string":
        return ""
    return {} if "/" in kind else 0


def _field_encoder(field: Field) -> _Encoder:
    single = _single_encoder(field.kind)
    if not field.many:
        return single
    letter = PRIMITIVES.get(field.kind)

    def run(writer: Writer, items: Sequence[Any]) -> None:
        count = len(items)
        if field.fixed is not None and count != field.fixed:
            raise ValueError(f"{field.name} has {count} items, expected {field.fixed}")
        if field.most is not None and count > field.most:
            raise ValueError(f"{field.name} has {count} items, at most {field.most} are allowed")
        if field.fixed is None:
            writer.count(count)
        if letter is None:
            for item in items:
                single(writer, item)
        elif count:
            size = struct.calcsize(letter)
            writer.align(size)
            if letter == "d" and writer.numbers is not None:
                writer.numbers += range(len(writer.body) // 8, len(writer.body) // 8 + count)
            writer.body += struct.pack(f"<{count}{letter}", *items)

    return run


def _single_encoder(kind: str) -> _Encoder:
    if kind == "string":
        return _write_text
    if kind not in PRIMITIVES:
        return _encoder(kind)
    layout = struct.Struct("<" + PRIMITIVES[kind])

    def run(writer: Writer, value: Any) -> None:
        writer.align(layout.size)
        if kind == "float64" and writer.numbers is not None:
            writer.numbers.append(len(writer.body) // 8)
        writer.body += layout.pack(value)

    return run


def _write_text(writer: Writer, text: Any) -> None:
    encoded = text.encode()
    writer.count(len(encoded) + 1)
    writer.body += encoded
    writer.body.append(0)


def _field_decoder(field: Field) -> _Decoder:
    single = _single_decoder(field.kind)
    if not field.many:
        return single
    letter = PRIMITIVES.get(field.kind)

    def run(reader: Reader) -> Any:
        count = reader.count() if field.fixed is None else field.fixed
        if count > MAX_ITEMS:
            raise IndexError(f"{count} items announced in {field.name}")
        if letter is None:
            return [single(reader) for _ in range(count)]
        if not count:
            return []
        layout = struct.Struct(f"<{count}{letter}")
        reader.align(layout.size // count)
        values = list(layout.unpack_from(reader.body, reader.at))
        reader.at += layout.size
        return values

    return run


def _single_decoder(kind: str) -> _Decoder:
    if kind == "string":
        return _read_text
    if kind not in PRIMITIVES:
        return _decoder(kind)
    layout = struct.Struct("<" + PRIMITIVES[kind])

    def run(reader: Reader) -> Any:
        reader.align(layout.size)
        (value,) = layout.unpack_from(reader.body, reader.at)
        reader.at += layout.size
        return value

    return run


def _read_text(reader: Reader) -> str:
    count = reader.count()
    end = reader.at + count
    if count > MAX_ITEMS or end > len(reader.body):
        raise IndexError(f"a text of {count} bytes announced, {len(reader.body) - reader.at} are left")
    text = reader.body[reader.at : end].rstrip(b"\0").decode()
    reader.at = end
    return text
