"""How long a sweep takes, before it begins."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from experiments.bench.store import Store
from experiments.bench.sweep import Planned, there

TYPICAL = 0.02
"""Seconds of a trial where nothing is known of it."""

KNOWN: dict[str, dict[str, float]] = {}
"""Seconds of a trial by task and method, measured on one core of 2.6 GHz."""


def estimate(store: Store, planned: Sequence[Planned], workers: int) -> tuple[float, str]:
    """Seconds that the runs which are not there take, and what that rests on.

    Runs of the same task and method that are there count first, then what was measured elsewhere, then the median of
    everything known of the task.
    """
    here: dict[tuple[str, str], list[float]] = defaultdict(list)
    for facts in store.all_facts():
        here[facts["task"]["name"], facts["method"]["name"]].append(
            facts["seconds"] / max(1, facts["job"]["trials"])
        )
    total, guessed, left = 0.0, 0, 0
    for one in planned:
        if there(store, one):
            continue
        left += 1
        pair = (one.task, one.method)
        if pair in here:
            a_trial = statistics.median(here[pair])
        elif one.method in KNOWN.get(one.task, {}):
            a_trial = KNOWN[one.task][one.method]
        else:
            guessed += 1
            known = list(KNOWN.get(one.task, {}).values())
            a_trial = statistics.median(known) if known else TYPICAL
        total += a_trial * one.job.trials
    basis = (
        "every run is there"
        if not left
        else f"{left - guessed} of {left} from earlier runs, {guessed} guessed"
    )
    return total / workers, basis
