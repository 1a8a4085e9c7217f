"""Optimizers that a user would pick instead, each through its own package: unsafe, and shown as such.

They get what every method gets: the same safe seeds with the same measurements, the same noise, and the thresholds.
They are told no prior, no noise level and no beta: their packages fit or ignore such things, as they would for a user.
On a grid their proposal is the nearest point of the grid, and that is what they are told was tried. Their answer is the
best input whose measurements were all feasible, as `Study.best_trial` of Optuna and the tutorials of BoTorch have it;
they certify nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.tasks.task import Task


@dataclass(frozen=True)
class ExternalOptimizer:
    """An optimizer of another package.

    Args:
        name: in results.
        package: that has to be installed.
        summary: in one line.
        modules: that it imports beyond what safebo itself needs.
        least_dimension: number of inputs from which on it works as it is meant to.
    """

    name: str
    package: str
    summary: str
    modules: tuple[str, ...] = ()
    least_dimension: int = 1


EXTERNAL: dict[str, ExternalOptimizer] = {
    one.name: one
    for one in (
        ExternalOptimizer(
            "optuna_tpe", "optuna", "Optuna's TPESampler with its constraints_func", ("optuna",)
        ),
        ExternalOptimizer("optuna_gp", "optuna", "Optuna's GPSampler with its constraints_func", ("optuna",)),
        ExternalOptimizer(
            "optuna_cmaes",
            "optuna, cmaes",
            "Optuna's CmaEsSampler, which takes no constraints: an infeasible trial counts as worse than all others",
            ("optuna", "cmaes"),
            least_dimension=2,
        ),
        ExternalOptimizer(
            "botorch_qlognei", "botorch", "BoTorch's qLogNoisyExpectedImprovement on models that it fits"
        ),
        ExternalOptimizer(
            "botorch_scbo",
            "botorch",
            "BoTorch's ConstrainedMaxPosteriorSampling in SCBO's trust region, on models that it fits",
        ),
    )
}
"""By name. `botorch_scbo` differs from our `scbo` in the model alone: fitted here, the task's own priors there."""


def external_refusal(task: Task, name: str) -> str:
    """Why an optimizer cannot run on a task; empty when it can.

    Raises:
        InputError: its package is not installed.
    """
    one = _installed(name)
    if task.dimension < one.least_dimension:
        return f"it needs {one.least_dimension} or more inputs, and draws at random with fewer"
    return ""


def external_proposals(task: Task, name: str, seed: int) -> Any:
    """The optimizer on a task: tell, ask, best, certified.

    Raises:
        InputError: its package is not installed. UnknownNameError: no optimizer has that name.
    """
    _installed(name)
    if name.startswith("optuna_"):
        from safebo.experiments.bench.external_optuna import OptunaProposals

        return OptunaProposals(task, name, seed)
    from safebo.experiments.bench.external_botorch import BotorchProposals

    return BotorchProposals(task, name, seed)


def _installed(name: str) -> ExternalOptimizer:
    if name not in EXTERNAL:
        raise UnknownNameError("method", name, sorted(EXTERNAL))
    one = EXTERNAL[name]
    missing = [module for module in one.modules if find_spec(module) is None]
    if missing:
        raise InputError(
            f"method {name}: {' and '.join(missing)} must be installed: pip install 'safebo[bench]'"
        )
    return one
