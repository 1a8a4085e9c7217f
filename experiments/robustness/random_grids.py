"""Random problems on finite grids from plain tensors, and a second certificate for what is chosen there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel

from safebo.acquisition import GridSettings, GridTuner
from safebo.acquisition.registry import SAFE
from safebo.experiments.robustness.independent_certificate import gain_sample
from safebo.experiments.robustness.independent_posterior import (
    BetaRule,
    FloatArray,
    FunctionPrior,
    intersected_interval,
    lipschitz_margins,
)
from safebo.experiments.robustness.random_problems import KERNELS, SCHEDULES, TARGETS, TRANSDUCTIVE, choice
from safebo.study import ConfidenceSpec, TransductiveSpec

METHODS = (*SAFE, "real_beta_safeopt", "losbo", "los_gp_ucb")
"""Every safe method that needs no study."""

SMOOTHNESS = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}


@dataclass(frozen=True)
class GridProblem:
    """A problem on a grid.

    Args:
        method: to ask.
        priors: one per function, the objective first.
        grid: candidates, `n x d`.
        contexts: in which it is asked, `k x c`.
        thresholds: -inf for functions that are no constraints.
        beta: a number, a function of the number of observations, or a schedule.
        settings: what only some methods read.
        seed: of everything drawn.
    """

    method: str
    priors: tuple[FunctionPrior, ...]
    grid: FloatArray
    contexts: FloatArray
    thresholds: FloatArray
    beta: float | Callable[[int], float] | ConfidenceSpec
    settings: GridSettings
    seed: int

    def tuner(self) -> GridTuner:
        """A new one, with nothing told."""
        return GridTuner(
            self.method,
            [_gpytorch_kernel(p) for p in self.priors],
            [p.noise_std**2 for p in self.priors],
            self.grid,
            self.thresholds.tolist(),
            self.beta,
            context_dims=self.contexts.shape[1],
            settings=replace(self.settings, prior_means=[p.mean for p in self.priors], seed=self.seed),
        )

    def margins(self, X: FloatArray, Y: FloatArray, points: FloatArray, context: FloatArray) -> FloatArray:
        """How far every constraint lies above what certifies it, in prior standard deviations, `k x c`.

        Args:
            X: told inputs, context last, `n x D`.
            Y: told values, `n x m`.
            points: without context, `k x d`.
            context: `c`.
        """
        chosen = [i for i, h in enumerate(self.thresholds) if math.isfinite(h)]
        scale = np.array([self.priors[i].std for i in chosen])

        def lower(Z: FloatArray) -> FloatArray:
            columns = [self._lower(self.priors[i], X, Y[:, i], Z) for i in chosen]
            return np.array(columns).T.reshape(len(Z), -1)

        thresholds = self.thresholds[chosen]
        certificate = "measured" if self.method in ("losbo", "los_gp_ucb") else self.settings.certificate
        if certificate == "bounds":
            inputs = np.hstack([points, np.tile(context, (len(points), 1))])
            return (lower(inputs) - thresholds) / scale
        d = self.grid.shape[1]
        here = (X[:, d:] == context).all(1)
        if certificate == "measured":
            reference = Y[here][:, chosen] - np.array(self.settings.measured_noise)[chosen]
        else:
            reference = lower(X[here])
        constants = np.array(self.settings.lipschitz)[chosen]
        return lipschitz_margins(points, X[here][:, :d], reference, constants, thresholds) / scale

    def _lower(self, prior: FunctionPrior, X: FloatArray, y: FloatArray, Z: FloatArray) -> FloatArray:
        """Lower bounds of one function at Z (`k x D`)."""
        rule = self._schedule()
        if rule is None or not isinstance(self.beta, ConfidenceSpec):
            assert not isinstance(self.beta, ConfidenceSpec)
            beta = self.beta(len(X)) if callable(self.beta) else self.beta
        elif self.beta.intersect:
            betas = [rule.after(prior, X[:n]) for n in range(len(X) + 1)]
            return intersected_interval(prior, X, y, Z, betas)[0]
        else:
            beta = rule.after(prior, X)
        mean, std = prior.moments(X, y, Z)
        return mean - beta * std

    def _schedule(self) -> BetaRule | None:
        spec = self.beta
        if not isinstance(spec, ConfidenceSpec):
            return None
        return BetaRule(
            "fiedler2024" if self.method == "real_beta_safeopt" else spec.schedule,
            math.nan,
            spec.delta / len(self.priors),
            spec.norm,
            spec.noise_bound,
            len(self.grid),
            gain_sample(self.grid.shape[1] + self.contexts.shape[1]),
        )


def random_grid_problem(rng: np.random.Generator, method: str) -> GridProblem:
    """1 to 3 functions over 60 to 120 points in up to 3 dimensions, with up to 2 context columns."""
    d, c, m = int(rng.integers(1, 4)), choice(rng, (0, 0, 1, 2)), int(rng.integers(1, 4))
    beta = _beta(rng, method)
    quiet = isinstance(beta, ConfidenceSpec) and beta.schedule == "sui2015"
    priors = tuple(_prior(rng, d + c, quiet) for _ in range(m))
    thresholds = np.array([p.mean + p.std * rng.uniform(-0.5, 0.5) for p in priors])
    if m > 1 and rng.random() < 0.7:
        thresholds[0] = -math.inf
    certificate = choice(rng, ("bounds", "bounds", "lipschitz", "measured"))
    needs = certificate != "bounds" or method in ("losbo", "los_gp_ucb")
    constants = [p.std * float(10.0 ** rng.uniform(-1, 1)) for p in priors]
    transductive = TransductiveSpec()
    if method in TRANSDUCTIVE:
        targets = choice(rng, [t for t in TARGETS if t != "region"])
        transductive = TransductiveSpec(targets=targets, samples=4)
    settings = GridSettings(
        lipschitz=constants if needs or rng.random() < 0.2 else None,
        certificate=certificate,
        measured_noise=[p.std * float(rng.uniform(0.0, 0.2)) for p in priors] if needs else None,
        rule=choice(rng, ("all", "any")),
        epsilon=choice(rng, (0.0, 0.05, 0.5)),
        minimal_width=choice(rng, (0.0, 0.1)),
        strict=bool(rng.random() < 0.3),
        stage_trials=choice(rng, (None, 4)),
        optimism=choice(rng, (None, 1.0)),
        transductive=transductive,
    )
    return GridProblem(
        method,
        priors,
        rng.uniform(0.0, 1.0, (int(rng.integers(60, 121)), d)),
        rng.uniform(0.0, 1.0, (choice(rng, (1, 2)), c)),
        thresholds,
        beta,
        settings,
        int(rng.integers(1000)),
    )


def safe_start(
    rng: np.random.Generator, problem: GridProblem, context: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A point of the grid or beside it that is far above every threshold, context last, and its values."""
    x = problem.grid[int(rng.integers(len(problem.grid)))]
    if rng.random() < 0.3:
        x = np.clip(x + 0.03 * rng.normal(size=len(x)), 0.0, 1.0)
    level = [
        (h if math.isfinite(h) else p.mean) + p.std * rng.uniform(1.0, 2.0)
        for h, p in zip(problem.thresholds, problem.priors, strict=True)
    ]
    return np.append(x, context), np.array(level)


