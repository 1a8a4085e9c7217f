"""One method on one task with one seed: what it measured, what it broke, how far its answer is from the best."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from safebo.acquisition import GridSettings, GridTuner
from safebo.acquisition.registry import acquisition_class, method
from safebo.errors import EmptySafeSetError, InputError
from safebo.experiments.tasks.task import BoolArray, FloatArray, Noise, Task
from safebo.study import ConfidenceSpec

NOISE_BOUND = 4.0
"""Standard deviations that LoSBO is told the noise never exceeds; normal noise does once in 16,000 measurements."""

DELTA = 0.05
"""Of schedules of beta that know one."""


def steepest(task: Task) -> tuple[float, ...]:
    """Lipschitz constants of a task's true functions on its grid, one each: from the steepest step along every axis.

    A task's own "oracle" constants are the published ones, which need not be bounds: on the island the constraint's is
    7.9, and two neighbours differ by 9.6 times their distance.
    """
    shape = (*(task.lattice or ()), len(task.kernels))
    values = task.grid_values.reshape(shape)
    steps = [task.grid.reshape(*shape[:-1], -1)[..., i] for i in range(task.dimension)]
    squares = 0.0
    for axis in range(task.dimension):
        width = np.diff(steps[axis], axis=axis)[..., None]
        slope = np.abs(np.diff(values, axis=axis)) / width
        squares = squares + slope.reshape(-1, len(task.kernels)).max(0) ** 2
    return tuple(float(v) for v in np.sqrt(squares))


def norm_of(task: Task) -> float | None:
    """The largest norm of a task's functions in their kernels' spaces; None where it is not known, or infinite."""
    norms = getattr(task.functions, "norms", None)
    return None if norms is None else float(np.max(norms))


def confidence(task: Task, variant: Variant) -> float | ConfidenceSpec:
    """The task's beta, or the schedule that belongs to the method.

    Raises:
        InputError: a schedule that needs norms which the task does not know.
    """
    schedule = method(variant.method).schedule
    if schedule is None:
        return task.beta[0]
    norm = norm_of(task)
    if norm is None:
        raise InputError(f"task {task.name}: {variant.method} needs the norms of its functions")
    noise = max((task.noise or Noise(task.noise_std)).std)
    return ConfidenceSpec(schedule=schedule, delta=DELTA, norm=norm, noise_bound=noise)


@dataclass(frozen=True)
class Variant:
    """A method as it is run.

    Args:
        method: registered name.
        lipschitz: origin of the task's Lipschitz constants (`oracle`, `prior`) that certify and decide about
            expansion in place of the kernel; None for the kernel.
    """

    method: str
    lipschitz: str | None = None

    @classmethod
    def parse(cls, text: str) -> Variant:
        """`method` or `method:origin`, as in `safeopt:prior`.

        Raises:
            UnknownNameError: no such method.
        """
        name, _, origin = text.partition(":")
        return cls(method(name).name, origin or None)

    @property
    def name(self) -> str:
        """As it is parsed."""
        return self.method if self.lipschitz is None else f"{self.method}:{self.lipschitz}"

    def settings(self, task: Task) -> GridSettings:
        """What the method is told besides the task's prior.

        Raises:
            InputError: the task has no constants of that origin.
        """
        if method(self.method).certificate == "measured":
            return GridSettings(
                lipschitz=steepest(task),
                measured_noise=[NOISE_BOUND * std for std in (task.noise or Noise(task.noise_std)).std],
                minimal_width=task.min_width,
            )
        if self.lipschitz is None:
            return GridSettings(minimal_width=task.min_width)
        if self.lipschitz not in task.lipschitz:
            known = ", ".join(task.lipschitz) or "none"
            raise InputError(
                f"task {task.name} has no Lipschitz constants {self.lipschitz!r}; it has: {known}"
            )
        constants = task.lipschitz[self.lipschitz]
        return GridSettings(lipschitz=constants, certificate="lipschitz", minimal_width=task.min_width)


@dataclass(frozen=True)
class TaskRun:
    """What one run showed; arrays hold one entry per trial, T in all.

    Args:
        task: its name.
        variant: name of the method.
        seed: of the run.
        tried: inputs, `T x d`.
        violated: whether the truth at the trial breaks a constraint, `T`.
        regret: of the certified recommendation after the trial, `T`; NaN where nothing is certified.
        tried_regret: of the best truly safe input tried so far (the first measurements included), `T`: what a
            method that certifies nothing can show, and generous to it, as only the truth tells which are safe.
        seconds: of every ask, `T`.
    """

    task: str
    variant: str
    seed: int
    tried: FloatArray
    violated: BoolArray
    regret: FloatArray
    tried_regret: FloatArray
    seconds: FloatArray


class GridProposals:
    """Proposals from the task's own grid."""

    def __init__(self, task: Task, variant: Variant, seed: int) -> None:
        self._tuner = make_tuner(task, variant, task.grid, seed)
        self.best: FloatArray | None = None

    def tell(self, x: FloatArray, y: FloatArray) -> None:
        """Add measurements and renew the recommendation."""
        self._tuner.tell(x, y)
        self.best = recommendation(self._tuner)

    def ask(self, trial: int) -> FloatArray:
        """The next input, `d`."""
        return self._tuner.ask().x.numpy()

    def certified(self, x: FloatArray) -> BoolArray | None:
        """Which inputs are certified, `n`: of the grid, the only ones that are looked at."""
        return certified(self._tuner)


