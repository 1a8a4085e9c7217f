"""What is wrong in a file: where, what, how much of it a person is told, and the parts of messages that help."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]

_MAX_SHOWN = 80
"""Characters of a value that a message shows."""

_MAX_NAMES = 60
"""Names that a message lists."""

_MAX_MESSAGE = 700
"""Characters of one message."""

_MAX_COMPARED = 200
"""Names that are compared with a misspelt one, and characters of it."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file: where (`path` of keys and list indices) and what.

    `line` is given where the path alone would lead to another one.
    """

    path: KeyPath
    message: str
    line: int | None = None


def key_path_text(path: KeyPath) -> str:
    """A path of keys as people write it: `parameters[1].bounds`."""
    text = ""
    for part in path:
        name = shortened(str(part))
        text += f"[{part}]" if isinstance(part, int) else (f".{name}" if text else name)
    return text or "(the whole file)"


def shown(value: object) -> str:
    """A value as a message shows it: in its kind's words, or as it is written, not too long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return shortened(repr(value))


def shortened(text: str, most: int = _MAX_SHOWN) -> str:
    """The text, or its beginning and how long it is.

    Example:
        >>> shortened("9" * 5000, 8)
        '99999999... (5,000 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def listed(names: Iterable[object]) -> str:
    """Names joined by commas: `none` for none, and of many the first ones and how many more there are."""
    every = [shortened(str(name)) for name in names]
    if len(every) <= _MAX_NAMES:
        return ", ".join(every) or "none"
    return f"{', '.join(every[:_MAX_NAMES])} and {len(every) - _MAX_NAMES:,} more"


def problem_lines(source: str, lines: Mapping[KeyPath, int], problems: Sequence[Problem]) -> list[str]:
    """One line for each problem, in the order of the file.

    Args:
        source: the file, for people.
        lines: line of each key path.
        problems: what is wrong.
    """

    def line(problem: Problem) -> int:
        path = problem.path
        while path and path not in lines:
            path = path[:-1]
        return problem.line or lines.get(path, 0)

    texts: list[str] = []
    for problem in sorted(dict.fromkeys(problems), key=line):
        where = f"{source}:{line(problem)}" if line(problem) else source
        place = f"{key_path_text(problem.path)}: " if problem.path else ""
        texts.append(f"{where}: {place}{_without_its_middle(problem.message)}")
    return texts


def _without_its_middle(message: str) -> str:
    if len(message) <= _MAX_MESSAGE:
        return message
    half = _MAX_MESSAGE // 2
    return f"{message[:half]} ... {message[-half:]}"


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Everything in nested mappings and lists that is neither, or empty, with its path."""
    if isinstance(value, dict | list | tuple) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'? (allowed: x, y)`, the part of an error that helps."""
    names = list(allowed)
    close = difflib.get_close_matches(str(name)[:_MAX_COMPARED], names[:_MAX_COMPARED], n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (allowed: {listed(names)})"


def unknown(path: KeyPath, what: str, name: str, allowed: Iterable[str], start: str = "unknown") -> Problem:
    """A name that is none of those allowed, what was probably meant, and what is allowed."""
    return Problem(path, f"{start} {what} {shown(name)}" + did_you_mean(name, allowed))
