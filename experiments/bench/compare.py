"""`safebo bench compare`: whether two folders of results differ, run by run and in the mean.

Runs are paired by task, method and seed. Where all columns but those of the machine are the same to the bit, there is
nothing to test. Where they are not, three numbers of a run are compared over the pairs: its normalised regret at the
end, its number of violations, and the share of the reachable safe inputs that it certified: Wilcoxon's signed-rank
test per method over all its tasks, and per task and method, corrected for the number of tests of each of these two
families (Holm).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from safebo.experiments.bench.measures import RunMeasures
from safebo.experiments.bench.results import Results, RunKey, load
from safebo.experiments.bench.rows import comparable
from safebo.experiments.bench.statistics import FloatArray, Interval, holm, mean_difference, signed_rank
from safebo.experiments.bench.store import Store
from safebo.report.figures.style import number
from safebo.text.counted import counted

ASPECTS = {
    "regret": "normalised regret",
    "violations": "violations",
    "safe_share": "certified share",
}
"""What is compared, and its words."""


@dataclass(frozen=True)
class DifferenceTest:
    """One test.

    Args:
        method: name. task: name; empty for all tasks of the method.
        aspect: key of `ASPECTS`.
        pairs: of runs. changed: of them, with another value.
        mean: of B minus A, with its bootstrap interval.
        p_value: as tested. corrected: for the number of tests.
        differs: whether the corrected one is at or below the level.
    """

    method: str
    task: str
    aspect: str
    pairs: int
    changed: int
    mean: Interval
    p_value: float
    corrected: float = math.nan
    differs: bool = False

    @property
    def sentence(self) -> str:
        """For people."""
        where = f"on {self.task}" if self.task else "over all tasks"
        moved = (
            f"B is {number(abs(self.mean.value))} {'larger' if self.mean.value > 0 else 'smaller'} in the mean "
            f"(95 % interval {number(self.mean.low)} to {number(self.mean.high)})"
        )
        verdict = "DIFFERS" if self.differs else "no significant difference"
        return (
            f"{self.method} {where}: {ASPECTS[self.aspect]} {verdict}: {moved}; {self.changed} of {self.pairs} pairs "
            f"changed, corrected p = {number(self.corrected, 2)}"
        )


@dataclass
class Comparison:
    """Two folders against each other.

    Args:
        same: pairs that are the same to the bit. other: pairs that are not, by task and method.
        only_a, only_b: runs that only one has, by task and method.
        redefined: tasks whose definitions differ, which are not compared.
        lengths: pairs left out as their numbers of trials differ, by task and method.
        methods: tests over all tasks of a method. tasks: tests per task and method.
        alpha: the level.
    """

    alpha: float
    same: int = 0
    other: dict[tuple[str, str], int] = field(default_factory=dict)
    only_a: dict[tuple[str, str], int] = field(default_factory=dict)
    only_b: dict[tuple[str, str], int] = field(default_factory=dict)
    redefined: list[str] = field(default_factory=list)
    lengths: dict[tuple[str, str], int] = field(default_factory=dict)
    methods: list[DifferenceTest] = field(default_factory=list)
    tasks: list[DifferenceTest] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether any test finds a difference, or a task is another one."""
        return bool(self.redefined) or any(d.differs for d in [*self.methods, *self.tasks])

    def lines(self) -> Iterator[str]:
        """The whole comparison for people."""
        pairs = self.same + sum(self.other.values())
        yield f"{pairs} runs are in both; {self.same} of them are the same to the bit, machine and times apart"
        yield from _listed("not the same", self.other)
        yield from _listed("not compared", self.lengths, " with other numbers of trials")
        for task in self.redefined:
            yield f"  not compared: task {task} is defined otherwise in B"
        yield from _listed("only in A", self.only_a)
        yield from _listed("only in B", self.only_b)
        for difference in [*self.methods, *self.tasks]:
            yield difference.sentence
        yield from self._power()
        yield self._verdict()

    def _power(self) -> Iterator[str]:
        """Says when so few pairs are there that no test could have found anything."""
        for family in (self.methods, self.tasks):
            # the smallest p-value of so many pairs is that of all signs alike
            if family and all(2.0 ** (1 - d.changed) * len(family) > self.alpha for d in family):
                what = "per task and method" if family is self.tasks else "per method"
                yield f"note: with so few changed pairs in {len(family)} tests {what}, none could be significant"

    def _verdict(self) -> str:
        if self.differs:
            found = sorted({d.method for d in [*self.methods, *self.tasks] if d.differs})
            if not found:
                return "They differ: tasks are defined otherwise."
            return f"They differ: {', '.join(found)} (level {self.alpha:g})."
        if self.other:
            return "Not the same to the bit, and no significant difference."
        return "What both have is the same." if self.same else "They have no comparable run in common."


