"""Runs behind a paper's figures: done once, kept in a folder, gone on with after a stop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer

from safebo.errors import InputError, SafeboError
from safebo.experiments.bench import pools
from safebo.experiments.bench.store import Store
from safebo.experiments.bench.sweep import Planned, SweepOutcome, plan, sweep
from safebo.experiments.tasks.task import FloatArray
from safebo.workers.interrupt import StopRequest


@dataclass(frozen=True)
class RunRequest:
    """Methods on one task.

    Args:
        task: name or file of a bench task.
        methods: names, as `safebo bench list` has them.
        trials: of every run.
    """

    task: str
    methods: tuple[str, ...]
    trials: int


def command(main: Callable[..., None]) -> None:
    """Run a paper's command line; what a person can mend is said in words, exit code 2."""
    try:
        typer.run(main)
    except SafeboError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def make(
    requests: Sequence[RunRequest], seeds: int, out: Path, workers: int, say: Callable[[str], None] = print
) -> pa.Table:
    """Do every run that the folder lacks, and read what was asked for.

    Args:
        requests: what to run.
        seeds: of every method, 0, 1, ...
        out: folder of the results.
        workers: processes of this machine.
        say: takes lines of progress.

    Raises:
        InputError: a method cannot run on its task, or runs failed.
        SystemExit: the sweep was stopped.
    """
    refused: dict[tuple[str, str], str] = {}
    planned: list[Planned] = []
    for request in requests:
        planned += plan([request.task], request.methods, range(seeds), request.trials, refused)
    for (task, method), why in refused.items():
        raise InputError(f"method {method} cannot run on task {task}: {why}")
    store, began, outcome = Store(out), time.monotonic(), SweepOutcome()

    def tell(one: Planned, seconds: float) -> None:
        left = len(planned) - outcome.ended
        rest = (time.monotonic() - began) / (outcome.ended - outcome.skipped) * left / 60
        say(
            f"{one.task} {one.method} seed {one.job.seed}: {seconds:.0f} s; {left} runs left, about {rest:.0f} min"
        )

    with pools.local(workers) as executor, StopRequest() as stop:
        sweep(store, planned, executor, tell, lambda: stop.requests, workers, outcome)
        if stop.at_once:
            executor.shutdown(wait=False, cancel_futures=True)
            os._exit(130)
    if outcome.stopped:
        say(f"stopped; the same command goes on, --out {out}")
        raise SystemExit(130)
    if outcome.failed:
        one, why = next(iter(outcome.failed.items()))
        raise InputError(
            f"{len(outcome.failed)} runs failed, first {one.method} on {one.task}, seed {one.job.seed}: {why}"
        )
    return read(out, planned)


def read(out: Path, planned: Sequence[Planned]) -> pa.Table:
    """The rows of these runs, of all that a folder holds."""
    table = Store(out).table()
    wanted = {(one.task, one.method, one.job.seed) for one in planned}
    keys = zip(*(table[name].to_pylist() for name in ("task", "method", "seed")), strict=True)
    return table.filter(pa.array([key in wanted for key in keys]))


def series(
    table: pa.Table, task: str, method: str, column: str, trials: int, context: str | None = None
) -> FloatArray:
    """One column of a method's runs, `seeds x trials`, seeds in order.

    A run that ended early, since nothing could be certified any more, keeps its last value.

    Args:
        table: rows as `safebo.experiments.bench.rows` has them.
        task: name.
        method: name.
        column: numbers or truth values; what is missing becomes NaN.
        trials: how many of each run, in `context` if one is given.
        context: counts trials in this context alone.

    Raises:
        InputError: the table has no such runs.
    """
    chosen = [row for row in rows_of(table, task, method) if context is None or row["context"] == context]
    by_seed: dict[int, list[float]] = {}
    for row in sorted(chosen, key=lambda row: row["trial"]):
        value = row[column]
        by_seed.setdefault(row["seed"], []).append(np.nan if value is None else float(value))
    if not by_seed:
        raise InputError(f"no runs of {method} on {task}{f', {context}' if context else ''}")
    held = []
    for _, values in sorted(by_seed.items()):
        kept = values[:trials]
        held.append(kept + [kept[-1]] * (trials - len(kept)))
    return np.array(held)


def rows_of(table: pa.Table, task: str, method: str) -> list[dict[str, Any]]:
    """Rows of one method on one task."""
    mask = pc.and_(pc.equal(table["task"], task), pc.equal(table["method"], method))
    return table.filter(mask).to_pylist()


def count(table: pa.Table, task: str, method: str, column: str, first: int | None = None) -> tuple[int, int]:
    """How many trials have a truth value set, and how many trials there are; of the first ones of every run."""
    chosen = [row for row in rows_of(table, task, method) if first is None or row["trial"] <= first]
    return sum(bool(row[column]) for row in chosen), len(chosen)


def last_known(values: FloatArray) -> FloatArray:
    """Every NaN of `seeds x T` replaced by the last number before it in its row; leading ones stay."""
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), 0), axis=1)
    return np.asarray(np.take_along_axis(values, last, axis=1))


def regrets(table: pa.Table, task: str, method: str, trials: int, context: str | None = None) -> FloatArray:
    """Regret of the recommendation, `seeds x trials`; while nothing is certified, that of the best safe input tried."""
    found = last_known(series(table, task, method, "regret", trials, context))
    tried = last_known(series(table, task, method, "tried_regret", trials, context))
    return np.where(np.isnan(found), tried, found)


def mean_and_error(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean over seeds and its standard error, `T` each; the error of a single seed is 0."""
    n = len(values)
    spread = values.std(0, ddof=1) if n > 1 else np.zeros(values.shape[1])
    return values.mean(0), spread / np.sqrt(n)
