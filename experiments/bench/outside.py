"""Optimizers that a user would pick instead, each through its own package: unsafe, and shown as such.

They get what every method gets: the same safe seeds with the same measurements, the same noise, and the thresholds.
They are told no prior, no noise level and no beta: their packages fit or ignore such things, as they would for a user.
On a grid their proposal is the nearest point of the grid, and that is what they are told was tried. Their answer is the
best input whose measurements were all feasible, as `Study.best_trial` of Optuna and the tutorials of BoTorch have it;
they certify nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from experiments.tasks.task import BoolArray, FloatArray, Task
from safebo.errors import InputError, UnknownNameError


@dataclass(frozen=True)
class Outside:
    """An optimizer of another package.

    Args:
        name: in results.
        package: that has to be installed.
        summary: in one line.
        modules: that it imports beyond what safebo itself needs.
        least_dimension: number of inputs from which on it works as it is meant to.
    """

    name: str
    package: str
    summary: str
    modules: tuple[str, ...] = ()
    least_dimension: int = 1


OUTSIDE: dict[str, Outside] = {
    one.name: one
    for one in (
        Outside("optuna_tpe", "optuna", "Optuna's TPESampler with its constraints_func", ("optuna",)),
        Outside("optuna_gp", "optuna", "Optuna's GPSampler with its constraints_func", ("optuna",)),
        Outside(
            "optuna_cmaes",
            "optuna, cmaes",
            "Optuna's CmaEsSampler, which takes no constraints: an infeasible trial counts as worse than all others",
            ("optuna", "cmaes"),
            least_dimension=2,
        ),
        Outside(
            "botorch_qlognei", "botorch", "BoTorch's qLogNoisyExpectedImprovement on models that it fits"
        ),
        Outside(
            "botorch_scbo",
            "botorch",
            "BoTorch's ConstrainedMaxPosteriorSampling in SCBO's trust region, on models that it fits",
        ),
    )
}
"""By name. `botorch_scbo` differs from our `scbo` in the model alone: fitted here, the task's own priors there."""


def outside_refusal(task: Task, name: str) -> str:
    """Why an optimizer cannot run on a task; empty when it can.

    Raises:
        InputError: its package is not installed.
    """
    one = _installed(name)
    if task.dimension < one.least_dimension:
        return f"it needs {one.least_dimension} or more inputs, and draws at random with fewer"
    return ""


def outside_proposals(task: Task, name: str, seed: int) -> Any:
    """The optimizer on a task: tell, ask, best, certified.

    Raises:
        InputError: its package is not installed. UnknownNameError: no optimizer has that name.
    """
    _installed(name)
    if name.startswith("optuna_"):
        from experiments.bench.outside_optuna import OptunaProposals

        return OptunaProposals(task, name, seed)
    from experiments.bench.outside_botorch import BotorchProposals

    return BotorchProposals(task, name, seed)


def _installed(name: str) -> Outside:
    if name not in OUTSIDE:
        raise UnknownNameError("method", name, sorted(OUTSIDE))
    one = OUTSIDE[name]
    missing = [module for module in one.modules if find_spec(module) is None]
    if missing:
        raise InputError(
            f"method {name}: {' and '.join(missing)} must be installed: pip install 'safebo[bench]'"
        )
    return one


class Observed:
    """What was tried and measured, and the best of it that was measured feasible.

    Args:
        task: gives thresholds.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.x: FloatArray = np.zeros((0, task.dimension))
        self.y: FloatArray = np.zeros((0, len(task.kernels)))

    def add(self, x: FloatArray, y: FloatArray) -> None:
        """Inputs, `d` or `k x d`, and their measurements, `m` or `k x m`."""
        self.x = np.concatenate([self.x, np.atleast_2d(x)])
        self.y = np.concatenate([self.y, np.atleast_2d(y)])

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


def nothing_certified(_x: FloatArray) -> BoolArray | None:
    """What an optimizer without a certificate says of inputs."""
    return None
