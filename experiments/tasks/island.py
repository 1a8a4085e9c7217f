"""The 2-D island task: a round safe set whose best point lies on its shore."""

from __future__ import annotations

import numpy as np
from scipy.stats import multivariate_normal

from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task


def peak_and_island(x: FloatArray) -> FloatArray:
    """Objective, a correlated normal density around (2, 2), and constraint, one around 0, `n x 2`."""
    peak = 100.0 * multivariate_normal.pdf(x, [2.0, 2.0], [[1.0, 0.5], [0.5, 1.0]])
    island = 100.0 * multivariate_normal.pdf(x, [0.0, 0.0], np.eye(2)) - 2.5
    return np.stack(np.broadcast_arrays(peak, island), -1).reshape(-1, 2)


def island() -> Task:
    """Two functions on 50 x 50 points of [-3, 3)^2, one measurement near the middle, 100 trials.

    Source: Hübotter et al. 2024, the 2-D task of its published code; noise 0.1, beta 15 (the functions are far
    larger than the prior's unit variance), squared-exponential kernels of lengthscale 1, Lipschitz constants
    as computed there. The seed is drawn from the grid points of [-0.5, 0.5]^2, one draw per run.
    """

    def start(seed: int) -> FloatArray:
        middle = task.grid[(np.abs(task.grid) <= 0.5).all(-1)]
        return middle[[np.random.default_rng([seed, 2]).integers(len(middle))]]

    task = Task(
        name="island",
        functions=peak_and_island,
        bounds=np.array([[-3.0, -3.0], [3.0, 3.0]]),
        kernels=(KernelSpec("rbf", 1.0), KernelSpec("rbf", 1.0)),
        prior_means=(0.0, 0.0),
        noise_std=(0.1, 0.1),
        beta=(15.0, 15.0),
        thresholds=(UNCONSTRAINED, 0.0),
        start=start,
        trials=100,
        lattice=(50, 50),
        endpoint=False,
        lipschitz={"oracle": (11.66914771, 7.8560165), "prior": (63.15282346, 80.97604292)},
    )
    return task
