"""A plain Python function as an evaluator."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from safebo.errors import EvaluatorOptionError
from safebo.evaluators.gate import as_measurement
from safebo.study import Study, quantity_of
from safebo.types import (
    OPERATING_TIME,
    EvaluatorInfo,
    Measurement,
    Monitor,
    ParameterInfo,
    QuantityInfo,
    Trial,
)


def declared_info(study: Study, name: str, repeatable: bool) -> EvaluatorInfo:
    """What an evaluator that declares nothing is taken to accept: whatever the study names."""
    return EvaluatorInfo(
        name=name,
        parameters=tuple(
            ParameterInfo(p.name, p.unit, math.nan, *p.bounds, p.description, tuple(p.choices or ()))
            for p in study.parameters
        ),
        objectives=(QuantityInfo(quantity_of(study.objective), study.objective.unit),),
        margins=tuple(QuantityInfo(quantity_of(c), c.unit) for c in study.constraints),
        contexts=tuple(QuantityInfo(v.name, v.unit) for v in study.context.variables),
        repeatable=repeatable,
    )


class FunctionEvaluator:
    """A plain Python function as an evaluator.

    The function is called `f(parameters, context, **options)` with two dictionaries of numbers and returns a
    `Measurement` or a mapping with its fields (`objective` and `margins` suffice). If it has an argument
    `seed` it gets the trial's seed, with `operating_time` the robot's operating time, s, with `conditions` what differs
    in the scenario that it is called for, a dictionary, and with `scenario` that one's name. An attribute
    `read_context`, a function without arguments, reads context variables that are `measured`; an attribute
    `check_conditions(conditions)` raises `ValueError` for conditions that it does not know.

    Args:
        function: the function.
        study: the study, whose names are taken as known.
        options: the study's `evaluator.options`. `repeatable: true` declares that a trial may be evaluated
            again after a crash, as a simulation may; everything else is handed to the function by name.
    """

    def __init__(self, function: Callable[..., Any], study: Study, options: Mapping[str, Any]) -> None:
        self._function = function
        self._options = dict(options)
        self._reader: Callable[[], Any] | None = getattr(function, "read_context", None)
        declared = getattr(function, "repeatable", False)
        repeatable = flag(self._options.pop("repeatable", declared), "repeatable")
        name = getattr(function, "__name__", type(function).__name__)
        self._info = declared_info(study, name, repeatable)
        if self._reader is not None:
            read = tuple(v.name for v in study.context.variables if v.measured)
            self._info = replace(self._info, reads=read)
        try:
            arguments = dict(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            arguments = {}
        self._wants_seed = "seed" in arguments and "seed" not in self._options
        self._wants_time = OPERATING_TIME in arguments and OPERATING_TIME not in self._options
        self._scenario = [n for n in ("scenario", "conditions") if n in arguments and n not in self._options]
        if self._scenario:
            self.check_conditions = getattr(function, "check_conditions", lambda conditions: None)
        accepts_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in arguments.values())
        for option in self._options:
            if arguments and option not in arguments and not accepts_any:
                allowed = ", ".join([*list(arguments)[2:], "repeatable"])
                raise EvaluatorOptionError(
                    f"{name}() has no argument {option!r} (allowed: {allowed})", f"evaluator.options.{option}"
                )
        own = {"seed": self._wants_seed, OPERATING_TIME: self._wants_time}
        _check_call(
            function, name, [*self._options, *(n for n, wanted in own.items() if wanted), *self._scenario]
        )

    def info(self) -> EvaluatorInfo:
        """What the study declares."""
        return self._info

    def read_context(self) -> Any:
        """What the function's attribute `read_context` returns: context variables by name."""
        return {} if self._reader is None else self._reader()

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Call the function once."""
        extra: dict[str, Any] = {"seed": trial.seed} if self._wants_seed else {}
        if self._wants_time:
            extra[OPERATING_TIME] = trial.operating_time
        said = {
            "scenario": "" if trial.scenario is None else trial.scenario.name,
            "conditions": {} if trial.scenario is None else dict(trial.scenario.conditions),
        }
        extra |= {name: said[name] for name in self._scenario}
        return as_measurement(
            self._function(dict(trial.parameters), dict(trial.context), **self._options, **extra)
        )


def _check_call(function: Callable[..., Any], name: str, named: Iterable[str]) -> None:
    """Refuse a function that no trial could call, before one moves something.

    Args:
        function: the function.
        name: for people.
        named: the arguments that it will get by name.

    Raises:
        EvaluatorOptionError: it returns something to be awaited or iterated, takes the context first, or cannot be
            called so.
    """
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    for kind, found in (
        ("an async function", inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)),
        ("a generator (it has a yield)", inspect.isgeneratorfunction(call)),
    ):
        if found:
            raise EvaluatorOptionError(
                f"{name}() is {kind}: it must return its measurement", "evaluator.name"
            )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled code may not say
        return
    if list(signature.parameters)[:2] == ["context", "parameters"]:
        raise EvaluatorOptionError(
            f"{name}() takes (context, parameters): the parameters come first", "evaluator.name"
        )
    try:
        signature.bind({}, {}, **dict.fromkeys(named))
    except TypeError as error:
        given = ", ".join(["parameters", "context", *(f"{each}=..." for each in named)])
        raise EvaluatorOptionError(
            f"{name}{signature} cannot be called as {name}({given}): {error}", "evaluator.name"
        ) from None


def flag(value: Any, name: str) -> bool:
    """An option that is true or false.

    Raises:
        EvaluatorOptionError: it is neither.
    """
    if not isinstance(value, bool):
        raise EvaluatorOptionError(f"must be true or false, not {value!r}", f"evaluator.options.{name}")
    return value
