"""Formulas of signal temporal logic against another implementation, against plain Boolean logic, and against the clock.

    python -m safebo.experiments.evidence.stl --formulas 10000

Random formulas of depth 4 at most over random traces of 60 samples. Robustness is compared in every sample in which
all windows are complete with that of rtamt (Nickovic and Yamaguchi 2020), a development tool that need not be there:
`pip install --target FOLDER rtamt==0.4.10` and FOLDER in PYTHONPATH. Signs are compared with a Boolean evaluation that
follows the definition word by word. Last, the time for a formula of ten comparisons over 2,500 samples, a walk of 5 s.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import typer

from safebo.robots.evaluation.stl.parser import parse_formula
from safebo.robots.evaluation.stl.semantics import Robustness, ticks_of
from safebo.robots.evaluation.stl.tree import (
    Atom,
    Formula,
    Implies,
    Junction,
    Not,
    SignalInfo,
    Temporal,
    TimeWindow,
    Until,
)
from safebo.robots.evaluation.stl.units import ONE
from safebo.robots.evaluation.stl.values import ArrayTrace

NAMES = ("x", "y", "z")
SIGNALS = {name: SignalInfo(ONE) for name in NAMES}
SAMPLES, DEPTH, LONGEST = 60, 4, 5
"""Of a trace; of a formula; ticks of a window."""

TOLERANCE = 1e-12
TIMED = 2_500

TEN_COMPARISONS = (
    "always (abs(x - y) > 0.5 implies eventually[0 s, 500 s] abs(x - y) <= 0.2) and always (z <= 3) and "
    "always (x >= -4 scale 1 or once[0 s, 100 s] z >= 0.1) and always ((y <= 2 until[0 s, 250 s] z >= 0.2) or x <= 3) "
    "and eventually (historically[0 s, 50 s] x * y >= -2) and always[100 s, end] norm(x, y) <= 6"
)


def random_formula(rng: np.random.Generator, depth: int = DEPTH) -> tuple[str, str, bool]:
    """A formula in this project's words and in rtamt's, and whether there is no bounded window in it."""
    kind = "atom" if depth == 1 else str(rng.choice(_KINDS))
    if kind == "atom":
        limit = round(float(rng.normal()), 3)
        relation, name = rng.choice([">=", "<=", ">", "<"]), rng.choice(NAMES)
        left = str(rng.choice([name, f"abs({name})", f"({name} - {rng.choice(NAMES)})"]))
        return f"{left} {relation} {limit} scale 1", f"({left} {relation} {limit})", True
    ours, theirs, plain = random_formula(rng, depth - 1)
    if kind == "not":
        return f"not ({ours})", f"(not({theirs}))", plain
    a = int(rng.integers(0, LONGEST))
    b = int(rng.integers(a, LONGEST + 1))
    if kind in ("and", "or", "implies", "until", "since"):
        other, also, both = random_formula(rng, depth - 1)
        if kind in ("until", "since"):
            return f"({ours}) {kind}[{a} s, {b} s] ({other})", f"(({theirs}) {kind}[{a},{b}] ({also}))", False
        sign = {"and": "and", "or": "or", "implies": "->"}[kind]
        return f"({ours}) {kind} ({other})", f"(({theirs}) {sign} ({also}))", plain and both
    if plain and rng.random() < 0.3:
        return f"{kind} ({ours})", f"({kind} ({theirs}))", True
    return f"{kind}[{a} s, {b} s] ({ours})", f"({kind}[{a},{b}] ({theirs}))", False


_KINDS = (
    *("atom", "not", "and", "or", "implies", "until", "since"),
    *("always", "eventually", "historically", "once"),
)


def holds(formula: Formula, trace: ArrayTrace, i: int) -> bool:
    """Whether a formula is true in a tick: the definition, without a thought for time. Windows are complete there."""
    match formula:
        case Atom(left=left, relation=relation, right=right):
            values = Robustness(trace).values
            a, b = (float(np.broadcast_to(values.of(v), len(trace))[i]) for v in (left, right))
            return {">=": a >= b, ">": a > b, "<=": a <= b, "<": a < b}[relation]
        case Not(child=child):
            return not holds(child, trace, i)
        case Junction(kind=kind, parts=parts):
            return (all if kind == "and" else any)(holds(part, trace, i) for part in parts)
        case Implies(left=left, right=right):
            return not holds(left, trace, i) or holds(right, trace, i)
        case Temporal(kind=kind, window=window, child=child):
            back = kind in ("historically", "once")
            looked = (holds(child, trace, j) for j in _places(window, trace, i, back))
            return all(looked) if kind in ("always", "historically") else any(looked)
        case Until(kind=kind, window=window, left=left, right=right):
            step = 1 if kind == "until" else -1
            return any(
                holds(right, trace, j) and all(holds(left, trace, k) for k in range(i, j, step))
                for j in _places(window, trace, i, kind == "since")
            )
    raise TypeError(f"no formula: {formula!r}")


def _places(window: TimeWindow | None, trace: ArrayTrace, i: int, back: bool) -> list[int]:
    ticks, n = ticks_of(window, trace.period, trace.stride), len(trace)
    last = ticks.last if ticks.last is not None else n
    reach = range(ticks.first, last + 1)
    return [j for k in reach if 0 <= (j := i - k if back else i + k) < n]


def oracle() -> Callable[[str, dict[str, list[float]]], list[float]] | None:
    """Robustness by rtamt, in every sample; None where it is not installed."""
    try:
        rtamt: Any = importlib.import_module("rtamt")
    except ImportError:
        return None

    def robustness(text: str, trace: dict[str, list[float]]) -> list[float]:
        spec = rtamt.StlDiscreteTimeOfflineSpecification()
        for name in trace:
            spec.declare_var(name, "float")
        spec.spec = text
        spec.parse()
        rows = {name: list(values) for name, values in trace.items()}
        count = len(next(iter(rows.values())))
        return [float(value) for _, value in spec.evaluate({"time": list(range(count)), **rows})]

    return robustness


def compare(formulas: int, seed: int, other: Callable[..., list[float]] | None) -> dict[str, float]:
    """Largest difference from the other implementation, and signs that differ from Boolean logic."""
    rng = np.random.default_rng(seed)
    seen = {"samples": 0.0, "difference": 0.0, "signs": 0.0, "wrong": 0.0, "empty": 0.0}
    for _ in range(formulas):
        ours, theirs, _ = random_formula(rng)
        rows = {name: rng.normal(size=SAMPLES) for name in NAMES}
        trace, formula = ArrayTrace(rows), parse_formula(ours, SIGNALS)
        course = Robustness(trace).course(formula)
        if course.last < course.first:
            seen["empty"] += 1
            continue
        if other is not None:
            known = np.array(other(theirs, {n: v.tolist() for n, v in rows.items()}))
            known = known[course.first : course.last + 1]
            seen["difference"] = max(seen["difference"], float(np.abs(known - course.part).max()))
            seen["samples"] += len(known)
        i = int(rng.integers(course.first, course.last + 1))
        if course.values[i] != 0:
            seen["signs"] += 1
            seen["wrong"] += (course.values[i] > 0) != holds(formula, trace, i)
    return seen


def milliseconds(repeats: int = 20) -> float:
    """Median time for ten comparisons over a walk, reading the text left out."""
    rng = np.random.default_rng(0)
    rows = {name: np.cumsum(rng.normal(size=TIMED)) * 0.1 for name in NAMES}
    formula = parse_formula(TEN_COMPARISONS, SIGNALS)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        value = Robustness(ArrayTrace(rows)).value(formula)
        times.append(time.perf_counter() - begin)
        assert not math.isnan(value)
    return 1e3 * float(np.median(times))


def main(formulas: int = 10_000, seed: int = 0) -> None:
    """Compare and time formulas of signal temporal logic."""
    other = oracle()
    seen = compare(formulas, seed, other)
    if other is None:
        print(
            "rtamt is not installed, so robustness was compared with nothing: see this module's first lines"
        )
    else:
        verdict = "equal" if seen["difference"] <= TOLERANCE else "NOT EQUAL"
        print(
            f"{formulas:,} formulas, {seen['samples']:,.0f} samples with complete windows: {verdict} to rtamt's "
            f"robustness, largest difference {seen['difference']:.1e}"
        )
    print(
        f"signs: {seen['wrong']:.0f} of {seen['signs']:,.0f} differ from Boolean evaluation"
        + (f" ({seen['empty']:.0f} formulas fit nowhere)" if seen["empty"] else "")
    )
    print(f"ten comparisons over {TIMED:,} samples: {milliseconds():.2f} ms")


if __name__ == "__main__":
    typer.run(main)
