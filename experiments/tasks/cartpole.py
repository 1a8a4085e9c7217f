"""The cart-pole task: three gains that catch a falling pole before the cart reaches the rail's ends."""

from __future__ import annotations

import numpy as np

from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task
from safebo.robots.benchmarks.cartpole import cartpole as plant
from safebo.robots.benchmarks.feedback import roll_out

LOWEST, HIGHEST = np.array([1.0, 20.0, 4.0]), np.array([60.0, 150.0, 40.0])
"""Gains on cart position (N/m), pole angle (N/rad) and pole rate (N s/rad) at inputs 0 and 1; geometric between."""

START = np.array([0.0, 0.05, 0.0, 0.4])
"""m, rad, m/s, rad/s"""
STEPS = 400
"""Control periods of a trial: 4 s."""
RAIL, TILT = 0.3, 0.15
"""Largest allowed |x| (m) and |theta| (rad)."""
SEED = np.array([3.0, 7.0, 4.0]) / 14.0
"""Safe and slow."""


def gains(x: FloatArray) -> FloatArray:
    """Feedback gains `n x 4` of inputs `n x 3`; that on the cart's speed is `2 + 2.5 sqrt(position gain)` N s/m."""
    chosen = LOWEST * (HIGHEST / LOWEST) ** x
    position, angle, rate = chosen.T
    return np.stack([position, angle, 2.0 + 2.5 * np.sqrt(position), rate], -1)


def economy_and_margins(x: FloatArray) -> FloatArray:
    """Objective, margin of the rail and margin of the tilt, all logarithms, of inputs `n x 3`, `n x 3`.

    With means over the trial, the objective is `-ln min(50, (x / 0.1)^2 + (theta / 0.1)^2 + (u / 10)^2)`; the
    margins are `ln(limit / largest)`, cut off at -2.
    """
    shown = roll_out(plant(), gains(np.asarray(x)), START, STEPS)
    positions = shown.states[:, :, :2]
    cost = ((positions[:-1] / 0.1) ** 2).sum(-1).mean(0) + ((shown.controls / 10.0) ** 2).mean(0)
    largest = np.abs(positions).max(0)
    margins = np.maximum(np.log(np.array([RAIL, TILT]) / largest), -2.0)
    return np.column_stack([-np.log(np.minimum(cost, 50.0)), margins])


def cartpole() -> Task:
    """Three gains on 15 x 15 x 15 points, 100 trials, noise 0.03.

    A third of the gains are safe, in one piece: weak ones let the pole fall or the cart run to the end of the rail,
    strong ones shake, because the controller acts 20 ms late. The seed reaches -0.67, the best safe gains 0.98. At
    one in a hundred points of the boundary the margin falls off a cliff, from safe to -2 in one step of the grid.

    Source: our own. The prior: Matern 3/2 of lengthscale 0.5 (half of each range), standard deviation 1 for the
    objective and 0.7 for the margins, whose mean is their limit; beta 2.5. In 540 trials of safe methods 3 hit a cliff.
    """
    return Task(
        name="cartpole",
        functions=economy_and_margins,
        bounds=np.array([[0.0] * 3, [1.0] * 3]),
        kernels=(KernelSpec("matern32", 0.5, 1.0), *[KernelSpec("matern32", 0.5, 0.49)] * 2),
        prior_means=(-1.0, 0.0, 0.0),
        noise_std=(0.03, 0.03, 0.03),
        beta=(2.5, 2.5, 2.5),
        thresholds=(UNCONSTRAINED, 0.0, 0.0),
        start=lambda seed: SEED[None],
        trials=100,
        lattice=(15, 15, 15),
    )
