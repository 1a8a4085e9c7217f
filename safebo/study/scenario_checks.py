"""Checks of a study's scenarios: their names and features, and keys that mean nothing beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safebo.files.problems import KeyPath, Problem, unknown
from safebo.study.methods import METHODS, canonical, certifies
from safebo.study.model import Study
from safebo.study.scenario_model import ScenariosSpec
from safebo.study.scenarios import declared_features, feature_values
from safebo.study.tuner_model import TunerSpec

CHOSEN_METHODS = ("safe_ucb", "random_safe")
"""Methods that look at nothing but bounds, which can be those of several scenarios."""

_NAME = re.compile(r"[\w-]+")


def scenario_problems(study: Study, brought: TunerSpec) -> Iterator[Problem]:
    """Everything that contradicts a study's scenarios.

    Args:
        study: as it is declared.
        brought: its tuner section with what the method brings along.
    """
    spec = study.scenarios
    if spec is None:
        return
    for name in spec.values:
        if not _NAME.fullmatch(name):
            yield Problem(
                ("scenarios", "values", name),
                f"a scenario's name has letters, digits, - and _, as files are named by it, not {name!r}",
            )
    known = METHODS.get(canonical(study.tuner.method))
    checks: tuple[tuple[bool, KeyPath, str], ...] = (
        (
            study.horizon is not None,
            ("horizon",),
            "margins are extrapolated from stride to stride of one walk, and a trial of several scenarios is several: "
            "leave horizon or scenarios out",
        ),
        (
            study.surrogate.time is not None,
            ("surrogate", "time"),
            "the scenarios of one trial are walked one after another, so that no one operating time is the trial's: "
            "leave surrogate.time or scenarios out",
        ),
        (
            known is not None and known.exploration is not None,
            ("tuner", "method"),
            f"{study.tuner.method} watches global trials and switches to a backup, whose states are those of one "
            "condition: use a method without global trials (safe_ucb, safeopt), or leave scenarios out",
        ),
    )
    yield from (Problem(path, message) for wrong, path, message in checks if wrong)
    if spec.walked == "chosen":
        yield from _chosen(study, spec, brought)
        yield from _features(spec)
    elif spec.features:
        yield Problem(
            ("scenarios", "features"),
            "are what the model of walked: chosen knows scenarios by; with walked: all every trial walks them all: "
            "leave the key out",
        )


def _chosen(study: Study, spec: ScenariosSpec, brought: TunerSpec) -> Iterator[Problem]:
    """What has no meaning where a trial walks some of the scenarios alone."""
    name, path = canonical(study.tuner.method), ("scenarios", "walked")
    instead = "or use walked: all"
    if name in METHODS and name not in CHOSEN_METHODS:
        what = "certifies nothing" if not certifies(name) else "looks at single points of the model"
        yield Problem(
            path,
            f"chosen needs bounds over all scenarios, and {study.tuner.method} {what}: use method "
            f"{' or '.join(CHOSEN_METHODS)}, {instead}",
        )
    if brought.certificate != "bounds":
        yield Problem(
            path,
            f"chosen needs bounds over all scenarios, and certificate: {brought.certificate} takes every trial for one "
            f"condition: use certificate: bounds, {instead}",
        )
    if brought.search.lines is not None:
        yield Problem(path, f"chosen does not search along lines: leave tuner.search.lines out, {instead}")
    if study.surrogate.structure == "sum":
        yield Problem(
            path,
            "chosen with structure: sum would certify a scenario by what others showed of the gains alone: use "
            f"structure: joint, {instead}",
        )
    for other in (v.name for v in study.context.variables):
        if other in declared_features(spec):
            yield Problem(("scenarios", "features", other), f"{other!r} is a context variable already")


def _features(spec: ScenariosSpec) -> Iterator[Problem]:
    """Whether the model over scenarios can tell them apart, and knows all of each."""
    path: KeyPath = ("scenarios", "features")
    features = declared_features(spec)
    lacking = False
    for name, feature in features.items():
        for scenario in feature.values:
            if scenario not in spec.values:
                yield unknown((*path, name, "values", scenario), "scenario", scenario, spec.values)
        found = feature_values(spec, name, feature)
        missing = [scenario for scenario, value in found.items() if value is None]
        lacking |= bool(missing)
        if missing:
            where: KeyPath = (*path, name) if spec.features else ("scenarios", "values", missing[0])
            yield Problem(
                where,
                f"nothing says {name} of scenario {', '.join(missing)}, which the model of walked: chosen needs: give "
                f"it under values, or what {{}} means once for all, features: {{{name}: {{otherwise: NUMBER}}}}",
            )
        elif len(set(found.values())) == 1:
            yield Problem((*path, name), f"{name} is the same in all scenarios: leave it out")
    if lacking:
        return
    rows = {s: tuple(feature_values(spec, n, f)[s] for n, f in features.items()) for s in spec.values}
    first: dict[tuple[float | None, ...], str] = {}
    for scenario, row in rows.items():
        other = first.setdefault(row, scenario)
        if other != scenario:
            yield Problem(
                ("scenarios", "values", scenario),
                f"has the same features as {other} ({', '.join(features) or 'none'}), so that the model of walked: "
                "chosen takes both for one: give features that tell them apart, as features: "
                f"{{{scenario}: {{values: {{{scenario}: 1}}, otherwise: 0}}}}",
            )
