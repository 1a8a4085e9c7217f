"""How long a sweep takes, before it begins.

    python -m safebo.experiments.bench.estimate DIR

keeps what the runs of a folder took in `seconds.json`, from which later sweeps are estimated.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from safebo.experiments.bench.store import Store
from safebo.experiments.bench.sweep import Planned, there

TYPICAL = 0.02
"""Seconds of a trial where nothing is known of it."""

FILE = Path(__file__).with_name("seconds.json")
"""Seconds of a trial by task and method, measured on one core, two such jobs side by side."""


def known_seconds() -> dict[str, dict[str, float]]:
    """What is in `FILE`; nothing where it is missing."""
    try:
        return dict(json.loads(FILE.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def seconds_of(store: Store) -> dict[str, dict[str, float]]:
    """Median seconds of a trial by task and method, over the runs of a folder."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for facts in store.all_facts():
        pair = facts["task"]["name"], facts["method"]["name"]
        found[pair].append(facts["seconds"] / max(1, facts["job"]["trials"]))
    table: dict[str, dict[str, float]] = {}
    for (task, method), values in sorted(found.items()):
        table.setdefault(task, {})[method] = float(f"{statistics.median(values):.3g}")
    return table


def estimate(store: Store, planned: Sequence[Planned], workers: int) -> tuple[float, str]:
    """Seconds that the runs which are not there take, and what that rests on.

    Runs of the same task and method that are there count first, then what was measured elsewhere, then the median of
    everything known of the task.
    """
    here, elsewhere = seconds_of(store), known_seconds()
    total, guessed, left = 0.0, 0, 0
    for one in planned:
        if there(store, one):
            continue
        left += 1
        known = elsewhere.get(one.task, {})
        a_trial = {**known, **here.get(one.task, {})}.get(one.method)
        if a_trial is None:
            guessed += 1
            a_trial = statistics.median(known.values()) if known else TYPICAL
        total += a_trial * one.job.trials
    basis = (
        "every run is there"
        if not left
        else f"{left - guessed} of {left} from earlier runs, {guessed} guessed"
    )
    return total / workers, basis


if __name__ == "__main__":
    merged = known_seconds()
    for folder in sys.argv[1:]:
        for name, methods in seconds_of(Store(Path(folder))).items():
            merged.setdefault(name, {}).update(methods)
    FILE.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n", encoding="utf-8")
