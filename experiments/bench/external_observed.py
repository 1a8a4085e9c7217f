"""What the optimizers of other packages share: what was measured, feasibility, and the answer without a certificate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safebo.experiments.tasks.task import BoolArray, FloatArray, Task


class Observed:
    """An optimizer without a certificate: what was tried and measured, and the best of it that was measured feasible.

    Args:
        task: what is maximised, and the thresholds.
        name: of the optimizer.
        seed: of whatever it draws.
    """

    def __init__(self, task: Task, name: str, seed: int) -> None:
        self._task, self._name, self._seed = task, name, seed
        self.x: FloatArray = np.zeros((0, task.dimension))
        self.y: FloatArray = np.zeros((0, len(task.kernels)))

    def tell(self, x: FloatArray, y: FloatArray) -> None:
        """Inputs, `d` or `k x d`, and their measurements, `m` or `k x m`."""
        self.x = np.concatenate([self.x, np.atleast_2d(x)])
        self.y = np.concatenate([self.y, np.atleast_2d(y)])

    def certified(self, x: FloatArray) -> BoolArray | None:
        """Nothing can be said of inputs."""
        return None

    @property
    def shortfalls(self) -> FloatArray:
        """By how much the constraints missed their thresholds, `n x c`; feasible at 0 or less."""
        return shortfalls(self._task, self.y)

    @property
    def best(self) -> FloatArray | None:
        """The feasible input with the largest measured objective, `d`; None where none was feasible."""
        feasible = (self.shortfalls <= 0.0).all(-1)
        if not feasible.any():
            return None
        return np.asarray(self.x[int(np.argmax(np.where(feasible, self.y[:, 0], -np.inf)))])


def shortfalls(task: Task, y: FloatArray) -> FloatArray:
    """By how much measurements `n x m` miss the thresholds, `n x c`; feasible at 0 or less."""
    kept: Sequence[int] = task.constraints
    return np.array([task.thresholds[i] for i in kept]) - np.atleast_2d(y)[:, kept]


def axis_points(task: Task, axis: int) -> FloatArray:
    """The grid's values along one axis."""
    assert task.lattice is not None
    low, high = task.bounds[:, axis]
    return np.linspace(low, high, task.lattice[axis], endpoint=task.endpoint)
