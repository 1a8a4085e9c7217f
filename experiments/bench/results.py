"""Results of folders as runs, with what is known of their methods, tasks and machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from safebo.errors import InputError
from safebo.experiments.bench.measures import BenchRun, RunMeasures, largest, measures
from safebo.experiments.bench.store import Store

RunKey = tuple[str, str, int]
"""Task, method and seed."""

PROMISES_SAFETY = ("certified", "watched")
"""Promises of methods that certify; the others are baselines."""


@dataclass(frozen=True)
class Judged:
    """A run and its numbers."""

    run: BenchRun
    numbers: RunMeasures


@dataclass(frozen=True)
class Results:
    """Everything that folders hold.

    Args:
        folders: where it came from.
        judged: every run, sorted by task, method and seed.
        methods: what is recorded of each, by name.
        tasks: likewise.
        facts: of every run.
        plans: what was asked for, and the `folder` that says so.
        estimated: tasks whose results do not say the start's value: it is the largest regret that any method had after
            one trial of the same seed.
    """

    folders: tuple[Path, ...]
    judged: tuple[Judged, ...]
    methods: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, Mapping[str, str]]
    facts: tuple[Mapping[str, Any], ...]
    plans: tuple[Mapping[str, Any], ...]
    estimated: tuple[str, ...]

    @property
    def task_names(self) -> tuple[str, ...]:
        """As they appear in runs: with the context where there is one."""
        return tuple(dict.fromkeys(j.run.task for j in self.judged))

    def of(self, method: str, task: str | None = None) -> list[Judged]:
        """Runs of a method, on one task or all."""
        return [j for j in self.judged if j.run.method == method and task in (None, j.run.task)]

    def certifying(self) -> tuple[str, ...]:
        """Methods that promise safety."""
        return tuple(n for n, m in self.methods.items() if m["promise"] in PROMISES_SAFETY)

    def baselines(self) -> tuple[str, ...]:
        """Methods that promise nothing."""
        return tuple(n for n, m in self.methods.items() if m["promise"] not in PROMISES_SAFETY)


def load(folders: Sequence[Path]) -> Results:
    """Read results.

    Raises:
        InputError: a folder without results, the same run in two folders, a task or method that is defined otherwise
            in another run.
    """
    tables, facts, plans = [], [], []
    for folder in folders:
        store = Store(folder)
        tables.append(store.table())
        facts += list(store.all_facts())
        plans += [{**plan, "folder": shown(folder)} for plan in store.plans()]
    methods: dict[str, dict[str, Any]] = {}
    tasks: dict[str, dict[str, str]] = {}
    for one in facts:
        _same(tasks, one["task"]["name"], dict(one["task"]), "task", folders)
        _same(methods, one["method"]["name"], dict(one["method"]), "method", folders)
    table = pa.concat_tables(tables)
    keys = [(f["task"]["name"], f["method"]["name"], int(f["job"]["seed"])) for f in facts]
    if len(set(keys)) < len(keys):
        twice = next(k for k in keys if keys.count(k) > 1)
        raise InputError(f"{_named(folders)}: {twice[1]} on {twice[0]}, seed {twice[2]}, is there twice")
    runs, estimated = _runs(table, keys, {n: str(m["promise"]) for n, m in methods.items()})
    runs.sort(key=lambda r: (r.task, r.method, r.seed))
    return Results(
        folders=tuple(folders),
        judged=tuple(Judged(run, measures(run)) for run in runs),
        methods=dict(sorted(methods.items())),
        tasks=dict(sorted(tasks.items())),
        facts=tuple(facts),
        plans=tuple(plans),
        estimated=tuple(estimated),
    )


def shown(path: Path) -> str:
    """A path on a page that others read: as it was given, or its name alone where it was absolute."""
    return path.name if path.is_absolute() else path.as_posix()


def labelled(task: str, context: str) -> str:
    """A task's name with its context."""
    return f"{task} ({context})" if context else task


def _same(
    known: dict[str, Any], name: str, found: dict[str, Any], kind: str, folders: Sequence[Path]
) -> None:
    known.setdefault(name, found)
    # A summary is words; it may have been put better since.
    if {**known[name], "summary": ""} != {**found, "summary": ""}:
        raise InputError(f"{_named(folders)}: runs of two definitions of {kind} {name}; keep them apart")


