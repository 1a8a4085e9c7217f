"""What a study file's types cannot say: checks across keys (against what the evaluator knows: `evaluator_checks`).

Every check yields a `Problem`: the path of the key at fault and one sentence. Nothing here reads files.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from safebo.boundary.kernels import BUILT_IN, known_kernels
from safebo.files.problems import KeyPath, Problem, leaves, listed, shown, unknown
from safebo.files.reading import MAX_KEY
from safebo.study import Study
from safebo.study.first_step import whole_box_problems
from safebo.study.methods import METHODS, canonical, first_beta
from safebo.study.parameter_checks import bounds_problems, duplicates, parameter_problems, value_problems
from safebo.study.tuner_checks import as_configured, method_problems, tuner_problems

SMALLEST, LARGEST = 1e-30, 1e30
"""Sizes of numbers with which kernels, warps and bounds are computed in floats."""

_NO_NAME = re.compile("[\x00\n\r\v\f\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]")
"""What a database cannot keep, or what breaks a line."""


def tuned_contexts(study: Study) -> list[str]:
    """Contexts a run asks for, in their order: the schedule's, or without one those that have seeds."""
    names = [phase.context for phase in study.context.schedule] or [seed.context for seed in study.seeds]
    return list(dict.fromkeys(names))


def cross_field_problems(study: Study) -> list[Problem]:
    """Everything in which two keys of a study contradict each other, and numbers that are not finite."""
    unusable = [*_names(study), *_numbers(study)]
    if unusable:
        return unusable
    found = [
        *parameter_problems(study),
        *_context_variables(study),
        *_context_values(study),
        *_schedule(study),
        *_seeds(study),
        *_goals(study),
        *_functions(study),
        *_kernels(study),
        *_surrogate(study),
        *tuner_problems(study),
    ]
    return found or ([] if has_far_corner(study) else list(whole_box_problems(study)))


def has_far_corner(study: Study) -> bool:
    """Whether a corner lies plainly too far from any seed for one measurement to certify it: a quick look, which most
    studies pass, before the exact one of `first_step`.

    Some corner is half a range away along every gain, at a distance of at least `sqrt(sum (0.5 / l)^2)` lengthscales.
    From 1 on the correlation with the seed is at most 0.61 (`rbf`); with beta >= 1 and a margin of one prior standard
    deviation `rho >= sqrt(1 - rho^2)` has to hold, that is 0.71.
    """
    tuner, surrogate = as_configured(study.tuner), study.surrogate
    plain = all(p.choices is None and p.step is None and p.type == "real" for p in study.parameters)
    if not plain or any(p.period is not None for p in study.parameters):
        return False
    lengths = [p.lengthscale or surrogate.lengthscale for p in study.parameters]
    return (
        sum((0.5 / length) ** 2 for length in lengths) >= 1.0
        and surrogate.kernel in {kernel.name for kernel in BUILT_IN}
        and surrogate.structure in ("joint", "product")
        and tuner.certificate == "bounds"
        and tuner.confidence.schedule == "constant"
        and tuner.beta >= 1.0
        and tuner.search.domain != "pool"
    )


def _numbers(study: Study) -> Iterator[Problem]:
    """Numbers whose squares and ratios cannot be computed with; an evaluator's options are its own."""
    for path, value in leaves(study.model_dump(warnings=False)):
        if not isinstance(value, float | int) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            yield Problem(path, f"must be a finite number, not {value:g}")
        elif path[0] not in ("evaluator", "seed") and value != 0 and not SMALLEST <= abs(value) <= LARGEST:
            size = "large" if abs(value) > LARGEST else "small"
            yield Problem(
                path,
                f"{shown(value)} is too {size} to compute with: 0, or {SMALLEST:g} to {LARGEST:g} in size; "
                "choose another unit",
            )


def _names(study: Study) -> Iterator[Problem]:
    """Names that cannot be kept, or that a person cannot tell apart."""
    named: list[tuple[KeyPath, str]] = [
        (("name",), study.name),
        (("objective", "name"), study.objective.name),
        *((("parameters", i, "name"), p.name) for i, p in enumerate(study.parameters)),
        *((("constraints", i, "name"), c.name) for i, c in enumerate(study.constraints)),
        *((("context", "variables", i, "name"), v.name) for i, v in enumerate(study.context.variables)),
        *((("context", "values", name), name) for name in study.context.values),
    ]
    for path, name in named:
        if not name.strip():
            yield Problem(path, "is blank: give a name that can be read")
        elif len(name) > MAX_KEY:
            yield Problem(path, f"a name has at most {MAX_KEY} characters, not {len(name):,}")
    texts = (
        (path, value) for path, value in leaves(study.model_dump(warnings=False)) if isinstance(value, str)
    )
    for path, text in (*named, *(item for item in texts if item[0][0] != "evaluator")):
        wrong = _NO_NAME.search(text)
        if wrong is not None and "description" not in path:
            yield Problem(path, f"{shown(text)} holds {shown(wrong[0])}: a name or unit is one line of text")
    for group in ("parameters", "constraints", "variables", "values"):
        yield from _confusable([(path, name) for path, name in named if group in path])


