"""A first study: seed and small steps around it are measured, concluded from, and kept as a run's first trials."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safebo.errors import InputError, RunExistsError, RunStoppedError, StudyError, UnsafeSeedError
from safebo.evaluators.outcome import ended_early, margins_of, negative_margins, what_happened
from safebo.files.reading import usable_path
from safebo.runs.beginning import new_journal
from safebo.runs.seed_trials import SingleTrials, single_trials
from safebo.storage.journal import Journal
from safebo.storage.run_lock import run_lock
from safebo.study import Study
from safebo.study.checks import LARGEST, SMALLEST
from safebo.study.evaluator_checks import with_defaults
from safebo.study.initial import REPEATS, Shown, beliefs, step_length, stepped, with_scale
from safebo.study.initial_file import Wishes, study_text
from safebo.study.reading import StudyFile, parse_study
from safebo.study.space import Space
from safebo.study.tuner_checks import with_trust
from safebo.types import Measurement

Taken = tuple[dict[str, Any], Measurement]
"""Gains by name, and what their trial showed."""


@dataclass(frozen=True)
class FirstStudy:
    """What `begin_study` left behind: the study file, the run's folder and how many trials it has.

    `halted` says why fewer steps than parameters were taken; it is empty where all were.
    """

    file: StudyFile
    folder: Path
    trials: int
    halted: str


def begin_study(
    wishes: Wishes,
    path: Path,
    folder: Path,
    repeats: int = REPEATS,
    tell: Callable[[str], None] = lambda line: None,
) -> FirstStudy:
    """Measure a seed, conclude, write the study file and a run that begins with these trials.

    Args:
        wishes: what the user says.
        path: of the study file; it must not exist.
        folder: of the run; it must hold none.
        repeats: measurements of the seed.
        tell: takes a line for people: one a trial, and while the evaluator takes long to load.

    Raises:
        InputError: a file or run is there already, what was said makes no study, or the evaluator moves a robot.
        UnsafeSeedError: the seed was measured unsafe; nothing was written.
        RunStoppedError: a trial of the seed had no whole measurement; nothing was written.
    """
    path, folder = usable_path(path), usable_path(folder)
    wishes = replace(wishes, parameters=[with_scale(parameter) for parameter in wishes.parameters])
    if path.exists():
        raise InputError(f"{path}: is there already; choose another name, or remove it")
    if Journal.exists(folder):
        raise RunExistsError(f"{folder}: already holds a run; choose another folder with --out")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: its folder {path.parent} is not there or cannot be written; make it first")
    with _as_given(path):
        provisional = parse_study(study_text(wishes), path)
    with _as_given(path), single_trials(provisional, tell) as trials:
        if trials.info.robot:
            raise InputError(
                f"evaluator {trials.info.name!r} moves a {trials.info.robot} robot, and init asks nobody before "
                "a trial: begin in its simulation, and let `safebo tune --robot` measure the seed with an operator"
            )
        study = with_defaults(provisional.study, trials.info)
        taken, halted = _measure(trials, study, wishes, repeats, tell)
    seen = [_shown(study, parameters, m) for parameters, m in taken if _whole(m)]
    concluded = beliefs(study, seen, wishes.changes)
    file = parse_study(study_text(wishes, concluded, seen), path)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(file.text)
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{path}: is there already; choose another name, or remove it") from None
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be written: {error.strerror or error}") from error
    with run_lock(folder):
        _keep(file, with_trust(with_defaults(file.study, trials.info)), folder, taken)
    return FirstStudy(file, folder, len(taken), halted)


@contextmanager
def _as_given(path: Path) -> Iterator[None]:
    """Errors of the provisional study without the lines of a file that nobody has."""
    try:
        yield
    except StudyError as error:
        said = [re.sub(rf"^{re.escape(str(path))}(:\d+)?: ", "", line) for line in error.problems]
        raise StudyError("what was given makes no study:", said or [error.title]) from None


def _measure(
    trials: SingleTrials, study: Study, wishes: Wishes, repeats: int, tell: Callable[[str], None]
) -> tuple[list[Taken], str]:
    """The seed's repeats and the steps, up to the first that halves a margin; why they ended, if they did."""
    space, (seed, *_) = Space.of_parameters(study), study.seeds
    row, taken = space.vector(seed.parameters), list[Taken]()

    def measure(parameters: dict[str, Any]) -> Measurement:
        measurement = trials.measure(parameters, seed.context)
        taken.append((parameters, measurement))
        values = {study.objective.name: measurement.objective, **margins_of(study, measurement)}
        numbers = [f"{n} {v:.4g}" for n, v in values.items() if v is not None]
        said = "; ".join(
            [*([] if _whole(measurement) else [measurement.outcome]), *what_happened(measurement)]
        )
        tell(
            f"trial {len(taken)}: {_said(parameters)}: {', '.join(numbers) or 'no numbers'}{said and f'; {said}'}"
        )
        return measurement

    for _ in range(repeats):
        measurement = measure(space.named(row))
        negative = ", ".join(f"{name} = {value:.4g}" for name, value in negative_margins(measurement, study))
        if negative or ended_early(measurement):
            raise UnsafeSeedError(
                f"the seed is not safe: it measured {negative or measurement.outcome} (safe is >= 0); give one that is"
            )
        if not _whole(measurement):
            why = "; ".join([measurement.outcome, *what_happened(measurement)])
            raise RunStoppedError(
                f"a trial of the seed has no whole measurement: {why}. Mend that and start again"
            )
        _refuse_size(study, measurement)
        bare = [f"{n} = {value:g}" for n, value in margins_of(study, measurement).items() if value < SMALLEST]
        if bare:
            raise UnsafeSeedError(
                f"the seed lies on its limit: it measured {', '.join(bare)}, and without a margin nothing around it "
                "can be certified; give one that is clear of its limits"
            )
    first = margins_of(study, taken[0][1])
    length = step_length(first, wishes.changes)
    for index, name in enumerate(space.names):
        there = stepped(space, row, index, length)
        if there is None:
            continue
        measurement = measure(there)
        if not _whole(measurement):
            return taken, f"a step of {name} was not completed"
        _refuse_size(study, measurement)
        fallen = [n for n, value in margins_of(study, measurement).items() if value < 0.5 * first[n]]
        if fallen:
            return taken, f"a step of {name} took half of the margin of {', '.join(fallen)} or more"
    return taken, ""


