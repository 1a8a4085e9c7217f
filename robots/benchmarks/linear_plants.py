"""Industrial plants as linear models `x' = A x + B u, y = C x`, as published.

- `REACTOR`: an unstable batch reactor, REA1 of COMPleib (Leibfritz 2004): Hung and MacFarlane, "Multivariable
  Feedback: A Quasi-Classical Approach", 1982; deviations from the operating point, scaled
- `AIRCRAFT`: the vertical motion of an aircraft, AC1 of COMPleib, of the same book: states are altitude relative to
  a datum, forward speed, pitch angle, pitch rate and vertical speed; inputs are spoiler angle, forward acceleration
  and elevator angle

Such plants under LQR and static output feedback are the linear half of controlgym (Zhang et al. 2023); nothing of
its code is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from safebo.types import FloatArray


@dataclass(frozen=True)
class LinearPlant:
    """A plant.

    Args:
        name: of the plant.
        a: `n x n`. b: `n x m`. c: measured outputs, `p x n`.
    """

    name: str
    a: FloatArray
    b: FloatArray
    c: FloatArray


REACTOR = LinearPlant(
    "reactor",
    np.array(
        [
            [1.38, -0.2077, 6.715, -5.676],
            [-0.5814, -4.29, 0.0, 0.675],
            [1.067, 4.273, -6.654, 5.893],
            [0.048, 4.273, 1.343, -2.104],
        ]
    ),
    np.array([[0.0, 0.0], [5.679, 0.0], [1.136, -3.146], [1.136, 0.0]]),
    np.array([[1.0, 0.0, 1.0, -1.0], [0.0, 1.0, 0.0, 0.0]]),
)

AIRCRAFT = LinearPlant(
    "aircraft",
    np.array(
        [
            [0.0, 0.0, 1.132, 0.0, -1.0],
            [0.0, -0.0538, -0.1712, 0.0, 0.0705],
            [0.0, 0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0485, 0.0, -0.8556, -1.013],
            [0.0, -0.2909, 0.0, 1.0532, -0.6859],
        ]
    ),
    np.array(
        [
            [0.0, 0.0, 0.0],
            [-0.12, 1.0, 0.0],
            [0.0, 0.0, 0.0],
            [4.419, 0.0, -1.665],
            [1.575, 0.0, -0.0732],
        ]
    ),
    np.eye(3, 5),
)


def with_actuators(plant: LinearPlant, lag: float) -> tuple[FloatArray, FloatArray]:
    """The plant behind first-order actuators: matrices of the states `(x, actuators)` and of their commands.

    Args:
        plant: with m inputs.
        lag: time constant of every actuator, s.
    """
    n, m = plant.b.shape
    a = np.block([[plant.a, plant.b], [np.zeros((m, n)), -np.eye(m) / lag]])
    return a, np.vstack([np.zeros((n, m)), np.eye(m) / lag])


def lqr_gains(plant: LinearPlant, state_cost: FloatArray, input_cost: FloatArray) -> FloatArray:
    """Gains K of `u = -K x` that minimise the integral of `x' Q x + u' R u`, `k x m x n`.

    From the stable eigenvectors of the Hamiltonian matrix (Potter 1966), many weights at once.

    Args:
        plant: stabilizable, and detectable through every Q.
        state_cost: Q, `k x n x n`, symmetric, none negative.
        input_cost: R, `k x m x m`, symmetric and positive.
    """
    n = len(plant.a)
    towards = np.linalg.solve(input_cost, np.broadcast_to(plant.b.T, (len(input_cost), *plant.b.T.shape)))
    a = np.broadcast_to(plant.a, state_cost.shape)
    hamiltonian = np.block([[a, -plant.b @ towards], [-state_cost, -np.swapaxes(a, 1, 2)]])
    values, vectors = np.linalg.eig(hamiltonian)
    stable = np.argsort(values.real, axis=1)[:, None, :n]
    chosen = np.take_along_axis(vectors, stable, 2)
    riccati = np.linalg.solve(np.swapaxes(chosen[:, :n], 1, 2), np.swapaxes(chosen[:, n:], 1, 2))
    return np.asarray(towards @ np.swapaxes(riccati, 1, 2).real)


def abscissae(closed: FloatArray) -> FloatArray:
    """Spectral abscissa, the largest real part of an eigenvalue, of matrices `k x n x n`, `k`; 1/s."""
    return np.asarray(np.linalg.eigvals(closed).real.max(-1))


def free_motions(closed: FloatArray, start: FloatArray, period: float, steps: int) -> FloatArray:
    """States of `x' = closed x` at the times 0, period, ..., exactly, `steps + 1 x k x n`.

    Args:
        closed: `k x n x n`.
        start: state at time 0, `n`.
        period: s.
        steps: how many periods.
    """
    advance = np.stack([expm(period * matrix) for matrix in closed])
    states = np.empty((steps + 1, *closed.shape[:2]))
    states[0] = start
    with np.errstate(over="ignore", invalid="ignore"):  # unstable ones grow without bound
        for t in range(steps):
            states[t + 1] = np.einsum("kij,kj->ki", advance, states[t])
    return states
