"""Robustness against the definition, evaluated word by word in every tick."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.evaluation.stl.fit import domain, fits, lasting, rows_needed
from safebo.robots.evaluation.stl.parser import parse_formula
from safebo.robots.evaluation.stl.semantics import Robustness, WindowError, ticks_of
from safebo.robots.evaluation.stl.tree import (
    Atom,
    Formula,
    Implies,
    Junction,
    Not,
    Number,
    SignalInfo,
    SignalValue,
    Temporal,
    TimeWindow,
    Until,
)
from safebo.robots.evaluation.stl.units import ONE, S
from safebo.robots.evaluation.stl.values import ArrayTrace
from safebo.robots.evaluation.stl.windows import moving_minimum
from safebo.robots.evaluation.stl.witness import witness_of

NAMES = ("x", "y")
SIGNALS = {name: SignalInfo(ONE) for name in NAMES}
INF = math.inf


def seconds(ticks: int) -> Number:
    return Number(S, value=float(ticks))


windows = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(
    lambda ab: TimeWindow(seconds(min(ab)), seconds(max(ab)))
)
open_windows = st.one_of(st.none(), windows, st.integers(0, 3).map(lambda a: TimeWindow(seconds(a), None)))
atoms = st.builds(
    lambda name, relation, limit, scale: Atom(
        SignalValue(axis="ticks", name=name), relation, Number(value=limit), Number(value=scale)
    ),
    st.sampled_from(NAMES),
    st.sampled_from([">=", "<=", ">", "<"]),
    st.integers(-3, 3).map(float),
    st.sampled_from([1.0, 0.5]),
)


def larger(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    temporal = st.sampled_from(["always", "eventually", "historically", "once"])
    return st.one_of(
        st.builds(Not, inner),
        st.builds(Junction, st.sampled_from(["and", "or"]), st.tuples(inner, inner)),
        st.builds(Implies, inner, inner),
        st.builds(Temporal, temporal, open_windows, inner),
        st.builds(Until, st.sampled_from(["until", "since"]), windows, inner, inner),
    )


formulas: st.SearchStrategy[Formula] = st.recursive(atoms, larger, max_leaves=5)
rows = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=14)


def trace_of(values: list[tuple[int, int]]) -> ArrayTrace:
    table = np.array(values, dtype=float)
    return ArrayTrace(dict(zip(NAMES, table.T, strict=True)))


class Definition:
    """The definition, tick by tick: None where a complete window does not fit, `fill` beyond the trace else."""

    def __init__(self, trace: ArrayTrace, fill: float | None = None, count: int | None = None) -> None:
        self.trace, self.fill = trace, fill
        self.seen = len(trace)
        self.count = count or self.seen

    def of(self, f: Formula, i: int, positive: bool = True) -> float | None:
        if not 0 <= i < self.count:
            return None if self.fill is None else self.fill * (1 if positive else -1)
        match f:
            case Atom(left=SignalValue(name=name), relation=relation, right=Number(value=limit), scale=scale):
                if i >= self.seen:
                    return INF if positive else -INF
                distance = (float(self.trace[name][i]) - limit) / scale.value
                return distance if relation in (">=", ">") else -distance
            case Not(child=child):
                inner = self.of(child, i, not positive)
                return None if inner is None else -inner
            case Junction(kind=kind, parts=parts):
                return best([self.of(p, i, positive) for p in parts], kind == "and")
            case Implies(left=left, right=right):
                first, then = self.of(left, i, not positive), self.of(right, i, positive)
                return None if first is None or then is None else max(-first, then)
            case Temporal(kind=kind, window=window, child=child):
                return self.temporal(kind, window, child, i, positive)
            case Until(kind=kind, window=window, left=left, right=right):
                ticks, step = ticks_of(window, 1.0, 1.0), 1 if kind == "until" else -1
                assert ticks.last is not None
                goals = []
                for k in range(ticks.first, ticks.last + 1):
                    kept = [self.of(left, i + step * m, positive) for m in range(k)]
                    goals.append(best([self.of(right, i + step * k, positive), *kept], True))
                return best(goals, False)
        raise AssertionError(f)

    def temporal(self, kind, window, child, i, positive):
        ticks, step = ticks_of(window, 1.0, 1.0), 1 if kind in ("always", "eventually") else -1
        least = kind in ("always", "historically")
        if ticks.last is not None:
            reach = range(ticks.first, ticks.last + 1)
            return best([self.of(child, i + step * k, positive) for k in reach], least)
        left = [i + step * k for k in range(ticks.first, self.count) if 0 <= i + step * k < self.count]
        values = [self.of(child, j, positive) for j in left]
        known = [v for v in values if v is not None]
        if known:
            return best(known, least)
        return None if self.fill is None else self.fill * (1 if positive else -1)


def best(values, least):
    if any(v is None for v in values):
        return None
    return min(values) if least else max(values)


@settings(max_examples=400, deadline=None)
@given(formulas, rows)
def test_robustness_is_the_definition_where_windows_are_complete(formula, values) -> None:
    trace = trace_of(values)
    course, by_hand = Robustness(trace).course(formula), Definition(trace)
    for i in range(len(trace)):
        expected = by_hand.of(formula, i)
        assert (course.first <= i <= course.last) == (expected is not None)
        if expected is not None:
            assert course.values[i] == expected


@settings(max_examples=300, deadline=None)
@given(formulas, rows)
def test_weak_and_strong_take_what_was_never_seen_for_kept_or_broken(formula, values) -> None:
    trace = trace_of(values)
    for end, fill in (("weak", INF), ("strong", -INF)):
        course, by_hand = Robustness(trace, end).course(formula), Definition(trace, fill)  # type: ignore[arg-type]
        assert [course.values[i] for i in range(len(trace))] == [
            by_hand.of(formula, i) for i in range(len(trace))
        ]


@settings(max_examples=300, deadline=None)
@given(formulas, rows, st.integers(1, 14))
def test_bounds_of_a_running_walk_hold_whatever_comes(formula, values, seen) -> None:
    trace = trace_of(values)
    seen = min(seen, len(trace))
    whole = Robustness(trace).course(formula)
    part = trace_of(values[:seen])
    upper, lower = (Robustness(part, rows=len(trace), unseen=u).course(formula) for u in (INF, -INF))
    assert (upper.first, upper.last) == (whole.first, whole.last)
    by_hand = Definition(part, count=len(trace))
    for i in range(whole.first, whole.last + 1):
        assert lower.values[i] <= whole.values[i] <= upper.values[i]
        assert upper.values[i] == by_hand.of(formula, i)
        if seen == len(trace):
            assert lower.values[i] == upper.values[i]


@settings(max_examples=300, deadline=None)
@given(formulas, rows)
def test_the_witness_has_the_formulas_robustness(formula, values) -> None:
    trace = trace_of(values)
    robustness = Robustness(trace)
    course = robustness.course(formula)
    for i in range(course.first, course.last + 1):
        found = witness_of(robustness, formula, i)
        assert abs(robustness.course(found.atom).values[found.tick]) == abs(course.values[i])


@settings(max_examples=300, deadline=None)
@given(formulas, st.integers(1, 30))
def test_where_a_formula_fits_is_known_without_a_walk(formula, count) -> None:
    course = Robustness(trace_of([(0, 0)] * count)).course(formula)
    first, last = domain(formula, count, 1.0, 1.0)
    assert (course.first, course.last) == (first, last) or (course.last < course.first and last < first)
    needed = rows_needed(formula, 1.0, 1.0)
    assert fits(formula, count, 1.0, 1.0) == (needed is not None and count >= needed)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.integers(1, 40))
def test_a_moving_minimum_is_the_minimum_of_every_window(values, width) -> None:
    width = min(width, len(values))
    expected = [min(values[i : i + width]) for i in range(len(values) - width + 1)]
    assert moving_minimum(np.array(values), width).tolist() == expected


def test_a_window_is_the_ticks_that_lie_in_it() -> None:
    def ticks(text: str) -> tuple[int, int | None]:
        formula = parse_formula(f"always{text} x >= 1", SIGNALS)
        assert isinstance(formula, Temporal)
        found = ticks_of(formula.window, 0.002, 0.5)
        return found.first, found.last

    assert ticks("[0 s, 1 s]") == (0, 500)
    assert ticks("[3 ms, 9 ms]") == (2, 4)
    assert ticks("[300 ms, 0.3 s]") == (150, 150)  # 0.3 / 0.002 is not 150 in floating point
    assert ticks("[2002 ms, end]") == (1001, None)  # 2002 * 0.001 / 0.002 is more than 1001
    assert ticks("[0.5 stride, 2 stride]") == (125, 500)
    assert ticks("[1 s, end]") == (500, None)
    assert ticks("") == (0, None)
    with pytest.raises(
        WindowError, match=r"from 0.003 s to 0.0035 s lies no tick: there is one every 0.002 s"
    ):
        ticks("[3 ms, 3.5 ms]")


@pytest.mark.parametrize(
    ("text", "needed", "lasts"),
    [
        ("always x >= 1", 1, True),
        ("always[2 s, end] x >= 1", 3, True),
        ("always (x >= 1 implies eventually[0 s, 5 s] always[0 s, 3 s] x <= 0 scale 1)", 9, True),
        ("always once[0 s, 4 s] x >= 1", 5, True),
        ("eventually[3 s, 6 s] x >= 1", 7, False),
        ("eventually x >= 1", 1, False),
        ("always eventually x >= 1", 1, False),
        ("not eventually x >= 1", 1, False),
        ("once[0 s, 4 s] x >= 1", None, False),
    ],
)
def test_the_walk_that_a_formula_needs_and_whether_it_is_a_minimum_over_time(text, needed, lasts) -> None:
    formula = parse_formula(text, SIGNALS)
    assert rows_needed(formula, 1.0, 1.0) == needed
    assert (lasting(formula) is not None) == lasts


def test_robustness_counts_in_limits() -> None:
    trace = ArrayTrace({"x": np.array([1.0, 3.0])}, 1.0)
    for text, expected in [
        ("always x <= 4", 0.25),
        ("always x <= 4 scale 2", 0.5),
        ("always x >= -2", 1.5),
        ("eventually x - 1 >= 2", 0.0),
    ]:
        assert Robustness(trace).value(parse_formula(text, SIGNALS)) == pytest.approx(expected)
