"""What a task is like: how much of it is safe, where its optimum lies, what its start is worth.

python -m safebo.experiments.tasks.look cartpole
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import qmc

from safebo.experiments.tasks import task_named
from safebo.experiments.tasks.task import Task

POINTS = 4096
"""Sobol points at which a box is looked at."""


def summary(task: Task, seed: int = 0) -> list[str]:
    """Lines about a task and one run's start.

    Args:
        task: with a grid, all of which is evaluated, or a box, which is sampled.
        seed: of the run.
    """
    start = task.start(seed)[:1]
    if task.lattice is None:
        unit = qmc.Sobol(task.dimension, seed=0).random(POINTS)
        points = task.bounds[0] + unit * (task.bounds[1] - task.bounds[0])
        values = task.values(points)
        safe = ~task.violated(values)
        where = f"{POINTS} points of a box, {safe.mean():.2%} safe"
    else:
        points, values, safe = task.grid, task.grid_values, task.safe
        reachable = task.reachable(seed)
        where = (
            f"{len(points)} points, {safe.mean():.2%} safe, {reachable.mean():.2%} reachable from the start"
        )
    lines = [
        f"{task.name}: {task.dimension} inputs, {where}",
        f"  start {np.round(start[0], 4).tolist()}: {np.round(task.values(start)[0], 4).tolist()}",
    ]
    if safe.any():
        best = np.flatnonzero(safe)[int(values[safe, 0].argmax())]
        shown = f"{np.round(points[best], 4).tolist()}: {np.round(values[best], 4).tolist()}"
        lines.append(f"  best safe point seen {shown}")
    lines.append(f"  optimum {task.optimum():.4f}; thresholds {list(task.thresholds)}; beta {task.beta[0]:g}")
    for index, column in enumerate(values.T):
        quantiles = np.quantile(column, [0.0, 0.1, 0.5, 0.9, 1.0])
        lines.append(
            f"  function {index}: quantiles 0/10/50/90/100 %: " + "  ".join(f"{q:.4g}" for q in quantiles)
        )
    return lines


if __name__ == "__main__":
    for name in sys.argv[1:] or ["valley"]:
        print("\n".join(summary(task_named(name))))
