"""Evaluators: finding the one a study names, functions and programs included.

A study names its evaluator in one of three ways:

- a name registered under the entry point `safebo.evaluators` (`legged`, `pendulum`, one of your own package);
- a dotted path `module:attribute` to an evaluator class or to a plain function
  `f(parameters, context) -> {"objective": 1.0, "margins": {"name": 0.2}}`; modules beside the study file are
  found;
- `subprocess`: a program of your own that reads a trial as JSON on stdin and writes its measurement as JSON
  on stdout (see `SubprocessEvaluator`).

This module loads no torch: workers import it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from safebo.errors import (
    EvaluatorError,
    EvaluatorOptionError,
    MeasurementError,
    place_of,
    short_text,
    text_of,
)
from safebo.evaluators.gate import as_measurement, failed
from safebo.evaluators.program import first_line, run_program
from safebo.evaluators.scenarios import check_scenarios
from safebo.study import Study, quantity_of
from safebo.study.reading import StudyFile
from safebo.text.attributes import attribute_at
from safebo.text.printable import one_line
from safebo.types import (
    OPERATING_TIME,
    Evaluator,
    EvaluatorInfo,
    Measurement,
    Monitor,
    ParameterInfo,
    QuantityInfo,
    RobotAddress,
    RobotWatch,
    Trial,
    TrialUnknownError,
)

__all__ = [
    "EvaluatorSource",
    "FunctionEvaluator",
    "SubprocessEvaluator",
    "beside",
    "registered_evaluators",
]

ENTRY_POINTS = "safebo.evaluators"
BRIDGES = "safebo.bridges"
SUBPROCESS = "subprocess"
PROGRAM_LIMIT = 600.0  # s, for a program whose study gives no time limit
TRAJECTORIES = "trajectories"


@dataclass(frozen=True)
class EvaluatorSource:
    """All that a worker needs to make the evaluator again: plain data, picklable.

    Args:
        study: the study; a plain function takes its names as given there.
        folder: where modules beside the study file are looked for; None for nowhere.
        run: the run's folder. An evaluator that has a method `record_into(folder, relative_to)` is told to
            keep trajectories in its subfolder `trajectories`; None keeps none.
        robot: where the robot is that the trials shall move; None for what the study itself names.
    """

    study: Study
    folder: str | None = None
    run: str | None = None
    robot: RobotAddress | None = None

    @classmethod
    def of_file(
        cls, file: StudyFile, run: Path | None = None, robot: RobotAddress | None = None
    ) -> EvaluatorSource:
        """Of a study that was read, for the run in a folder, on a robot if one is named."""
        return cls(file.study, file.folder, str(run.resolve()) if run else None, robot)

    def make(self) -> Evaluator:
        """The evaluator, ready to evaluate.

        Raises:
            EvaluatorOptionError: it does not exist, or it refuses its options or the conditions of a scenario.
            EvaluatorError: it cannot be loaded.
        """
        evaluator = self._make() if self.robot is None else self._make_on_robot(self.robot)
        check_scenarios(evaluator, self.study)
        if self.run is not None and hasattr(evaluator, "record_into"):
            evaluator.record_into(Path(self.run) / TRAJECTORIES, Path(self.run))
        return evaluator

    def bridge_options(self) -> dict[str, Any]:
        """The evaluator's options as its bridge to a robot gets them: files are those beside the study file.

        Raises:
            EvaluatorError: the bridge cannot be loaded.
        """
        options = dict(self.study.evaluator.options)
        for point in importlib.metadata.entry_points(group=BRIDGES, name=self.study.evaluator.name):
            return beside(_load_entry_point(point), options, self.folder)
        return options

    def watch_robot(self, tell: Callable[[str], None]) -> RobotWatch | None:
        """Have a person told at once what happens to the robot while nobody looks; None where its bridge cannot.

        Args:
            tell: is told, from a thread of the bridge's.

        Raises:
            EvaluatorError: the bridge cannot be loaded.
        """
        for point in importlib.metadata.entry_points(group=BRIDGES, name=self.study.evaluator.name):
            watch = getattr(_load_entry_point(point), "watch", None)
            if watch is not None and self.robot is not None:
                return cast(RobotWatch, watch(self.robot, tell))
        return None

    def _make_on_robot(self, robot: RobotAddress) -> Evaluator:
        name, options = self.study.evaluator.name, dict(self.study.evaluator.options)
        known = sorted(point.name for point in importlib.metadata.entry_points(group=BRIDGES))
        if name not in known:
            raise EvaluatorOptionError(
                f"evaluator {name!r} has no bridge to a robot (those that have: {', '.join(known) or 'none'})"
            )
        (point, *_) = importlib.metadata.entry_points(group=BRIDGES, name=name)
        bridge = _load_entry_point(point)
        with _loaded(f"evaluator {name!r} cannot be made"):
            try:
                return cast(Evaluator, bridge(beside(bridge, options, self.folder), robot))
            except (ValueError, TypeError) as error:
                raise EvaluatorOptionError(text_of(error), "evaluator.options") from error

    def _make(self) -> Evaluator:
        name, options = self.study.evaluator.name, dict(self.study.evaluator.options)
        if name == SUBPROCESS:
            return SubprocessEvaluator(self.study, options, self.folder)
        if ":" in name:
            return self._from(_load_dotted(name, self.folder), options)
        for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
            return self._from(_load_entry_point(entry_point), options)
        known = registered_evaluators()
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise EvaluatorOptionError(
            f"unknown evaluator {name!r}{hint} (allowed: {', '.join(known)}, or module:attribute)"
        )

    def _from(self, value: Any, options: dict[str, Any]) -> Evaluator:
        return _from_object(value, self.study.evaluator.name, self.study, beside(value, options, self.folder))


def beside(value: Any, options: dict[str, Any], folder: str | None) -> dict[str, Any]:
    """The options, those that its `path_options` say are files looked for beside the study file."""
    found = {}
    for name in getattr(value, "path_options", ()):
        text = options.get(name)
        if folder is not None and isinstance(text, str) and text and "\0" not in text:
            place, rest = _place_beside(text, folder)
            if os.path.exists(place):  # a robot may also be given by its name
                found[name] = f"{place}{rest}"
    return {**options, **found}


def _place_beside(text: str, folder: str) -> tuple[Path, str]:
    """Where an option's file would be beside the study, and what follows its name: a class of it, `:Class`.

    `module:Class` is looked for as `module.py`, as an evaluator's module is.
    """
    head, colon, attribute = text.rpartition(":")
    if not colon or not attribute.replace(".", "").isidentifier():
        return Path(folder, Path(text).expanduser()), ""
    file = head if head.endswith(".py") else f"{head.replace('.', '/')}.py"
    return Path(folder, Path(file).expanduser()), f":{attribute}"


def registered_evaluators() -> list[str]:
    """Names that a study may give as `evaluator.name`."""
    registered = {point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    return [*sorted(registered), SUBPROCESS]


class _Loading(threading.local):
    now = False


_loading = _Loading()


def is_loading() -> bool:
    """Whether this thread imports an evaluator's module now."""
    return _loading.now


