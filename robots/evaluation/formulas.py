"""Margins that a study writes as formulas: from a line of text to a number of a walk, safe when >= 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from safebo.robots.evaluation.stl.fit import fits, lasting, rows_needed
from safebo.robots.evaluation.stl.parser import parse_formula
from safebo.robots.evaluation.stl.semantics import ENDS, Course, End, Robustness, WindowError, ticks_of
from safebo.robots.evaluation.stl.tree import (
    Atom,
    Formula,
    SignalInfo,
    Temporal,
    TimeWindow,
    Until,
    conjuncts,
    signal_names,
    walk,
)
from safebo.robots.evaluation.stl.values import Trace
from safebo.robots.evaluation.stl.witness import witness_of
from safebo.types import FloatArray, QuantityInfo

FALLEN = -1.0
"""Most that a walk which fell may report: broken by a whole limit."""

UNDECIDED = 1.0
"""Size of a `weak` or `strong` margin that rests on nothing that was seen."""


@dataclass(frozen=True)
class Decisive:
    """What a formula's margin comes from.

    Args:
        time: s since the start of the walk.
        atom: number of the comparison in the formula, from 1 on.
        text: the comparison.
        distance: of its sides at that time, in its own unit; safe when >= 0, and below where it stands under a `not`.
        unit: of the distance.
    """

    time: float
    atom: int
    text: str
    distance: float
    unit: str


@dataclass(frozen=True)
class FormulaMargin:
    """A margin given by a formula: its robustness, a number without unit. 1 is a limit kept by its own size.

    Args:
        name: of the margin.
        text: of the formula.
        formula: it, parsed.
        end: what counts where the walk ends before a window does.
        source: text from which the places in the formula count.
    """

    name: str
    text: str
    formula: Formula
    end: End = "complete"
    source: str = ""

    # -- what it is -----------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> tuple[tuple[TimeWindow | None, Formula], ...] | None:
        """Window and inside of every `always` that it consists of; None where it is anything else.

        Only such a margin is a minimum over the walk, with a course, a margin to go from every state, and minima within
        strides.
        """
        found = [lasting(part) for part in conjuncts(self.formula)]
        return tuple(f for f in found if f is not None) if all(f is not None for f in found) else None

    @property
    def info(self) -> QuantityInfo:
        """Name, unit and what it says."""
        notes = [self.text, "robustness of the formula, 1 is a limit kept by its own size, at the samples"]
        if self.end != "complete":
            notes.append(f"{self.end} at the end of the walk")
        if self.parts is None:
            notes.append(
                "no margin to go and no minima within strides: it is no 'always' of bounded windows over the whole walk"
            )
        count = len(conjuncts(self.formula))
        if count > 1:
            notes.append(
                f"{count} demands in one number: with split: true each is a margin of its own, which is easier to learn"
            )
        return QuantityInfo(self.name, "1", "; ".join(notes))

    def signals(self) -> tuple[str, ...]:
        """Names of the signals that it needs."""
        return signal_names(self.formula)

    def check(self, period: float, stride: float, seconds: float) -> None:
        """Refuse it for walks in which it has no value.

        Raises:
            ValueError: a window without ticks, or one that never fits; names the length that is needed.
        """
        where = f"margin {self.name!r}"
        rows = max(1, round(seconds / period))
        try:
            if fits(self.formula, rows, period, stride):
                return
            needed = rows_needed(self.formula, period, stride)
        except WindowError as error:
            raise ValueError(f"{where}: {error}") from None
        if needed is None:
            raise ValueError(
                f"{where}: it asks in the first tick of the walk for what was before it: put an always or eventually "
                "around what looks back"
            )
        raise ValueError(
            f"{where}: its windows fit nowhere into a walk of {seconds:g} s (strides of {stride:g} s): it takes "
            f"{needed * period:g} s; walk longer (option seconds) or choose shorter windows"
        )

    # -- what a walk shows ----------------------------------------------------------------------------

    def robustness(self, trace: Trace, rows: int | None = None, unseen: float = math.inf) -> Robustness:
        """Of its formula over a trace, by its own convention at the end."""
        return Robustness(trace, self.end, rows, unseen)

    def upper(self, trace: Trace, rows: int | None = None) -> float:
        """The most that the walk can still reach; of a whole walk, what it reached.

        Args:
            trace: of the walk, or of its beginning.
            rows: ticks of the whole walk; None: those of the trace.
        """
        value = self.robustness(trace, rows).value(self.formula)
        if self.end != "complete" and (rows is None or rows <= len(trace)):
            return UNDECIDED * np.sign(value) if math.isinf(value) else value
        return value

    def decided(self, trace: Trace, rows: int) -> bool:
        """Whether a walk may end here: the margin is broken, or what is left can hardly add to what was seen.

        What was seen of an `always` stays seen, as of any minimum over time; every other formula has to be decided.
        """
        upper = self.upper(trace, rows)
        if upper < 0:
            return True
        if self.parts is not None:
            return math.isfinite(upper)
        return upper == self.robustness(trace, rows, -math.inf).value(self.formula)

    def course(self, trace: Trace, rows: int) -> FloatArray | None:
        """The margin over time, whose minimum is the margin: in every tick what the windows say that close there.

        Infinity before the first window closes. Windows that the end of the walk cut off count in its last tick, where
        they decide. None where it is no minimum over time.

        Args:
            trace: of the walk.
            rows: ticks of the whole walk.
        """
        if self.parts is None:
            return None
        complete = Robustness(trace)
        values = np.full(len(trace), np.inf)
        for window, inside in self.parts:
            course = complete.course(inside)
            first = max(ticks_of(window, trace.period, trace.stride).first, course.first)
            if course.last < first:  # no window has closed
                continue
            closed = values[first + len(trace) - 1 - course.last :]
            np.minimum(closed, course.values[first : course.last + 1], out=closed)
        upper = self.upper(trace, rows)
        if upper < values.min():
            values[-1] = upper
        return values

    def first_closed(self, period: float, stride: float) -> float:
        """Seconds after which every one of its windows has closed once."""
        needed = rows_needed(self.formula, period, stride)
        return 0.0 if needed is None else (needed - 1) * period

    def decisive(self, trace: Trace) -> Decisive | None:
        """The time and the comparison that decide; None where nothing that was seen does."""
        robustness = self.robustness(trace)
        if math.isnan(robustness.value(self.formula)):
            return None
        found = witness_of(robustness, self.formula)
        if not 0 <= found.tick < len(trace):
            return None
        atoms = [node for node in walk(self.formula) if isinstance(node, Atom)]
        number = next(i for i, atom in enumerate(atoms, 1) if atom == found.atom)
        course: Course = robustness.course(found.atom)
        scale = found.atom.scale
        start, end = found.atom.span
        return Decisive(
            found.tick * trace.period,
            number,
            self.source[start:end],
            float(course.values[found.tick]) * scale.value,
            str(scale.unit),
        )


def words(margin: FormulaMargin, value: float, trace: Trace) -> str:
    """What decided a margin, in a sentence; empty where nothing that was seen did."""
    found = margin.decisive(trace)
    if found is None:
        return ""
    how = "missed" if found.distance < 0 else "kept"
    return (
        f"{margin.name} {value:.3g}, decided at {found.time:.3f} s: {found.text} {how} by "
        f"{abs(found.distance):.3g} {found.unit}"
    )


def one_margin(name: str, text: str, signals: Mapping[str, SignalInfo], end: str) -> FormulaMargin:
    """A margin from its text.

    Raises:
        ValueError: the text is no formula that can be a margin; says where and what is allowed.
    """
    if end not in ENDS:
        raise ValueError(f"margin {name!r}: end must be {', '.join(ENDS[:-1])} or {ENDS[-1]}, got {end!r}")
    text = " ".join(text.split())
    try:
        formula = parse_formula(text, signals)
    except ValueError as error:
        raise ValueError(f"margin {name!r}: {error}") from None
    if not any(isinstance(node, Temporal | Until) for node in walk(formula)):
        raise ValueError(
            f"margin {name!r}: it looks at the first tick of the walk alone; for the whole walk write always ({text})"
        )
    return FormulaMargin(name, text, formula, end, text)


def each_of(margin: FormulaMargin) -> tuple[FormulaMargin, ...]:
    """Every demand of a margin as one of its own, `name.1`, `name.2` and so on.

    Raises:
        ValueError: it is one demand.
    """
    parts = conjuncts(margin.formula)
    if len(parts) < 2:
        raise ValueError(f"margin {margin.name!r}: split: true needs demands joined by 'and' on the outside")
    found = []
    for number, part in enumerate(parts, 1):
        start, end = part.span
        name, text = f"{margin.name}.{number}", margin.source[start:end]
        if not any(isinstance(node, Temporal | Until) for node in walk(part)):
            raise ValueError(f"margin {name!r}: it looks at the first tick of the walk alone: {text}")
        found.append(FormulaMargin(name, text, part, margin.end, margin.source))
    return tuple(found)
