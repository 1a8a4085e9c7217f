"""Whether a method keeps what it promises: a rule that tells bad luck from a method that proposes unsafe points.

The rule. A certificate promises that a whole run has no violation with probability `1 - delta`; the tasks that state
one state `delta = 0.05`. A method is flagged when significantly more of its runs have a violation: a one-sided exact
binomial test against 5 % at level 5 %, over all its runs, and over those of each task alone, the latter corrected for
the number of tasks (Holm). Runs are what counts, not trials: trials of one run share its function and its mistakes.
Tasks that tell a method a wrong prior on purpose are left out of the test, as the promise rests on the prior; their
violations are listed like all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from experiments.bench.results import PROMISES_SAFETY, Judged, Results
from experiments.bench.statistics import holm
from experiments.tasks.gp_samples import BELIEFS

ALLOWED = 0.05
"""Share of runs that may have a violation: delta."""
LEVEL = 0.05
"""Of the tests."""

WORDS = {
    "certified": "every trial is certified safe",
    "watched": "every trial is certified safe or watched by a backup",
    "nothing": "nothing",
}
"""What the promises say."""


@dataclass(frozen=True)
class Flag:
    """A method that breaks its promise.

    Args:
        method: its name.
        promise: its word.
        trials: done, over the tasks that count. unsafe: of them, with a violation.
        runs: done. broken: of them, with a violation.
        worst_tasks: tasks with violations, most broken runs first, with broken and all runs.
        others: the same of all other methods with a promise, on the same tasks, as broken and all runs.
        p_value: of the test over all runs.
    """

    method: str
    promise: str
    trials: int
    unsafe: int
    runs: int
    broken: int
    worst_tasks: tuple[tuple[str, int, int], ...]
    others: tuple[int, int]
    p_value: float

    @property
    def sentence(self) -> str:
        """For people."""
        tasks = ", ".join(f"{task} ({broken} of {runs} runs)" for task, broken, runs in self.worst_tasks[:6])
        more = f" and {len(self.worst_tasks) - 6} more" if len(self.worst_tasks) > 6 else ""
        text = (
            f"{self.method} proposes unsafe points: {self.unsafe} of {self.trials} trials violate although it promises "
            f"that {WORDS[self.promise]}. Runs with a violation: {self.broken} of {self.runs}, where its promise "
            f"allows {100 * ALLOWED:.0f} %; on {tasks}{more}."
        )
        broken, runs = self.others
        if runs:
            text += f" Other methods that promise safety: {broken} of {runs} runs there."
        return text


def premise_holds(task: str) -> bool:
    """Whether what the task tells of its functions is true, so that a certificate may be held to its promise."""
    belief = task.rsplit("-", 1)[-1]
    return not (task.startswith("gp-") and belief in BELIEFS and belief != "right")


def flags(results: Results) -> tuple[Flag, ...]:
    """Methods that break their promise, worst first."""
    found = []
    counted = [j for j in results.judged if premise_holds(j.run.base) and j.run.promise in PROMISES_SAFETY]
    for method in results.certifying():
        mine = [j for j in counted if j.run.method == method]
        flag = _flag(method, mine, [j for j in counted if j.run.method != method])
        if flag is not None:
            found.append(flag)
    return tuple(sorted(found, key=lambda f: -f.unsafe / max(1, f.trials)))


def _flag(method: str, mine: Sequence[Judged], others: Sequence[Judged]) -> Flag | None:
    by_task: dict[str, list[Judged]] = {}
    for j in mine:
        by_task.setdefault(j.run.task, []).append(j)
    counts = [(task, _broken(js), len(js)) for task, js in by_task.items()]
    broken, runs = sum(c[1] for c in counts), sum(c[2] for c in counts)
    if not broken:
        return None
    overall = _test(broken, runs)
    alone = holm([_test(b, n) for _, b, n in counts])
    if overall > LEVEL and min(alone) > LEVEL:
        return None
    worst = sorted((c for c in counts if c[1]), key=lambda c: -c[1] / c[2])
    there = [j for j in others if j.run.task in {c[0] for c in worst}]
    return Flag(
        method=method,
        promise=mine[0].run.promise,
        trials=sum(j.numbers.trials for j in mine),
        unsafe=sum(j.numbers.violations for j in mine),
        runs=runs,
        broken=broken,
        worst_tasks=tuple(worst),
        others=(_broken(there), len(there)),
        p_value=overall,
    )


def _broken(judged: Sequence[Judged]) -> int:
    return sum(j.numbers.violations > 0 for j in judged)


def _test(broken: int, runs: int) -> float:
    return float(binomtest(broken, runs, ALLOWED, alternative="greater").pvalue)
