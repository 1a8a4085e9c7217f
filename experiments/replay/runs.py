"""A run opened to see its trials again: its records, and the evaluator that its study names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safebo.errors import EvaluatorError, EvaluatorOptionError, InputError, UnknownNameError
from safebo.evaluators.scenarios import scenario_trial
from safebo.evaluators.source import EvaluatorSource
from safebo.files.reading import usable_path
from safebo.robots.evaluation.conditions import CONDITION_CONTEXTS
from safebo.robots.evaluation.evaluator import CONTEXTS, LeggedEvaluator
from safebo.storage.journal import Journal
from safebo.storage.records import Record, RunInfo
from safebo.storage.trial_log import all_steps
from safebo.study import Study, quantity_of
from safebo.text.printable import one_line
from safebo.types import Measurement, Trial


class NoWalksError(InputError):
    """The trials of a run are no walks of a legged robot."""


@dataclass(frozen=True)
class SeenRun:
    """A run and its evaluator.

    Args:
        folder: of the run.
        info: the run itself.
        records: every trial in the order of its id.
        on_robot: trials that moved a robot.
        evaluator: of the study, in simulation.
    """

    folder: Path
    info: RunInfo
    records: tuple[Record, ...]
    on_robot: frozenset[int]
    evaluator: LeggedEvaluator

    @property
    def study(self) -> Study:
        """As it runs."""
        return self.info.study

    @classmethod
    def open(cls, folder: Path) -> SeenRun:
        """Open a run's folder; the run may be going on.

        Raises:
            NotARunError: the folder holds no run.
            JournalError: its journal is damaged.
            NoWalksError: its trials are no walks of a legged robot.
        """
        with Journal.open(usable_path(folder), read_only=True) as journal:
            info, records = journal.run, tuple(journal.records(states=False))
            on_robot = frozenset(all_steps(journal))
        return cls(folder, info, records, on_robot, _evaluator(folder, info))

    def record(self, number: int) -> Record:
        """A trial that has ended.

        Raises:
            InputError: there is none of that number, or nobody knows yet how it went.
        """
        found = next((r for r in self.records if r.trial.id == number), None)
        if found is None:
            there = [r.trial.id for r in self.records]
            known = f"its trials are {there[0]} to {there[-1]}" if there else "it has no trials yet"
            raise InputError(f"trial {number}: {self.folder} has none of that number; {known}")
        if found.measurement is None:
            raise InputError(f"trial {number} of {self.folder} is {found.status}: it has no result to show")
        return found

    def part(self, number: int, scenario: str | None) -> tuple[Trial, Measurement, str]:
        """The walk of a trial, or the one in a scenario; by itself that in which the trial did worst.

        Returns:
            Trial and measurement of that walk, and the scenario's name; empty without scenarios.

        Raises:
            InputError: no such trial or scenario.
        """
        record = self.record(number)
        measurement = record.measurement
        assert measurement is not None
        time = record.operating_time
        trial = replace(record.trial, context=walked_context(record.trial.context), operating_time=time)
        if not trial.scenarios:
            if scenario is not None:
                raise InputError(
                    f"--scenario {scenario}: trial {number} of {self.folder} walked no scenarios"
                )
            return trial, measurement, ""
        if scenario is not None and scenario not in trial.scenarios:
            raise UnknownNameError(f"scenario of trial {number}", scenario, list(trial.scenarios))
        parts = measurement.scenarios
        name = scenario or min(trial.scenarios, key=lambda s: self._least_margin(parts.get(s)))
        return scenario_trial(trial, self.study, name), parts.get(name, measurement), name

    def _least_margin(self, part: Measurement | None) -> float:
        if part is None:
            return float("inf")
        shown = margins_shown(self.study, part.margins)
        used = [shown[c.name] for c in self.study.constraints if c.name in shown]
        return -float("inf") if part.fell else min(used, default=float("inf"))

    def seed_of(self, context: str) -> Mapping[str, Any]:
        """The gains of the first seed in a context, else of the run's first one; empty where there is none."""
        seeds = sorted(self.study.seeds, key=lambda seed: seed.context != context)
        return dict(seeds[0].parameters) if seeds else {}


def margins_shown(study: Study, margins: Mapping[str, float]) -> dict[str, float]:
    """Margins of the constraints first, by the constraints' names, then the evaluator's others."""
    shown, used = dict[str, float](), set[str]()
    for constraint in study.constraints:
        for name in (constraint.name, quantity_of(constraint)):
            if name in margins and constraint.name not in shown:
                shown[constraint.name] = margins[name]
                used.add(name)
    return shown | {name: value for name, value in margins.items() if name not in used | set(shown)}


def walked_context(context: Mapping[str, float]) -> dict[str, float]:
    """What of a context makes the walk, without what was only read from a robot."""
    return {name: value for name, value in context.items() if name in CONTEXTS or name in CONDITION_CONTEXTS}


def study_folder(folder: Path, info: RunInfo) -> Path | None:
    """Where a run's study lies, beside which files of its evaluator are: from here, or from a folder above the run.

    A run keeps the path of its study as somebody gave it, so a relative one is tried from where that may have been.
    """
    if not info.source:
        return None
    for start in (Path.cwd(), *folder.resolve().parents):
        path = start / info.source
        try:
            if path.is_file() and path.read_text(encoding="utf-8") == info.study_text:
                return path.resolve().parent
        except (OSError, UnicodeDecodeError, ValueError):
            continue
    return None


def _evaluator(folder: Path, info: RunInfo) -> LeggedEvaluator:
    name, beside = info.study.evaluator.name, study_folder(folder, info)
    source = EvaluatorSource(info.study, None if beside is None else str(beside))
    try:
        evaluator = source.make() if name != "subprocess" else None
    except (EvaluatorError, EvaluatorOptionError) as error:
        lost = (
            ""
            if beside is not None
            else f" (its study {one_line(info.source)} was not found from here, or has changed)"
        )
        raise InputError(f"{folder}: its evaluator cannot be made again{lost}: {error}") from error
    if not isinstance(evaluator, LeggedEvaluator):
        raise NoWalksError(
            f"{folder}: its trials are of evaluator {name!r}, and this needs walks of legged robots "
            f"(evaluator 'legged'); `safebo report {folder}` shows what was recorded"
        )
    return evaluator