def _named(folders: Sequence[Path]) -> str:
    return ", ".join(str(f) for f in folders)


def _runs(
    table: pa.Table, keys: Sequence[RunKey], promises: Mapping[str, str]
) -> tuple[list[BenchRun], list[str]]:
    columns = {name: _column(table, name) for name in table.column_names if name not in ("x", "worker")}
    groups: dict[RunKey, dict[str, list[int]]] = {key: {} for key in keys}
    named = zip(
        columns["task"].tolist(),
        columns["method"].tolist(),
        columns["seed"].tolist(),
        columns["context"].tolist(),
        strict=True,
    )
    for row, (task, method, seed, context) in enumerate(named):
        groups[task, method, seed].setdefault(context, []).append(row)
    starts, estimated = _starts(columns, groups)
    runs = []
    for key, contexts in groups.items():
        for context, rows in contexts.items() or [("", [])]:
            runs.append(_run(columns, rows, key, context, promises[key[1]], starts))
    return runs, sorted(estimated)


def _starts(
    columns: Mapping[str, Any], groups: Mapping[RunKey, Mapping[str, list[int]]]
) -> tuple[dict[tuple[str, int, str], tuple[float, float]], set[str]]:
    """Optimum and regret at the start by task, seed and context, and the tasks where the latter is a guess."""
    found: dict[tuple[str, int, str], tuple[float, float]] = {}
    said: set[tuple[str, int, str]] = set()
    estimated = set()
    for (task, _method, seed), contexts in groups.items():
        for context, rows in contexts.items():
            key, first = (task, seed, context), min(rows, key=lambda r: int(columns["trial"][r]))
            optimum = float(columns["optimum"][first])
            start = largest(columns["start"][rows])  # seeds that are trials of the run come one by one
            if math.isfinite(optimum - start):
                found[key] = (optimum, optimum - start)
                said.add(key)
            elif key not in said:
                guesses = np.array([found.get(key, (optimum, math.nan))[1], columns["tried_regret"][first]])
                found[key] = (optimum, largest(guesses))
    for key, (_, regret) in found.items():
        if key not in said and math.isfinite(regret):
            estimated.add(labelled(key[0], key[2]))
    return found, estimated


def _run(
    columns: Mapping[str, Any],
    found: Sequence[int],
    key: RunKey,
    context: str,
    promise: str,
    starts: Mapping[tuple[str, int, str], tuple[float, float]],
) -> BenchRun:
    """One run in one context, from its rows of the whole table."""
    task, method, seed = key
    optimum, start = starts.get((task, seed, context), (math.nan, math.nan))
    rows = np.array(found, int)
    rows = rows[np.argsort(columns["trial"][rows], kind="stable")]

    def of(name: str) -> Any:
        return columns[name][rows]

    memory = of("peak_memory_mb")
    return BenchRun(
        task=labelled(task, context),
        base=task,
        method=method,
        seed=seed,
        promise=promise,
        optimum=optimum,
        start_regret=start,
        risk=float(of("risk")[0]) if len(rows) else math.nan,
        trial=of("trial"),
        violated=of("violated"),
        fell=of("fell"),
        backup=of("backup"),
        margin=of("true_margin"),
        objective=of("true_objective"),
        answer_regret=of("regret"),
        answer_unsafe=of("answer_safe") == 0.0,
        tried_regret=of("tried_regret"),
        safe_share=of("safe_share"),
        ask_seconds=of("ask_seconds"),
        peak_memory_mb=float(memory[0]) if len(memory) else math.nan,
    )


def _column(table: pa.Table, name: str) -> Any:
    """A column as an array; nulls are NaN, and `answer_safe` is 1, 0 or NaN."""
    column = table.column(name)
    if name == "answer_safe":
        column = column.cast(pa.int8()).cast(pa.float64())
    values = column.to_numpy(zero_copy_only=False) if table.num_rows else np.array([])
    if pa.types.is_string(column.type):
        return values.astype(object)
    if pa.types.is_boolean(column.type):
        return values.astype(bool)
    return values.astype(int) if pa.types.is_integer(column.type) else values.astype(float)
