"""Whose turn it is among a study's contexts, and how far its trials have come."""

from __future__ import annotations

import math

from safebo.study import Study
from safebo.tuner.history import History


def planned_trials(study: Study, name: str) -> int:
    """Trials of a context in a run of as many as the study asks for, at least 1."""
    schedule = study.context.schedule
    if not schedule:
        seeded = {seed.context for seed in study.seeds}
        return max(1, math.ceil(study.trials / max(1, len(seeded))))
    left, found = study.trials, 0
    for entry in schedule:
        taken = min(entry.trials, left)
        left -= taken
        found += taken if entry.context == name else 0
    return max(1, found + (left if schedule[-1].context == name else 0))


def optimism_now(study: Study, history: History, name: str) -> float | None:
    """The optimism of the next trial of a context: of two that a study gives, the first at its first trial, the second
    at the last of those that are planned, and on the straight line between them.
    """
    optimism = study.tuner.optimism
    if not isinstance(optimism, tuple):
        return optimism
    first, last = optimism
    share = len(history.of_context(name)) / max(1, planned_trials(study, name) - 1)
    return first + (last - first) * min(1.0, share)


def scheduled_context(study: Study, history: History) -> str:
    """The context whose turn it is: by the study's schedule; without one, the contexts that have seeds take turns."""
    count: dict[str, int] = {}
    for record in history:
        if record.trial.phase != "manual":
            count[record.trial.context_name] = count.get(record.trial.context_name, 0) + 1
    schedule = study.context.schedule
    if not schedule:
        seeded = list(dict.fromkeys(seed.context for seed in study.seeds))
        return min(seeded, key=lambda name: count.get(name, 0))
    due: dict[str, int] = {}
    for entry in schedule:
        due[entry.context] = due.get(entry.context, 0) + entry.trials
        if count.get(entry.context, 0) < due[entry.context]:
            return entry.context
    return schedule[-1].context
