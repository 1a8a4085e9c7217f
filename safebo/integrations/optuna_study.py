"""A safebo study from what Optuna users declare: distributions, constraint values, seeds.

Optuna calls a trial feasible when every constraint value is at most 0 and may minimise; safebo calls a margin
safe when it is at least 0 and maximises. So a margin is the negative constraint value, and what is maximised
is the negative value of a study that minimises. Only this module and `optuna_records` turn signs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from safebo.errors import InputError, StudyError
from safebo.study import (
    EvaluatorSpec,
    FunctionSpec,
    ObjectiveSpec,
    Parameter,
    Seed,
    Study,
    SurrogateSpec,
    TunerSpec,
)
from safebo.study.axis import Axis, levels_between, step_of


@dataclass(frozen=True)
class Prior:
    """What is believed of a value before anything is tried, in the numbers and the sign that Optuna sees.

    Args:
        std: how far the value may lie from `mean` anywhere in the search space (prior standard deviation).
        noise_std: standard deviation of its measurement noise.
        mean: expected value where nothing was tried. For a constraint at least 0 is prudent: nothing counts
            as feasible untried.
    """

    std: float
    noise_std: float
    mean: float = 0.0

    def __post_init__(self) -> None:
        for name, value, lowest in (("std", self.std, 0.0), ("noise_std", self.noise_std, 0.0)):
            if not (math.isfinite(value) and value > lowest):
                raise InputError(f"Prior: {name} = {value} must be a finite number above 0")
        if not math.isfinite(self.mean):
            raise InputError(f"Prior: mean = {self.mean} must be a finite number")

    def function(self, name: str, sign: float) -> FunctionSpec:
        """The same prior of `sign` times the value."""
        return FunctionSpec(
            name=name, prior_mean=sign * self.mean, prior_std=self.std, noise_std=self.noise_std
        )


def study_of(
    search_space: Mapping[str, BaseDistribution],
    safe_seeds: Sequence[Mapping[str, Any]],
    objective: Prior,
    constraints: Mapping[str, Prior],
    lengthscale: float | Mapping[str, float],
    surrogate: SurrogateSpec,
    tuner: TunerSpec,
    sign: float,
    parameter_constraints: Sequence[str] = (),
) -> Study:
    """The study that `SafeSampler`'s arguments describe; `sign` is 1 where Optuna maximises, -1 where it minimises.

    Raises:
        StudyError: for a distribution that cannot be certified, or without constraints or seeds.
    """
    if not search_space:
        raise StudyError("search_space is empty: give at least one distribution")
    if not constraints:
        raise StudyError(
            "constraints is empty: give a Prior for every value that constraints_func returns, by name"
        )
    if not safe_seeds:
        raise StudyError(
            "safe_seeds is empty: give at least one dict of parameters that are known to be feasible; "
            "everything that is certified grows from there"
        )
    for name, prior in constraints.items():
        if prior.mean <= -tuner.beta * prior.std:
            raise StudyError(
                f"constraint {name!r}: a prior mean of {prior.mean:g} lies beta = {tuner.beta:g} prior "
                f"standard deviations ({prior.std:g}) below 0, so everything would be certified untried; "
                "raise the mean or std"
            )
    named = lengthscale if isinstance(lengthscale, Mapping) else {}
    unknown = [name for name in named if name not in search_space]
    if unknown:
        raise StudyError(
            f"lengthscale names {', '.join(unknown)}: allowed are the parameters {', '.join(search_space)}"
        )
    if not isinstance(lengthscale, Mapping):
        surrogate = surrogate.model_copy(update={"lengthscale": float(lengthscale)})
    parameters = [
        _parameter(name, distribution, named.get(name)) for name, distribution in search_space.items()
    ]
    return Study(
        name="optuna",
        evaluator=EvaluatorSpec(name="optuna"),
        parameters=parameters,
        parameter_constraints=list(parameter_constraints),
        objective=ObjectiveSpec.measured(objective.function("value", sign)),
        constraints=[prior.function(name, -1.0) for name, prior in constraints.items()],
        seeds=[Seed(parameters=_seed(search_space, seed)) for seed in safe_seeds],
        surrogate=surrogate,
        tuner=tuner,
    )


def choice_name(value: Any) -> str:
    """The name of a categorical choice in a study: itself, or as Python writes it."""
    return value if isinstance(value, str) else repr(value)


def study_values(search_space: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's values of the declared parameters as the study has them."""
    return {
        name: choice_name(values[name]) if isinstance(distribution, CategoricalDistribution) else values[name]
        for name, distribution in search_space.items()
    }


