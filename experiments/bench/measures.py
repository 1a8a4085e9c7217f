"""What one run is judged by. Every number on the page of a benchmark is one of these, or a statistic of it.

Regrets are divided by the regret at the start of the same task and seed (the optimum minus the best truly safe input
measured before the first trial), so that tasks of any unit compare: 1 is no better than the start, 0 is the best
safe input. What is unsafe gained nothing: a truly unsafe answer or trial counts as 1, or more where its objective was
worse than the start's. A run whose start is the optimum already has no such scale; its regrets are NaN and left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

NEAR = 0.1
"""Normalised regret of 90 % of the way from the start to the optimum."""


@dataclass(frozen=True)
class BenchRun:
    """One method on one task with one seed, in one context; arrays have one entry per trial, T in all.

    Args:
        task: its name, followed by the context where there is one.
        base: name of the task without the context.
        method: name.
        seed: of the run.
        promise: of the method: `certified`, `watched`, `nothing`.
        optimum: true objective of the best safe input; NaN where the task does not say.
        risk: largest probability with which the task's beta lets a certified trial violate; NaN where it does not say.
        start_regret: optimum minus the best safe value before the first trial; NaN where nothing tells.
        trial: counts from 1 over all contexts of the run.
        violated: whether the true margin was below 0.
        fell: whether a robot fell.
        backup: whether a backup took over.
        margin: smallest true margin.
        objective: true objective of what was tried.
        answer_regret: of the certified answer; NaN where there is none or nobody looked.
        answer_unsafe: whether that answer is truly unsafe.
        tried_regret: of the best truly safe input so far.
        safe_share: certified and reachable over reachable; NaN where unknown.
        ask_seconds: of every proposal.
        peak_memory_mb: of the process.
    """

    task: str
    base: str
    method: str
    seed: int
    promise: str
    optimum: float
    start_regret: float
    risk: float
    trial: IntArray
    violated: BoolArray
    fell: BoolArray
    backup: BoolArray
    margin: FloatArray
    objective: FloatArray
    answer_regret: FloatArray
    answer_unsafe: BoolArray
    tried_regret: FloatArray
    safe_share: FloatArray
    ask_seconds: FloatArray
    peak_memory_mb: float

    @property
    def trials(self) -> int:
        """How many."""
        return len(self.trial)

    @property
    def scale(self) -> float:
        """What regrets are divided by; NaN where the start is the optimum already, or unknown."""
        least = 1e-9 * max(1.0, abs(self.optimum)) if math.isfinite(self.optimum) else 1e-9
        known = math.isfinite(self.start_regret) and self.start_regret > least
        return self.start_regret if known else math.nan


def regret_curve(run: BenchRun) -> FloatArray:
    """Normalised simple regret after each trial, `T`.

    Of a method that promises safety: of its certified answer, the input that it would recommend; where nobody looked or
    nothing was certified, the last answer known, 1 before the first. Of a method that promises nothing: of the best
    truly safe input tried so far, which it cannot know: generous to it.
    """
    if run.promise == "nothing":
        return _rounded(run.tried_regret / run.scale)
    values = run.answer_regret / run.scale
    values = np.where(run.answer_unsafe, np.maximum(values, 1.0), values)
    return _rounded(_held(values, 1.0 if math.isfinite(run.scale) else math.nan))


def trial_regrets(run: BenchRun) -> FloatArray:
    """Normalised regret of each trial itself, `T`: what it cost to learn. NaN where the optimum is unknown."""
    values = (run.optimum - run.objective) / run.scale
    return np.asarray(np.where(run.violated, np.maximum(values, 1.0), values))


def safe_share_curve(run: BenchRun) -> FloatArray:
    """Share of the safe inputs that can be reached from the seeds which are certified, after each trial, `T`.

    Where there is no grid, of all safe inputs. NaN before the first known value.
    """
    return _held(run.safe_share, math.nan)


@dataclass(frozen=True)
class RunMeasures:
    """One run in numbers.

    Args:
        regret: simple, normalised: the last of `regret_curve`.
        cumulative: mean of `trial_regrets`: the cumulative regret over trials times the regret at the start.
        safe_share: last of `safe_share_curve`.
        violations: trials whose true margin was below 0.
        worst_depth: by how much the worst of them, in the constraint's unit; 0 without one, NaN where nothing
            tells.
        first_violation: its trial, from 1; infinite without one.
        falls: trials in which a robot fell.
        backups: trials in which a backup took over.
        trials_to_90: trials, within the task's context, after which the normalised regret is first at most 0.1, 90 %
            of the way from the best safe start to the optimum; infinite when never.
        peak_memory_mb: largest resident memory of the process, 10^6 bytes.
        trials: done.
    """

    regret: float
    cumulative: float
    safe_share: float
    violations: int
    worst_depth: float
    first_violation: float
    falls: int
    backups: int
    trials_to_90: float
    peak_memory_mb: float
    trials: int


def measures(run: BenchRun) -> RunMeasures:
    """A run in numbers; a run without trials, whose first proposal could not be certified, stays at its start."""
    curve = regret_curve(run)
    start = 1.0 if run.trials == 0 or math.isfinite(run.scale) else math.nan
    near = np.flatnonzero(curve <= NEAR)
    shares = safe_share_curve(run)
    where = np.flatnonzero(run.violated)
    costs = trial_regrets(run)
    return RunMeasures(
        regret=float(curve[-1]) if run.trials else start,
        cumulative=float(costs.mean()) if run.trials else math.nan,
        safe_share=float(shares[-1]) if run.trials else math.nan,
        violations=len(where),
        worst_depth=largest(-run.margin[where]) if len(where) else 0.0,
        first_violation=float(run.trial[where[0]]) if len(where) else math.inf,
        falls=int(run.fell.sum()),
        backups=int(run.backup.sum()),
        trials_to_90=float(near[0] + 1) if len(near) else math.inf,
        peak_memory_mb=run.peak_memory_mb,
        trials=run.trials,
    )


def padded(curve: FloatArray, length: int, empty: float) -> FloatArray:
    """A curve of that length: a run that ended early, as nothing could be certified any more, stays where it was."""
    if not len(curve):
        return np.full(length, empty)
    return np.concatenate([curve, np.full(length - len(curve), curve[-1])])


def largest(values: FloatArray) -> float:
    """Of the finite ones; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else math.nan


def _rounded(values: FloatArray) -> FloatArray:
    """To 9 decimals, so that the same point found in two ways is a tie; zero has no sign."""
    return np.asarray(np.round(values, 9) + 0.0)


def _held(values: FloatArray, first: float) -> FloatArray:
    """Every NaN replaced by the last number before it, `first` where there is none."""
    known = np.concatenate([[True], np.isfinite(values)])
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), 0))
    return np.asarray(np.concatenate([[first], values])[last][1:])
