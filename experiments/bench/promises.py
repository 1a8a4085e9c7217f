"""Whether a method keeps what it promises: a rule that tells bad luck from a method that proposes unsafe points.

What a certificate promises follows from the beta that the task tells its methods: under the right prior a certified
trial violates with probability at most `risk`, the sum of `Phi(-beta)` over the constraints, whatever was tried
before. So a run of T trials is allowed `T risk` violating trials in the mean, and has one with probability at most
`T risk`; where that is less than 5 % of runs, or the task does not say, 5 % are allowed.

A method is flagged when it has significantly more: runs with a violation (exact tail of a sum of independent chances,
over runs whose promise is worth testing), or violating trials (Hoeffding's bound 1963, Theorem 1, for the mean over
runs of their violating share: trials of one run share its function and its mistakes, runs do not). Each is tested over
all runs and over those of each task, at 5 % after Holm's correction for all these tests of the method.

Tasks that tell a method a wrong prior on purpose are left out, as the promise rests on the prior; their violations
are listed like all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebo.experiments.bench.measures import BenchRun
from safebo.experiments.bench.results import PROMISES_SAFETY, Judged, Results
from safebo.experiments.bench.statistics import holm
from safebo.experiments.tasks.gp_samples import BELIEFS

LEAST = 0.05
"""Share of runs that is allowed a violation at least."""
LEVEL = 0.05
"""Of the tests."""
VAGUE = 0.5
"""A run that may have a violation more often than this says nothing by having one."""

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
        trials: done, over the tasks that count. unsafe: of them, with a violation. allowed: of them, in the mean.
        runs: done. broken: of them, with a violation.
        worst_tasks: tasks with violations, most broken runs first, with broken and all runs.
        others: the same of all other methods with a promise, on the same tasks, as violating and all trials.
        p_value: smallest of the corrected ones.
    """

    method: str
    promise: str
    trials: int
    unsafe: int
    allowed: float
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
            f"that {WORDS[self.promise]}, which allows {self.allowed:.1f} in the mean. {self.broken} of {self.runs} "
            f"runs have a violation: {tasks}{more}."
        )
        unsafe, trials = self.others
        if trials:
            text += f" Other methods that promise safety: {unsafe} of {trials} trials there."
        return text


def premise_holds(task: str) -> bool:
    """Whether what the task tells of its functions is true, so that a certificate may be held to its promise."""
    belief = task.rsplit("-", 1)[-1]
    return not (task.startswith("gp-") and belief in BELIEFS and belief != "right")


def allowed(run: BenchRun) -> float:
    """Violating trials that the promise allows a run in the mean."""
    return LEAST if math.isnan(run.risk) else max(LEAST, run.trials * run.risk)


def flags(results: Results) -> tuple[Flag, ...]:
    """Methods that break their promise, worst first."""
    found = []
    counted = [j for j in results.judged if premise_holds(j.run.base) and j.run.promise in PROMISES_SAFETY]
    for method in results.certifying():
        mine = [j for j in counted if j.run.method == method]
        if any(j.numbers.violations for j in mine):
            p_value = min(holm(_p_values(mine)))
            if p_value <= LEVEL:
                found.append(_flag(mine, [j for j in counted if j.run.method != method], p_value))
    return tuple(sorted(found, key=lambda f: -f.unsafe / max(1, f.trials)))


def _p_values(judged: Sequence[Judged]) -> list[float]:
    """Both tests over all runs, and over those of each task where there are several."""
    groups = list(_by_task(judged).values())
    if len(groups) > 1:
        groups.append(list(judged))
    return [test(group) for group in groups for test in (broken_runs_p_value, unsafe_trials_p_value)]


def broken_runs_p_value(judged: Sequence[Judged]) -> float:
    """Probability of at least so many runs with a violation when each has one with the probability allowed to it."""
    telling = [j for j in judged if allowed(j.run) <= VAGUE]
    chances = np.array([1.0])  # of 0, 1, ... runs with a violation
    for j in telling:
        p = allowed(j.run)
        chances = np.convolve(chances, [1.0 - p, p])
    return float(min(1.0, chances[_broken(telling) :].sum()))


def unsafe_trials_p_value(judged: Sequence[Judged]) -> float:
    """Bound on the probability that the mean share of violating trials of a run is at least as large as it is.

    `exp(-n KL(mean, allowed mean))` for n independent runs whose shares lie between 0 and 1.
    """
    done = [j for j in judged if j.run.trials]
    if not done:
        return 1.0
    seen = float(np.mean([j.numbers.violations / j.run.trials for j in done]))
    expected = float(np.mean([min(1.0, allowed(j.run) / j.run.trials) for j in done]))
    if seen <= expected:
        return 1.0
    divergence = seen * math.log(seen / expected)
    if seen < 1.0:
        divergence += (1.0 - seen) * math.log((1.0 - seen) / (1.0 - expected))
    return math.exp(-len(done) * divergence)


def _flag(mine: Sequence[Judged], others: Sequence[Judged], p_value: float) -> Flag:
    counts = [(task, _broken(js), len(js)) for task, js in _by_task(mine).items()]
    worst = sorted((c for c in counts if c[1]), key=lambda c: -c[1] / c[2])
    there = [j for j in others if j.run.task in {c[0] for c in worst}]
    return Flag(
        method=mine[0].run.method,
        promise=mine[0].run.promise,
        trials=sum(j.numbers.trials for j in mine),
        unsafe=sum(j.numbers.violations for j in mine),
        allowed=sum(allowed(j.run) for j in mine),
        runs=len(mine),
        broken=_broken(mine),
        worst_tasks=tuple(worst),
        others=(sum(j.numbers.violations for j in there), sum(j.numbers.trials for j in there)),
        p_value=p_value,
    )


def _by_task(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = {}
    for j in judged:
        found.setdefault(j.run.task, []).append(j)
    return found


def _broken(judged: Sequence[Judged]) -> int:
    return sum(j.numbers.violations > 0 for j in judged)
