"""Who does how well: methods that promise safety in one table, those that promise nothing in another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safebo.experiments.bench.promises import Flag, flags
from safebo.experiments.bench.results import Judged, Results
from safebo.experiments.bench.statistics import (
    FloatArray,
    Interval,
    Ranking,
    improvement_probability,
    interquartile_mean,
    ranking,
    stratified_bootstrap,
)


@dataclass(frozen=True)
class Standing:
    """One method over several tasks.

    Args:
        method: its name.
        promise: what it promises.
        flag: how it breaks that promise; None when it does not.
        tasks: on how many of the tasks it ran. runs: how many.
        regret: interquartile mean of the normalised regret at the end, with its interval.
        cumulative: interquartile mean of the mean normalised regret of a trial; NaN where unknown.
        rank: mean rank; None for a method that is not ranked.
        safe_share: interquartile mean of the last share of the reachable safe inputs that is certified.
        reached: share of runs that came 90 % of the way. trials_to_90: their median, of all runs; infinite when most
            never did.
        trials: done. violations: of them. broken: runs with a violation. falls, backups: of all trials.
        ask_median, ask_95, ask_max: seconds of a proposal over all trials.
        peak_memory_mb: largest of all runs.
    """

    method: str
    promise: str
    flag: Flag | None
    tasks: int
    runs: int
    regret: Interval
    cumulative: float
    rank: float | None
    safe_share: float
    reached: float
    trials_to_90: float
    trials: int
    violations: int
    broken: int
    falls: int
    backups: int
    ask_median: float
    ask_95: float
    ask_max: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Standings:
    """Methods of one kind, best first.

    Args:
        rows: those that are ranked by their regret, then those that did not run everywhere, then flagged ones.
        ranking: over blocks, one seed of one task each, of the methods that are ranked.
        improvement: probability that the first of a pair is better than the second.
        tasks: how many there are.
    """

    rows: tuple[Standing, ...]
    ranking: Ranking
    improvement: Mapping[tuple[str, str], Interval]
    tasks: int


def standings(results: Results, methods: Sequence[str], tasks: Sequence[str], seed: int = 0) -> Standings:
    """Compare methods over tasks.

    A method is ranked when it ran on every task that any of them ran on and keeps its promise.

    Args:
        results: with runs of them.
        methods: names, all of one kind: regrets of certified answers and of tried inputs do not compare.
        tasks: names as `Results.task_names` has them.
        seed: of the bootstrap.
    """
    chosen = {m: [j for j in results.of(m) if j.run.task in tasks] for m in methods}
    chosen = {m: js for m, js in chosen.items() if js}
    broken = {flag.method: flag for flag in flags(results)}
    everywhere = {j.run.task for js in chosen.values() for j in js}
    scores = {m: _scores(js) for m, js in chosen.items()}
    complete = [m for m, js in chosen.items() if {j.run.task for j in js} == everywhere and m not in broken]
    complete = [m for m in complete if scores[m]]
    ranks = ranking(complete, _blocks([chosen[m] for m in complete]))
    rows = [
        _standing(m, js, scores[m], broken.get(m), ranks.mean_rank.get(m), seed) for m, js in chosen.items()
    ]
    rows.sort(
        key=lambda r: (
            r.flag is not None,
            r.tasks < len(everywhere),
            r.regret.value if math.isfinite(r.regret.value) else math.inf,
            r.method,
        )
    )
    pairs = [r.method for r in rows if scores[r.method]]
    improvement = {
        (a, b): improvement_probability(scores[a], scores[b], seed)
        for a in pairs
        for b in pairs
        if a != b and set(scores[a]) & set(scores[b])
    }
    return Standings(tuple(rows), ranks, improvement, len(everywhere))


def _scores(judged: Sequence[Judged]) -> dict[str, FloatArray]:
    """Normalised regrets at the end by task, those without a scale left out."""
    found: dict[str, list[float]] = {}
    for j in judged:
        if math.isfinite(j.numbers.regret):
            found.setdefault(j.run.task, []).append(j.numbers.regret)
    return {task: np.array(values) for task, values in found.items()}


def _blocks(chosen: Sequence[Sequence[Judged]]) -> FloatArray:
    """Regrets of every task and seed that all methods have, `blocks x k`."""
    tables = [
        {(j.run.task, j.run.seed): j.numbers.regret for j in js if math.isfinite(j.numbers.regret)}
        for js in chosen
    ]
    if not tables:
        return np.zeros((0, 0))
    common = sorted(set.intersection(*(set(t) for t in tables)))
    return np.array([[t[key] for t in tables] for key in common]).reshape(len(common), len(tables))


def _standing(
    method: str,
    judged: Sequence[Judged],
    scores: Mapping[str, FloatArray],
    flag: Flag | None,
    rank: float | None,
    seed: int,
) -> Standing:
    numbers = [j.numbers for j in judged]
    asks = np.concatenate([j.run.ask_seconds for j in judged])
    asks = asks[np.isfinite(asks)]
    near = np.array([n.trials_to_90 for n in numbers if math.isfinite(n.regret)])
    unknown = Interval(math.nan, math.nan, math.nan)
    return Standing(
        method=method,
        promise=judged[0].run.promise,
        flag=flag,
        tasks=len({j.run.task for j in judged}),
        runs=len(judged),
        regret=stratified_bootstrap(scores, seed) if scores else unknown,
        cumulative=_middle([n.cumulative for n in numbers]),
        rank=rank,
        safe_share=_middle([n.safe_share for n in numbers]),
        reached=float(np.isfinite(near).mean()) if len(near) else math.nan,
        trials_to_90=float(np.quantile(near, 0.5, method="higher")) if len(near) else math.nan,
        trials=sum(n.trials for n in numbers),
        violations=sum(n.violations for n in numbers),
        broken=sum(n.violations > 0 for n in numbers),
        falls=sum(n.falls for n in numbers),
        backups=sum(n.backups for n in numbers),
        ask_median=float(np.median(asks)) if len(asks) else math.nan,
        ask_95=float(np.percentile(asks, 95)) if len(asks) else math.nan,
        ask_max=float(asks.max()) if len(asks) else math.nan,
        peak_memory_mb=float(np.nanmax([n.peak_memory_mb for n in numbers])),
    )


def _middle(values: Sequence[float]) -> float:
    known = np.array([v for v in values if math.isfinite(v)])
    return float(interquartile_mean(known)) if len(known) else math.nan