def _refuse_size(study: Study, measurement: Measurement) -> None:
    """Refuse numbers whose squares a computer does not have; scales and lengthscales come from them."""
    values = {study.objective.name: measurement.objective, **margins_of(study, measurement)}
    huge = [
        f"{name} = {value:g}" for name, value in values.items() if value is not None and abs(value) > LARGEST
    ]
    if huge:
        raise RunStoppedError(
            f"a trial measured {', '.join(huge)}: too large to compute with, at most {LARGEST:g} in size; choose "
            "another unit. Nothing was written"
        )


def _whole(measurement: Measurement) -> bool:
    """Whether a trial has an objective and was not ended early."""
    completed = measurement.outcome == "completed" and measurement.objective is not None
    return completed and not ended_early(measurement)


def _shown(study: Study, parameters: dict[str, Any], measurement: Measurement) -> Shown:
    assert measurement.objective is not None
    return Shown(parameters, measurement.objective, margins_of(study, measurement))


def _said(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{n} {v:.6g}" if isinstance(v, float) else f"{n} {v}" for n, v in parameters.items())


def _keep(file: StudyFile, resolved: Study, folder: Path, taken: Sequence[Taken]) -> None:
    """The run's journal with these trials: the seed as asked, all others as entered."""
    seed = file.study.seed
    trials = max(file.study.trials, len(taken))
    with new_journal(folder, file, resolved, seed=seed, trials=trials) as journal:
        from safebo.tuner import Tuner  # with torch

        tuner = Tuner(resolved, seed)
        first = tuner.ask()
        journal.ask(first, 0)
        journal.tell(first.id, taken[0][1])
        tuner.tell(first, taken[0][1])
        for number, (parameters, measurement) in enumerate(taken[1:], 1):
            trial = tuner.tell_manual(parameters, first.context_name, measurement)
            journal.enter(trial, measurement, number, "by safebo init")


def next_commands(made: FirstStudy) -> list[str]:
    """What to type next."""
    file, folder = (shlex.quote(str(p)) for p in (made.file.path, made.folder))
    return [f"safebo check {file}", f"safebo tune {file} --out {folder} --resume"]
