"""What a benchmark task is: true functions, what a method is told about them, and where the safe optimum lies."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from safebo.errors import InputError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Functions = Callable[[FloatArray], FloatArray]
"""Inputs `n x d` to true values `n x m`, the objective first."""

UNCONSTRAINED = -math.inf
"""Threshold of a function that is no constraint."""

_MATERN = {"matern32": 1.5, "matern52": 2.5}
KERNEL_KINDS = ("rbf", *_MATERN)
"""Of `KernelSpec.kind`."""


@dataclass(frozen=True)
class KernelSpec:
    """A stationary kernel as a method is told to use it, inputs in the task's own units.

    Args:
        kind: `rbf`, `matern32` or `matern52`, of the Euclidean distance.
        lengthscale: of every input.
        variance: of the prior.
    """

    kind: Literal["rbf", "matern32", "matern52"]
    lengthscale: float
    variance: float = 1.0

    def gpytorch(self) -> Any:
        """The same as a gpytorch kernel in float64."""
        from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel

        base = RBFKernel() if self.kind == "rbf" else MaternKernel(nu=_MATERN[self.kind])
        kernel = ScaleKernel(base).double()
        kernel.outputscale = self.variance
        kernel.base_kernel.lengthscale = self.lengthscale
        return kernel


@dataclass(frozen=True)
class Noise:
    """Independent noise of the measurements, as it truly is.

    Args:
        std: standard deviation, one per function.
        degrees_of_freedom: of a Student distribution scaled to that standard deviation; above 2, infinite
            for the normal one.
        outliers: share of measurements whose noise is ten times as large.
        slope: the standard deviation is `1 + slope (2 x - 1)` times as large, with x the mean input of the unit cube.
    """

    std: tuple[float, ...]
    degrees_of_freedom: float = math.inf
    outliers: float = 0.0
    slope: float = 0.0

    def draw(self, rng: np.random.Generator, x: FloatArray) -> FloatArray:
        """Noise of trials at inputs `n x d`, `n x m`."""
        shape = (len(x), len(self.std))
        if math.isinf(self.degrees_of_freedom):
            unit = rng.standard_normal(shape)
        else:
            nu = self.degrees_of_freedom
            unit = rng.standard_t(nu, shape) * math.sqrt((nu - 2.0) / nu)
        if self.outliers:
            unit = np.where(rng.random(shape) < self.outliers, 10.0 * unit, unit)
        return unit * np.array(self.std) * (1.0 + self.slope * (2.0 * x.mean(1, keepdims=True) - 1.0))


@dataclass(frozen=True)
class Task:
    """One benchmark task: maximise function 0 while every function stays at or above its threshold.

    Candidates are the rows of `grid` where there is one, else the box of `bounds`. All inputs are in the
    task's own units.

    Args:
        name: of the task; the noise of a trial depends on it, on the run's seed and on the trial's number
            alone, so every method meets the same noise.
        functions: the truth, inputs `n x d` to values `n x m`, the objective first.
        bounds: lowest and highest inputs, `2 x d`.
        kernels: what the method is told, one per function.
        prior_means: constant prior means that the method is told, one per function.
        noise_std: of the measurements, as the method is told.
        beta: multiplier of the standard deviation, one per function.
        thresholds: one per function, `UNCONSTRAINED` for one that is no constraint; the objective may be one.
        start: seed of a run to the safe points that are measured before its first trial, `k x d`; a point
            listed k times is measured k times.
        trials: length of a run.
        lattice: points per axis of the grid, or None for a box.
        endpoint: whether the grid contains the upper bounds.
        noise: of the measurements, as it is; what the method is told unless given.
        lipschitz: Lipschitz constants by the name of their origin (`oracle`: of the true functions; `prior`:
            of samples from the prior), one per function.
        min_width: SafeOpt seeks no expander where every function is known more precisely than this.
        known_optimum: value of the best safe input, for tasks without a grid.
        line_points: points in a line through the box, for methods that search lines.
        drift: how far the constraints have sunk at the end of a run, linearly.
    """

    name: str
    functions: Functions
    bounds: FloatArray
    kernels: tuple[KernelSpec, ...]
    prior_means: tuple[float, ...]
    noise_std: tuple[float, ...]
    beta: tuple[float, ...]
    thresholds: tuple[float, ...]
    start: Callable[[int], FloatArray]
    trials: int
    lattice: tuple[int, ...] | None = None
    endpoint: bool = True
    noise: Noise | None = None
    lipschitz: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    min_width: float = 0.0
    known_optimum: float | None = None
    line_points: int = 0
    drift: float = 0.0

    def __post_init__(self) -> None:
        m = len(self.kernels)
        told = (self.prior_means, self.noise_std, self.beta, self.thresholds, *self.lipschitz.values())
        if any(len(values) != m for values in told):
            raise InputError(
                f"task {self.name}: every property of functions needs {m} entries, one per kernel"
            )
        if self.noise is not None and len(self.noise.std) != m:
            raise InputError(
                f"task {self.name}: the noise has {len(self.noise.std)} functions, the kernels {m}"
            )
        if self.lattice is None and self.known_optimum is None:
            raise InputError(f"task {self.name}: without a grid its optimum must be given")
        if not np.isfinite(self.thresholds).any():
            raise InputError(f"task {self.name}: no function is a constraint")

    @property
    def dimension(self) -> int:
        """Number of inputs."""
        return int(self.bounds.shape[1])

    @property
    def constraints(self) -> tuple[int, ...]:
        """Functions that are constraints, by index."""
        return tuple(i for i, h in enumerate(self.thresholds) if math.isfinite(h))

    @cached_property
    def grid(self) -> FloatArray:
        """Candidates `n x d`, the last input running fastest.

        Raises:
            InputError: the task has a box instead.
        """
        if self.lattice is None:
            raise InputError(f"task {self.name} has a box, not a grid")
        axes = [
            np.linspace(low, high, count, endpoint=self.endpoint)
            for low, high, count in zip(*self.bounds, self.lattice, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, self.dimension)

    def values(self, x: FloatArray) -> FloatArray:
        """True values `n x m` of inputs `n x d`."""
        return self.functions(np.asarray(x, dtype=float).reshape(-1, self.dimension))

    def violated(self, values: FloatArray) -> BoolArray:
        """Which true values `n x m` break a constraint, `n`."""
        return np.asarray((values < np.array(self.thresholds)).any(-1))

    def initial(self, seed: int) -> tuple[FloatArray, FloatArray]:
        """Safe points and what was measured there before the first trial of a run, `k x d` and `k x m`."""
        x = self.start(seed)
        return x, self.values(x) + self._noise.draw(self._rng(seed, 0), x)

    def measure(self, x: FloatArray, seed: int, trial: int) -> FloatArray:
        """What one trial of a run measures at `x`, `m`; trials count from 1."""
        if trial < 1:
            raise InputError(f"trials count from 1, got {trial}")
        x = np.asarray(x, dtype=float).reshape(1, -1)
        return self.values_at(x, trial)[0] + self._noise.draw(self._rng(seed, trial), x)[0]

    def values_at(self, x: FloatArray, trial: int) -> FloatArray:
        """True values `n x m` of inputs `n x d` at the time of a trial."""
        values = self.values(x)
        if self.drift:
            values[:, list(self.constraints)] -= self.drift * trial / self.trials
        return values

    @cached_property
    def grid_values(self) -> FloatArray:
        """True values of the grid, `n x m`."""
        return self.values(self.grid)

    @cached_property
    def safe(self) -> BoolArray:
        """Points of the grid that truly satisfy all constraints, `n`."""
        return ~self.violated(self.grid_values)

    def reachable(self, seed: int) -> BoolArray:
        """Safe points of the grid linked by safe neighbours (along axes) to the points measured first, `n`."""
        lattice = self.lattice or ()
        labels, _ = ndimage.label(self.safe.reshape(lattice))
        start = self.start(seed)
        nearest = ((self.grid[None] - start[:, None]) ** 2).sum(-1).argmin(1)
        held = np.unique(labels.reshape(-1)[nearest])
        return np.isin(labels.reshape(-1), held[held > 0])

    def optimum(self, seed: int | None = None) -> float:
        """Largest true objective among safe inputs; with a run's seed, among those it can reach."""
        if self.lattice is None:
            return float(self.known_optimum)  # type: ignore[arg-type]  # checked when made
        among = self.safe if seed is None else self.reachable(seed)
        return float(self.grid_values[among, 0].max())

    def regret(self, x: FloatArray, seed: int | None = None) -> float:
        """By how much the true objective at `x` falls short of the optimum; negative where `x` is unsafe."""
        return self.optimum(seed) - float(self.values(x)[0, 0])

    @property
    def _noise(self) -> Noise:
        return self.noise or Noise(self.noise_std)

    def _rng(self, seed: int, trial: int) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(self.name.encode()), seed, trial])
