"""Rows of numbers as JSON messages with a name for every number, and back.

A column `joint_position.fl.hip` becomes `{"joint_position": {"fl": {"hip": 0.1}}}`, so that a viewer offers it as
`joint_position.fl.hip`. Numbers keep every bit of a double. JSON has no infinity and nothing that is not a number:
such a number is left out, and is nan when it is read again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Tree = dict[str, Any]


def nested(names: Iterable[str], values: Iterable[Any]) -> Tree:
    """Values by their names, dots making levels; numbers that are not finite are left out."""
    out: Tree = {}
    for name, value in zip(names, values, strict=True):
        if isinstance(value, float) and not math.isfinite(value):
            continue
        *levels, last = name.split(".")
        place = out
        for part in levels:
            place = place.setdefault(part, {})
        place[last] = value
    return out


def json_schema(title: str, names: Iterable[str], leaves: Iterable[Tree]) -> Tree:
    """JSON schema of what `nested` gives, with a schema for every leaf."""
    schema: Tree = {"title": title, "type": "object", "properties": {}}
    for name, leaf in zip(names, leaves, strict=True):
        *levels, last = name.split(".")
        place = schema
        for part in levels:
            place = place["properties"].setdefault(part, {"type": "object", "properties": {}})
        place["properties"][last] = leaf
    return schema


class RowFormat:
    """How rows with these columns are written.

    Args:
        title: name of the schema.
        columns: names in the order of a row; dots make levels.
        meanings: of a column by the first part of its name, or by the whole: its unit, for people.
    """

    def __init__(self, title: str, columns: Sequence[str], meanings: Mapping[str, str]) -> None:
        self.title, self.columns, self._meanings = title, tuple(columns), dict(meanings)
        self._paths = [tuple(name.split(".")) for name in columns]
        slots = json.dumps(nested(columns, (f"@{i}@" for i in range(len(columns)))), separators=(",", ":"))
        self._order = [int(number) for number in _SLOT.findall(slots)]
        self._template = _SLOT.sub("%r", slots)

    def encode(self, row: Sequence[float]) -> bytes:
        """One row of Python's own floats."""
        if all(map(math.isfinite, row)):
            return (self._template % tuple([row[index] for index in self._order])).encode()
        return json.dumps(nested(self.columns, row), separators=(",", ":")).encode()

    def decode(self, body: Mapping[str, Any]) -> list[float]:
        """A row; nan where the message has no such number.

        Raises:
            ValueError: what should be a number is none.
        """
        return [_found(body, path) for path in self._paths]

    def schema(self) -> Tree:
        """JSON schema of the messages."""
        known = self._meanings
        meanings = [known.get(name, known.get(name.split(".")[0], "")) for name in self.columns]
        leaves = [{"type": "number", **({"description": text} if text else {})} for text in meanings]
        return json_schema(self.title, self.columns, leaves)


_SLOT = re.compile(r'"@(\d+)@"')


def _found(body: Mapping[str, Any], path: tuple[str, ...]) -> float:
    value: Any = body
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{'.'.join(path)} is {value!r}, not a number")
    return float(value)