def _confusable(named: Sequence[tuple[KeyPath, str]]) -> Iterator[Problem]:
    """Names of one kind that differ, and are one in upper case or in another Unicode form."""
    seen: dict[str, str] = {}
    for path, name in named:
        normal = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        other = seen.setdefault(normal, name)
        if other != name:
            yield Problem(
                path,
                f"{shown(name)} differs from {shown(other)} only by upper and lower case or by how its characters are "
                "coded: choose names that nobody confuses",
            )


def _context_variables(study: Study) -> Iterator[Problem]:
    names = [variable.name for variable in study.context.variables]
    yield from duplicates(names, ("context", "variables"), "context variable")
    parameters = [parameter.name for parameter in study.parameters]
    for index, variable in enumerate(study.context.variables):
        path: KeyPath = ("context", "variables", index)
        yield from bounds_problems(variable.bounds, (*path, "bounds"))
        if variable.name in parameters:
            yield Problem(
                (*path, "name"), f"{variable.name!r} is a parameter: the tuner cannot choose it too"
            )


def _context_values(study: Study) -> Iterator[Problem]:
    bounds = {variable.name: variable.bounds for variable in study.context.variables}
    if not study.context.values:
        yield Problem(("context", "values"), "must name at least one context")
    for name, values in study.context.values.items():
        path = ("context", "values", name)
        yield from _named_values(values, bounds, path, f"context {name!r} gives")


def _schedule(study: Study) -> Iterator[Problem]:
    names = study.context.values
    seeds = Counter(seed.context for seed in study.seeds)
    seen: set[str] = set()
    tuned = tuned_contexts(study)
    for index, phase in enumerate(study.context.schedule):
        path: KeyPath = ("context", "schedule", index)
        if phase.context not in names:
            yield unknown((*path, "context"), "context", phase.context, names)
        elif phase.context not in seen and phase.trials < (needed := seeds[phase.context]):
            yield Problem(
                (*path, "trials"),
                f"{phase.trials} trials are fewer than the {needed} seeds of context {phase.context!r}",
            )
        seen.add(phase.context)
    for index, name in enumerate(study.context.predict):
        path = ("context", "predict", index)
        if name not in names:
            yield unknown(path, "context", name, names)
        elif name in tuned:
            yield Problem(path, f"context {name!r} is tuned; predict is for contexts that are never tried")


def _seeds(study: Study) -> Iterator[Problem]:
    for index, seed in enumerate(study.seeds):
        if seed.context not in study.context.values:
            yield unknown(("seeds", index, "context"), "context", seed.context, study.context.values)
        yield from value_problems(study, seed.parameters, ("seeds", index, "parameters"))
    seeded = {seed.context for seed in study.seeds}
    for name in tuned_contexts(study):
        if name in study.context.values and name not in seeded:
            yield Problem(
                ("seeds",),
                f"no seed for context {name!r}: every context that is tuned needs parameters known safe there",
            )


def _goals(study: Study) -> Iterator[Problem]:
    tuned = tuned_contexts(study)
    for index, goal in enumerate(study.goals):
        path: KeyPath = ("goals", index)
        if goal.context not in study.context.values:
            yield unknown((*path, "context"), "context", goal.context, study.context.values)
        elif goal.context not in tuned:
            yield Problem(
                (*path, "context"),
                f"context {goal.context!r} is never tuned (tuned: {', '.join(tuned)}), so nothing goes there",
            )
        yield from value_problems(study, goal.parameters, (*path, "parameters"))
    promises = METHODS.get(study.tuner.method)
    if study.goals and promises is not None and promises.safety == "baseline":
        yield Problem(
            ("goals",),
            f"method {study.tuner.method} certifies nothing, and a goal is approached over certified gains: leave the "
            "key out, or choose a method that certifies",
        )


