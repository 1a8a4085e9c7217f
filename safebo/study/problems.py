"""What may be wrong in a study wherever it stands, and the parts of messages that help."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from safebo.files.problems import KeyPath, Problem, listed, shown

_MAX_COMPARED = 200
"""Names that are compared with a misspelt one, and characters of it."""


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


def named_values(
    values: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    path: KeyPath,
    what: str = "parameter",
    gives: str = "gives",
) -> Iterator[Problem]:
    """What is wrong with a mapping that must have a value within its bounds for every name, and no other names."""
    missing = [name for name in bounds if name not in values]
    if missing:
        yield Problem(path, f"{gives} no value for {listed(missing)}")
    for name, value in values.items():
        if name not in bounds:
            yield unknown((*path, name), what, name, bounds)
            continue
        lower, upper = bounds[name]
        # Bounds that are wrong themselves are told where they stand.
        if lower < upper and not lower <= value <= upper:
            yield Problem(
                (*path, name), f"{value:g} is outside the bounds [{lower:g}, {upper:g}] of {name!r}"
            )
