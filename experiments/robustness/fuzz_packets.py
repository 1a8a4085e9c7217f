"""Packets of Go1 and Go2 that no robot and no tuner would send, each with whether it is sound by the protocol.

Sound is what has length, head and checksum of its kind: such a packet is by protocol what it says, whatever its values.
Whether it is comes from how the packet was made, and which of its bytes nothing covers from struct formats written
down here; neither asks the decoders under test.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.hardware.unitree import go1_messages as go1
from safebo.hardware.unitree import go2_messages as go2
from safebo.hardware.unitree import rpc_messages as rpc

Record = NDArray[Any]  # shape (), structured

_MOTORS = 20
GO2_COMMAND_FORMAT = "<2B2x" + "4B4IH" + "B1x5f3I" + "B3x5f3I" * (_MOTORS - 1) + "4B55Bx2I"
GO2_STATE_FORMAT = (
    "<2B2x" + "4B4IH2x13fB" + "B2x7fB3x3I" + "B3x7fB3x3I" * (_MOTORS - 1)
    + "4Bi H4B15H 8h I40BB3xf2B2x2f4H2I"
)  # fmt: skip
"""Every byte of a Go2's packet; `x` where neither content nor checksum looks."""


def uncovered(layout: str) -> frozenset[int]:
    """Where in a packet of this format the `x` are."""
    # unsigned numbers of the same sizes: all bits set but those of the padding
    whole = struct.Struct(layout.translate(str.maketrans("fihb", "IIHB")).replace(" ", ""))
    covered = whole.pack(*whole.unpack(b"\xff" * whole.size))
    return frozenset(at for at, byte in enumerate(covered) if byte == 0)


@dataclass(frozen=True)
class Form:
    """One type of message.

    Args:
        name: of robot and message.
        dtype: its fields.
        encode: wire bytes of a record, with checksum.
        head: where its first head byte is.
        free: bytes that neither content nor checksum has.
    """

    name: str
    dtype: np.dtype[Any]
    encode: Callable[[Record], bytes]
    head: int
    free: frozenset[int]

    @property
    def size(self) -> int:
        """Bytes of a packet."""
        return len(self.encode(self.new()))

    def new(self) -> Record:
        """A record with the head of a low-level message and zeros elsewhere."""
        record = np.zeros((), self.dtype)
        record["head"] = (0xFE, 0xEF)
        record["level_flag"] = 0xFF
        return record


def _go1_free(size: int) -> frozenset[int]:
    """Between the last covered word and the checksum; a Go1's packets have no padding."""
    return frozenset(range(4 * ((size >> 2) - 1), size - 4))


GO2_COMMAND = Form("Go2 LowCmd", go2.LOW_CMD, go2.encode_low_cmd, 4, uncovered(GO2_COMMAND_FORMAT))
GO2_STATE = Form("Go2 LowState", go2.LOW_STATE, go2.encode_low_state, 4, uncovered(GO2_STATE_FORMAT))
GO1_COMMAND = Form("Go1 command", go1.LOW_CMD, go1.encode_low_cmd, 0, _go1_free(614))
GO1_STATE = Form("Go1 state", go1.LOW_STATE, go1.encode_low_state, 0, _go1_free(807))
FORMS = (GO2_COMMAND, GO2_STATE, GO1_COMMAND, GO1_STATE)


@dataclass(frozen=True)
class Packet:
    """Bytes, what was done to them, and whether they are sound."""

    kind: str
    data: bytes
    sound: bool


EXTREMES = np.array(
    [np.nan, np.inf, -np.inf, 1e-45, -1e-40, 3.4e38, -3.4e38, 2.146e9, 16000.0, 1e4, -9999.0, 50.0, -1.0, 0.0, -0.0],
    dtype="<f4",
)  # fmt: skip
SIGNALLING = np.array([0x7FA00001, 0xFFA00001], dtype="<u4").view("<f4")
"""Signalling nans."""


