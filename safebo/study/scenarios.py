"""What follows from a study's scenarios: their names, the study of one walk, and the features that tell them apart."""

from __future__ import annotations

from typing import Any, TypeGuard

from safebo.study.model import Study
from safebo.study.scenario_model import ScenarioFeature, ScenariosSpec


def scenario_names(study: Study) -> tuple[str, ...]:
    """Names of a study's scenarios in their order; none for a study without them."""
    return () if study.scenarios is None else tuple(study.scenarios.values)


def walks_chosen(study: Study) -> bool:
    """Whether a trial walks some of several scenarios, and the model is over gains and scenarios."""
    return study.scenarios is not None and study.scenarios.walked == "chosen"


def one_walk(study: Study) -> Study:
    """The study of one walk: in one scenario, with nothing to aggregate."""
    return study if study.scenarios is None else study.model_copy(update={"scenarios": None})


def declared_features(spec: ScenariosSpec) -> dict[str, ScenarioFeature]:
    """Features by name: those that are declared, or else of every condition that is a number in some scenario."""
    if spec.features:
        return dict(spec.features)
    keys = [key for conditions in spec.values.values() for key, v in conditions.items() if is_number(v)]
    return {key: ScenarioFeature() for key in dict.fromkeys(keys)}


def modelled_features(study: Study) -> dict[str, ScenarioFeature]:
    """The features that are inputs of the model, by name; none where every trial walks all scenarios."""
    if study.scenarios is None or study.scenarios.walked != "chosen":
        return {}
    return declared_features(study.scenarios)


def feature_values(spec: ScenariosSpec, name: str, feature: ScenarioFeature) -> dict[str, float | None]:
    """A feature of every scenario, by scenario; None where nothing says it."""
    found: dict[str, float | None] = {}
    for scenario, conditions in spec.values.items():
        own = conditions.get(name)
        given = float(own) if is_number(own) else feature.otherwise
        found[scenario] = feature.values.get(scenario, given)
    return found


def scaled_features(spec: ScenariosSpec) -> dict[str, tuple[float, ...]]:
    """Features of every scenario between 0 and 1, by scenario; the study has passed its checks."""
    columns = []
    for name, feature in declared_features(spec).items():
        values = [v for v in feature_values(spec, name, feature).values() if v is not None]
        low, high = min(values), max(values)
        columns.append([(v - low) / (high - low) for v in values])
    return {scenario: tuple(column[i] for column in columns) for i, scenario in enumerate(spec.values)}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a condition is a number, which `true` is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
