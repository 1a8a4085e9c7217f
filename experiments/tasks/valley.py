"""The 1-D task with a valley: the seeds lie on the lower of two safe hills."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from safebo.experiments.tasks.task import FloatArray, KernelSpec, Task

_HILLS = ((5.0, 0.4, 0.85), (1.45, 2.5, 0.9), (1.8, 3.2, 0.55), (4.5, 5.5, 0.93))
"""Weight, mean and standard deviation of the normal densities that add up to the objective."""

_SEEDS = (340, 345, 353, 359, 362, 365, 370, 394)
"""Grid points of the eight seeds: the source's draws from (4.5, 6) under its fixed random key."""


def hills(x: FloatArray) -> FloatArray:
    """Objective and constraint in one, `n x 1`."""
    return sum(weight * norm.pdf(x, mean, std) for weight, mean, std in _HILLS) - 0.95


def valley() -> Task:
    """One function on 500 points of [-2, 8], to be maximised and kept at or above 0.

    The higher hill (1.4409 near 0.4) lies behind a valley that is safe but low; whoever stays on the hill of
    the seeds (near 5.5) keeps a regret of 0.458. 367 of 500 points are safe.

    Source: Hübotter et al. 2024, the 1-D task of its published code; noise 0.1, beta 5, squared-exponential
    kernel of lengthscale 1 and variance 1, Lipschitz constants as computed there.
    """
    grid = np.linspace(-2.0, 8.0, 500)
    seeds = grid[list(_SEEDS)][:, None]
    return Task(
        name="valley",
        functions=hills,
        bounds=np.array([[-2.0], [8.0]]),
        kernels=(KernelSpec("rbf", 1.0),),
        prior_means=(0.0,),
        noise_std=(0.1,),
        beta=(5.0,),
        thresholds=(0.0,),
        start=lambda seed: seeds,
        trials=1000,
        lattice=(500,),
        lipschitz={"oracle": (1.54725186,), "prior": (2.50495534,)},
    )
