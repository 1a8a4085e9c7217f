"""Runs on a robot that is made up, with persons that answer as they are told, and processes that die."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from closed_form_runs import HashTuner
from rich.console import Console
from robot_in_tests import STUDY, WORLDS, World

from safebo.runs.operators import ApprovesAll, Operator, TerminalOperator
from safebo.runs.result import RunResult
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.storage.trial_log import KIND
from safebo.study.reading import parse_study
from safebo.types import Measurement
from safebo.workers import worker

TEXT = STUDY.replace("WORLD", "it")


@pytest.fixture
def world() -> World:
    WORLDS["it"] = World()
    return WORLDS["it"]


class Person:
    """Answers the questions on a terminal: `say(question)` gives the line, None closes the terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], str | None]) -> None:
        self.screen = io.StringIO()
        self.questions: list[str] = []
        self._say = say
        self.operator = TerminalOperator(Console(file=self.screen, width=160, color_system=None))
        monkeypatch.setattr(sys, "stdin", self)

    def readline(self) -> str:
        self.questions.append(self.screen.getvalue().splitlines()[-1].strip())
        said = self._say(self.questions[-1])
        return "" if said is None else said + "\n"

    @property
    def saw(self) -> str:
        return " ".join(self.screen.getvalue().split())


def agreeing(question: str) -> str:
    return "yes" if question.startswith("Run this trial?") else "accept"


def in_order(*answers: str | None) -> Callable[[str], str | None]:
    rest = list(answers)
    return lambda question: rest.pop(0)


def everything() -> Operator:
    return ApprovesAll(Console(file=io.StringIO()))


def tune(folder: Path, operator: Operator | None, text: str = TEXT, **changes: Any) -> RunResult:
    """One process's part of a run: the robot's side begins anew, as after a start."""
    worker._made = None
    with ThreadPoolExecutor(1) as executor:
        return run(
            parse_study(text),
            folder,
            **{"make_tuner": HashTuner, "executor": executor, "seed": 3, "operator": operator, **changes},
        )


def steps(folder: Path, trial: int = 1) -> list[str]:
    with Journal.open(folder, read_only=True) as journal:
        return [str(e.data["state"]) for e in journal.events() if e.kind == KIND and e.trial == trial]


def statuses(folder: Path) -> list[tuple[str, str]]:
    with Journal.open(folder, read_only=True) as journal:
        return [(r.status, r.measurement.outcome if r.measurement else "") for r in journal.records()]


def measured(folder: Path, trial: int = 1) -> Measurement:
    with Journal.open(folder, read_only=True) as journal:
        found = {r.trial.id: r.measurement for r in journal.records()}[trial]
    assert found is not None
    return found


WHOLE = ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED"]


class Killed(BaseException):
    """The process is dead: from here on nothing is written."""


@contextmanager
def killed_when(when: Callable[[str, str], bool], after_others: int = 0, behind: bool = False):
    """Let the process die at a row of the journal, before or behind its commit.

    Args:
        when: told the journal's method and, for a step, its state.
        after_others: so many such rows are let through.
        behind: die once it is committed.
    """
    left, dead = [after_others], [False]
    originals = {name: getattr(Journal, name) for name in ("ask", "tell", "note", "mark_unknown")}

    def dying(name: str) -> Callable[..., Any]:
        def write(self: Journal, *arguments: Any, **keywords: Any) -> Any:
            if dead[0]:
                raise Killed
            data = arguments[3] if len(arguments) > 3 else keywords.get("data", {})
            hit = when(name, data.get("state", "") if isinstance(data, dict) else "")
            if hit:
                left[0] -= 1
                dead[0] = left[0] < 0
            if dead[0] and not behind:
                raise Killed
            written = originals[name](self, *arguments, **keywords)
            if dead[0]:
                raise Killed
            return written

        return write

    with pytest.MonkeyPatch.context() as patched:
        for name in originals:
            patched.setattr(Journal, name, dying(name))
        yield
