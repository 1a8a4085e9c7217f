"""What a dotted name leads to: the `Class` or `outer.Class` of `module:Class`."""

from __future__ import annotations

import difflib
from typing import Any


def attribute_at(value: Any, dotted: str) -> Any:
    """The attribute of a value at the end of a dotted name.

    Raises:
        LookupError: there is none; says which part, and the closest name that is there.
    """
    for part in dotted.split("."):
        if not hasattr(value, part):
            names = [key for key in vars(value) if not key.startswith("_")]
            close = difflib.get_close_matches(part, names, n=1)
            raise LookupError(f"has no {part!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        value = getattr(value, part)
    return value
