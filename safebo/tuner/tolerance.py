"""How far each recommended gain may move alone before its certificate or what it gained is lost, by the posterior.

Along every axis, the other gains held, the first place is looked for at which

- the gains are not certified any more: some margin's lower bound reaches 0, or
- the objective's mean has lost 5 % of what the recommended gains gain over the seed.

An objective has no zero of its own (it may be minus a cost, or a logarithm), so a share of its value would depend on
where its unit begins; the gain over the seed does not. Where the surrogate sees no gain over the seed, it is a
twentieth of the objective's value all the same, and said so.

First passage is found by `STEPS` points on the way to the bound, then bisection to `PRECISION` of that way. A fall and
rise between two of those points is not seen. Steps and whole numbers are kept; of choices every other name is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from safebo.study.axis import Axis
from safebo.tuner.state import TunerState
from safebo.types import Certificate, FloatArray

LOSS = 0.05
"""Share of the objective's gain over the seed that may be lost."""

STEPS = 32
"""Points on the way from a gain to its bound."""

HALVINGS = 14
"""Of the way between two of them."""

PRECISION = 1.0 / (STEPS * 2**HALVINGS)
"""Of the way to the bound, to which a tolerance is known."""


@dataclass(frozen=True)
class GainLimit:
    """How far a gain may move to one side.

    Args:
        value: the last value that holds, in the gain's unit.
        by: what is lost beyond it: the name of a margin or of the objective, `parameter constraints`, or empty where it
            is the gain's own bound.
    """

    value: float
    by: str


@dataclass(frozen=True)
class GainTolerance:
    """The tolerance of one gain; limits are None for a choice.

    Args:
        name: of the gain.
        lower: how far it may fall.
        upper: how far it may rise.
        choices: of a choice, the other names that hold as well.
    """

    name: str
    lower: GainLimit | None
    upper: GainLimit | None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tolerances:
    """Of all gains at one point.

    Args:
        gains: one per gain, in the study's order.
        loss: how much of the objective may be lost, in its unit.
        of_gain: whether that is a share of the gain over the seed; else of the objective itself.
    """

    gains: tuple[GainTolerance, ...]
    loss: float
    of_gain: bool


def tolerances(state: TunerState, row: FloatArray, context: str) -> Tolerances | None:
    """Tolerances of a row of gains (`p`) in a context; None where it is not certified itself.

    Args:
        state: of a tuner that was told something.
        row: raw gains.
        context: its name.
    """
    space, objective = state.encoding.space, state.encoding.names[0]
    seeds = [space.vector(s.parameters) for s in state.study.seeds if s.context == context]
    here, *there = state.certificates([row, *seeds], context)
    if not here.certified:
        return None
    best = here.bounds[objective].mean
    gain = best - max((c.bounds[objective].mean for c in there), default=best)
    loss = LOSS * (gain if gain > 0 else abs(best))

    def lost(rows: Sequence[FloatArray]) -> list[str]:
        """What is lost at each row; empty strings where nothing is."""
        kept = space.keep(np.stack(rows)) if space.constraints else np.ones(len(rows), dtype=bool)
        found = state.certificates(list(rows), context)
        return [
            "parameter constraints" if not allowed else _lost(c, objective, best - loss)
            for allowed, c in zip(kept, found, strict=True)
        ]

    ways = [
        _Way(j, axis, row, end) for j, axis in enumerate(space.axes) if not axis.choices for end in (0.0, 1.0)
    ]
    _walk(ways, lost)
    ends = {(way.column, way.end): GainLimit(float(way.at(way.holds)[way.column]), way.by) for way in ways}
    gains = []
    for j, axis in enumerate(space.axes):
        if axis.choices:
            others = [k for k in range(axis.width) if k != round(float(row[j]))]
            rows = [_replaced(row, j, float(k)) for k in others]
            names = tuple(axis.choices[k] for k, why in zip(others, lost(rows), strict=True) if not why)
            gains.append(GainTolerance(axis.name, None, None, names))
        else:
            gains.append(GainTolerance(axis.name, ends[j, 0.0], ends[j, 1.0]))
    return Tolerances(tuple(gains), loss, gain > 0)


def _lost(found: Certificate, objective: str, least: float) -> str:
    """What is lost at a point: the margin with the lowest bound, the objective, or nothing."""
    if not found.certified:
        margins = {n: b.lower for n, b in found.bounds.items() if n != objective}
        return min(margins, key=lambda n: margins[n]) if margins else objective
    return objective if found.bounds[objective].mean < least else ""


class _Way:
    """The way of one gain to one of its bounds; `holds` is the share of it that is known to hold."""

    def __init__(self, column: int, axis: Axis, row: FloatArray, end: float) -> None:
        self.column, self.axis, self.row, self.end = column, axis, row, end
        self.place = float(axis.to_unit(row[column]))
        self.holds, self.fails, self.by = 0.0, 1.0, ""

    def at(self, share: float) -> FloatArray:
        """The gains at a share of the way; the recommended ones themselves at its beginning."""
        if share == 0.0:
            return self.row
        value = float(self.axis.from_unit(np.array([self.place + share * (self.end - self.place)]))[0])
        if self.axis.discrete:
            value = self.axis.at(self.axis.level(value))
        return _replaced(self.row, self.column, value)


def _walk(ways: Sequence[_Way], lost: Callable[[Sequence[FloatArray]], list[str]]) -> None:
    """Find on every way how far it holds; all ways are asked about together."""
    shares = [(k + 1) / STEPS for k in range(STEPS)]
    answers = lost([way.at(share) for way in ways for share in shares]) if ways else []
    open_ways = []
    for i, way in enumerate(ways):
        own = answers[i * STEPS : (i + 1) * STEPS]
        first = next((k for k, why in enumerate(own) if why), None)
        if first is None:
            way.holds = 1.0
            continue
        way.holds, way.fails, way.by = (shares[first - 1] if first else 0.0), shares[first], own[first]
        open_ways.append(way)
    for _ in range(HALVINGS if open_ways else 0):
        middles = [0.5 * (way.holds + way.fails) for way in open_ways]
        said = lost([way.at(middle) for way, middle in zip(open_ways, middles, strict=True)])
        for way, middle, why in zip(open_ways, middles, said, strict=True):
            if why:
                way.fails, way.by = middle, why
            else:
                way.holds = middle


def _replaced(row: FloatArray, column: int, value: float) -> FloatArray:
    changed = row.copy()
    changed[column] = value
    return changed