@contextmanager
def _loaded(what: str) -> Iterator[None]:
    """Whatever a user's code raises while it is imported or made, `sys.exit()` too, becomes an `EvaluatorError`.

    A `KeyboardInterrupt` may be a person's and stays.
    """
    before, _loading.now = _loading.now, True
    try:
        yield
    except (KeyboardInterrupt, EvaluatorOptionError, EvaluatorError):
        raise
    except BaseException as error:
        raise EvaluatorError(f"{what}: {short_text(error)}{place_of(error)}") from error
    finally:
        _loading.now = before


def _load_entry_point(entry_point: importlib.metadata.EntryPoint) -> Any:
    with _loaded(f"evaluator {entry_point.name!r} ({entry_point.value}) cannot be loaded"):
        return entry_point.load()


def _load_dotted(name: str, folder: str | None) -> Any:
    module_name, _, attribute = name.partition(":")
    with _loaded(f"evaluator {name!r} cannot be loaded"):
        try:
            module = _import_beside(module_name, folder)
        except ModuleNotFoundError as error:
            if error.name is None or not (module_name + ".").startswith(error.name + "."):
                raise
            where = f", looked beside the study file ({folder}) too" if folder else ""
            raise EvaluatorOptionError(
                f"no module named {error.name!r} for evaluator {name!r}{where}"
            ) from error
    try:
        return attribute_at(module, attribute)
    except LookupError as error:
        raise EvaluatorOptionError(f"module {module_name!r} {error}") from None


