"""Closed-form studies and oracles for the tests of the tuner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.models.function_model import function_models
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

FloatArray = NDArray[np.float64]


def hill_study(method: str = "safe_ucb", **changes: Any) -> Study:
    """Two gains, two contexts, one constraint; `hill` below is its robot."""
    data: dict[str, Any] = {
        "name": "hill",
        "evaluator": {"name": "closed-form"},
        "parameters": [
            {"name": "kp", "bounds": [0.0, 10.0], "unit": "Nm/rad"},
            {"name": "kd", "bounds": [0.1, 10.0], "scale": "log", "unit": "Nms/rad"},
        ],
        "context": {
            "variables": [{"name": "speed", "bounds": [0.0, 1.0], "lengthscale": 0.8}],
            "values": {"slow": {"speed": 0.2}, "fast": {"speed": 0.6}, "unseen": {"speed": 0.4}},
        },
        "objective": {"name": "reward", "prior_mean": -0.5, "prior_std": 0.6, "noise_std": 0.02},
        "constraints": [{"name": "margin", "prior_mean": -0.3, "prior_std": 0.5, "noise_std": 0.02}],
        "seeds": [
            {"context": "slow", "parameters": {"kp": 3.0, "kd": 0.6}},
            {"context": "fast", "parameters": {"kp": 3.0, "kd": 0.6}},
        ],
        "surrogate": {"lengthscale": 0.35},
        "tuner": {
            "method": method,
            "beta": 3.0,
            "search": {"swarm_size": 40, "swarm_iterations": 8, "restarts": 3},
        },
    }
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(data.get(key), dict):
            data[key] = {**data[key], **value}
        else:
            data[key] = value
    return Study.model_validate(data)


def hill(trial: Trial) -> tuple[float, float]:
    """True reward and margin: smooth, with the best point near the border of the safe set."""
    kp = trial.parameters["kp"] / 10.0
    kd = np.log(trial.parameters["kd"] / 0.1) / np.log(100.0)
    speed = trial.context["speed"]
    reward = -2.0 * (kp - 0.7 - 0.1 * speed) ** 2 - 1.5 * (kd - 0.55) ** 2
    margin = 0.45 - 2.2 * (kp - 0.42) ** 2 - 2.0 * (kd - 0.45) ** 2 - 0.1 * speed
    return float(reward), float(margin)


def measured(trial: Trial, rng: np.random.Generator, noise: float = 0.02) -> Measurement:
    """A noisy evaluation; a margin far below zero is a fall."""
    reward, margin = hill(trial)
    seen = margin + noise * rng.standard_normal()
    if margin < -0.4:
        return Measurement("aborted", margins={"margin": seen}, fell=True)
    return Measurement(
        "completed", objective=reward + noise * rng.standard_normal(), margins={"margin": seen}
    )


def run(tuner: Tuner, trials: int, noise_seed: int = 0, context: str | None = None) -> list[Trial]:
    """Ask and tell so many times."""
    rng = np.random.default_rng(noise_seed)
    asked = []
    for _ in range(trials):
        trial = tuner.ask(context)
        tuner.tell(trial, measured(trial, rng))
        asked.append(trial)
    return asked


def kernel_matrix(
    kind: str, lengthscale: FloatArray, variance: float, a: FloatArray, b: FloatArray
) -> FloatArray:
    """The four kernels by their textbook formulas."""
    r = np.sqrt((((a[:, None] - b[None]) / lengthscale) ** 2).sum(-1))
    if kind == "matern12":
        rho = np.exp(-r)
    elif kind == "matern32":
        rho = (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)
    elif kind == "matern52":
        rho = (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r)
    else:
        rho = np.exp(-0.5 * r**2)
    return variance * rho


def direct_posterior(
    kind: str,
    lengthscale: FloatArray,
    variance: float,
    mean: float,
    noise: float,
    X: FloatArray,
    y: FloatArray,
    Z: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance at Z by one dense solve."""
    K = kernel_matrix(kind, lengthscale, variance, X, X) + noise * np.eye(len(X))
    k = kernel_matrix(kind, lengthscale, variance, Z, X)
    return (
        mean + k @ np.linalg.solve(K, y - mean),
        kernel_matrix(kind, lengthscale, variance, Z, Z) - k @ np.linalg.solve(K, k.T),
    )


def independent_lower_bounds(study: Study, told: list[tuple[Trial, Measurement]], trial: Trial) -> FloatArray:
    """Lower bounds of the constraints at a trial, from the study and the data alone; warped scale.

    Only for identity warps with fixed hyperparameters; shares only the declared numbers with the tuner.
    """

    def unit(t: Trial) -> list[float]:
        row = []
        for p in study.parameters:
            v, (low, high) = t.parameters[p.name], p.bounds
            if p.scale == "log":
                v, low, high = np.log(v), np.log(low), np.log(high)
            row.append((v - low) / (high - low))
        for c in study.context.variables:
            row.append((t.context[c.name] - c.bounds[0]) / (c.bounds[1] - c.bounds[0]))
        return row

    rows = [(t, m) for t, m in told if m.outcome in ("completed", "aborted")]
    X = np.array([unit(t) for t, _ in rows])
    Z = np.array([unit(trial)])
    lower = []
    for f, model in zip(study.constraints, function_models(study)[1:], strict=True):
        y = np.array([m.margins[f.name] for _, m in rows]) / f.warp.scale
        mean, covariance = direct_posterior(
            study.surrogate.kernel,
            np.array(model.lengthscale),
            f.prior_std**2,
            f.prior_mean,
            f.noise_std**2,
            X,
            y,
            Z,
        )
        lower.append(mean[0] - study.tuner.beta * np.sqrt(covariance[0, 0]))
    return np.array(lower)
