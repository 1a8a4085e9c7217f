"""A study against its evaluator: what it names that the evaluator does not know, and what it leaves to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from safebo.errors import EvaluatorOptionError
from safebo.files.problems import KeyPath, Problem, unknown
from safebo.study import ContextVariable, FunctionSpec, Parameter, Study, quantity_of
from safebo.study.model_parts import plain_unit
from safebo.study.preference_checks import prefers
from safebo.types import EvaluatorInfo, ParameterInfo, QuantityInfo

Spec = TypeVar("Spec", Parameter, ContextVariable, FunctionSpec)


def evaluator_problems(study: Study, info: EvaluatorInfo) -> Iterator[Problem]:
    """Every name in a study that the evaluator does not know, and every bound it does not accept."""
    who = f"evaluator {info.name!r}"
    if info.robot and study.evaluator.time_limit is not None:
        yield Problem(
            ("evaluator", "time_limit"),
            f"{who} moves a {info.robot} robot, whose process must not be ended in the middle of a motion: leave the "
            "key out; the robot's guardian limits its trials",
        )
    if info.robot and study.scenarios is not None:
        yield Problem(
            ("scenarios",),
            f"{who} moves a {info.robot} robot, and nothing sets the conditions of a scenario between two walks: "
            "leave scenarios out, and make what changes a context",
        )
    accepted = {parameter.name: parameter for parameter in info.parameters}
    for index, parameter in enumerate(study.parameters):
        known = accepted.get(parameter.name)
        lower, upper = parameter.bounds
        if known is not None and (parameter.choices or known.choices):
            yield from _choices(parameter, known, ("parameters", index, "choices"), who)
        elif known is not None and (lower < known.lower or upper > known.upper):
            yield Problem(
                ("parameters", index, "bounds"),
                f"[{lower:g}, {upper:g}] leaves what {who} accepts for {parameter.name!r}: "
                f"[{known.lower:g}, {known.upper:g}]",
            )
        if (
            known is not None
            and plain_unit(known.unit)
            and parameter.unit
            and not _same(known.unit, parameter.unit)
        ):
            yield Problem(
                ("parameters", index, "unit"),
                f"{parameter.unit!r} is not the unit of {parameter.name!r} of {who}: {known.unit!r}",
            )
    variables, constraints = enumerate(study.context.variables), enumerate(study.constraints)
    objective, scales = study.objective, study.tuner.backup.state_scale
    names: list[tuple[KeyPath, str, str, Sequence[ParameterInfo | QuantityInfo]]] = [
        *[
            (("parameters", i, "name"), "parameter", p.name, info.parameters)
            for i, p in enumerate(study.parameters)
        ],
        *[
            (("context", "variables", i, "name"), "context variable", v.name, info.contexts)
            for i, v in variables
        ],
        *[
            (("objective", _key_of(o)), "objective", quantity_of(o), info.objectives)
            for o in ([] if prefers(study) else [objective])
        ],
        *[(("constraints", i, _key_of(c)), "margin", quantity_of(c), info.margins) for i, c in constraints],
        *[(("tuner", "backup", "state_scale", s), "state coordinate", s, info.states) for s in scales],
    ]
    for index, variable in enumerate(study.context.variables):
        if variable.measured and variable.name not in info.reads:
            yield Problem(
                ("context", "variables", index, "measured"),
                f"{who} does not read {variable.name!r} before a trial (it reads "
                f"{', '.join(info.reads) or 'nothing'}): give it a method read_context() that returns it by "
                "name, and name it in `reads` of its info",
            )
    for path, what, name, items in names:
        allowed = [item.name for item in items]
        if name not in allowed:
            yield unknown(path, what, name, allowed, f"{who} has no")


def _choices(parameter: Parameter, known: ParameterInfo, path: KeyPath, who: str) -> Iterator[Problem]:
    if not parameter.choices:
        yield Problem(
            path, f"{parameter.name!r} of {who} is a choice: give some of {', '.join(known.choices)}"
        )
    elif not known.choices:
        yield Problem(path, f"{parameter.name!r} of {who} is a number: give bounds instead")
    for name in parameter.choices or ():
        if known.choices and name not in known.choices:
            yield unknown(path, "choice", name, known.choices, f"{who} has for {parameter.name!r} no")


def _same(unit: str, other: str) -> bool:
    """Whether two units are written alike but for spaces, dots and how a power is written."""
    plain = str.maketrans({" ": None, "*": None, "·": None, "^": None, "²": "2", "³": "3"})
    return unit.translate(plain) == other.translate(plain)


def _key_of(function: FunctionSpec) -> str:
    """The key that says what the evaluator calls a function."""
    return "quantity" if function.quantity else "name"


def option_problem(error: EvaluatorOptionError) -> Problem:
    """The problem that a refused evaluator or option stands for."""
    return Problem(tuple(error.key.split(".")), str(error))


def with_defaults(study: Study, info: EvaluatorInfo) -> Study:
    """The study as it runs: units, quantities and state scales that it leaves open are the evaluator's.

    The state scales come in the order of the evaluator's state coordinates.
    """
    variables = [_with_unit(v, info.contexts) for v in study.context.variables]
    declared = study.tuner.backup.state_scale
    scales = {state.name: declared.get(state.name, state.scale) for state in info.states}
    backup = study.tuner.backup.model_copy(update={"state_scale": scales})
    return study.model_copy(
        update={
            "parameters": [_with_unit(p, info.parameters) for p in study.parameters],
            "context": study.context.model_copy(update={"variables": variables}),
            "objective": _with_unit(study.objective, info.objectives, quantity=quantity_of(study.objective)),
            "constraints": [_with_unit(c, info.margins, quantity=quantity_of(c)) for c in study.constraints],
            "tuner": study.tuner.model_copy(update={"backup": backup}),
        }
    )


def _with_unit(spec: Spec, known: Sequence[ParameterInfo | QuantityInfo], **update: str) -> Spec:
    """A part of a study with the unit that the evaluator has for it, where the study gives none."""
    units = {item.name: item.unit for item in known}
    unit = spec.unit or plain_unit(units.get(update.get("quantity", spec.name), ""))
    return spec.model_copy(update={**update, "unit": unit})
