"""Folders of benchmark results with chosen numbers, for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from safebo.experiments.bench.jobs import FACTS
from safebo.experiments.bench.rows import ResultRow, table
from safebo.experiments.bench.store import Store


def rows_of(
    regrets: Sequence[float],
    start: float = 2.0,
    optimum: float = 5.0,
    violated: Sequence[int] = (),
    depth: float = 0.25,
    **more: Any,
) -> list[ResultRow]:
    """Rows whose answers, and best safe trials, have these regrets; trials `violated` (from 1) are unsafe."""
    found = []
    for i, regret in enumerate(regrets):
        unsafe = i + 1 in violated
        values: dict[str, Any] = {
            "trial": i + 1,
            "x": [0.0],
            "true_objective": optimum - regret,
            "true_margin": -depth if unsafe else 1.0,
            "violated": unsafe,
            "regret": regret,
            "answer_safe": True,
            "tried_regret": min(regrets[: i + 1]),
            "optimum": optimum,
            "start": optimum - start,
            "safe_share": (i + 1) / len(regrets),
            "false_share": 0.0,
            "ask_seconds": 0.001 * (i + 1),
            **more,
        }
        found.append(ResultRow(**values))
    return found


def put(
    folder: Path,
    task: str,
    method: str,
    seed: int,
    rows: Sequence[ResultRow],
    promise: str = "certified",
    hashed: str = "abc",
    trials: int | None = None,
) -> None:
    """Write one run."""
    found = table(rows, task, method, seed, "here:1", "a machine", 100.0 + seed)
    facts = {
        "job": {"task": task, "method": method, "seed": seed, "trials": trials or len(rows)},
        "task": {"name": task, "hash": hashed, "what": ""},
        "method": {
            "name": method,
            "method": method,
            "origin": "",
            "promise": promise,
            "external": False,
            "summary": f"{method} in words",
            "file": "",
        },
        "versions": {"safebo": "0.1.0", "numpy": "2.0"},
        "python": "3.11.7",
        "machine": {"cpu": "a machine", "system": "Linux", "cores": 2},
        "began": 1.7e9,
        "seconds": 1.5,
    }
    path = Store(folder).path(task, method, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found.replace_schema_metadata({FACTS: json.dumps(facts).encode()}), path)


LEVELS = {"good": 0.2, "fair": 0.6, "poor": 1.2}
"""Regrets at the end of methods that promise safety, before noise; the start's is 2."""


def sample(
    folder: Path, seeds: int = 8, tasks: Sequence[str] = ("hill", "gp-1d-long"), trials: int = 12
) -> Path:
    """Three methods that keep their promise and a baseline that violates, over two tasks."""
    for task in tasks:
        for seed in range(seeds):
            rng = np.random.default_rng([seed, len(task)])
            shift = rng.normal(0.0, 0.05)
            for method, level in LEVELS.items():
                regrets = np.linspace(2.0, level + shift + 0.02 * rng.normal(), trials)
                put(folder, task, method, seed, rows_of(regrets.tolist(), risk=1e-4))
            put(
                folder,
                task,
                "wild",
                seed,
                rows_of(np.linspace(2.0, 0.05, trials).tolist(), violated=(2, 3)),
                "nothing",
            )
    Store(folder).add_plan(
        {
            "suite": "hills",
            "tasks": list(tasks),
            "methods": [*LEVELS, "wild"],
            "seeds": seeds,
            "trials": trials,
            "left_out": [{"task": "hill", "method": "gosafeopt", "why": "nothing to watch"}],
        }
    )
    return folder