def random_values(rng: np.random.Generator, problem: GridProblem) -> FloatArray:
    """Values that follow no function, above the thresholds more often than not."""
    base = np.where(np.isfinite(problem.thresholds), problem.thresholds, [p.mean for p in problem.priors])
    return base + np.array([p.std for p in problem.priors]) * rng.uniform(-0.3, 1.5, len(base))


def _beta(rng: np.random.Generator, method: str) -> float | Callable[[int], float] | ConfidenceSpec:
    if method == "real_beta_safeopt" or rng.random() < 0.4:
        schedule = choice(rng, SCHEDULES)
        delta, norm = float(rng.uniform(0.01, 0.3)), float(rng.uniform(0.5, 2.0))
        bound, intersect = choice(rng, (None, 0.1)), bool(rng.random() < 0.5)
        # `posterior` promises delta for the present interval alone: with earlier ones it is refused.
        together = method == "real_beta_safeopt" or schedule != "posterior"
        return ConfidenceSpec(
            schedule=schedule, delta=delta, norm=norm, noise_bound=bound, intersect=intersect and together
        )
    constant = float(rng.uniform(1.0, 3.0))
    if rng.random() < 0.5:
        return constant
    return lambda n: constant * math.sqrt(1.0 + math.log1p(n))


def _prior(rng: np.random.Generator, dimension: int, quiet: bool) -> FunctionPrior:
    """The largest schedule needs observations nearly without noise to certify anything."""
    std = float(10.0 ** rng.uniform(-0.5, 0.7))
    return FunctionPrior(
        choice(rng, KERNELS),
        rng.uniform(0.15, 0.8, dimension),
        std,
        std * float(10.0 ** (rng.uniform(-4.5, -4.0) if quiet else rng.uniform(-2.5, -1.0))),
        choice(rng, (0.0, float(rng.normal()))),
    )


def _gpytorch_kernel(prior: FunctionPrior) -> ScaleKernel:
    dimension = len(prior.lengthscale)
    base: Kernel = (
        RBFKernel(ard_num_dims=dimension)
        if prior.kind == "rbf"
        else MaternKernel(nu=SMOOTHNESS[prior.kind], ard_num_dims=dimension)
    )
    kernel = ScaleKernel(base).double()
    kernel.base_kernel.lengthscale = torch.tensor(prior.lengthscale)
    kernel.outputscale = prior.std**2
    return kernel
