"""A program of the user's own as an evaluator."""

from __future__ import annotations

import difflib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebo.errors import EvaluatorOptionError, MeasurementError, short_text
from safebo.evaluators.function_evaluator import declared_info, flag
from safebo.evaluators.gate import as_measurement, failed
from safebo.evaluators.program import first_line, run_program
from safebo.study import Study
from safebo.text.printable import one_line
from safebo.types import (
    OPERATING_TIME,
    EvaluatorInfo,
    Measurement,
    Monitor,
    Trial,
    TrialUnknownError,
)

SUBPROCESS = "subprocess"
PROGRAM_LIMIT = 600.0  # s, for a program whose study gives no time limit


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
        _check_program(command[0], folder)
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
        self._info = declared_info(study, SUBPROCESS, flag(options.get("repeatable", False), "repeatable"))
        if flag(options.get("scenarios", False), "scenarios"):
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


def _check_program(program: str, folder: str | None) -> None:
    """Refuse a program that is not there, before a trial is lost to it.

    Raises:
        EvaluatorOptionError: it does not exist, or may not be executed.
    """
    place = Path(folder or ".", program) if "/" in program else None
    if shutil.which(program if place is None else str(place.absolute())) is None:
        where = "in PATH" if place is None else str(place)
        wrong = "cannot be executed" if place is not None and place.exists() else "was not found"
        raise EvaluatorOptionError(
            f"program {one_line(program)!r} {wrong} (looked for: {one_line(where)})",
            "evaluator.options.command",
        )


def _is_argument(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value
