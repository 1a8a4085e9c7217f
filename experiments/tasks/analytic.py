"""Test functions of global optimisation as safe tasks: camelback, Hartmann-6 and a Gaussian hill in ten inputs."""

from __future__ import annotations

import numpy as np

from safebo.experiments.tasks.task import FloatArray, KernelSpec, Task

HARTMANN_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_RATES = np.array(
    [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ]
)
HARTMANN_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
HARTMANN_OPTIMUM = 3.3223680114155147
"""At (0.20169, 0.15001, 0.47687, 0.27533, 0.31165, 0.65730)."""


CAMELBACK_FLOOR = -2.5
"""The task's function is cut off there, far below what is safe."""


def negated_camelback(x: FloatArray) -> FloatArray:
    """Minus the six-hump camelback function, of inputs `n x 2`, `n x 1`: two maxima of 1.0316."""
    a, b = x[:, 0] ** 2, x[:, 1] ** 2
    return -((4.0 - 2.1 * a + a**2 / 3.0) * a + x[:, 0] * x[:, 1] + (4.0 * b - 4.0) * b)[:, None]


def hartmann6(x: FloatArray) -> FloatArray:
    """Hartmann's function as it is maximised, of inputs `n x 6` in the unit cube, `n x 1`."""
    squares = (HARTMANN_RATES * (x[:, None] - HARTMANN_CENTRES) ** 2).sum(-1)
    return (np.exp(-squares) @ HARTMANN_HEIGHTS)[:, None]


def gaussian_hill(x: FloatArray) -> FloatArray:
    """`exp(-4 |x|^2)` of inputs `n x d`, `n x 1`."""
    return np.exp(-4.0 * (x**2).sum(-1))[:, None]


def camelback() -> Task:
    """The camelback function, negated and cut off at -2.5, on 81 x 41 points of [-2, 2] x [-1, 1], kept at or above 0.

    Both maxima lie in one safe region of three (18 % of the grid); the largest value on the grid is 1.0298.

    Source: function, box, threshold and number of trials as in LoSBO (Fiedler et al. 2024) after LineBO (Kirschner
    et al. 2019), whose start is drawn too: here uniformly among points of the large region between 0.4 and 0.6.
    Constants of our choice: normal noise of 0.01 (uniform there), the prior (squared exponential, lengthscale 0.4,
    variance 1, mean 0), beta 3.
    """

    def start(seed: int) -> FloatArray:
        values = task.grid_values[:, 0]
        inside = (values >= 0.4) & (values <= 0.6) & (np.abs(task.grid[:, 0]) < 1.2)
        return task.grid[inside][[np.random.default_rng([seed, 2]).integers(inside.sum())]]

    task = Task(
        name="camelback",
        functions=lambda x: np.maximum(negated_camelback(x), CAMELBACK_FLOOR),
        bounds=np.array([[-2.0, -1.0], [2.0, 1.0]]),
        kernels=(KernelSpec("rbf", 0.4),),
        prior_means=(0.0,),
        noise_std=(0.01,),
        beta=(3.0,),
        thresholds=(0.0,),
        start=start,
        trials=100,
        lattice=(81, 41),
    )
    return task


def hartmann() -> Task:
    """Hartmann's function over its maximum, in six inputs, kept at or above 0.3; 5 % of the cube are safe.

    Source: function, cube, threshold and number of trials as in LoSBO (Fiedler et al. 2024). Constants of our
    choice: the start, drawn uniformly among points between 0.35 and 0.5; normal noise of 0.01 (uniform there); the
    prior (squared exponential, lengthscale 0.3, variance 0.25, mean 0), beta 3.
    """

    def start(seed: int) -> FloatArray:
        points = np.random.default_rng([seed, 2]).random((2_000, 6))
        values = task.values(points)[:, 0]
        return points[(values >= 0.35) & (values <= 0.5)][:1]

    task = Task(
        name="hartmann6",
        functions=lambda x: hartmann6(x) / HARTMANN_OPTIMUM,
        bounds=np.array([[0.0] * 6, [1.0] * 6]),
        kernels=(KernelSpec("rbf", 0.3, 0.25),),
        prior_means=(0.0,),
        noise_std=(0.01,),
        beta=(3.0,),
        thresholds=(0.3,),
        start=start,
        trials=100,
        known_optimum=1.0,
    )
    return task


def gaussian10() -> Task:
    """A Gaussian hill in ten inputs of [-1, 1], kept at or above 0.2: a ball of radius 0.634, 3e-5 of the box.

    Source: function, box, threshold and number of trials as in LoSBO (Fiedler et al. 2024) after LineBO (Kirschner
    et al. 2019). Constants of our choice: the start, in a direction drawn at random where the function is 0.4;
    normal noise of 0.01 (uniform there); the prior is the hill's own kernel, in whose space its norm is 1, beta 2.
    """

    def start(seed: int) -> FloatArray:
        direction = np.random.default_rng([seed, 2]).standard_normal((1, 10))
        return direction / np.linalg.norm(direction) * np.sqrt(-np.log(0.4) / 4.0)

    return Task(
        name="gaussian10",
        functions=gaussian_hill,
        bounds=np.array([[-1.0] * 10, [1.0] * 10]),
        kernels=(KernelSpec("rbf", float(np.sqrt(1.0 / 8.0))),),
        prior_means=(0.0,),
        noise_std=(0.01,),
        beta=(2.0,),
        thresholds=(0.2,),
        start=start,
        trials=100,
        known_optimum=1.0,
    )
