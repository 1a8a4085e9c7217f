"""The Furuta pendulum task: two rate gains that hold a rod upright."""

from __future__ import annotations

import numpy as np

from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task
from safebo.robots.benchmarks.feedback import roll_out
from safebo.robots.benchmarks.furuta import furuta as plant

ARM_GAIN, ROD_GAIN = -6.0, 80.0
"""V/rad, fixed: on the arm's angle and the rod's."""
DELAY = 3
"""Control periods from measuring to acting, 12 ms."""
START = np.array([0.0, 0.1, 0.2, 0.0])
"""rad, rad, rad/s, rad/s"""
STEPS = 1000
"""Control periods of a trial: 4 s."""
SEED = np.array([6.9, -0.9])
MOTOR_VOLTAGE = 2.5
"""V, root mean square, that the motor bears."""


def calm_and_margins(x: FloatArray) -> FloatArray:
    """Objective, uprightness and motor margin of rate gains of rod and arm (V s/rad) `n x 2`, `n x 3`.

    With sums over the control periods: `6 - (|theta'| + |alpha'| + |u|) / 100`, cut off at -20, `5.2 - |alpha| / 3`,
    cut off at -10, and `ln(2.5 V / root mean square of u)`.
    """
    rates = np.asarray(x)
    fixed = np.tile([ARM_GAIN, ROD_GAIN], (len(rates), 1))
    shown = roll_out(plant(DELAY), -np.column_stack([fixed, rates[:, 1], rates[:, 0]]), START, STEPS)
    turned = np.abs(shown.states[:-1, :, 2:]).sum((0, 2)) + np.abs(shown.controls).sum(0)
    tilted = np.abs(shown.states[:-1, :, 1]).sum(0)
    voltage = np.sqrt((shown.controls**2).mean(0))
    return np.stack(
        [
            np.maximum(6.0 - turned / 100.0, -20.0),
            np.maximum(5.2 - tilted / 3.0, -10.0),
            np.log(MOTOR_VOLTAGE / voltage),
        ],
        -1,
    )


def furuta() -> Task:
    """Rate gains of rod and arm on 41 x 23 points of [4, 8] x [-1.7, -0.6] V s/rad, 200 trials.

    80 % of the gains are safe, in one piece. Arms with too little damping swing long; rods with too much make the motor
    shake, because the controller acts 12 ms late. The seed (6.9, -0.9) is near both limits and reaches -8.8, the best
    safe gains (4.7, -1.7) 3.6.

    Source: ranges, seed, start, sums and number of trials as in the rotary pendulum of ISE (Bottero et al. 2022), of
    which we know the published code; its simulator is another. Constants of our choice: plant, fixed gains, delay,
    the second constraint, the limit 5.2 (6 there), noise, beta 3 and the prior (squared exponential of lengthscale 0.5;
    0.3 there).
    """
    return Task(
        name="furuta",
        functions=calm_and_margins,
        bounds=np.array([[4.0, -1.7], [8.0, -0.6]]),
        kernels=(KernelSpec("rbf", 0.5, 25.0), KernelSpec("rbf", 0.5, 6.25), KernelSpec("rbf", 0.5, 1.0)),
        prior_means=(0.0, 0.0, 0.0),
        noise_std=(0.2, 0.1, 0.03),
        beta=(3.0, 3.0, 3.0),
        thresholds=(UNCONSTRAINED, 0.0, 0.0),
        start=lambda seed: SEED[None],
        trials=200,
        lattice=(41, 23),
    )