class PacketFuzzer:
    """Makes packets of one form, many of them from the newest genuine ones.

    Args:
        form: of the packets.
        seed: decides everything.
    """

    def __init__(self, form: Form, seed: int) -> None:
        self.form, self.random = form, Random(seed)
        self._size = form.size
        self._covered = [at for at in range(self._size) if at not in form.free]
        self._genuine: list[tuple[Record, bytes]] = []
        self._strange = [other.encode(other.new()) for other in FORMS if other is not form]
        self.note(form.new())
        self._unsound = (
            self._noise, self._shaped, self._cut, self._longer, self._damaged, self._checksum, self._head, self._other
        )  # fmt: skip
        self._sound = (self._extreme, self._body, self._flipped, self._gap, self._repeated)

    def note(self, record: Record) -> bytes:
        """A genuine packet of this record; later ones are made from it."""
        data = self.form.encode(record)
        self._genuine = [*self._genuine[-15:], (record.copy(), data)]
        return data

    def unsound(self) -> Packet:
        """A packet that says nothing."""
        make = self.random.choice(self._unsound)
        return Packet(make.__name__[1:], make(), False)

    def sound(self) -> Packet:
        """A packet with the right checksum, whatever is in it."""
        make = self.random.choice(self._sound)
        return Packet(make.__name__[1:], make(), True)

    def _last(self) -> tuple[Record, bytes]:
        return self._genuine[-1]

    # -- without meaning ------------------------------------------------------------------------------

    def _noise(self) -> bytes:
        return self.random.randbytes(self.random.choice((0, 1, 3, 4, 5, 40, self.random.randrange(2048))))

    def _shaped(self) -> bytes:
        data = bytearray(self.random.randbytes(self._size))
        keep = self.form.head + 2
        data[:keep] = self._last()[1][:keep]
        return bytes(data)

    def _cut(self) -> bytes:
        return self._last()[1][: self.random.randrange(self._size)]

    def _longer(self) -> bytes:
        return self._last()[1] + self.random.randbytes(self.random.randrange(1, 700))

    def _damaged(self) -> bytes:
        """Flipped bits within four bytes: what a CRC-32 never misses."""
        data = bytearray(self._last()[1])
        at = self.random.choice(self._covered)
        near = [k for k in range(at - at % 4, at - at % 4 + 4) if k < self._size and k not in self.form.free]
        for k in {at, *(k for k in near if self.random.random() < 0.2)}:
            data[k] ^= self.random.randrange(1, 256)
        return bytes(data)

    def _checksum(self) -> bytes:
        data = bytearray(self._last()[1])
        right = int.from_bytes(data[-4:], "little")
        data[-4:] = self.random.choice(
            [
                (right ^ 0xFFFFFFFF).to_bytes(4, "little"),
                ((right + 1) & 0xFFFFFFFF).to_bytes(4, "little"),
                bytes(b ^ 0x5A for b in data[-4:]),
            ]
        )
        return bytes(data)

    def _head(self) -> bytes:
        record = self._last()[0].copy()
        head = (self.random.randrange(256), self.random.randrange(256))
        record["head"] = head if head != (0xFE, 0xEF) else (0xEF, 0xFE)
        return self.form.encode(record)

    def _other(self) -> bytes:
        return self.random.choice(self._strange)

    # -- with the right checksum ----------------------------------------------------------------------

    def _extreme(self) -> bytes:
        record = self._last()[0].copy()
        for _ in range(self.random.randrange(1, 6)):
            self._twist(record)
        return self.form.encode(record)

    def _twist(self, record: Any) -> None:
        names = record.dtype.names
        name = self.random.choice([n for n in names if n not in ("head", "crc")])
        field = record[name]
        if field.dtype.names:
            if field.shape and self.random.random() < 0.8:
                field = field[self.random.randrange(len(field))]
            self._twist(field)
            return
        values: Any
        if field.dtype.kind == "f":
            values = SIGNALLING if self.random.random() < 0.1 else EXTREMES
            value = values[self.random.randrange(len(values))]
        else:
            limits = np.iinfo(field.dtype)
            value = self.random.choice((limits.min, limits.max, self.random.randint(limits.min, limits.max)))
        if field.shape and self.random.random() < 0.7:
            field[self.random.randrange(len(field))] = value
        else:
            record[name] = value

    def _body(self) -> bytes:
        raw = bytearray(self.random.randbytes(self.form.dtype.itemsize))
        record = np.frombuffer(raw, self.form.dtype).reshape(())
        record["head"] = (0xFE, 0xEF)
        return self.form.encode(record)

    def _flipped(self) -> bytes:
        record = self._last()[0]
        raw = bytearray(record.tobytes())
        for _ in range(self.random.choice((1, 1, 1, 2, 8, 64))):
            raw[self.random.randrange(2, len(raw))] ^= 1 << self.random.randrange(8)
        return self.form.encode(np.frombuffer(raw, self.form.dtype).reshape(()))

    def _gap(self) -> bytes:
        """Damage where nothing looks: the packet says what it said."""
        data = bytearray(self._last()[1])
        for at in self.form.free:
            data[at] = self.random.randrange(256)
        return bytes(data)

    def _repeated(self) -> bytes:
        """One of the last sixteen, so in any order."""
        return self.random.choice(self._genuine)[1]


