"""Margins that are the same number whatever the gains: capped, rounded or a yes/no, they do not show a limit coming.

A margin that is the distance to its limit differs, if only in its last digit, from gains to gains. Loads no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from safebo.evaluators.outcome import margins_of
from safebo.study import Study
from safebo.types import Measurement

FEWEST = 3
"""Different gains that measured the same number, from which on it is said."""


@dataclass(frozen=True)
class SharedValue:
    """A value of a margin that `count` of `of` different gains measured."""

    value: float
    count: int
    of: int


def shared_values(
    shown: Iterable[tuple[Mapping[str, Any], Measurement | None]], study: Study
) -> dict[str, SharedValue]:
    """By margin, the value that at least `FEWEST` different gains, and half of them, measured; without the others.

    Args:
        shown: gains by name and what a trial of them measured, of one context or several.
        study: with the margins.
    """
    values: dict[str, dict[Any, float]] = {c.name: {} for c in study.constraints}
    for parameters, measurement in shown:
        if measurement is not None and measurement.outcome == "completed":
            for name, value in margins_of(study, measurement).items():
                values[name].setdefault(tuple(parameters.values()), value)
    found = {}
    for name, seen in values.items():
        value, count = next(iter(Counter(seen.values()).most_common(1)), (0.0, 0))
        if count >= FEWEST and 2 * count >= len(seen):
            found[name] = SharedValue(value, count, len(seen))
    return found


def unvarying_margins(
    shown: Iterable[tuple[Mapping[str, Any], Measurement | None]], study: Study
) -> dict[str, str]:
    """By margin, a sentence on a value that different gains share; see `shared_values`."""
    units = {c.name: c.unit for c in study.constraints}
    return {
        name: f"{name} is exactly {f'{found.value:.6g} {units[name]}'.rstrip()} with {found.count} of {found.of} "
        "different gains: a margin that is capped, rounded or a yes or no does not show how near its limit is. No "
        "certificate sees that limit coming, and such values do not speak for the declared prior"
        for name, found in shared_values(shown, study).items()
    }
