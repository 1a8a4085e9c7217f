"""Optuna's samplers on a benchmark task, through `Study.ask` and `Study.tell`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, create_trial

from safebo.experiments.bench.external_observed import Observed, axis_points, shortfalls
from safebo.experiments.tasks.task import FloatArray, Task
from safebo.integrations.optuna_records import CONSTRAINTS

MEASURED = "measured"
"""User attribute of a trial that holds its constraints' shortfalls."""


class OptunaProposals(Observed):
    """One of Optuna's samplers with its own defaults.

    On a grid the parameters are the indices of its points along the axes, so that the sampler itself rounds. Seeds are
    added as completed trials; CMA-ES, which reads none that it did not propose, begins at the best of them.

    Args:
        task: what is maximised, and the thresholds.
        name: `optuna_tpe`, `optuna_gp` or `optuna_cmaes`.
        seed: of the sampler.
    """

    def __init__(self, task: Task, name: str, seed: int) -> None:
        super().__init__(task, name, seed)
        self._distributions = {f"x{i}": self._distribution(i) for i in range(task.dimension)}
        self._pending: tuple[Trial, FloatArray] | None = None

    def tell(self, x: FloatArray, y: FloatArray) -> None:
        """What was measured, of the pending proposal or of inputs chosen elsewhere."""
        super().tell(x, y)
        for row, values in zip(np.atleast_2d(x), np.atleast_2d(y), strict=True):
            self._tell(row, values)

    def ask(self, trial: int) -> FloatArray:
        """The next input, `d`."""
        with _quiet():
            asked = self._study.ask(self._distributions)
        x = np.array([self._value(i, asked.params[name]) for i, name in enumerate(self._distributions)])
        self._pending = (asked, x)
        return x

    def _tell(self, row: FloatArray, values: FloatArray) -> None:
        missed = [float(v) for v in shortfalls(self._task, values)[0]]
        told = self._told(values, missed)
        if self._pending is not None and np.array_equal(self._pending[1], row):
            asked, _ = self._pending
            self._pending = None
            asked.set_user_attr(MEASURED, missed)
            with _quiet():
                self._study.tell(asked, told)
            return
        added = create_trial(
            params={f"x{i}": self._parameter(i, v) for i, v in enumerate(row)},
            distributions=self._distributions,
            value=told,
            user_attrs={MEASURED: missed},
            system_attrs={CONSTRAINTS: tuple(missed)},
        )
        with _quiet():
            self._study.add_trial(added)

    def _told(self, values: FloatArray, missed: Sequence[float]) -> float:
        """The objective; for CMA-ES that of an infeasible trial lies below all others, by its total shortfall.

        That is the order of Deb, Computer Methods in Applied Mechanics and Engineering 2000, with the worst of what
        was measured so far.
        """
        lacking = sum(max(0.0, v) for v in missed)
        if self._name != "optuna_cmaes" or lacking == 0.0:
            return float(values[0])
        return float(self.y[:, 0].min()) - lacking

    @cached_property
    def _study(self) -> optuna.Study:
        """Begun once something was measured, from the best of which CMA-ES sets out."""
        with _quiet():
            return optuna.create_study(direction="maximize", sampler=self._sampler())

    def _sampler(self) -> BaseSampler:
        if self._name == "optuna_tpe":
            return TPESampler(seed=self._seed, constraints_func=_constraints)
        if self._name == "optuna_gp":
            return GPSampler(seed=self._seed, constraints_func=_constraints)
        first = self.x[0] if self.best is None else self.best
        return CmaEsSampler(
            x0={f"x{i}": self._parameter(i, v) for i, v in enumerate(first)},
            seed=self._seed,
            with_margin=self._task.lattice is not None,  # else a step below half a cell would never leave it
        )

    def _distribution(self, axis: int) -> BaseDistribution:
        if self._task.lattice is not None:
            return IntDistribution(0, self._task.lattice[axis] - 1)
        low, high = self._task.bounds[:, axis]
        return FloatDistribution(float(low), float(high))

    def _value(self, axis: int, parameter: float) -> float:
        """The task's own input for one of Optuna's parameters."""
        return (
            float(axis_points(self._task, axis)[int(parameter)]) if self._task.lattice else float(parameter)
        )

    def _parameter(self, axis: int, value: float) -> float:
        """Optuna's parameter for one of the task's inputs."""
        if self._task.lattice is None:
            return float(value)
        return int(np.argmin(np.abs(axis_points(self._task, axis) - value)))


def _constraints(trial: FrozenTrial) -> Sequence[float]:
    return list(trial.user_attrs[MEASURED])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's line for every trial and its remarks on what is experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it advises to install greenlet
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", message=".*`x0`", category=FutureWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
