"""What a run's repeated trials say of how long its trials should be, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from safebo.evaluators.repeats import repeated_strides
from safebo.study import Study
from safebo.trial_length.variance import VarianceComponents
from safebo.types import TrialRecord


def length_advice(records: Sequence[TrialRecord], study: Study) -> str:
    """How the objective's noise splits, and what length of trials follows; empty where repeats do not tell."""
    repeats = repeated_strides(records, study, study.objective)
    found = repeats.split
    if found is None:
        return ""
    return advice_words(study.objective.name, found, repeats.strides, repeats.period, repeats.start)


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
