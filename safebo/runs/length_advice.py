"""What a run's repeated trials say of how long its trials should be, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from safebo.study import Study
from safebo.study.space import WarpMap
from safebo.trial_length.variance import VarianceComponents, components, transient
from safebo.types import FloatArray, TrialRecord

FEWEST = 3
"""Trials of the same gains, at least, of which a split of the noise is worth saying."""


def length_advice(records: Sequence[TrialRecord], study: Study) -> str:
    """How the objective's noise splits, and what length of trials follows; empty where repeats do not tell.

    On the modelled scale, the transient left out. Trials of the same gains and context count as repeats.
    """
    warp = WarpMap(study.objective.warp, study.objective.name)
    groups: dict[tuple[object, ...], list[FloatArray]] = {}
    periods, starts, lengths = [], [], []
    for record in records:
        m = record.measurement
        if m is None or m.outcome != "completed" or m.strides is None or m.ended or not m.strides.objective:
            continue
        values = np.asarray(warp.forward(np.array(m.strides.objective)))
        values = values[transient(values) :]
        place = (*record.trial.parameters.values(), record.trial.context_name)
        groups.setdefault(place, []).append(values)
        periods.append(m.strides.period)
        starts.append(m.strides.start)
        lengths.append(len(values))
    repeats = max(map(len, groups.values()), default=0)
    found = components([g for g in groups.values() if len(g) > 1]) if repeats >= FEWEST else None
    if found is None or found.between is None:
        return ""
    return advice_words(
        study.objective.name,
        found,
        float(np.median(lengths)),
        float(np.median(periods)),
        float(np.median(starts)),
    )


def advice_words(name: str, found: VarianceComponents, strides: float, period: float, start: float) -> str:
    """The advice in words.

    Args:
        name: of the objective.
        found: its components of variance.
        strides: of a trial as it is now.
        period: of a stride, s.
        start: seconds before the first stride.
    """
    share = found.share_between(strides)
    if share is None:
        return ""
    said = (
        f"Of the noise of {name}, {100 * share:.0f} % is between trials ({found.trials} repeated trials of "
        f"{strides:.0f} strides)"
    )
    if found.enough_strides >= 1e6:
        return f"{said}: longer trials help as much as more of them."
    best = start + max(1, math.ceil(found.best_strides(start, period))) * period
    if share >= 0.5:
        return (
            f"{said}: more trials help, longer ones hardly. Its variance per second is least with trials of about "
            f"{best:.2g} s."
        )
    enough = start + math.ceil(found.enough_strides) * period
    return (
        f"{said}: longer trials help, up to about {enough:.2g} s; its variance per second is least with about "
        f"{best:.2g} s."
    )