_modules_beside: dict[
    str, set[str]
] = {}  # folders of studies that were looked in, and the modules found there
_entries_beside: set[str] = set()
"""Folders of studies that stand in `sys.path` because a module was looked for there, and for no other reason."""
_looking = threading.Lock()


def _import_beside(module: str, folder: str | None) -> Any:
    """A module, first looked for beside the study file.

    Two studies of one session may have modules of the same names beside them: those of earlier folders are forgotten.
    (A worker process inherits the session's `sys.path`, so the folder goes first while the module is imported; it stays
    at the end for what the module imports later.)
    """
    if folder is None:
        return importlib.import_module(module)
    with _looking:
        for other in [f for f in _modules_beside if f != folder]:
            for name in _modules_beside.pop(other):
                sys.modules.pop(name, None)
            if other in _entries_beside:
                _entries_beside.discard(other)
                sys.path[:] = [entry for entry in sys.path if entry != other]
        if folder not in _modules_beside:
            _modules_beside[folder] = set()
            importlib.invalidate_caches()
        path, known = sys.path[:], set(sys.modules)
        sys.path.insert(0, folder)
        try:
            return importlib.import_module(module)
        finally:
            if folder not in path:
                _entries_beside.add(folder)
            sys.path[:] = path if folder in path else [*path, folder]
            _modules_beside[folder] |= {n for n in set(sys.modules) - known if _is_of(n, folder)}


def _is_of(name: str, folder: str) -> bool:
    """Whether a module lies beside a study file: not what is installed, where that happens to lie below it."""
    file = Path(getattr(sys.modules[name], "__file__", None) or "/")
    if not file.is_relative_to(folder) or "site-packages" in file.parts:
        return False
    return name.partition(".")[0] not in ("safebo", "robots", "hardware", "experiments")


def _from_object(value: Any, name: str, study: Study, options: dict[str, Any]) -> Evaluator:
    evaluator: Any = value
    if inspect.isclass(value):
        factory = cast(Callable[[dict[str, Any]], Any], value)
        with _loaded(f"evaluator {name!r} cannot be made"):
            try:
                evaluator = factory(options)
            except (ValueError, TypeError) as error:
                raise EvaluatorOptionError(text_of(error), "evaluator.options") from error
    if hasattr(evaluator, "evaluate") and hasattr(evaluator, "info"):
        return cast(Evaluator, evaluator)
    if inspect.isclass(value) or not callable(value):
        raise EvaluatorOptionError(
            f"{name!r} is no evaluator: it needs the methods info() and evaluate(trial, monitor), "
            "or must be a function f(parameters, context)"
        )
    return FunctionEvaluator(value, study, options)


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
        declared = bool(getattr(function, "repeatable", False))
        repeatable = _flag(self._options.pop("repeatable", declared), "repeatable")
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


