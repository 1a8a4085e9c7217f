"""The two studies of a transfer: in the simulation that was identified, and on the robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from safebo.errors import InputError
from safebo.evaluators.source import EvaluatorSource, beside
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.identification.fit import Fit
from safebo.robots.identification.gap_file import section
from safebo.robots.simulation.disturbance import Disturbance
from safebo.study import Study
from safebo.study.preference_checks import prefers
from safebo.study.reading import StudyFile, parse_study
from safebo.study.space import WarpMap

EVALUATOR = "legged"
ESTIMATE = "estimate"
"""The scenario of the plant as identified; the others are drawn about it."""
QUANTILE = 0.05
"""Of a seed's margins over the drawn robots: what is expected of the robot at most."""

_WORLD = ("pushes", "sensor_noise", "slope", "steps", "rough", "friction_patches")
"""What of a disturbance is not the robot: it stays as the study has it."""
_CONTEXTS = {"payload.mass": "payload_mass", "foot_friction": "foot_friction"}


def refuse(file: StudyFile) -> None:
    """Refuse a study that no robot's trials can be transferred to.

    Raises:
        InputError: names the key, and what to do.
    """
    study = file.study
    if study.evaluator.name != EVALUATOR:
        raise InputError(
            f"{file.source}: evaluator.name is {study.evaluator.name!r}, and only {EVALUATOR!r} knows a simulation of "
            f"the robot to identify; a study with {EVALUATOR!r} also tunes the robot itself, by `safebo tune --robot`"
        )
    identified = [v.name for v in study.context.variables if v.name in _CONTEXTS]
    for wrong, key, why in (
        (
            study.scenarios is not None,
            "scenarios",
            "a robot walks under one condition, and its trials know of no other: leave the key out, the robots that "
            "yours may be become the scenarios of the simulation",
        ),
        (prefers(study), "objective.kind", "a simulation has nobody's preferences to bring along"),
        (
            study.horizon is not None,
            "horizon",
            "the simulated trials say nothing of longer ones: leave it out",
        ),
        (
            study.surrogate.time is not None,
            "surrogate.time",
            "the simulated trials have no place on the robot's operating time: leave it out",
        ),
        (
            bool(study.evaluator.options.get("drift")),
            "evaluator.options.drift",
            "a plant that changes is no identified one: leave it out",
        ),
        (
            bool(identified),
            f"context.variables {', '.join(identified)}",
            "would replace what is identified: leave it out",
        ),
    ):
        if wrong:
            raise InputError(f"{file.source}: {key}: {why}")


def robot_of(file: StudyFile) -> RobotModel:
    """The robot of a study.

    Raises:
        InputError: its evaluator cannot be made; says why.
    """
    try:
        evaluator = EvaluatorSource.of_file(file).make()
    except ValueError as error:
        raise InputError(f"{file.source}: {error}") from error
    assert isinstance(evaluator, LeggedEvaluator)
    return evaluator.robot


def drawn(found: Fit, gap: Disturbance, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Scenarios: the plant as identified, and draws of what it may be, within physical ranges.

    Args:
        found: what was identified.
        gap: the study's own disturbance; what of it is of the robot and not identified becomes nominal.
        count: how many scenarios, at least 1.
        seed: of the draws.
    """
    nominal = Disturbance()
    known = {*_WORLD, *section(found)}
    rest = {
        f.name: _plain(getattr(nominal, f.name))
        for f in fields(Disturbance)
        if f.name not in known and getattr(gap, f.name) != getattr(nominal, f.name)
    }
    others = found.draws(count - 1, seed) if count > 1 else np.empty((0, len(found.family)))
    values = {ESTIMATE: found.values, **{f"draw-{i + 1}": row for i, row in enumerate(others)}}
    return {name: section(replace(found, values=row)) | rest for name, row in values.items()}


def simulation_study(
    file: StudyFile, scenarios: Mapping[str, Any], path: Path, heading: Sequence[str]
) -> StudyFile:
    """The study with drawn robots as scenarios: safe in each of them, and good in their mean.

    Nothing breaks in simulation, so priors are declared and need not be earned.

    Args:
        file: the robot's study.
        scenarios: conditions by name.
        path: where it will be written.
        heading: lines of comment.

    Raises:
        StudyError: the study cannot have scenarios; names the key.
    """
    data = _declared(file)
    data["name"] = f"{file.study.name}-simulated"
    data["evaluator"]["options"]["telemetry"] = False
    data["scenarios"] = {"objective": "mean", "margins": "worst", "walked": "all", "values": dict(scenarios)}
    data["surrogate"] = {**data.get("surrogate", {}), "trust": "declared"}
    return _written(data, path, heading)


def robot_study(
    file: StudyFile,
    at_seeds: Mapping[str, Sequence[float]],
    tuned: Mapping[str, Mapping[str, Any]],
    path: Path,
    heading: Sequence[str],
) -> StudyFile:
    """The robot's study with margins expected no better than drawn robots have them at the seeds, and with the tuned
    gains as goals.

    A prior mean is lowered and never raised: what the study declares certifies no more than it did. The correlation
    with the simulated run is not declared, so that it is earned.

    Args:
        file: the robot's study.
        at_seeds: by constraint: margins over drawn robots, of the seed where their quantile is smallest.
        tuned: gains by context; they are approached after the study's own goals.
        path: where it will be written.
        heading: lines of comment.
    """
    data = _declared(file)
    data.get("surrogate", {}).pop("prior_data", None)
    for given, constraint in zip(data.get("constraints", []), file.study.constraints, strict=True):
        low = float(np.quantile(at_seeds[constraint.name], QUANTILE))
        expected = float(WarpMap(constraint.warp, constraint.name).forward(low))
        if expected < constraint.prior_mean:
            given["prior_mean"] = float(f"{expected:.4g}")
    seeds = [(seed.context, seed.parameters) for seed in file.study.seeds]
    goals = [
        {"context": name, "parameters": dict(gains)}
        for name, gains in tuned.items()
        if (name, gains) not in seeds
    ]
    if goals:
        data["goals"] = [*data.get("goals", []), *goals]
    return _written(data, path, heading)


def lowered(before: Study, after: Study) -> list[str]:
    """Lines on the prior means that were lowered."""
    return [
        f"{new.name}: expected at {new.prior_mean:g} instead of {old.prior_mean:g} (modelled scale)"
        for old, new in zip(before.constraints, after.constraints, strict=True)
        if new.prior_mean != old.prior_mean
    ]


def _declared(file: StudyFile) -> dict[str, Any]:
    """What a study's file says, with the paths of its files from anywhere."""
    data = file.study.model_dump(mode="json", exclude_unset=True)
    options = beside(LeggedEvaluator, dict(file.study.evaluator.options), file.folder)
    data["evaluator"] = {**data["evaluator"], "options": options}
    return data


def _written(data: Mapping[str, Any], path: Path, heading: Sequence[str]) -> StudyFile:
    text = yaml.safe_dump(dict(data), sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return parse_study("".join(f"# {line}\n" for line in heading) + text, path)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
