"""Durations as people write them: seconds, or a number with a unit (`40 min`); and operating times in words."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each."""

_TEXT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*")


def seconds(value: Any) -> float:
    """A duration in seconds.

    Raises:
        ValueError: it is none, or not positive.
    """
    found = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if found and found[2] in UNITS:
        number = float(found[1]) * UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError(
            f"must be a duration > 0: seconds, or a number with a unit ({', '.join(UNITS)}), as in 40 min, "
            f"not {value!r}"
        )
    return number


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
"""Seconds, also written with a unit."""


def duration_text(value: float) -> str:
    """Seconds in words: 38 s, 12.5 min, 3.2 h."""
    if abs(value) < 90.0:
        return f"{value:.0f} s"
    if abs(value) < 2 * UNITS["h"]:
        return f"{value / UNITS['min']:.3g} min"
    if abs(value) < 3 * UNITS["d"]:
        return f"{value / UNITS['h']:.3g} h"
    return f"{value / UNITS['d']:.3g} d"
