"""Whose turn it is among a study's contexts."""

from __future__ import annotations

from safebo.study import Study
from safebo.tuner.history import History


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
