"""Our methods in a continuous box: the task becomes a study, and the study's own search proposes."""

from __future__ import annotations

import math

import numpy as np

from safebo.errors import InputError
from safebo.experiments.tasks.runs import Variant
from safebo.experiments.tasks.task import BoolArray, FloatArray, Task
from safebo.study import (
    EvaluatorSpec,
    FunctionSpec,
    ObjectiveSpec,
    Parameter,
    Seed,
    Study,
    SurrogateSpec,
    TunerSpec,
)
from safebo.tuner import Tuner
from safebo.types import Measurement


def study_of(task: Task, variant: Variant, seed: int = 0) -> Study:
    """The task as a study: the same kernels, means, noise and beta, in the unit cube; the start of a run's seed.

    Raises:
        InputError: what a study cannot say: kernels that differ in kind or lengthscale, or several betas.
    """
    kinds = {(k.kind, k.lengthscale) for k in task.kernels}
    if len(kinds) > 1 or len(set(task.beta)) > 1:
        raise InputError(f"task {task.name}: in a box all functions share kernel, lengthscale and beta")
    kernel = task.kernels[0]
    spans = task.bounds[1] - task.bounds[0]
    parameters = [
        Parameter(
            name=f"x{i}", bounds=(float(low), float(high)), lengthscale=kernel.lengthscale / float(span)
        )
        for i, (low, high, span) in enumerate(zip(*task.bounds, spans, strict=True))
    ]
    functions = [
        FunctionSpec(
            name="objective" if i == 0 else f"margin{i}",
            prior_mean=task.prior_means[i] - (0.0 if i == 0 else task.thresholds[i]),
            prior_std=math.sqrt(task.kernels[i].variance),
            noise_std=task.noise_std[i],
        )
        for i in range(len(task.kernels))
    ]
    constraints = [functions[i] for i in task.constraints if i > 0]
    if 0 in task.constraints:
        copy = functions[0].model_copy(
            update={"name": "margin0", "prior_mean": task.prior_means[0] - task.thresholds[0]}
        )
        constraints = [copy, *constraints]
    start = task.start(seed)
    return Study(
        name=task.name,
        evaluator=EvaluatorSpec(name="bench"),
        parameters=parameters,
        objective=ObjectiveSpec.measured(functions[0]),
        constraints=constraints,
        seeds=[Seed(parameters={f"x{i}": float(v) for i, v in enumerate(start[0])})],
        surrogate=SurrogateSpec(kernel=kernel.kind),
        tuner=TunerSpec(method=variant.method, beta=task.beta[0]),
    )


class BoxProposals:
    """A study's tuner that is told what a task measures.

    Args:
        task: without a grid.
        variant: method; Lipschitz constants are not read in a box.
        seed: of the tuner.
    """

    def __init__(self, task: Task, variant: Variant, seed: int) -> None:
        self._task = task
        self._tuner = Tuner(study_of(task, variant, seed), seed)
        self._names = [p.name for p in self._tuner.study.parameters]
        self._pending: tuple[int, FloatArray] | None = None

    @property
    def best(self) -> FloatArray | None:
        """The certified input with the largest lower bound."""
        found = self._tuner.best()
        return None if found is None else np.array([found.parameters[n] for n in self._names])

    def tell(self, x: FloatArray, y: FloatArray) -> None:
        """What was measured: of the pending proposal, or of inputs chosen elsewhere."""
        for row, values in zip(np.atleast_2d(x), np.atleast_2d(y), strict=True):
            measurement = self._measurement(values)
            if self._pending is not None and np.array_equal(self._pending[1], row):
                self._tuner.tell(self._pending[0], measurement)
                self._pending = None
                continue
            named = {n: float(v) for n, v in zip(self._names, row, strict=True)}
            self._tuner.tell_manual(named, "default", measurement)

    def ask(self, trial: int) -> FloatArray:
        """The next input."""
        asked = self._tuner.ask("default")
        x = np.array([asked.parameters[n] for n in self._names])
        self._pending = (asked.id, x)
        return x

    def certified(self, x: FloatArray) -> BoolArray | None:
        """Which inputs' lower bounds clear all constraints."""
        bounds = self._tuner.bounds(x, "default")
        return np.asarray((bounds[:, 1:, 0] >= 0.0).all(-1))

    def _measurement(self, values: FloatArray) -> Measurement:
        task = self._task
        margins = {f"margin{i}": float(values[i] - task.thresholds[i]) for i in task.constraints}
        return Measurement(outcome="completed", objective=float(values[0]), margins=margins)