def _listed(what: str, runs: Mapping[tuple[str, str], int], more: str = "") -> list[str]:
    """Lines about numbers of runs by task and method."""
    return [
        f"  {what}: {method} on {task}, {counted(count, 'run')}{more}"
        for (task, method), count in sorted(runs.items())
    ]


def compare(a: Path, b: Path, alpha: float = 0.05) -> Comparison:
    """Compare two folders of results.

    Args:
        a: folder of `safebo bench run`.
        b: another.
        alpha: level of each of the two families of tests.

    Raises:
        InputError: no results in one of them.
    """
    results = (load([a]), load([b]))
    tables = (_tables(a), _tables(b))
    found = Comparison(alpha)
    found.redefined = sorted(
        t for t in set(results[0].tasks) & set(results[1].tasks) if results[0].tasks[t] != results[1].tasks[t]
    )
    trials = tuple(_lengths(r) for r in results)
    common: set[RunKey] = set()
    for key in sorted(trials[0].keys() | trials[1].keys()):
        pair = key[:2]
        if key not in trials[1]:
            found.only_a[pair] = found.only_a.get(pair, 0) + 1
        elif key not in trials[0]:
            found.only_b[pair] = found.only_b.get(pair, 0) + 1
        elif key[0] in found.redefined:
            continue
        elif trials[0][key] != trials[1][key]:
            found.lengths[pair] = found.lengths.get(pair, 0) + 1
        else:
            common.add(key)
            if _equal(tables[0].get(key), tables[1].get(key)):
                found.same += 1
            else:
                found.other[pair] = found.other.get(pair, 0) + 1
    found.tasks = _tests(results, common, alpha, by_task=True)
    found.methods = _tests(results, common, alpha, by_task=False)
    return found


def _tables(folder: Path) -> dict[RunKey, pa.Table]:
    """Rows of every run, without what belongs to the machine."""
    table = comparable(Store(folder).table())
    names = [table.column(n).to_pylist() for n in ("task", "method", "seed")]
    found: dict[RunKey, pa.Table] = {}
    begin = 0
    keys = list(zip(*names, strict=True))
    for row in range(1, len(keys) + 1):
        if row == len(keys) or keys[row] != keys[begin]:
            found[keys[begin]] = table.slice(begin, row - begin)
            begin = row
    return found


def _equal(a: pa.Table | None, b: pa.Table | None) -> bool:
    """To the bit; NaN is itself. A run without rows is None."""
    if a is None or b is None:
        return a is b
    return repr(a.to_pylist()) == repr(b.to_pylist())


def _lengths(results: Results) -> dict[RunKey, int]:
    return {
        (f["task"]["name"], f["method"]["name"], int(f["job"]["seed"])): int(f["job"]["trials"])
        for f in results.facts
    }


def _tests(
    results: Sequence[Results], runs: set[RunKey], alpha: float, by_task: bool
) -> list[DifferenceTest]:
    """Every test of one family, corrected for their number."""
    sides = [{(j.run.task, j.run.method, j.run.seed): j.numbers for j in r.judged} for r in results]
    names = {j.run.task: j.run.base for j in results[0].judged}
    groups: dict[tuple[str, str], list[tuple[RunMeasures, RunMeasures]]] = {}
    for label, method, seed in sorted(sides[0].keys() & sides[1].keys()):
        if (names[label], method, seed) in runs:
            pair = (sides[0][label, method, seed], sides[1][label, method, seed])
            groups.setdefault((method, label if by_task else ""), []).append(pair)
    tests = []
    for (method, task), pairs in groups.items():
        for aspect in ASPECTS:
            d = _differences(pairs, aspect)
            if d.any():  # what is the same in every pair is no hypothesis to be rejected
                tests.append(
                    DifferenceTest(
                        method,
                        task,
                        aspect,
                        len(d),
                        int((d != 0).sum()),
                        mean_difference(d, 0),
                        signed_rank(d),
                    )
                )
    corrected = holm([t.p_value for t in tests])
    return [
        DifferenceTest(
            t.method, t.task, t.aspect, t.pairs, t.changed, t.mean, t.p_value, p, differs=p <= alpha
        )
        for t, p in zip(tests, corrected, strict=True)
    ]


def _differences(pairs: Sequence[tuple[RunMeasures, RunMeasures]], aspect: str) -> FloatArray:
    """B minus A where both know the number; regrets are rounded, so that noise of the last bits is no difference."""
    values = np.array([[getattr(m, aspect) for m in pair] for pair in pairs], dtype=float)
    d = values[:, 1] - values[:, 0]
    return np.asarray(d[np.isfinite(d)])
