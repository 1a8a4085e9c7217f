"""Many methods and seeds of one benchmark task in worker processes, and the table of what they showed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed

import numpy as np
import torch

from safebo.experiments.evidence.truth import process_pool
from safebo.experiments.tasks import task_named
from safebo.experiments.tasks.runs import TaskRun, Variant, run


def run_named(task: str, variant: str, seed: int, trials: int) -> TaskRun:
    """One run, in whatever process; everything is rebuilt from names."""
    torch.set_num_threads(1)
    return run(task_named(task), Variant.parse(variant), seed, trials)


def sweep(task: str, variants: Sequence[str], seeds: int, trials: int, workers: int = 2) -> Iterator[TaskRun]:
    """Runs of every method with seeds 0, 1, ... as they end; the seeds of a method together, in worker processes.

    Raises:
        UnknownNameError: a method that does not exist, before anything runs.
    """
    names = [Variant.parse(variant).name for variant in variants]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers
    with process_pool(workers) as pool:
        jobs = [pool.submit(run_named, task, name, seed, trials) for name in names for seed in range(seeds)]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def row(runs: Sequence[TaskRun], checkpoints: Sequence[int]) -> str:
    """One method's line: violations, mean and median regret of its recommendation, best tried, time per ask.

    Args:
        runs: of one method, one per seed.
        checkpoints: trials after which regret is printed, ascending.
    """
    violated = np.array([run.violated for run in runs])
    regret = np.array([run.regret for run in runs])
    tried = np.array([run.tried_regret for run in runs])
    seconds = np.concatenate([run.seconds for run in runs])
    cells = [
        f"{_mean(regret[:, n - 1]):7.3f} {np.median(regret[:, n - 1]):7.3f} {tried[:, n - 1].mean():7.3f}"
        for n in checkpoints
    ]
    counts = f"{int(violated.sum()):4d}/{violated.size:<5d} {int(violated.any(1).sum()):2d}/{len(runs):<2d}"
    times = f"{seconds.mean():7.3f} {seconds.max():7.2f}"
    return f"{runs[0].variant:18s} {counts}  " + "  ".join(cells) + f"  {times}"


def heading(checkpoints: Sequence[int]) -> str:
    """The line above the rows."""
    cells = [f"{f'mean@{n}':>7s} {'median':>7s} {'tried':>7s}" for n in checkpoints]
    return f"{'method':18s} {'violated':>10s} runs   " + "  ".join(cells) + f"  {'ask_s':>7s} {'worst_s':>7s}"


def mean_regret(runs: Sequence[TaskRun], trials: int) -> float:
    """Mean regret of the recommendation after that many trials; infinite where one run certified nothing."""
    return _mean(np.array([run.regret[trials - 1] for run in runs]))


def violations(runs: Sequence[TaskRun]) -> int:
    """Trials that broke a constraint by the truth, over all runs."""
    return int(sum(run.violated.sum() for run in runs))


def _mean(values: np.ndarray) -> float:
    return float("inf") if np.isnan(values).any() else float(values.mean())
