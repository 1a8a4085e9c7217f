"""Trials in simulation that inform the robot: one prior over both, tested against what the robot shows.

Simulated trials are observations of a related function (`TaskPrior`: a linear model of coregionalisation), so they
move the robot's mean and shrink its variance only as far as the declared correlation goes. As that correlation may
be wrong, beta is inflated while the simulation is believed (after Luebsen, Hespe and Eichler 2023, who inflate it
over a confidence set of correlations; here the factor is declared), and a simulation that the robot's first trials
contradict is dropped. No guarantee covers a wrong correlation: both are safeguards. Trials before the contradiction
shows were certified with the simulation's help, and a lie that agrees with the robot where it was tried is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import chdtri, ndtri  # scipy.stats takes half a second to load
from torch import Tensor

from safebo.models.correlations import SIMULATION
from safebo.models.posterior import Posterior
from safebo.models.surrogate import Surrogate
from safebo.text.counted import counted

Values = Sequence[Sequence[float | None]]
"""Warped values of all functions, the objective first, one row per input; None where not observed."""


@dataclass(frozen=True)
class Contradiction:
    """Robot trials that are too far from what the simulation lets expect.

    Args:
        function: its name.
        trials: after how many observations of it.
        statistic: `residuals`: the sum of their squared standardised residuals; `likelihood`: the logarithm of how much
            likelier they are without the simulation.
        limit: the largest that is believed.
        row: index of the observation that was one too many.
        test: which of the two.
    """

    function: str
    trials: int
    statistic: float
    limit: float
    row: int
    test: Literal["residuals", "likelihood"]

    def __str__(self) -> str:
        trials = counted(self.trials, "trial")
        words = (
            f"squared standardised residuals add up to {self.statistic:.3g}, at most {self.limit:.3g} is believed"
            if self.test == "residuals"
            else f"likelier without it by a factor of {math.exp(min(self.statistic, 700.0)):.3g}, at most "
            f"{math.exp(self.limit):.3g} is believed"
        )
        return f"simulation dropped: {self.function} contradicts it after {trials} ({words})"


@dataclass(frozen=True)
class Pairing:
    """One function of simulation and robot at the same inputs, on its warped scale.

    Args:
        rows: indices of the robot's observations that have a partner, `n`.
        simulation: what the simulation's own surrogate expects there, `n`.
        robot: what the robot showed, `n`.
    """

    rows: tuple[int, ...]
    simulation: tuple[float, ...]
    robot: tuple[float, ...]

    @property
    def correlation(self) -> float | None:
        """Pearson's; None for fewer than three pairs or where either does not vary."""
        if len(self.rows) < 3 or np.ptp(self.simulation) == 0 or np.ptp(self.robot) == 0:
            return None
        return float(np.corrcoef(self.simulation, self.robot)[0, 1])

    @property
    def interval(self) -> tuple[float, float] | None:
        """90 % confidence interval of the correlation by Fisher's transformation; None for fewer than four pairs.

        It holds for independent normal pairs. Trials of a tuner are neither: it says how little few pairs tell.
        """
        r = self.correlation
        if r is None or len(self.rows) < 4:
            return None
        if abs(r) >= 1.0:
            return r, r
        reach = -float(ndtri(0.05)) / math.sqrt(len(self.rows) - 3)
        return math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach)


def simulated(X: Float[Tensor, "n D"]) -> Float[Tensor, "n E"]:
    """Inputs as the simulation's: with the task's column."""
    return torch.cat([X, X.new_full((*X.shape[:-1], 1), SIMULATION)], -1)


def contradiction(
    surrogate: Surrogate,
    plain: Surrogate,
    names: Sequence[str],
    X: Float[Tensor, "r D"],
    values: Values,
    checked: int,
    level: float,
    added: Sequence[Sequence[float]] = (),
) -> Contradiction | None:
    """By which of the robot's observations they contradict the simulation first, if they do.

    Two tests of every function, after each of its first `checked` observations. `residuals`: under the prior the
    one-step-ahead residuals, over their standard deviations (noise included), are independent standard normals, so that
    the sum of the first j squares is chi-square with j degrees of freedom. `likelihood`: the ratio of the observations'
    densities without and with the simulation is a martingale of mean 1 under the prior, so that it ever reaches c with
    probability 1/c at most (Ville 1939); it notices a simulation that is worse than none although nothing that it says
    is impossible. Both share the level equally, and so do the functions: a true prior is dropped with probability
    `level` at most, whatever was asked where.

    Args:
        surrogate: given the simulated trials alone.
        plain: given no trials.
        names: of the functions.
        X: the robot's inputs in the order of its trials.
        values: what it showed.
        checked: number of observations that are compared.
        level: see above.
        added: variances of the values' noise beyond the functions'; empty where none has more.
    """
    share = level / (2 * len(names))
    limits = chdtri(np.arange(1, checked + 1), share / checked)
    found: Contradiction | None = None
    for i, name in enumerate(names):
        transferred, alone = surrogate.posteriors[i], plain.posteriors[i]
        total, evidence, seen = 0.0, 0.0, 0
        for row, (x, shown) in enumerate(zip(X, values, strict=True)):
            value = shown[i]
            if value is None:
                continue
            if seen == checked or (found is not None and row >= found.row):
                break
            more = added[row][i] if added and added[row] else 0.0
            square, density = _surprise(transferred, x, value, more)
            total += square
            evidence += _surprise(alone, x, value, more)[1] - density
            seen += 1
            if total > limits[seen - 1]:
                found = Contradiction(name, seen, total, float(limits[seen - 1]), row, "residuals")
                break
            if evidence > -math.log(share):
                found = Contradiction(name, seen, evidence, -math.log(share), row, "likelihood")
                break
            transferred, alone = transferred.extended(x, value, more), alone.extended(x, value, more)
    return found


def _surprise(
    posterior: Posterior, x: Float[Tensor, " D"], value: float, added: float
) -> tuple[float, float]:
    """Squared standardised residual of an observation, and the logarithm of its density but for a constant."""
    mean, variance = posterior.mean_variance(x.reshape(1, -1))
    total = float(variance[0]) + posterior.noise_variance + added
    square = (value - float(mean[0])) ** 2 / total
    return square, -0.5 * (square + math.log(total))


def pairings(
    names: Sequence[str], surrogate: Surrogate, X: Float[Tensor, "r D"], values: Values
) -> dict[str, Pairing]:
    """How simulation and robot agree, function by function.

    The robot is rarely tried where the simulation was. So each of its observations is paired with what the
    simulated trials let expect of the simulation there, provided that they leave at most half of the prior standard
    deviation. Both are noisy, which brings the correlation towards 0.

    Args:
        names: of the functions.
        surrogate: given the simulated trials alone, of models with tasks.
        X: the robot's inputs.
        values: what it showed.
    """
    result = {}
    inputs = simulated(X)
    for i, (name, posterior) in enumerate(zip(names, surrogate.posteriors, strict=True)):
        mean, variance = posterior.mean_variance(inputs)
        near = (variance <= 0.25 * posterior.kernel.diagonal(inputs)).tolist()
        rows = tuple(j for j, row in enumerate(values) if near[j] and row[i] is not None)
        robot = tuple(float(values[j][i] or 0.0) for j in rows)
        result[name] = Pairing(rows, tuple(float(mean[j]) for j in rows), robot)
    return result
