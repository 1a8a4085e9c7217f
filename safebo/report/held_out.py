"""What got worse while the objective rose: quantities that a run measured and did not tune."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, spearmanr

from safebo.report.data import RunView
from safebo.study import Study
from safebo.study.model import quantity_of
from safebo.types import WATCHED_PREFIX, FloatArray, Measurement

FEWEST = 10
"""Walks of one context from which something is said."""

BEST_SHARE = 0.25
"""Share of the walks, by their objective, that is compared with the seed's."""

WORSE = 0.1
"""Share of the seed's value by which a quantity must be worse."""

LEVEL = 0.05
"""Share of the quantities said to fall with the objective that may do so by chance (false discovery rate)."""

MOST = 4
"""Quantities that one sentence names."""


@dataclass(frozen=True)
class Worsened:
    """A quantity that fell where the objective rose.

    Args:
        name: of the quantity; larger is better.
        share: by which share of the seed's value it is worse where the objective is best.
        seed: its mean over the seed's walks.
        correlation: of its ranks with the objective's, over all walks.
    """

    name: str
    share: float
    seed: float
    correlation: float


@dataclass(frozen=True)
class _Walks:
    """Completed walks of a context, each relative to the seed's in the same scenario.

    Args:
        rise: of the objective, as a share of the seed's, `n`.
        worse: by which share of the seed's value each quantity is worse, `n` each.
        seeds: its mean over the seed's walks.
        best: the walks with the best objective, indices.
    """

    rise: FloatArray
    worse: Mapping[str, FloatArray]
    seeds: Mapping[str, float]
    best: np.ndarray


def worsened(run: RunView, context: str) -> list[Worsened]:
    """Quantities that are worse than the seed's by a tenth where the objective is best, the worst first.

    A quantity is named where over the best quarter of the walks (by objective) it is worse than the seed's by `WORSE`
    in the mean, and its ranks fall as those of the objective rise (Spearman, one-sided; with the false discovery rate
    of Benjamini and Hochberg, 1995, over all quantities). Walks of several scenarios are each compared with the
    seed's in the same one.

    Args:
        run: the run as it stands.
        context: name of one of its contexts.
    """
    walks = _walks(run, context)
    if len(walks.rise) < FEWEST or not walks.worse or walks.rise[walks.best].mean() <= 0.0:
        return []
    ranks = {name: _ranks(walks.rise, -worse) for name, worse in walks.worse.items()}
    chances = false_discovery_control([chance for _, chance in ranks.values()])
    found = [
        Worsened(name, share, walks.seeds[name], correlation)
        for (name, (correlation, _)), chance in zip(ranks.items(), chances, strict=True)
        if chance < LEVEL and (share := float(walks.worse[name][walks.best].mean())) > WORSE
    ]
    return sorted(found, key=lambda one: -one.share)


def sentences(run: RunView) -> Iterator[tuple[str, str]]:
    """What got worse, a context a sentence, and what to do about it."""
    for context in run.best:
        found = worsened(run, context)
        if not found:
            continue
        said = "; ".join(
            f"{one.name} {100 * one.share:.0f} % worse than the seed's {one.seed:.3g}".replace("-", "−")
            for one in found[:MOST]
        )
        yield (
            f"{run.where(context)}Where {run.study.objective.name} is best, what is measured but not tuned got worse: "
            f"{said}{'; ...' if len(found) > MOST else ''}.",
            "If that matters, make it a constraint or the objective.",
        )


def held_out(measurement: Measurement, study: Study) -> dict[str, float]:
    """What a walk showed besides the objective and the constraints, larger is better.

    That is what `extra` has under names which begin with `watched.`, and margins that no constraint takes.
    """
    taken = {name for c in study.constraints for name in (c.name, quantity_of(c))}
    own = {study.objective.name, quantity_of(study.objective)}
    others = {
        name.removeprefix(WATCHED_PREFIX): value
        for name, value in measurement.extra.items()
        if name.startswith(WATCHED_PREFIX)
    }
    found = {name: value for name, value in others.items() if name not in own}
    return found | {f"margin {n}": value for n, value in measurement.margins.items() if n not in taken}


def _walks(run: RunView, context: str) -> _Walks:
    """Walks that a seed's walk in the same scenario stands beside, with the quantities that all of them have."""
    given: defaultdict[str, list[tuple[bool, float, dict[str, float]]]] = defaultdict(list)
    for e in run.of_context(context):
        if e.measurement is None:
            continue
        for scenario, walk in (e.measurement.scenarios or {"": e.measurement}).items():
            if walk.outcome == "completed" and not walk.ended and walk.objective is not None:
                given[scenario].append((e.trial.phase == "seed", walk.objective, held_out(walk, run.study)))
    compared = {s: walks for s, walks in given.items() if any(seed for seed, _, _ in walks)}
    every = [others for walks in compared.values() for _, _, others in walks]
    names = [n for n in (every[0] if every else ()) if all(np.isfinite(o.get(n, np.nan)) for o in every)]
    rise, worse, seeds = list[float](), {n: list[float]() for n in names}, {n: list[float]() for n in names}
    for walks in compared.values():
        before = [(objective, others) for seed, objective, others in walks if seed]
        rise += _shares([o for o, _ in before], [o for _, o, _ in walks])
        for n in names:
            worse[n] += [-s for s in _shares([o[n] for _, o in before], [o[n] for _, _, o in walks])]
            seeds[n] += [o[n] for _, o in before]
    order = np.argsort(-np.array(rise), kind="stable")
    return _Walks(
        np.array(rise),
        {n: np.array(values) for n, values in worse.items()},
        {n: float(np.mean(values)) for n, values in seeds.items()},
        order[: max(3, round(BEST_SHARE * len(rise)))],
    )


def _shares(seeds: Sequence[float], values: Sequence[float]) -> list[float]:
    """By which share of the seed's mean values exceed it; 0 where that is nothing to compare with."""
    mean = float(np.mean(seeds))
    return [(value - mean) / abs(mean) if mean else 0.0 for value in values]


def _ranks(rise: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Spearman's rank correlation, and how likely one as negative is by chance."""
    if np.ptp(rise) == 0.0 or np.ptp(values) == 0.0:
        return 0.0, 1.0
    found = spearmanr(rise, values, alternative="less")
    return float(found.statistic), float(found.pvalue)
