"""A 2-D task whose best safe point lies on the boundary of the safe set, below a higher unsafe hill."""

from __future__ import annotations

import numpy as np

from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task

LENGTHSCALE = 0.2
OBJECTIVE = np.array([[2.0, 0.92, 0.82], [0.6, 0.3, 0.5]])
CONSTRAINT = np.array([[1.2, 0.2, 0.2], [0.6, 0.5, 0.3], [0.6, 0.25, 0.6], [0.7, 0.7, 0.6]])
"""Height and centre of the bumps that add up to each function."""

THRESHOLD = 0.3
SEED = np.array([0.3, 0.3])


def _bumps(x: FloatArray, heights_and_centres: FloatArray) -> FloatArray:
    squares = ((x[:, None] - heights_and_centres[None, :, 1:]) ** 2).sum(-1)
    return np.exp(-0.5 * squares / LENGTHSCALE**2) @ heights_and_centres[:, 0]


def hill_and_slope(x: FloatArray) -> FloatArray:
    """Objective and constraint, `n x 2`."""
    return np.stack([_bumps(x, OBJECTIVE), _bumps(x, CONSTRAINT)], -1)


def boundary() -> Task:
    r"""Sums of Gaussian bumps of width 0.2 on 100 x 100 points of the unit square, 40 trials.

        f(x) = 2.0 b(x; 0.92, 0.82) + 0.6 b(x; 0.3, 0.5)
        g(x) = 1.2 b(x; 0.2, 0.2) + 0.6 b(x; 0.5, 0.3) + 0.6 b(x; 0.25, 0.6) + 0.7 b(x; 0.7, 0.6) >= 0.3
        b(x; c) = exp(-|x - c|^2 / (2 0.2^2))

    71 % of the square is safe; the seed (0.3, 0.3) lies inside, f = 0.36 there; the largest safe objective is
    reached on the boundary and is less than that of the hill beyond it. The method is told the bumps' own
    kernel with variance 1 and beta 2: the functions' norms in its space are 2.1 and 1.9. Noise 0.02.

    Source: our own.
    """
    kernel = KernelSpec("rbf", LENGTHSCALE)
    return Task(
        name="boundary",
        functions=hill_and_slope,
        bounds=np.array([[0.0, 0.0], [1.0, 1.0]]),
        kernels=(kernel, kernel),
        prior_means=(0.0, 0.0),
        noise_std=(0.02, 0.02),
        beta=(2.0, 2.0),
        thresholds=(UNCONSTRAINED, THRESHOLD),
        start=lambda seed: SEED[None],
        trials=40,
        lattice=(100, 100),
    )
