"""Messages whose texts and lengths stay while their numbers change, such as joint states, 500 times a second.

Their bytes are kept; only the time stamp and the doubles are written or read, at places that were found once. Reading a
command of sixty numbers takes 20 microseconds so, and 200 by the fields of its type.
"""

from __future__ import annotations

import struct

import numpy as np

from safebo.hardware.errors import WireError
from safebo.hardware.ros2.cdr import ENCAPSULATION, Message, Writer, body_of, write
from safebo.types import FloatArray

_STAMP = struct.Struct("<iI")
NANOSECONDS = 1_000_000_000


class FixedLayout:
    """The bytes of one message, whose type begins with a `std_msgs/Header`.

    Args:
        name: its type.
        message: with all its texts, and any numbers.

    Attributes:
        count: of doubles, in the order in which they stand in the message.
    """

    def __init__(self, name: str, message: Message) -> None:
        writer = Writer()
        writer.numbers = []
        write(name, message, writer)
        self._length = len(writer.body)
        self._places = np.array(writer.numbers, np.int64)
        self._bytes = _eights(bytes(writer.body))
        self._texts = self._cleared(self._bytes)
        self.count = len(self._places)

    def filled(self, stamp: int, values: FloatArray) -> bytes:
        """The message with another stamp, nanoseconds, and other numbers, `count` of them; encapsulation included."""
        self._bytes[self._places] = values
        self._bytes[:1].view(np.uint8)[:] = np.frombuffer(_STAMP.pack(*divmod(stamp, NANOSECONDS)), np.uint8)
        return ENCAPSULATION + self._bytes.tobytes()[: self._length + -self._length % 4]

    @property
    def numbers(self) -> FloatArray:
        """The numbers of the message as it is."""
        return self._bytes[self._places]

    def numbers_in(self, data: bytes) -> FloatArray | None:
        """The numbers in a message of the same texts and lengths; None for another one.

        None too for the same message by another writer, who does not write zeros where bytes only fill up.
        """
        filled = len(data) - 4 - self._length  # a writer may fill up to a multiple of four, or not
        if not 0 <= filled < 4 or data[:2] != ENCAPSULATION[:2]:
            return None
        body = _eights(data[4 : 4 + self._length])
        if self._cleared(body) != self._texts:
            return None
        return body[self._places]

    def _cleared(self, body: FloatArray) -> bytes:
        """The bytes without stamp and numbers."""
        rest = body.copy()
        rest[0] = 0.0
        rest[self._places] = 0.0
        return rest.tobytes()[: self._length]


def stamp_in(name: str, data: bytes) -> int:
    """The time stamp of a message that begins with a header, nanoseconds.

    Raises:
        WireError: too few bytes.
    """
    if len(data) < 4 + _STAMP.size:
        raise WireError(f"{name}: {len(data)} bytes, too few for a header")
    seconds, nanoseconds = _STAMP.unpack_from(body_of(name, data))
    return int(seconds) * NANOSECONDS + int(nanoseconds)


def stamp_of(time: int) -> dict[str, int]:
    """`builtin_interfaces/Time` of some nanoseconds."""
    seconds, nanoseconds = divmod(time, NANOSECONDS)
    return {"sec": seconds, "nanosec": nanoseconds}


def _eights(body: bytes) -> FloatArray:
    return np.frombuffer(bytearray(body + bytes(-len(body) % 8)), "<f8")
