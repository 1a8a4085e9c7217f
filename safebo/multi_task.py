"""Trials in simulation that inform the robot: one prior over both, tested against what the robot shows.

Simulated trials are observations of a related function (`TaskPrior`: a linear model of coregionalisation), so they
move the robot's mean and shrink its variance only as far as the declared correlation goes. As that correlation may
be wrong, beta is inflated while the simulation is believed (after Luebsen, Hespe and Eichler 2023, who inflate it
over a confidence set of correlations; here the factor is declared), and a simulation that the robot's first trials
contradict is dropped. No guarantee covers a wrong correlation: both are safeguards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import chi2
from torch import Tensor

from safebo.function_model import FunctionModel, TaskPrior
from safebo.surrogate import Surrogate

SIMULATION = 1.0
"""The task's number in the further column of a simulated input; the robot's is 0 and need not be written."""

Values = Sequence[Sequence[float | None]]
"""Warped values of all functions, the objective first, one row per input; None where not observed."""


@dataclass(frozen=True)
class Contradiction:
    """Robot trials that are too far from what the simulation lets expect.

    Args:
        function: its name.
        trials: after how many observations of it.
        statistic: the sum of their squared standardised residuals.
        limit: the largest that is believed.
    """

    function: str
    trials: int
    statistic: float
    limit: float

    def __str__(self) -> str:
        return (
            f"simulation dropped: {self.function} contradicts it after {self.trials} trials (sum of squared "
            f"residuals {self.statistic:.3g} standard deviations, at most {self.limit:.3g} is believed)"
        )


@dataclass(frozen=True)
class PairedCorrelation:
    """Correlation of simulation and robot over points tried in both.

    Args:
        pairs: number of such points.
        correlation: Pearson's; None for fewer than three pairs or where either does not vary.
    """

    pairs: int
    correlation: float | None


def with_tasks(models: Sequence[FunctionModel], tasks: TaskPrior) -> tuple[FunctionModel, ...]:
    """The same priors of the robot's functions, each with its simulation's beside it."""
    return tuple(replace(model, tasks=tasks) for model in models)


def simulated(X: Float[Tensor, "n D"]) -> Float[Tensor, "n E"]:
    """Inputs as the simulation's: with the task's column."""
    return torch.cat([X, X.new_full((*X.shape[:-1], 1), SIMULATION)], -1)


def transfer_surrogate(
    models: Sequence[FunctionModel | Sequence[FunctionModel]],
    simulation: tuple[Float[Tensor, "s D"], Values],
    robot: tuple[Float[Tensor, "r D"], Values],
    inflation: float = 1.0,
) -> Surrogate:
    """The surrogate of the robot given trials of both.

    Args:
        models: priors `with_tasks`, or samples of them.
        simulation: inputs in the unit cube and values of simulated trials.
        robot: the same of the robot's.
        inflation: factor of beta, at least 1.
    """
    surrogate = Surrogate.prior(models, inflation)
    if len(simulation[0]):
        surrogate = surrogate.conditioned(simulated(simulation[0]), simulation[1])
    return surrogate.conditioned(*robot) if len(robot[0]) else surrogate


def contradiction(
    surrogate: Surrogate,
    names: Sequence[str],
    X: Float[Tensor, "r D"],
    values: Values,
    checked: int,
    level: float,
) -> Contradiction | None:
    """The first of the robot's observations by which they contradict the simulation, if they do.

    Under the prior the one-step-ahead residuals, over their standard deviations (noise included), are independent
    standard normals, so that the sum of the first j squares is chi-square with j degrees of freedom. It is compared
    after each of the first `checked` observations of every function, at a level shared equally by all comparisons:
    a true prior is dropped with probability `level` at most, whatever was asked where.

    Args:
        surrogate: given the simulated trials alone.
        names: of the functions.
        X: the robot's inputs in the order of its trials.
        values: what it showed.
        checked: number of observations that are compared.
        level: see above.
    """
    limits = chi2.isf(level / (checked * len(names)), np.arange(1, checked + 1))
    for name, posterior, column in zip(names, surrogate.posteriors, zip(*values, strict=True), strict=False):
        total, seen = 0.0, 0
        for x, value in zip(X, column, strict=True):
            if value is None:
                continue
            mean, variance = posterior.mean_variance(x.reshape(1, -1))
            total += (value - float(mean[0])) ** 2 / (float(variance[0]) + posterior.noise_variance)
            seen += 1
            if total > limits[seen - 1]:
                return Contradiction(name, seen, total, float(limits[seen - 1]))
            if seen == checked:
                break
            posterior = posterior.extended(x, value)
    return None


def paired_correlations(
    names: Sequence[str],
    simulation: tuple[Float[Tensor, "s D"], Values],
    robot: tuple[Float[Tensor, "r D"], Values],
) -> dict[str, PairedCorrelation]:
    """How simulation and robot agree where both were tried, per function; repeats are averaged."""
    result = {}
    for i, name in enumerate(names):
        means = [_means(X, [row[i] for row in values]) for X, values in (simulation, robot)]
        common = [key for key in means[0] if key in means[1]]
        a, b = (np.array([m[key] for key in common]) for m in means)
        known = len(common) >= 3 and np.ptp(a) > 0 and np.ptp(b) > 0
        result[name] = PairedCorrelation(len(common), float(np.corrcoef(a, b)[0, 1]) if known else None)
    return result


def _means(X: Tensor, values: Sequence[float | None]) -> dict[tuple[float, ...], float]:
    """Mean value at every input; inputs that agree to 1e-9 are one."""
    found: dict[tuple[float, ...], list[float]] = {}
    for x, value in zip(X.tolist(), values, strict=True):
        if value is not None:
            found.setdefault(tuple(round(v, 9) + 0.0 for v in x), []).append(value)
    return {key: float(np.mean(seen)) for key, seen in found.items()}
