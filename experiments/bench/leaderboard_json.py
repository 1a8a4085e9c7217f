"""The leaderboard for programs: the page's numbers as JSON, with a version that changes when a task does.

    {"format": 1, "version": "3f0c...", "tasks": {...}, "methods": {...}, "sections": {"all": {...}, "control": {...}}}

`version` is a hash of the tasks' names and of the hashes of their definitions: what methods are told, and the truth at
points of it. Numbers under one version compare, whenever and wherever they were made; those under two do not. A section
has a version of its own, that of its tasks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safebo.experiments.bench.provenance import commands, period
from safebo.experiments.bench.results import Results
from safebo.experiments.bench.standings import Standing, standings
from safebo.experiments.bench.tasks import SUITES
from safebo.study.papers import METHOD_PAPERS

FORMAT = 1
"""Raised when a key changes its meaning; new keys do not raise it."""


def version_of(tasks: Mapping[str, Mapping[str, str]], names: Sequence[str] | None = None) -> str:
    """Hash of tasks' definitions, 12 hexadecimal digits; whatever their order.

    Args:
        tasks: what is recorded of each, by name; its `hash` is that of its definition.
        names: which of them; all when None.
    """
    chosen = sorted(tasks if names is None else names)
    text = "\n".join(f"{name} {tasks[name]['hash']}" for name in chosen)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def leaderboard_record(results: Results, suites: Mapping[str, Sequence[str]] = SUITES) -> dict[str, Any]:
    """Everything that the page shows, as plain values; what is unknown or infinite is None.

    Args:
        results: what it is about.
        suites: tasks by suite; a suite has a section when every one of its tasks has results.
    """
    first, last = period(results.facts)
    sections = {"everything": _section(results, tuple(results.tasks))}
    for suite, tasks in suites.items():
        if set(tasks) <= set(results.tasks):
            sections[suite] = _section(results, tasks)
    return {
        "format": FORMAT,
        "version": version_of(results.tasks),
        "runs": len(results.facts),
        "from": first,
        "to": last,
        "hours": round(sum(float(f["seconds"]) for f in results.facts) / 3600, 3),
        "safebo": sorted({str(f["versions"].get("safebo", "unknown")) for f in results.facts}),
        "commands": list(commands(results)),
        "tasks": {name: dict(facts) for name, facts in results.tasks.items()},
        "methods": {
            name: {**facts, "papers": list(METHOD_PAPERS.get(str(facts["method"]), ()))}
            for name, facts in results.methods.items()
        },
        "sections": sections,
    }


def write_record(results: Results, file: Path) -> None:
    """Write it, keys in their order, one version of a number for one value, so that two files compare line by line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(leaderboard_record(results), indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def _section(results: Results, tasks: Sequence[str]) -> dict[str, Any]:
    names = list(dict.fromkeys(j.run.task for j in results.judged if j.run.base in tasks))
    return {
        "version": version_of(results.tasks, tasks),
        "tasks": sorted(tasks),
        "promise_safety": [_row(r) for r in standings(results, results.certifying(), names).rows],
        "unsafe": [_row(r) for r in standings(results, results.baselines(), names).rows],
    }


def _row(row: Standing) -> dict[str, Any]:
    values = asdict(row)
    values["flag"] = None if row.flag is None else row.flag.sentence
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
