"""Functions drawn from a prior in any number of inputs, by random Fourier features, and their best safe value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import qmc

from safebo.experiments.tasks.task import FloatArray

FEATURES = 2048
"""Per function: the covariance of two inputs errs by 0.016 (standard deviation over draws of the features), and no
more in many inputs than in few."""


@dataclass(frozen=True)
class FeatureFunctions:
    """Independent draws from a zero-mean unit-variance prior with a squared-exponential kernel.

    Each is `sqrt(2 / D) sum_j w_j cos(omega_j x + b_j)` with standard normal weights w, frequencies omega normal with
    standard deviation one over the lengthscale, and phases b uniform over a turn (Rahimi and Recht 2007): a Gaussian
    process, given the features, whose covariance is the kernel's up to the error that `FEATURES` states.

    Args:
        frequencies: `m x D x d`.
        phases: `m x D`.
        weights: `m x D`.
    """

    frequencies: FloatArray
    phases: FloatArray
    weights: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Values `n x m` of inputs `n x d`."""
        scale = np.sqrt(2.0 / self.weights.shape[1])
        columns = [
            scale * np.cos(x @ frequency.T + phase) @ weight
            for frequency, phase, weight in zip(self.frequencies, self.phases, self.weights, strict=True)
        ]
        return np.stack(columns, -1)

    def gradient(self, x: FloatArray, index: int) -> FloatArray:
        """Gradient of function `index` at one input, `d`."""
        frequency = self.frequencies[index]
        slopes = -np.sin(frequency @ x + self.phases[index]) * self.weights[index]
        return np.asarray(np.sqrt(2.0 / len(slopes)) * (slopes @ frequency))


def feature_functions(
    dimension: int, lengthscale: float, count: int, rng: np.random.Generator, features: int = FEATURES
) -> FeatureFunctions:
    """That many draws."""
    return FeatureFunctions(
        rng.standard_normal((count, features, dimension)) / lengthscale,
        rng.uniform(0.0, 2.0 * np.pi, (count, features)),
        rng.standard_normal((count, features)),
    )


def best_safe_value(
    functions: FeatureFunctions, dimension: int, threshold: float, points: int = 4096, starts: int = 16
) -> float:
    """Largest objective in the unit cube where the last function is at least the threshold.

    From the best safe ones of Sobol points, sequential quadratic programming climbs to local optima, whose best is
    returned: in many inputs a lower bound of the truth, the same for every method.
    """
    sobol = qmc.Sobol(dimension, seed=0).random(points)
    values = functions(sobol)
    last = values.shape[1] - 1
    safe = values[:, last] >= threshold
    best = float(values[safe, 0].max(initial=-np.inf))
    order = np.argsort(np.where(safe, values[:, 0], -np.inf))[::-1][: min(starts, int(safe.sum()))]
    for start in sobol[order]:
        found = minimize(
            lambda x: -float(functions(x[None])[0, 0]),
            start,
            jac=lambda x: -functions.gradient(x, 0),
            bounds=[(0.0, 1.0)] * dimension,
            constraints={
                "type": "ineq",
                "fun": lambda x: float(functions(x[None])[0, last]) - threshold,
                "jac": lambda x: functions.gradient(x, last),
            },
            method="SLSQP",
        )
        reached = functions(np.clip(found.x, 0.0, 1.0)[None])[0]
        if reached[last] >= threshold - 1e-6:
            best = max(best, float(reached[0]))
    return best