class SubprocessEvaluator:
    """A user's own program as an evaluator, in any language.

    The program is started once per trial. It reads one JSON object from stdin:
    `{"id", "parameters", "context", "context_name", "phase", "seed", "operating_time"}`, with `scenario` (a name) and
    `conditions` (a mapping) beside them where the study has scenarios, once for each of them, and writes one JSON
    object with the fields of a measurement, and nothing else, to stdout: `{"objective": 1.0, "margins": {"name":
    0.2}}`, optionally `outcome`, `fell`, `states`, `message` and the rest. What it has to say besides goes to stderr. A
    non-zero exit status or anything that is no such object is outcome `failed`. When it has ended, all that it started
    is killed; at its time limit, or when the run ends before it, all of them get SIGTERM, and SIGKILL half a second
    later.

    Args:
        study: the study, whose names are taken as known.
        options: `command` (a list: program and arguments), `repeatable` (default false: whether a trial may be
            evaluated again after a crash), `scenarios` (default false: that the program reads `scenario` and
            `conditions`), `timeout` (an older name of the study's `evaluator.time_limit`; 600 s
            without either).
        folder: the program's working folder; None for the current one.
    """

    def __init__(self, study: Study, options: Mapping[str, Any], folder: str | None = None) -> None:
        allowed = ("command", "timeout", "repeatable", "scenarios")
        for option in options:
            if option not in allowed:
                close = difflib.get_close_matches(option, allowed, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise EvaluatorOptionError(
                    f"unknown option {option!r}{hint} (allowed: {', '.join(allowed)})",
                    f"evaluator.options.{option}",
                )
        command = options.get("command")
        if not isinstance(command, list) or not command or not all(_is_argument(c) for c in command):
            raise EvaluatorOptionError(
                "must be a list of texts, the program and its arguments: [python3, robot.py]",
                "evaluator.options.command" if "command" in options else "evaluator.options",
            )
        timeout = options.get("timeout", PROGRAM_LIMIT)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
            raise EvaluatorOptionError("must be a number of seconds > 0", "evaluator.options.timeout")
        limit = study.evaluator.time_limit
        if limit is not None and "timeout" in options:
            raise EvaluatorOptionError(
                "is the older name of evaluator.time_limit, which the study has too: keep one of them",
                "evaluator.options.timeout",
            )
        self._command = command
        self._limit = float(timeout if limit is None else limit)
        self._folder = folder
        self._info = declared_info(study, SUBPROCESS, _flag(options.get("repeatable", False), "repeatable"))
        if _flag(options.get("scenarios", False), "scenarios"):
            self.check_conditions = lambda conditions: None  # only the program knows

    def info(self) -> EvaluatorInfo:
        """What the study declares."""
        return self._info

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run the program once."""
        request = {
            "id": trial.id,
            "parameters": dict(trial.parameters),
            "context": dict(trial.context),
            "context_name": trial.context_name,
            "phase": trial.phase,
            "seed": trial.seed,
            **({} if trial.operating_time is None else {OPERATING_TIME: trial.operating_time}),
        }
        if trial.scenario is not None:
            request |= {"scenario": trial.scenario.name, "conditions": dict(trial.scenario.conditions)}
        program = one_line(self._command[0])
        try:
            answer = run_program(self._command, json.dumps(request), self._limit, self._folder)
        except (OSError, ValueError) as error:
            return failed(f"{program} cannot be run: {short_text(error)}")
        if answer.over_limit and not self._info.repeatable:
            raise TrialUnknownError(f"{program} {answer.ending}")
        if answer.ending:
            return failed(f"{program} {answer.ending}")
        try:
            value = json.loads(answer.output)
        except (ValueError, RecursionError):
            begins = first_line(answer.output)
            there = f"and its stdout begins with {begins!r}" if begins else "and its stdout is empty"
            return failed(
                f"{program} must write its measurement as one JSON object to stdout and nothing else there "
                f"(what it logs belongs on stderr), {there}"
            )
        try:
            return as_measurement(value)
        except MeasurementError as error:
            return failed(f"{program} wrote no measurement: {error}")


def _is_argument(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise EvaluatorOptionError(f"must be true or false, not {value!r}", f"evaluator.options.{name}")
    return value
