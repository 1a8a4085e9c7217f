"""How far a formula is from being broken: its robustness, exact at the samples.

With ticks 0 .. n-1 of period dt, a window `[a, b]` is the ticks ceil(a/dt) .. floor(b/dt) away:

    (p >= c) at i             (p_i - c) / scale
    not, and, or, implies     minus, min, max, max(-left, right)
    always[a, b] f            min of f over i+a .. i+b;  eventually: max;  historically, once: the same over i-b .. i-a
    f until[a, b] g           max over j in i+a .. i+b of min(g_j, min of f over i <= k < j);  since: mirrored
    without window, [a, end]  over all that is left of the walk

(Donze and Maler 2010). Where the walk ends before a window does, there are three conventions. `complete`: the formula
has no value there, and what looks over all that is left passes over such ticks. `weak` and `strong`: what was never
seen counts as kept, and as broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from safebo.robots.evaluation.stl.tree import (
    Atom,
    Formula,
    Implies,
    Junction,
    Not,
    Number,
    Temporal,
    TimeWindow,
    Until,
)
from safebo.robots.evaluation.stl.values import Trace, Values
from safebo.robots.evaluation.stl.windows import moving_minimum, suffix_minimum, until_ever
from safebo.types import FloatArray

End = Literal["complete", "weak", "strong"]
"""What counts where the walk ends before a window does."""

ENDS: tuple[End, ...] = ("complete", "weak", "strong")


class WindowError(ValueError):
    """A window in which no tick lies, or that never fits into a walk."""


@dataclass(frozen=True)
class Ticks:
    """A window in ticks; `last` None: all that is left."""

    first: int
    last: int | None


def ticks_of(window: TimeWindow | None, period: float, stride: float) -> Ticks:
    """The ticks of a window.

    Raises:
        WindowError: there are none.
    """
    if window is None:
        return Ticks(0, None)
    a = _seconds(window.start, stride) / period
    first = math.ceil(a - 1e-6)
    if window.end is None:
        return Ticks(first, None)
    b = _seconds(window.end, stride) / period
    last = math.floor(b + 1e-6)
    if last < first:
        raise WindowError(
            f"in the window from {a * period:g} s to {b * period:g} s lies no tick: there is one every {period:g} s"
        )
    return Ticks(first, last)


def _seconds(time: Number, stride: float) -> float:
    return time.value * time.unit.si(stride)


@dataclass(frozen=True)
class Course:
    """A robustness over time.

    Args:
        values: in every tick, `n`; those outside `first` .. `last` mean nothing.
        first, last: ticks in which it has a value; `last < first` where it has none anywhere.
    """

    values: FloatArray
    first: int
    last: int

    @property
    def part(self) -> FloatArray:
        """Where it has a value."""
        return self.values[self.first : self.last + 1]


@dataclass
class Robustness:
    """Robustness of formulas over one trace.

    Args:
        trace: the signals.
        end: what counts where a window runs past the end, or the start.
        rows: ticks of the whole walk, where the trace is its beginning; None: of the trace.
        unseen: what an atom is in ticks that were not walked: infinity gives an upper bound of what the whole walk's
            robustness can still be, minus infinity a lower one.
    """

    trace: Trace
    end: End = "complete"
    rows: int | None = None
    unseen: float = math.inf
    values: Values = field(init=False)
    _known: dict[tuple[Formula, bool], Course] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.values = Values(self.trace)
        self._rows = len(self.trace) if self.rows is None else max(self.rows, len(self.trace))

    def course(self, formula: Formula, positive: bool = True) -> Course:
        """Robustness in every tick.

        Args:
            formula: of it.
            positive: whether it stands under an even number of negations: bounds of a formula from above are bounds
                of what it negates from below.
        """
        known = self._known.get((formula, positive))
        if known is None:
            known = self._known[formula, positive] = self._course(formula, positive)
        return known

    def value(self, formula: Formula) -> float:
        """Robustness of the walk: in its first tick. NaN where `complete` windows do not fit there."""
        course = self.course(formula)
        return float(course.values[0]) if course.first <= 0 <= course.last else math.nan

    def ticks(self, window: TimeWindow | None) -> Ticks:
        """The ticks of a window on this trace."""
        return ticks_of(window, self.trace.period, self.trace.stride)

    # -- one rule for every kind ----------------------------------------------------------------------

    def _course(self, formula: Formula, positive: bool) -> Course:
        match formula:
            case Atom():
                return self._atom(formula, positive)
            case Not(child=child):
                inner = self.course(child, not positive)
                return Course(-inner.values, inner.first, inner.last)
            case Junction(kind=kind, parts=parts):
                courses = [self.course(part, positive) for part in parts]
                joined = np.minimum if kind == "and" else np.maximum
                values = courses[0].values
                for other in courses[1:]:
                    values = joined(values, other.values)
                return self._within(values, *courses)
            case Implies(left=left, right=right):
                first, then = self.course(left, not positive), self.course(right, positive)
                return self._within(np.maximum(-first.values, then.values), first, then)
            case Temporal():
                return self._temporal(formula, positive)
            case Until():
                return self._until(formula, positive)
        raise TypeError(f"no formula: {formula!r}")

    def _atom(self, atom: Atom, positive: bool) -> Course:
        difference = self.values.of(atom.left) - self.values.of(atom.right)
        if atom.relation in ("<=", "<"):
            difference = -difference
        values = difference / (atom.scale.value * atom.scale.unit.si(self.trace.stride))
        if len(values) < self._rows:
            unseen = np.full(self._rows - len(values), self.unseen if positive else -self.unseen)
            values = np.concatenate([values, unseen])
        return Course(values, 0, self._rows - 1)

    def _within(self, values: FloatArray, *courses: Course) -> Course:
        return Course(values, max(c.first for c in courses), min(c.last for c in courses))

    def _temporal(self, formula: Temporal, positive: bool) -> Course:
        """Everything as a minimum over what lies ahead: signs and the direction of time are turned for the others."""
        ticks, back = self.ticks(formula.window), formula.kind in ("historically", "once")
        sign = 1.0 if formula.kind in ("always", "historically") else -1.0
        child = self.course(formula.child, positive)
        turned = _mirrored(child) if back else child
        found = self._always(Course(sign * turned.values, turned.first, turned.last), ticks, sign, positive)
        found = Course(sign * found.values, found.first, found.last)
        return _mirrored(found) if back else found

    def _always(self, child: Course, ticks: Ticks, sign: float, positive: bool) -> Course:
        values = np.full(self._rows, np.nan)
        if ticks.last is None:
            # From every tick, all that is left and has a value.
            last = child.last - ticks.first
            if child.last >= child.first and last >= 0:
                least = suffix_minimum(child.part)
                at = np.maximum(np.arange(last + 1) + ticks.first, child.first) - child.first
                values[: last + 1] = least[at]
            found = Course(values, 0, last if child.last >= child.first else -1)
            return found if self.end == "complete" else self._filled(found, sign, positive)
        if self.end != "complete":
            child = self._padded(child, ticks.last, sign, positive)
        first, last = max(0, child.first - ticks.first), child.last - ticks.last
        if last >= first:
            # A tick before the first one would need what was before the walk.
            begin = first + ticks.first
            values[first : last + 1] = moving_minimum(
                child.values[begin : last + ticks.last + 1], ticks.last - ticks.first + 1
            )
        return Course(values, first, last)

    def _until(self, formula: Until, positive: bool) -> Course:
        ticks, back = self.ticks(formula.window), formula.kind == "since"
        assert ticks.last is not None
        right = self.course(formula.right, positive)
        if ticks.last == 0:
            return right
        left = self.course(formula.left, positive)
        if back:
            left, right = _mirrored(left), _mirrored(right)
        if self.end != "complete":
            left, right = (self._padded(c, ticks.last, 1.0, positive) for c in (left, right))
        a, b = ticks.first, ticks.last
        first, last = max(0, left.first, right.first - a), min(right.last - b, left.last - b + 1)
        values = np.full(self._rows, np.nan)
        if last >= first:
            # left until[a,b] right = left always before a, and from there left until right, and right within b - a:
            # a later end than b adds nothing that the last of these does not bound (Donze et al. 2013).
            begin, stop = first + a, last + b + 1
            goal = right.values[begin:stop]
            keep = np.append(left.values[begin : stop - 1], -np.inf)
            count = last - first + 1
            within = np.minimum(until_ever(keep, goal)[:count], -moving_minimum(-goal, b - a + 1))
            if a:
                within = np.minimum(within, moving_minimum(left.values[first : last + a], a))
            values[first : last + 1] = within
        found = Course(values, first, last)
        return _mirrored(found) if back else found

    # -- weak and strong ------------------------------------------------------------------------------

    def _fill(self, sign: float, positive: bool) -> float:
        """What stands for what was never seen, in values whose sign was turned or not."""
        kept = self.end == "weak"
        return sign * math.inf * (1.0 if kept == positive else -1.0)

    def _padded(self, course: Course, count: int, sign: float, positive: bool) -> Course:
        beyond = np.full(count, self._fill(sign, positive))
        return Course(np.concatenate([course.values, beyond]), course.first, course.last + count)

    def _filled(self, course: Course, sign: float, positive: bool) -> Course:
        values = course.values.copy()
        values[max(0, course.last + 1) :] = self._fill(sign, positive)
        return Course(values, 0, self._rows - 1)


def _mirrored(course: Course) -> Course:
    """The course with time running back."""
    n = len(course.values)
    return Course(course.values[::-1], n - 1 - course.last, n - 1 - course.first)
