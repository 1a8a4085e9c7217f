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
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safebo.errors import EvaluatorOptionError, text_of
from safebo.evaluators.function_evaluator import FunctionEvaluator
from safebo.evaluators.loading import load_dotted, load_entry_point, reported
from safebo.evaluators.scenarios import check_scenarios
from safebo.evaluators.subprocess_evaluator import SUBPROCESS, SubprocessEvaluator
from safebo.study import Study
from safebo.study.reading import StudyFile
from safebo.types import Evaluator, RobotAddress, RobotWatch

__all__ = [
    "SUBPROCESS",
    "EvaluatorSource",
    "FunctionEvaluator",
    "SubprocessEvaluator",
    "beside",
    "registered_evaluators",
]

ENTRY_POINTS = "safebo.evaluators"
BRIDGES = "safebo.bridges"
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
            return beside(load_entry_point(point), options, self.folder)
        return options

    def watch_robot(self, tell: Callable[[str], None]) -> RobotWatch | None:
        """Have a person told at once what happens to the robot while nobody looks; None where its bridge cannot.

        Args:
            tell: is told, from a thread of the bridge's.

        Raises:
            EvaluatorError: the bridge cannot be loaded.
        """
        for point in importlib.metadata.entry_points(group=BRIDGES, name=self.study.evaluator.name):
            watch = getattr(load_entry_point(point), "watch", None)
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
        bridge = load_entry_point(point)
        with reported(f"evaluator {name!r} cannot be made"):
            try:
                return cast(Evaluator, bridge(beside(bridge, options, self.folder), robot))
            except (ValueError, TypeError) as error:
                raise EvaluatorOptionError(text_of(error), "evaluator.options") from error

    def _make(self) -> Evaluator:
        name, options = self.study.evaluator.name, dict(self.study.evaluator.options)
        if name == SUBPROCESS:
            return SubprocessEvaluator(self.study, options, self.folder)
        if ":" in name:
            return self._from(load_dotted(name, self.folder), options)
        for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
            return self._from(load_entry_point(entry_point), options)
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


def _from_object(value: Any, name: str, study: Study, options: dict[str, Any]) -> Evaluator:
    evaluator: Any = value
    if inspect.isclass(value):
        factory = cast(Callable[[dict[str, Any]], Any], value)
        with reported(f"evaluator {name!r} cannot be made"):
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
