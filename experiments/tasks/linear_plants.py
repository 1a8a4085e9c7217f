"""Two industrial plants under linear control: an unstable reactor's output gains, an aircraft's LQR weights."""

from __future__ import annotations

import numpy as np

from safebo.experiments.tasks.task import UNCONSTRAINED, FloatArray, KernelSpec, Task
from safebo.robots.benchmarks.linear_plants import (
    AIRCRAFT,
    REACTOR,
    abscissae,
    free_motions,
    lqr_gains,
    with_actuators,
)

REACTOR_LAG, AIRCRAFT_LAG = 0.08, 0.15
"""s: time constants of the actuators, which the published models leave out."""
REACTOR_PERIOD, REACTOR_STEPS = 0.02, 300
AIRCRAFT_PERIOD, AIRCRAFT_STEPS = 0.05, 400
"""s, and how many: of the motions that are looked at."""
REACTOR_START = np.array([0.5, -1.0, 0.5, 0.0, 0.0, 0.0])
AIRCRAFT_START = np.eye(8)[0]
"""States at the start, actuators at rest: an upset of the reactor, an altitude off by one."""
LARGEST_GAIN = 6.0
"""Of the reactor's, at input 1."""
REACTOR_COMMAND, AIRCRAFT_COMMAND = 4.1, 2.0
"""Largest commands that are allowed."""
REACTOR_DECAY, AIRCRAFT_DECAY = 0.3, 0.1
"""1/s: slowest decay that is allowed."""
_WORST = 1e9


def _margins(closed: FloatArray, commands: FloatArray, largest: float, decay: float) -> FloatArray:
    """Of the spectral abscissa, 1/s, and of the largest command, as a logarithm, both cut off, `k x 2`."""
    stability = np.clip(-abscissae(closed) - decay, -1.0, 1.0)
    peak = np.nan_to_num(np.abs(commands).max((0, 2)), nan=_WORST, posinf=_WORST).clip(1e-9)
    return np.stack([stability, np.clip(np.log(largest / peak), -2.0, 2.0)], -1)


def _logarithm(cost: FloatArray, worst: float) -> FloatArray:
    return np.asarray(-np.log(np.minimum(np.nan_to_num(cost, nan=_WORST, posinf=_WORST), worst)))


@np.errstate(over="ignore", invalid="ignore")
def upset_and_margins(x: FloatArray) -> FloatArray:
    """Objective and margins of output gains, inputs `n x 2`, `n x 3`.

    The objective is `-ln min(10, mean of |x|^2 + 0.02 |u|^2)` over 6 s; the margins are those of stability, decay
    by 0.3 1/s, and of the commands, at most 4.1.
    """
    gains = np.zeros((len(x), 2, 2))
    gains[:, 0, 1], gains[:, 1, 0] = LARGEST_GAIN * x[:, 0], -LARGEST_GAIN * x[:, 1]
    a, b = with_actuators(REACTOR, REACTOR_LAG)
    feedback = gains @ np.hstack([REACTOR.c, np.zeros((2, 2))])
    closed = a - b @ feedback
    states = free_motions(closed, REACTOR_START, REACTOR_PERIOD, REACTOR_STEPS)
    commands = -np.einsum("kij,tkj->tki", feedback, states)
    cost = ((states[..., :4] ** 2).sum(-1) + 0.02 * (commands**2).sum(-1)).mean(0)
    margins = _margins(closed, commands, REACTOR_COMMAND, REACTOR_DECAY)
    return np.column_stack([_logarithm(cost, 10.0), margins])


@np.errstate(over="ignore", invalid="ignore")
def altitude_and_margins(x: FloatArray) -> FloatArray:
    """Objective and margins of LQR weights, inputs `n x 2`, `n x 3`.

    The weight of the altitude is `10^(4 x_1 - 1)`, that of every input `10^(4 x_2 - 2)`, those of forward speed and
    pitch angle 1. The LQR knows nothing of the actuators. The objective is `-ln min(3, mean |altitude|)` over 20 s;
    the margins are those of stability, decay by 0.1 1/s, and of the commands, at most 2.
    """
    weights = np.ones((len(x), 3))
    weights[:, 0] = 10.0 ** (4.0 * x[:, 0] - 1.0)
    state_cost = np.einsum("pi,kp,pj->kij", AIRCRAFT.c, weights, AIRCRAFT.c)
    input_cost = 10.0 ** (4.0 * x[:, 1, None, None] - 2.0) * np.eye(3)
    gains = lqr_gains(AIRCRAFT, state_cost, input_cost)
    feedback = np.concatenate([gains, np.zeros((len(x), 3, 3))], 2)
    a, b = with_actuators(AIRCRAFT, AIRCRAFT_LAG)
    closed = a - b @ feedback
    states = free_motions(closed, AIRCRAFT_START, AIRCRAFT_PERIOD, AIRCRAFT_STEPS)
    commands = -np.einsum("kij,tkj->tki", feedback, states)
    margins = _margins(closed, commands, AIRCRAFT_COMMAND, AIRCRAFT_DECAY)
    return np.column_stack([_logarithm(np.abs(states[..., 0]).mean(0), 3.0), margins])


def reactor() -> Task:
    """Two output gains of an unstable batch reactor on 31 x 31 points, 60 trials, noise 0.03.

    The first output drives the second input, the second output the first; without control the plant diverges by 2
    1/s. A third of the gains are safe: small ones do not hold it, large ones ask for more than the actuators have.
    The best ones without constraints break the limit of the commands.

    Source: the plant is REA1 of COMPleib (Hung and MacFarlane 1982), its first two outputs; actuators, upset,
    limits and prior are ours.
    """
    return Task(
        name="reactor",
        functions=upset_and_margins,
        bounds=np.array([[0.0, 0.0], [1.0, 1.0]]),
        kernels=(
            KernelSpec("matern52", 0.35, 2.0),
            KernelSpec("matern52", 0.35, 0.5),
            KernelSpec("matern52", 0.35, 0.7),
        ),
        prior_means=(1.5, 0.0, 0.0),
        noise_std=(0.03,) * 3,
        beta=(3.0,) * 3,
        thresholds=(UNCONSTRAINED, 0.0, 0.0),
        start=lambda seed: np.array([[0.2, 0.4]]),
        trials=60,
        lattice=(31, 31),
    )


def aircraft() -> Task:
    """Weights of an aircraft's LQR, of altitude and inputs, on 31 x 31 points, 60 trials, noise 0.03.

    Nearly half of the weights are safe: those that ask for much soon exceed the commands, and where the actuators
    lag the LQR's own guarantee of stability is lost.

    Source: the plant is AC1 of COMPleib (Hung and MacFarlane 1982), whose states are all fed back; actuators, upset,
    limits and prior are ours.
    """
    return Task(
        name="aircraft",
        functions=altitude_and_margins,
        bounds=np.array([[0.0, 0.0], [1.0, 1.0]]),
        kernels=(
            KernelSpec("matern52", 0.35, 2.0),
            KernelSpec("matern52", 0.35, 0.4),
            KernelSpec("matern52", 0.35, 2.0),
        ),
        prior_means=(1.5, 0.0, 0.0),
        noise_std=(0.03,) * 3,
        beta=(3.0,) * 3,
        thresholds=(UNCONSTRAINED, 0.0, 0.0),
        start=lambda seed: np.array([[0.2, 0.8]]),
        trials=60,
        lattice=(31, 31),
    )
