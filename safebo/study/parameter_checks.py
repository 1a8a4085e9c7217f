"""Checks of the parameters that a study declares, of the constraints between them, and of values given for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from safebo.errors import StudyError
from safebo.files.problems import KeyPath, Problem, key_path_text, shown, unknown
from safebo.study import Parameter, Study
from safebo.study.axis import MAX_LEVELS, Axis, value_text
from safebo.study.linear import LinearConstraint, read_constraint
from safebo.study.space import said_value


def duplicates(names: Sequence[str], path: KeyPath, what: str) -> Iterator[Problem]:
    """Names that are there twice in a list of mappings."""
    places: dict[str, int] = {}
    for index, name in enumerate(names):
        first = places.setdefault(name, index)
        if first < index:
            place = key_path_text((*path, first))
            yield Problem((*path, index, "name"), f"{what} {shown(name)} is there already, as {place}")


def bounds_problems(bounds: tuple[float, float], path: KeyPath) -> Iterator[Problem]:
    """Bounds that are not two increasing finite numbers."""
    lower, upper = bounds
    if not (math.isfinite(lower) and math.isfinite(upper)):
        yield Problem(path, f"[{lower:g}, {upper:g}] must be finite")
    elif lower > upper:
        yield Problem(path, f"[{lower:g}, {upper:g}] is reversed: give [lower, upper]")
    elif lower == upper:
        yield Problem(path, f"[{lower:g}, {upper:g}] is empty: the lower bound must be below the upper one")


def parameter_problems(study: Study) -> Iterator[Problem]:
    """Everything wrong with the parameters and with the constraints between them."""
    yield from duplicates([p.name for p in study.parameters], ("parameters",), "parameter")
    for index, parameter in enumerate(study.parameters):
        path: KeyPath = ("parameters", index)
        if parameter.choices is not None:
            yield from _choices(parameter, path)
            continue
        wrong = [*bounds_problems(parameter.bounds, (*path, "bounds"))]
        if parameter.scale == "log" and min(parameter.bounds) <= 0:
            lower = min(parameter.bounds)
            message = f"scale: log needs a lower bound > 0, not {lower:g} (or use scale: linear)"
            wrong.append(Problem((*path, "bounds"), message))
        yield from wrong or _steps(parameter, path)
        if parameter.period is not None:
            yield from _period(parameter, parameter.period, (*path, "period"))
    for index, text in enumerate(study.parameter_constraints):
        if (error := _constraint(study, text)[1]) is not None:
            yield Problem(("parameter_constraints", index), error)


def value_problems(study: Study, values: Mapping[str, Any], path: KeyPath) -> Iterator[Problem]:
    """What is wrong with a mapping that must have a right value for every parameter, and no other names."""
    axes = {p.name: p for p in study.parameters}
    missing = [name for name in axes if name not in values]
    if missing:
        yield Problem(path, f"gives no value for {', '.join(missing)}")
    right = not missing
    for name, value in values.items():
        if name not in axes:
            yield unknown((*path, name), "parameter", name, axes)
            continue
        # Bounds that are wrong themselves are told where they stand.
        axis = _axis(axes[name])
        problem = None if axis is None else axis.wrong(value)
        right = right and axis is not None and problem is None
        if problem is not None:
            lower, upper = axes[name].bounds
            number = isinstance(value, float) and not axes[name].choices
            if number and math.isfinite(value) and not lower <= value <= upper:
                problem = f"is outside the bounds [{value_text(lower)}, {value_text(upper)}] of {name!r}"
            yield Problem((*path, name), f"{said_value(value)} {problem}")
    for constraint in _read(study) if right else ():
        if not constraint.holds(values):
            have = ", ".join(f"{name} = {value_text(values[name])}" for name in constraint.coefficients)
            yield Problem(path, f"{have} break the constraint {constraint.text}")


def _axis(parameter: Parameter) -> Axis | None:
    """The parameter's axis; None where its bounds or choices are wrong."""
    if not parameter.choices and any(_number_problems(parameter, ())):
        return None
    try:
        return Axis.of_parameter(parameter)
    except StudyError:
        return None


def _number_problems(parameter: Parameter, path: KeyPath) -> Iterator[Problem]:
    yield from bounds_problems(parameter.bounds, path)
    if parameter.scale == "linear" or min(parameter.bounds) > 0:
        yield from _steps(parameter, path)


def _choices(parameter: Parameter, path: KeyPath) -> Iterator[Problem]:
    names = parameter.choices or []
    for position, name in enumerate(names):
        if not name.strip():
            yield Problem((*path, "choices", position), "is an empty name")
        elif name in names[:position]:
            yield Problem((*path, "choices", position), f"{name!r} is there already")
    if parameter.bounds != (0.0, len(names) - 1.0):
        yield Problem((*path, "bounds"), "choices have no bounds: leave the key out")
    numbers = (
        (parameter.type == "integer", "type"),
        (parameter.step is not None, "step"),
        (parameter.scale == "log", "scale"),
        (parameter.period is not None, "period"),
    )
    for given, key in numbers:
        if given:
            yield Problem(
                (*path, key), f"{key} is for numbers, and {parameter.name!r} is a choice: leave the key out"
            )


def _steps(parameter: Parameter, path: KeyPath) -> Iterator[Problem]:
    lower, upper = parameter.bounds
    step = parameter.step
    if not lower < upper:
        return
    if parameter.type == "integer":
        for key, values in (("bounds", parameter.bounds), ("step", () if step is None else (step,))):
            if not all(value.is_integer() for value in values):
                told = ", ".join(map(value_text, values))
                yield Problem((*path, key), f"{told}: of type: integer must be whole")
        if step is not None and not step.is_integer():
            return
    if step is not None and step > upper - lower:
        yield Problem(
            (*path, "step"),
            f"{value_text(step)} is larger than the bounds are apart: [{value_text(lower)}, {value_text(upper)}]",
        )
        return
    axis = Axis.of_parameter(parameter)
    if (reason := axis.unresolved()) is not None:
        yield Problem((*path, "bounds"), f"[{value_text(lower)}, {value_text(upper)}] {reason}")
    elif axis.discrete and axis.levels > MAX_LEVELS:
        key = "step" if step is not None else "type"
        yield Problem(
            (*path, key),
            f"makes {axis.levels:,} values; at most {MAX_LEVELS:,} are allowed: use a larger step",
        )


def _period(parameter: Parameter, period: float, path: KeyPath) -> Iterator[Problem]:
    lower, upper = parameter.bounds
    if parameter.scale == "log":
        yield Problem(path, "needs scale: linear: values one period apart are not equally far on a log scale")
    elif upper - lower > period * (1 + 1e-9):
        yield Problem(
            path,
            f"the bounds [{lower:g}, {upper:g}] are wider than the period {period:g}: the same gains would "
            "be searched twice",
        )


def _constraint(study: Study, text: str) -> tuple[list[LinearConstraint], str | None]:
    """The inequalities of a text, or why there are none."""
    numbers = [p.name for p in study.parameters if not p.choices]
    try:
        return read_constraint(text, numbers, [p.name for p in study.parameters if p.choices]), None
    except StudyError as error:
        return [], str(error)


def _read(study: Study) -> list[LinearConstraint]:
    """The constraints that can be read."""
    return [c for text in study.parameter_constraints for c in _constraint(study, text)[0]]
