"""Margins that are the same number whatever the gains: capped, rounded or a yes/no, they do not show a limit coming.

A margin that is the distance to its limit differs, if only in its last digit, from gains to gains. Loads no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from safebo.evaluators.outcome import margins_of
from safebo.study import Study
from safebo.types import Measurement

FEWEST = 3
"""Different gains that measured the same number, from which on it is said."""


def unvarying_margins(
    shown: Iterable[tuple[Mapping[str, Any], Measurement | None]], study: Study
) -> dict[str, str]:
    """By margin, a sentence on a value that at least `FEWEST` different gains, and half of them, measured.

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
    for constraint in study.constraints:
        seen = values[constraint.name]
        value, count = next(iter(Counter(seen.values()).most_common(1)), (0.0, 0))
        if count >= FEWEST and 2 * count >= len(seen):
            found[constraint.name] = (
                f"{constraint.name} is exactly {f'{value:.6g} {constraint.unit}'.rstrip()} with {count} of {len(seen)} "
                "different gains: a margin that is capped, rounded or a yes or no does not show how near its limit is, "
                "and no certificate sees that limit coming"
            )
    return found