PARAMETERS = (
    "", "{}", "null", "7", '"name"', "[]", '{"name": null}', '{"name": 3.5}', '{"name": ["a"]}', '{"name": {"a": 1}}',
    '{"name": "' + "x" * 5000 + '"}', '{"name": "\\ud800"}', "[" * 100_000, '{"name":' * 30_000, "9" * 5000,
    '{"name": ' + "[" * 900 + "]" * 900 + "}", '{"name": "normal"}', '{"x": NaN}', "\x01", '{"name": ""}',
)  # fmt: skip
"""Texts where a service expects JSON with a name."""
APIS = (1, 1001, 1002, 1002, 1002, 1002, 1003, 1004, 1005, 1006, 1008, 0, -1, (1 << 63) - 1, -(1 << 63))


class RequestFuzzer:
    """Makes calls of a Go2's services. There is no checksum: sound is what may be readable."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._makers = (self._noise, self._cut, self._counts, self._encapsulation, self._flipped, self._call)

    def make(self) -> Packet:
        """A call, or what is none."""
        make = self.random.choice(self._makers)
        return Packet("call, " + make.__name__[1:], make(), make in (self._call, self._flipped))

    def _call(self) -> bytes:
        random = self.random
        request = rpc.RpcRequest(
            random.randrange(-(1 << 63), 1 << 63),
            random.choice(APIS),
            random.choice(PARAMETERS) if random.random() < 0.5 else json.dumps({"name": "mcf"}),
            random.randbytes(random.randrange(9)),
            no_reply=random.random() < 0.2,
        )
        return rpc.encode_request(request)

    def _small(self) -> bytes:
        return rpc.encode_request(rpc.RpcRequest(1, self.random.choice(APIS), '{"name": "mcf"}'))

    def _noise(self) -> bytes:
        return self.random.choice((b"", b"\1\0\1\0")) + self.random.randbytes(self.random.randrange(40))

    def _cut(self) -> bytes:
        # before the end of the text: without it there is no call
        return self._small()[: self.random.randrange(48)]

    def _counts(self) -> bytes:
        data = bytearray(self._small())
        data[36:40] = struct.pack("<I", self.random.choice((0xFFFFFFFF, 0x80000000, 1 << 20, 5000)))
        return bytes(data)

    def _encapsulation(self) -> bytes:
        data = self._small()
        return bytes((self.random.randrange(2, 256), self.random.randrange(256))) + data[2:]

    def _flipped(self) -> bytes:
        data = bytearray(self._small())
        data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return bytes(data)
