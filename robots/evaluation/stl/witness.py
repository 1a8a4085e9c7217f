"""Which tick and which comparison decide a robustness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from safebo.robots.evaluation.stl.semantics import Course, Robustness
from safebo.robots.evaluation.stl.tree import Atom, Formula, Implies, Junction, Not, Temporal, Until
from safebo.types import FloatArray


@dataclass(frozen=True)
class Witness:
    """What decides a robustness.

    Args:
        tick: in which; it may lie beyond what was walked.
        atom: the comparison that decides; its robustness, or minus that under a negation, is the formula's.
    """

    tick: int
    atom: Atom


def witness_of(robustness: Robustness, formula: Formula, tick: int = 0) -> Witness:
    """The tick and the comparison from which a formula's robustness at a tick comes; the first of several."""
    positive = True
    while not isinstance(formula, Atom):
        match formula:
            case Not(child=child):
                formula, positive = child, not positive
            case Junction(kind=kind, parts=parts):
                values = [_at(robustness.course(part, positive), tick) for part in parts]
                formula = parts[int(np.argmin(values) if kind == "and" else np.argmax(values))]
            case Implies(left=left, right=right):
                first = -_at(robustness.course(left, not positive), tick)
                if first >= _at(robustness.course(right, positive), tick):
                    formula, positive = left, not positive
                else:
                    formula = right
            case Temporal(child=child):
                tick = _decisive(robustness, formula, positive, tick)
                formula = child
            case Until():
                formula, tick = _until(robustness, formula, positive, tick)
            case _:
                raise TypeError(f"no formula: {formula!r}")
    return Witness(tick, formula)


def _at(course: Course, tick: int) -> float:
    return float(course.values[tick]) if course.first <= tick <= course.last else np.nan


def _decisive(robustness: Robustness, formula: Temporal, positive: bool, tick: int) -> int:
    """The tick in the window in which the inside is least (or largest)."""
    course, ticks = robustness.course(formula.child, positive), robustness.ticks(formula.window)
    n = len(course.values)
    last = n if ticks.last is None else ticks.last
    low, high = tick + ticks.first, tick + last
    if formula.kind in ("historically", "once"):
        low, high = tick - last, tick - ticks.first
    low, high = max(low, course.first), min(high, course.last)
    part: FloatArray = course.values[low : high + 1]
    if len(part) == 0:
        return tick
    least = formula.kind in ("always", "historically")
    return low + int(np.argmin(part) if least else np.argmax(part))


def _until(robustness: Robustness, formula: Until, positive: bool, tick: int) -> tuple[Formula, int]:
    ticks, step = robustness.ticks(formula.window), -1 if formula.kind == "since" else 1
    assert ticks.last is not None
    left, right = (robustness.course(f, positive) for f in (formula.left, formula.right))
    best, found, kept, weakest = -np.inf, (formula.right, tick), np.inf, tick
    for k in range(ticks.last + 1):
        at = tick + step * k
        goal = _at(right, at)
        if k >= ticks.first and min(goal, kept) > best:
            best = min(goal, kept)
            found = (formula.right, at) if goal <= kept else (formula.left, weakest)
        held = _at(left, at)
        if held < kept:
            kept, weakest = held, at
    return found
