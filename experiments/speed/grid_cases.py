"""Speed of SafeOpt on finite grids: one ask after one tell, at 200 observations of two functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpytorch.kernels import RBFKernel, ScaleKernel

from safebo.acquisition.grid_safeopt import GridSafeOpt
from safebo.experiments.speed.measure import SpeedCase, TellAndAsk


def radial_kernel(variance: float, lengthscale: float) -> ScaleKernel:
    """A squared-exponential kernel with fixed hyperparameters."""
    kernel = ScaleKernel(RBFKernel()).double()
    kernel.outputscale = torch.tensor(variance, dtype=torch.float64)
    kernel.base_kernel.lengthscale = torch.tensor(lengthscale, dtype=torch.float64)
    return kernel


def square_grid(points: int) -> np.ndarray:
    """About that many points of the square [-5, 5]^2, `n x 2`."""
    side = np.linspace(-5.0, 5.0, round(points**0.5))
    return np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)


def hills(x: np.ndarray) -> list[float]:
    """An objective and a constraint that holds over most of the middle of the square."""
    return [
        float(np.sin(x[0]) + 0.5 * np.cos(1.3 * x[1]) + 0.1 * x.sum()),
        float(2.0 - 0.12 * (x**2).sum() + 0.3 * np.sin(2.0 * x[0])),
    ]


def optimizer(points: int, observations: int) -> GridSafeOpt:
    """SafeOpt on a square grid that was told random observations around the middle."""
    rng = np.random.default_rng(0)
    tuner = GridSafeOpt(
        [radial_kernel(2.0, 1.0), radial_kernel(2.0, 1.2)],
        [0.05**2, 0.05**2],
        square_grid(points),
        [-np.inf, 0.2],
        2.0,
    )
    X = rng.uniform(-2.5, 2.5, (observations, 2))
    noise = 0.05 * rng.normal(size=(observations, 2))
    tuner.tell(X, np.array([hills(x) for x in X]) + noise)
    return tuner


def tell_and_ask(points: int) -> Callable[[], Any]:
    """One ask after one tell, from 200 observations on."""
    tuner = optimizer(points, 197)
    return TellAndAsk(tuner, lambda proposal: tuner.tell(proposal.x.numpy(), hills(proposal.x.numpy())))


def worst_of_a_run(steps: int = 300, points: int = 10_000) -> Callable[[], Any]:
    """The slowest ask of a whole run whose threshold is 0, where late asks have many possible expanders.

    The functions are draws of random features of the prior; the run is made once, then the observations up
    to its slowest ask are told anew and that ask is repeated.
    """
    rng = np.random.default_rng(0)
    frequency, phase = rng.normal(size=(2, 300, 2)), rng.uniform(0.0, 2.0 * np.pi, (2, 300))
    weight = rng.normal(size=(2, 300)) * np.sqrt(4.0 / 300)

    def drawn(x: np.ndarray) -> np.ndarray:
        return (weight * np.cos(frequency @ x + phase)).sum(1)

    lift = np.array([0.0, max(0.0, 1.0 - drawn(np.zeros(2))[1])])  # the first point is safe

    def fresh() -> GridSafeOpt:
        kernels = [radial_kernel(2.0, 1.0), radial_kernel(2.0, 1.0)]
        return GridSafeOpt(kernels, [0.05**2, 0.05**2], square_grid(points), [-np.inf, 0.0], 2.0)

    tuner, x = fresh(), np.zeros(2)
    told: list[tuple[np.ndarray, np.ndarray]] = []
    seconds = []
    for _ in range(steps):
        told.append((x, drawn(x) + lift + 0.05 * rng.normal(size=2)))
        tuner.tell(*told[-1])
        start = time.perf_counter()
        x = tuner.ask().x.numpy()
        seconds.append(time.perf_counter() - start)
    slowest = int(np.argmax(seconds))
    again = fresh()
    again.tell(np.array([x for x, _ in told[: slowest + 1]]), np.array([y for _, y in told[: slowest + 1]]))
    return TellAndAsk(again, lambda proposal: None)


def expander_tests(call: Any) -> str:
    """How many candidates the ask that was timed last tested for being an expander."""
    return f"{call.tuner.sets().expander_tests:,} expander tests"


_STEP = "SafeOpt, one ask after one tell at 200 observations, 2 functions with different kernels"

CASES = (
    SpeedCase(
        "grid_10k", f"{_STEP}, 10,000 points", 0.02, lambda: tell_and_ask(10_000), 50, note=expander_tests
    ),
    SpeedCase(
        "grid_100k", f"{_STEP}, 100,000 points", 0.15, lambda: tell_and_ask(100_000), 15, note=expander_tests
    ),
    SpeedCase(
        "grid_1m", f"{_STEP}, 1,000,000 points", 1.0, lambda: tell_and_ask(1_000_000), 5, 1, expander_tests
    ),
    SpeedCase(
        "grid_10k_worst",
        "SafeOpt, the slowest of 300 asks, 10,000 points, threshold 0",
        0.2,
        worst_of_a_run,
        10,
        note=expander_tests,
    ),
)
