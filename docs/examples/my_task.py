"""A benchmark task of one's own: copy this file, change the functions and what methods are told, and run

    safebo bench run docs/examples/my_task.py --methods safe_ucb,safeopt,random --seeds 5 --out runs/mine
    safebo bench report runs/mine

A file holds one name, `task`: a `Task`, or a function of the run's seed that gives one, for functions that are drawn
anew for every run. A study file does too: `safebo bench run my-study.yaml ...` (its evaluator runs the trials, and
nobody knows its optimum, so that regret is not known).
"""

import numpy as np

from safebo.experiments.tasks.task import UNCONSTRAINED, KernelSpec, Task


def comfort_and_clearance(x):
    """Objective and constraint, `n x 2`, of inputs `n x 2`; both are maximised, both without noise."""
    comfort = np.exp(-((x[:, 0] - 0.7) ** 2) / 0.2 - (x[:, 1] - 0.6) ** 2 / 0.3)
    clearance = 0.8 - (x**2).sum(-1)
    return np.stack([comfort, clearance], -1)


task = Task(
    name="my-task",
    functions=comfort_and_clearance,
    bounds=np.array([[0.0, 0.0], [1.0, 1.0]]),
    # What methods are told, one entry for each function: the prior and the noise. The noise is also what they meet.
    kernels=(KernelSpec("rbf", 0.4), KernelSpec("rbf", 0.4)),
    prior_means=(0.0, 0.0),
    noise_std=(0.02, 0.02),
    beta=(2.5, 2.5),
    # A function is a constraint where it has a threshold: safe at and above it.
    thresholds=(UNCONSTRAINED, 0.0),
    # Safe inputs that are measured before the first trial, `k x d`, by the run's seed.
    start=lambda seed: np.array([[0.2, 0.2]]),
    trials=50,
    # Points of the grid per input. Without a grid, `known_optimum` takes its place and the whole box is searched.
    lattice=(30, 30),
)
