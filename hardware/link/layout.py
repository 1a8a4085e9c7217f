"""Message bodies as frozen dataclasses whose fields say how they lie on the wire.

    @dataclass(frozen=True)
    class Stop(Body, kind=0x41):
        level: int = u8("1 hold, 2 stand down, 3 damp")

The same declaration packs, unpacks and prints the byte tables of docs/link.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import Any, ClassVar, Self


class BodyError(ValueError):
    """Bytes that are not a body of the kind that the header names."""


def _wire(code: str, default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"code": code, "meaning": meaning})


u8, u16, u32, u64 = (partial(_wire, code, 0) for code in "BHIQ")
"""One, two, four or eight bytes, unsigned."""
f64 = partial(_wire, "d", 0.0)
"""An IEEE double."""
rest = partial(_wire, "*", b"")
"""All remaining bytes of the body; last field only."""


def f32s(count: int, meaning: str) -> Any:
    """`count` IEEE singles."""
    return _wire(f"{count}f", (0.0,) * count, meaning)


def f64s(count: int, meaning: str) -> Any:
    """`count` IEEE doubles."""
    return _wire(f"{count}d", (0.0,) * count, meaning)


def raw(count: int, meaning: str) -> Any:
    """`count` bytes."""
    return _wire(f"{count}s", bytes(count), meaning)


def text(count: int, meaning: str) -> Any:
    """UTF-8 text in `count` bytes, filled up with zeros, cut at a whole character when it is longer."""
    return _wire(f"{count}t", "", meaning)


@dataclass(frozen=True)
class Part:
    """One field of a body: its name, code, offset, size (None: the rest) and what it means."""

    name: str
    code: str
    offset: int
    size: int | None
    meaning: str


def _count(code: str) -> int:
    return int(code[:-1] or 1)


@dataclass(frozen=True)
class Body:
    """A message; subclasses name their kind and declare fields with the functions of this module."""

    KIND: ClassVar[int] = 0

    def __init_subclass__(cls, kind: int = 0) -> None:
        cls.KIND = kind

    @classmethod
    @cache
    def parts(cls) -> tuple[Part, ...]:
        """Its fields in wire order."""
        found, offset = [], 0
        for item in fields(cls):
            code = item.metadata["code"]
            size = None if code == "*" else struct.calcsize("<" + code.replace("t", "s"))
            found.append(Part(item.name, code, offset, size, item.metadata["meaning"]))
            offset += size or 0
        return tuple(found)

    @classmethod
    @cache
    def _struct(cls) -> tuple[struct.Struct, bool]:
        codes = [part.code for part in cls.parts()]
        open_ended = bool(codes) and codes[-1] == "*"
        return struct.Struct("<" + "".join(codes[: len(codes) - open_ended]).replace("t", "s")), open_ended

    @classmethod
    def title(cls) -> str:
        """Its name in docs/link.md."""
        return cls.__name__.removesuffix("Message")

    def pack(self) -> bytes:
        """The bytes of the body.

        Raises:
            BodyError: a value that does not fit its field.
        """
        kind = type(self)
        layout, open_ended = self._struct()
        values: list[Any] = []
        for part in self.parts():
            value = getattr(self, part.name)
            if part.code == "*":
                continue
            if part.code[-1] == "t":
                values.append(_cut(value, _count(part.code)))
            elif part.code[-1] in "fd" and part.code not in "fd":
                if len(value) != _count(part.code):
                    raise BodyError(
                        f"{kind.__name__}.{part.name}: needs {_count(part.code)} numbers, got {len(value)}"
                    )
                values.extend(value)
            elif part.code[-1] == "s" and len(value) != _count(part.code):
                raise BodyError(
                    f"{kind.__name__}.{part.name}: needs {_count(part.code)} bytes, got {len(value)}"
                )
            else:
                values.append(value)
        try:
            data = layout.pack(*values)
        except (struct.error, OverflowError) as error:
            raise BodyError(f"{kind.__name__}: {error}") from None
        return data + bytes(getattr(self, self.parts()[-1].name)) if open_ended else data

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The message in these bytes.

        Raises:
            BodyError: not of this kind's length, or text that is not UTF-8.
        """
        layout, open_ended = cls._struct()
        if len(data) < layout.size or (len(data) > layout.size and not open_ended):
            raise BodyError(f"{cls.__name__}: a body has {layout.size} bytes, got {len(data)}")
        flat = iter(layout.unpack_from(data))
        values: dict[str, Any] = {}
        for part in cls.parts():
            if part.code == "*":
                values[part.name] = data[layout.size :]
            elif part.code[-1] == "t":
                try:
                    values[part.name] = next(flat).rstrip(b"\0").decode()
                except UnicodeDecodeError:
                    raise BodyError(f"{cls.__name__}.{part.name}: not UTF-8") from None
            elif part.code[-1] in "fd" and part.code not in "fd":
                values[part.name] = tuple(next(flat) for _ in range(_count(part.code)))
            else:
                values[part.name] = next(flat)
        return cls(**values)


def _cut(value: str, size: int) -> bytes:
    data = value.encode()
    return data if len(data) <= size else data[:size].decode(errors="ignore").encode()
