"""The cascaded motor: four gains of a current loop and of the speed loop around it."""

from __future__ import annotations

import numpy as np

from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task
from safebo.robots.benchmarks.motor import TARGET, step_responses

LOWEST, HIGHEST = np.array([0.3, 10.0, 0.04, 0.1]), np.array([5.0, 1000.0, 0.8, 4.0])
"""Gains at inputs 0 and 1, geometric between: V/A, V/(A s), A s/rad, A/rad."""
LARGEST_CURRENT, LARGEST_OVERSHOOT = 16.0, 20.0
"""A, rad/s"""


def speed_and_margins(x: FloatArray) -> FloatArray:
    """Objective and margins of inputs `n x 4`, `n x 3`.

    The objective is `-ln` of the mean error of the speed in units of 40 rad/s; the margins are `ln(16 A / largest
    current)` and `1 - (highest speed - 200 rad/s) / 20 rad/s`, both cut off at -1 and 2.
    """
    speeds, currents = step_responses(LOWEST * (HIGHEST / LOWEST) ** np.asarray(x))
    error = np.minimum(np.abs(TARGET - speeds).mean(1), 200.0)
    peak = np.minimum(np.abs(currents).max(1), 100.0)
    overshoot = speeds.max(1) - TARGET
    margins = [np.log(LARGEST_CURRENT / peak), 1.0 - overshoot / LARGEST_OVERSHOOT]
    return np.stack([-np.log(error / 40.0), *np.clip(margins, -1.0, 2.0)], -1)


def motor() -> Task:
    """Gains of current and speed loop on 9 x 9 x 9 x 9 points, 100 trials, noise 0.02.

    Three in five of the gains are safe. The seed is slow; the best gains use the current up to its limit.

    Source: our own; plant and loops are those of `safebo.robots.benchmarks.motor`.
    """
    return Task(
        name="motor",
        functions=speed_and_margins,
        bounds=np.array([[0.0] * 4, [1.0] * 4]),
        kernels=(
            KernelSpec("matern52", 0.6, 0.5),
            KernelSpec("matern52", 0.6, 0.35),
            KernelSpec("matern32", 0.4, 1.0),
        ),
        prior_means=(0.0, 0.0, 0.0),
        noise_std=(0.02,) * 3,
        beta=(3.0,) * 3,
        thresholds=(UNCONSTRAINED, 0.0, 0.0),
        start=lambda seed: np.array([[2.0, 4.0, 1.0, 0.0]]) / 8.0,
        trials=100,
        lattice=(9,) * 4,
    )
