"""SafeOpt on a grid from its formulas, by brute force: every posterior and every expander test is a refit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kernel = Callable[[Array, Array], Array]


def scaled_distance(a: Array, b: Array, lengthscale: Array) -> Array:
    return np.sqrt((((a[:, None, :] - b[None, :, :]) / lengthscale) ** 2).sum(-1))


def rbf(variance: float, lengthscale: list[float]) -> Kernel:
    return lambda a, b: variance * np.exp(-0.5 * scaled_distance(a, b, np.array(lengthscale)) ** 2)


def matern52(variance: float, lengthscale: list[float]) -> Kernel:
    def kernel(a: Array, b: Array) -> Array:
        r = np.sqrt(5.0) * scaled_distance(a, b, np.array(lengthscale))
        return variance * (1.0 + r + r**2 / 3.0) * np.exp(-r)

    return kernel


def matern32(variance: float, lengthscale: list[float]) -> Kernel:
    def kernel(a: Array, b: Array) -> Array:
        r = np.sqrt(3.0) * scaled_distance(a, b, np.array(lengthscale))
        return variance * (1.0 + r) * np.exp(-r)

    return kernel


def matern12(variance: float, lengthscale: list[float]) -> Kernel:
    return lambda a, b: variance * np.exp(-scaled_distance(a, b, np.array(lengthscale)))


def posterior(kernel: Kernel, noise: float, X: Array, y: Array, test: Array) -> tuple[Array, Array]:
    """Mean and standard deviation at `test`."""
    prior = np.array([kernel(t[None], t[None])[0, 0] for t in test[:1]])[0] * np.ones(len(test))
    if len(X) == 0:
        return np.zeros(len(test)), np.sqrt(prior)
    K = kernel(X, X) + noise * np.eye(len(X))
    k = kernel(X, test)
    solved = np.linalg.solve(K, np.column_stack([y, k]))
    variance = prior - (k * solved[:, 1:]).sum(0)
    return k.T @ solved[:, 0], np.sqrt(np.maximum(variance, 1e-15))


@dataclass
class ReferenceSafeOpt:
    kernels: list[Kernel]
    noise: list[float]
    grid: Array
    thresholds: list[float]
    beta: float | Callable[[int], float]
    min_width: float = 0.0
    lipschitz: list[float] | None = None
    rule: str = "safeopt"
    X: list[Array] = field(default_factory=list)
    Y: list[Array] = field(default_factory=list)

    def tell(self, x: Array, y: Array) -> None:
        self.X.append(np.asarray(x, float))
        self.Y.append(np.asarray(y, float))

    def bounds(self, points: Array, extra: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
        """Lower and upper bounds of all functions, after one more hypothetical observation if given."""
        D = points.shape[1]
        X = np.array(self.X).reshape(-1, D)
        Y = np.array(self.Y).reshape(-1, len(self.kernels))
        beta = self.beta(len(X)) if callable(self.beta) else self.beta
        if extra is not None:
            X, Y = np.vstack([X, extra[0]]), np.vstack([Y, extra[1]])
        lower, upper = [], []
        for i, kernel in enumerate(self.kernels):
            mean, std = posterior(kernel, self.noise[i], X, Y[:, i], points)
            lower.append(mean - beta * std)
            upper.append(mean + beta * std)
        return np.array(lower).T, np.array(upper).T

    def ask(self, context: list[float] | None = None) -> tuple[int, str]:
        """Index and kind of the next point; ValueError when nothing is safe."""
        n = len(self.grid)
        points = np.hstack([self.grid, np.tile(np.array(context or []), (n, 1))])
        lower, upper = self.bounds(points)
        constraints = [i for i, h in enumerate(self.thresholds) if np.isfinite(h)]
        safe = np.array([all(lower[j, i] > self.thresholds[i] for i in constraints) for j in range(n)])
        if not safe.any():
            raise ValueError("nothing is safe")
        if self.rule == "safe_ucb":
            return int(np.argmax(np.where(safe, upper[:, 0], -np.inf))), "safe_ucb"
        s = np.array([np.sqrt(k(points[:1], points[:1])[0, 0]) for k in self.kernels])
        scaled = (upper - lower) / s
        width = scaled.max(1)
        best = safe & (upper[:, 0] >= lower[safe, 0].max())
        beta = self.beta(len(self.X)) if callable(self.beta) else self.beta
        std = (upper - lower) / (2 * beta)
        possible = [
            j
            for j in range(n)
            if safe[j]
            and not best[j]
            and width[j] > scaled[best, 0].max()
            and (std[j] > 0.5 * self.min_width).any()
        ]
        interesting = best.copy()
        for j in sorted(possible, key=lambda j: -width[j]):
            if self.expands(j, points, upper, safe, constraints):
                interesting[j] = True
                break
        index = int(np.argmax(np.where(interesting, width, -np.inf)))
        return index, "maximizer" if best[index] else "expander"

    def expands(self, j: int, points: Array, upper: Array, safe: Array, constraints: list[int]) -> bool:
        """The test of one candidate."""
        if not constraints or safe.all():
            return False
        if self.lipschitz is not None:
            distance = np.sqrt(((self.grid[j] - self.grid[~safe.astype(bool)]) ** 2).sum(1))
            return all(
                (upper[j, i] - self.lipschitz[i] * distance >= self.thresholds[i]).any() for i in constraints
            )
        lower, _ = self.bounds(points[~safe.astype(bool)], (points[j], upper[j]))
        return bool(np.all([lower[:, i] >= self.thresholds[i] for i in constraints], axis=0).any())