def optuna_values(search_space: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> dict[str, Any]:
    """A proposal's values as Optuna has them."""
    found = dict(values)
    for name, distribution in search_space.items():
        if isinstance(distribution, CategoricalDistribution):
            found[name] = next(c for c in distribution.choices if choice_name(c) == values[name])
    return found


def _seed(search_space: Mapping[str, BaseDistribution], seed: Mapping[str, Any]) -> dict[str, Any]:
    """A seed's values; what is no number goes on to the study's check."""
    found: dict[str, Any] = {}
    for name, value in seed.items():
        if isinstance(search_space.get(name), CategoricalDistribution):
            found[str(name)] = choice_name(value)
        else:
            try:
                found[str(name)] = float(value)
            except (TypeError, ValueError):
                raise StudyError(f"safe_seeds: {name} = {value!r} is not a number") from None
    return found


def _parameter(name: str, distribution: BaseDistribution, lengthscale: float | None) -> Parameter:
    """The parameter of a distribution."""
    known = FloatDistribution | IntDistribution | CategoricalDistribution
    if not isinstance(distribution, known):
        raise StudyError(
            f"search_space: {name!r} is {type(distribution).__name__}; allowed are FloatDistribution, IntDistribution "
            "and CategoricalDistribution"
        )
    if distribution.single():
        only = (
            distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low
        )
        raise StudyError(
            f"search_space: {name!r} has the single value {only}; leave it out and suggest it as before"
        )
    if isinstance(distribution, CategoricalDistribution):
        names = [choice_name(choice) for choice in distribution.choices]
        return Parameter(name=name, choices=names, lengthscale=lengthscale)
    whole = isinstance(distribution, IntDistribution)
    return Parameter(
        name=name,
        type="integer" if whole else "real",
        bounds=(distribution.low, distribution.high),
        step=distribution.step,
        scale="log" if distribution.log else "linear",
        lengthscale=lengthscale,
    )


def distributions_of(study: Study) -> dict[str, BaseDistribution]:
    """The parameters of a safebo study as Optuna's distributions."""
    return {p.name: _distribution(p) for p in study.parameters}


def _distribution(p: Parameter) -> BaseDistribution:
    lower, upper = p.bounds
    if p.choices:
        return CategoricalDistribution(p.choices)
    step = step_of(p)
    if step is None:
        return FloatDistribution(lower, upper, log=p.scale == "log")
    if p.scale == "log" and (p.type != "integer" or step != 1):
        raise StudyError(
            f"parameter {p.name!r}: Optuna has no log scale with steps other than whole numbers by 1"
        )
    # As Optuna would do itself, with a warning: the upper bound is the largest value.
    largest = Axis.of_parameter(p).at(levels_between(lower, upper, step) - 1)
    if p.type == "integer":
        return IntDistribution(int(lower), int(largest), log=p.scale == "log", step=int(step))
    return FloatDistribution(lower, largest, step=step)


def context_of(study: Study, context: str | None) -> str:
    """The one context of a safebo study that an Optuna study is about.

    Raises:
        StudyError: when there are several with seeds and none is named, or the named one has none.
    """
    seeded = list(dict.fromkeys(seed.context for seed in study.seeds))
    if context is None and len(seeded) == 1:
        return seeded[0]
    if context is None or context not in seeded:
        asked = "context is not given" if context is None else f"context {context!r} has no seed"
        raise StudyError(
            f"{asked}: an Optuna study is about one context of study {study.name!r}, allowed are those with "
            f"seeds: {', '.join(seeded)}"
        )
    return context


def settings(kernel: Any, hyperparameters: Any, beta: float, method: str) -> tuple[SurrogateSpec, TunerSpec]:
    """The surrogate and tuner sections; pydantic's refusals as ours."""
    try:
        return (
            SurrogateSpec(kernel=kernel, hyperparameters=hyperparameters),
            TunerSpec(method=method, beta=beta),
        )
    except ValueError as error:
        raise StudyError(f"SafeSampler: {error}") from error
