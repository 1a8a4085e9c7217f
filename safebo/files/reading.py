"""The one reader of files that people hand over: studies, measurements, gains, controllers, limits.

YAML, and JSON with it, as plain data. Scalars follow YAML 1.2's core schema: `yes`, `on` and `1:30` are texts, `1e-3`
is a number. What no such file needs is refused in one sentence before it costs anything: pipes and devices, more than
10 MB, deep nesting, aliases that multiply, numbers that are not finite, keys that are there twice, tags, merge keys,
several documents.
"""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from safebo.errors import FileError, few_of
from safebo.files.problems import KeyPath, Problem, problem_lines, shortened

MAX_BYTES = 10_000_000
MAX_VALUES = 250_000
"""Values of one file, with every alias counted for what it stands for."""
MAX_ALIASED = 10_000
"""Values that aliases stand for."""
MAX_DEPTH = 50
MAX_KEY = 200
"""Characters of a key."""
_MAX_DIGITS = 400
"""Characters of a number; a longer one is beyond every float."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Document:
    """What a file holds.

    Args:
        data: mappings, lists, texts, numbers, booleans, None.
        lines: line (from 1) of each key path.
        problems: what is wrong; where there is any, the data is not what was meant.
    """

    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_file(path: str | Path) -> Any:
    """What a file of a person's holds, as plain data.

    Raises:
        FileError: it cannot be read, is no YAML, or holds what cannot be; the message names file, line and key.
    """
    return plain_data(read_text(path), str(path))


def plain_data(text: str, source: str) -> Any:
    """What a person's text in YAML says, as plain data; see `read_file`.

    Args:
        text: YAML.
        source: the file, or the option, for people.
    """
    document = parse(text, source)
    if document.problems:
        raise FileError("\n".join(few_of(problem_lines(source, document.lines, document.problems))))
    return document.data


def usable_path(path: Path) -> Path:
    """The path, where the system can look for it at all.

    Raises:
        FileError: its name is too long, or holds a NUL.
    """
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            reason = error.strerror if isinstance(error, OSError) else error
            raise FileError(f"{shortened(str(path))}: is no usable path: {reason}") from None
    return path


def read_text(path: str | Path) -> str:
    r"""The text of a file of a person's, without a byte order mark, its lines ended by `\n`.

    Raises:
        FileError: it is no file of at most 10 MB, or no text in UTF-8.
    """
    try:
        # A pipe that nobody writes to must not be waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            content = _content(path, file, os.fstat(descriptor))
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise FileError(f"{path}: is a folder, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        if isinstance(error, FileError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileError(f"{shortened(str(path))}: cannot be read: {reason}") from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise FileError(
                f"{path}: is not a text file in UTF-8 but looks like UTF-16: save it as UTF-8"
            ) from None
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise FileError(f"{path}:{line}: is not a text file in UTF-8 (byte 0x{byte:02x})") from None


def _content(path: str | Path, file: Any, status: os.stat_result) -> bytes:
    if stat.S_ISDIR(status.st_mode):
        raise FileError(f"{path}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{path}: is a pipe or device, not a file; write what it gives to a file first")
    if status.st_size <= MAX_BYTES and len(content := file.read(MAX_BYTES + 1)) <= MAX_BYTES:
        return bytes(content)
    raise FileError(
        f"{path}: is too large: {max(status.st_size, MAX_BYTES + 1) / 1e6:,.0f} MB, at most {MAX_BYTES / 1e6:,.0f} MB "
        "are read"
    )


def parse(text: str, source: str) -> Document:
    """What a text in YAML says; an empty one says None.

    Args:
        text: of the file.
        source: the file, for people.

    Raises:
        FileError: it is not YAML, or too much of it.
    """
    wrong = _FORBIDDEN.search(text)
    if wrong is not None:
        line = text.count("\n", 0, wrong.start()) + 1
        raise FileError(
            f"{source}:{line}: is not valid YAML: the character U+{ord(wrong[0]):04X} may not stand in a text file; in "
            f'double quotes it is written "\\u{ord(wrong[0]):04x}"'
        )
    try:
        return _Composer(source).document(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        hint = "; indent with spaces, not with tabs" if "\\t" in reason or "any token" in reason else ""
        raise FileError(f"{where}: is not valid YAML: {shortened(reason, 300)}{hint}") from error
    except yaml.YAMLError as error:
        reason = shortened(" ".join(str(error).split()), 300)
        raise FileError(f"{source}: is not valid YAML: {reason}") from error


class _Composer:
    """Turns the events of a parser into plain data; it stops before it has made too much."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines: dict[KeyPath, int] = {}
        self._problems: list[Problem] = []
        self._anchors: dict[
            str, tuple[Any, int] | None
        ] = {}  # data and number of values; None while it is open
        self._values = 0
        self._aliased = 0
        self._events: Iterator[Event] = iter(())

    def document(self, text: str) -> Document:
        self._events = iter(yaml.parse(text, Loader=_LOADER))
        next(self._events)
        data, documents = None, 0
        while not isinstance(event := next(self._events), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error(event, "a second document begins here (---); give one a file")
            elif not isinstance(event, DocumentEndEvent):
                data = self._value(event, ())
        return Document(data, self._lines, self._problems)

    def _value(self, event: Event, path: KeyPath) -> Any:
        line = _line(event)
        self._lines.setdefault(path, line)
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._error(event, f"the file holds more than {MAX_VALUES:,} values")
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if tag is not None and tag != "!":
            name = shortened(tag.replace("tag:yaml.org,2002:", "!!"))
            self._tell(path, f"tags are not read: {name}; write the value without it", line)
        if anchor is not None:
            self._anchors[anchor] = None
        before = self._values
        value = self._untagged(event, path)
        if anchor is not None:
            self._anchors[anchor] = (value, 1 + self._values - before)
        return value

    def _untagged(self, event: Event, path: KeyPath) -> Any:
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            raise self._error(event, f"mappings and lists are nested more than {MAX_DEPTH} deep")
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, path)
        assert isinstance(event, SequenceStartEvent)
        items: list[Any] = []
        while not isinstance(item := next(self._events), SequenceEndEvent):
            items.append(self._value(item, (*path, len(items))))
        return items

    def _alias(self, event: AliasEvent, path: KeyPath) -> Any:
        name, line = shortened(str(event.anchor)), _line(event)
        if event.anchor not in self._anchors:
            return self._tell(path, f"*{name} stands for nothing: there is no &{name} before it", line)
        found = self._anchors[event.anchor]
        if found is None:
            return self._tell(path, "an alias may not contain itself", line)
        value, size = found
        self._aliased += size
        self._values += size - 1
        if self._aliased > MAX_ALIASED:
            raise self._error(event, f"the aliases of the file stand for more than {MAX_ALIASED:,} values")
        return value

    def _mapping(self, event: MappingStartEvent, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        last: str | None = None
        while not isinstance(key_event := next(self._events), MappingEndEvent):
            line = _line(key_event)
            if not isinstance(key_event, ScalarEvent):
                self._tell(path, "a key must be a plain text", line)
                self._value(key_event, (*path, "?"))
                self._value(next(self._events), (*path, "?"))
                continue
            key = key_event.value
            value_event = next(self._events)
            place = (*path, key)
            if len(key) > MAX_KEY:
                self._tell(place, f"a key has at most {MAX_KEY} characters", line)
            if key_event.anchor is not None or key_event.tag is not None:
                self._tell(place, "a key takes no anchor (&) and no tag (!)", line)
            if key == "<<" and key_event.implicit[0]:
                self._tell(place, "merge keys are not read: write the keys out", line)
                self._value(value_event, place)
                continue
            if key in result:
                first = self._lines[place]
                self._tell(place, f"the key is there twice (lines {first} and {line})", line)
                self._value(value_event, (*place, "again"))
                continue
            self._lines[place] = line
            result[key] = self._value(value_event, place)
            if event.flow_style and result[key] is None and last is not None and _is_comma(result[last], key):
                self._tell(
                    (*path, last),
                    f"a comma separates entries, so {result[last]},{key} is two: write a decimal point, "
                    f"{result[last]}.{key}",
                    line,
                )
                del result[key]
                continue
            last = key
        return result

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> Any:
        text = event.value
        if not event.implicit[0]:  # quoted or a block: a text
            return text
        if _NOT_FINITE.fullmatch(text):
            return self._tell(path, f"must be a finite number, not {text}", _line(event), 0.0)
        if _FLOAT.fullmatch(text):
            value = float(text) if len(text) <= _MAX_DIGITS else math.inf
            if not math.isfinite(value):
                message = f"must be a finite number, not {shortened(text, 40)}"
                return self._tell(path, message, _line(event), 0.0)
            return int(text) if _INT.fullmatch(text) else value
        if _NULL.fullmatch(text):
            return None
        return True if _TRUE.fullmatch(text) else False if _FALSE.fullmatch(text) else text

    def _tell(self, path: KeyPath, message: str, line: int, instead: Any = None) -> Any:
        self._problems.append(Problem(path, message, line))
        return instead

    def _error(self, event: Event, message: str) -> FileError:
        return FileError(f"{self._source}:{_line(event)}: {message}")


def _line(event: Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _is_comma(before: Any, key: str) -> bool:
    """Whether an entry without a value is the rest of a number with a decimal comma: `{kp: 3,5}`."""
    return isinstance(before, int) and not isinstance(before, bool) and key.isascii() and key.isdigit()