def _functions(study: Study) -> Iterator[Problem]:
    yield from duplicates([c.name for c in study.constraints], ("constraints",), "constraint")
    method_problem = any(method_problems(study.tuner))
    if (
        not study.constraints
        and not method_problem
        and METHODS[canonical(study.tuner.method)].safety != "baseline"
    ):
        promising_nothing = ", ".join(name for name, m in METHODS.items() if m.safety == "baseline")
        yield Problem(
            ("constraints",),
            f"is empty, and method {study.tuner.method} certifies constraints: give at least one margin, or a method "
            f"that promises nothing ({promising_nothing})",
        )
    paths: list[KeyPath] = [("objective",), *(("constraints", i) for i in range(len(study.constraints)))]
    for path, function in zip(paths, (study.objective, *study.constraints), strict=True):
        yield from bounds_problems(function.warp.ends, (*path, "warp", "clip"))
    low, high = study.objective.warp.ends
    if low < high and not low <= study.objective.prior_mean <= high:
        yield Problem(
            ("objective", "prior_mean"),
            f"{study.objective.prior_mean:g} lies beyond what is modelled, [{low:g}, {high:g}] (warp.clip): values as "
            "expected would all look the same; widen objective.warp.clip, or choose a larger warp.scale",
        )
    for index, constraint in enumerate(study.constraints):
        if constraint.name == study.objective.name:
            yield Problem(
                ("constraints", index, "name"),
                f"{constraint.name!r} is the objective's name: functions need different names",
            )
        warp = constraint.warp
        low, high = warp.ends
        if low < high and not low < 0.0 < high:
            yield Problem(
                ("constraints", index, "warp", "clip"),
                f"[{low:g}, {high:g}] hides the margin 0: give a lower end below 0 and an upper one above it",
            )
        beta = None if method_problem else first_beta(study, index + 1)
        if beta is not None and constraint.prior_mean >= beta * constraint.prior_std:
            yield Problem(
                ("constraints", index, "prior_mean"),
                f"{constraint.prior_mean:g} is so far above 0 (prior_std {constraint.prior_std:g}, "
                f"beta {beta:g}) that everything would be certified untried; give a lower one",
            )
        elif constraint.prior_mean > 0 and study.surrogate.hyperparameters != "fixed":
            yield Problem(
                ("constraints", index, "prior_mean"),
                f"{constraint.prior_mean:g} is above 0: where hyperparameters are estimated a smaller prior_std may be "
                "found, and everything far from data would be certified; give at most 0, or hyperparameters: fixed",
            )
        if warp.kind == "log" and warp.upper != warp.scale:
            yield Problem(
                ("constraints", index, "warp", "upper"),
                "a constraint's log warp needs upper = scale, so that a margin of 0 stays 0: "
                f"upper is {warp.upper:g}, scale is {warp.scale:g}",
            )


def _kernels(study: Study) -> Iterator[Problem]:
    named: dict[KeyPath, str] = {
        ("surrogate", "kernel"): study.surrogate.kernel,
        ("tuner", "backup", "state_kernel"): study.tuner.backup.state_kernel,
    }
    for path, name in named.items():
        if name not in known_kernels(name):
            yield unknown(path, "kernel", name, known_kernels(name))


def _surrogate(study: Study) -> Iterator[Problem]:
    spec = study.surrogate
    if spec.structure in ("product", "sum") and not study.context.variables:
        yield Problem(
            ("surrogate", "structure"),
            f"{spec.structure} joins parameters and context, but there are no context variables; use joint",
        )
    if spec.groups is not None:
        yield from _groups(study, spec.groups)
    if spec.hyperparameters == "bayes":
        tuner = study.tuner
        schedule = as_configured(tuner).confidence.schedule
        unsupported = [
            (tuner.search.domain != "continuous", f"tuner.search.domain: {tuner.search.domain}"),
            (schedule == "fiedler2024", "tuner.confidence.schedule: fiedler2024"),
            (tuner.confidence.intersect, "tuner.confidence.intersect: true"),
        ]
        for found, name in unsupported:
            if found:
                yield Problem(
                    ("surrogate", "hyperparameters"),
                    f"bayes averages several posteriors, and {name} needs the factor of a single one; use map or "
                    "fixed (intersect: fixed alone)",
                )


def _groups(study: Study, groups: Sequence[Sequence[str]]) -> Iterator[Problem]:
    if study.surrogate.structure != "additive":
        yield Problem(
            ("surrogate", "groups"),
            f"groups belong to structure: additive, not {study.surrogate.structure}",
        )
    names = [parameter.name for parameter in study.parameters]
    for index, group in enumerate(groups):
        path: KeyPath = ("surrogate", "groups", index)
        if not group:
            yield Problem(path, "is empty: name the parameters that act together")
        for position, name in enumerate(group):
            if name not in names:
                yield unknown((*path, position), "parameter", name, names)
            elif name in group[:position]:
                yield Problem((*path, position), f"{name!r} is in this group already")
        if sorted(group) in [sorted(earlier) for earlier in groups[:index]]:
            yield Problem(path, "is there already")
    missing = [name for name in names if not any(name in group for group in groups)]
    if missing:
        yield Problem(
            ("surrogate", "groups"),
            f"no group has {', '.join(missing)}: the model would know of no effect; every parameter needs one",
        )


def _named_values(
    values: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    path: KeyPath,
    gives: str,
) -> Iterator[Problem]:
    """What is wrong with a mapping that must have a value within its bounds for every name, and no other names."""
    missing = [name for name in bounds if name not in values]
    if missing:
        yield Problem(path, f"{gives} no value for {listed(missing)}")
    for name, value in values.items():
        if name not in bounds:
            yield unknown((*path, name), "context variable", name, bounds)
            continue
        lower, upper = bounds[name]
        # Bounds that are wrong themselves are told where they stand.
        if lower < upper and not lower <= value <= upper:
            yield Problem(
                (*path, name), f"{value:g} is outside the bounds [{lower:g}, {upper:g}] of {name!r}"
            )