class LineProposals:
    """Proposals on lines along coordinates through the last trial (LineBO, Kirschner et al. 2019).

    Candidates are an even grid of the line, every input measured so far, so that something is always
    certified, and every earlier recommendation (as in the code of Hübotter et al. 2024). Data are told afresh for
    every line; bounds are the present posterior's.
    """

    def __init__(self, task: Task, variant: Variant, seed: int) -> None:
        self._task, self._variant, self._seed = task, variant, seed
        self._x, self._y = np.zeros((0, task.dimension)), np.zeros((0, len(task.kernels)))
        self._recommended = np.zeros((0, task.dimension))
        self._rng = np.random.default_rng([zlib.crc32(b"lines"), seed])
        self._tuner: GridTuner | None = None
        self.best: FloatArray | None = None

    def tell(self, x: FloatArray, y: FloatArray) -> None:
        """Add measurements; the recommendation is the best of the line on which they were made."""
        rows, values = np.atleast_2d(x), np.atleast_2d(y)
        self._x, self._y = np.concatenate([self._x, rows]), np.concatenate([self._y, values])
        if self._tuner is None:
            self._tuner = make_tuner(self._task, self._variant, rows, self._seed)
        self._tuner.tell(rows, values)
        self.best = recommendation(self._tuner)
        if self.best is not None:
            self._recommended = np.unique(np.concatenate([self._recommended, self.best[None]]), axis=0)

    def ask(self, trial: int) -> FloatArray:
        """The next input, `d`."""
        axis = int(self._rng.integers(self._task.dimension))
        line = np.tile(self._x[-1], (self._task.line_points, 1))
        low, high = self._task.bounds[:, axis].tolist()
        line[:, axis] = np.linspace(low, high, self._task.line_points)
        candidates = np.concatenate([np.unique(self._x, axis=0), line, self._recommended])
        self._tuner = make_tuner(self._task, self._variant, candidates, self._seed * 100_003 + trial)
        self._tuner.tell(self._x, self._y)
        return self._tuner.ask().x.numpy()

    def certified(self, x: FloatArray) -> BoolArray | None:
        """Which inputs `n x d` are certified, `n`, anywhere in the box."""
        tuner = make_tuner(self._task, self._variant, x, self._seed)
        tuner.tell(self._x, self._y)
        return certified(tuner)


def make_tuner(task: Task, variant: Variant, grid: FloatArray, seed: int) -> GridTuner:
    """The method on candidates, with what the task tells it."""
    if len(set(task.beta)) > 1:
        raise InputError(f"task {task.name}: one beta for all functions is needed here, got {task.beta}")
    kernels: list[Any] = [kernel.gpytorch() for kernel in task.kernels]
    return GridTuner(
        variant.method,
        kernels,
        [std**2 for std in task.noise_std],
        grid,
        task.thresholds,
        confidence(task, variant),
        settings=replace(variant.settings(task), prior_means=task.prior_means, seed=seed),
    )


def recommendation(tuner: GridTuner) -> FloatArray | None:
    """The certified input with the largest lower bound; None where nothing is certified."""
    try:
        return tuner.best().x.numpy()
    except EmptySafeSetError:
        return None


def certified(tuner: GridTuner) -> BoolArray:
    """Which candidates are certified now, `n`."""
    try:
        return np.asarray(tuner.certified(tuner.acquisition_context()).numpy())
    except EmptySafeSetError:
        return np.zeros(len(tuner.grid), dtype=bool)


def certifies(variant: Variant) -> bool:
    """Whether the method proposes certified inputs alone."""
    local = method(variant.method).local
    return local is not None and acquisition_class(local).certified_only


def run(task: Task, variant: Variant, seed: int, trials: int | None = None) -> TaskRun:
    """A run of so many trials (the task's own number unless given).

    Raises:
        EmptySafeSetError: the method certifies, and nothing can be certified.
    """
    count = task.trials if trials is None else trials
    proposals = (LineProposals if task.lattice is None else GridProposals)(task, variant, seed)
    x0, y0 = task.initial(seed)
    proposals.tell(x0, y0)
    optimum = task.optimum()
    tried = np.empty((count, task.dimension))
    violated, regret = np.zeros(count, dtype=bool), np.full(count, np.nan)
    tried_regret, seconds = np.empty(count), np.empty(count)
    best_tried = float(task.values(x0)[:, 0].max())
    for t in range(count):
        started = time.perf_counter()
        tried[t] = proposals.ask(t + 1)
        seconds[t] = time.perf_counter() - started
        truth = task.values(tried[t])
        violated[t] = bool(task.violated(truth)[0])
        if not violated[t]:
            best_tried = max(best_tried, float(truth[0, 0]))
        proposals.tell(tried[t], task.measure(tried[t], seed, t + 1))
        tried_regret[t] = optimum - best_tried
        if proposals.best is not None:
            regret[t] = task.regret(proposals.best)
    return TaskRun(task.name, variant.name, seed, tried, violated, regret, tried_regret, seconds)
