"""A first study: seed and small steps around it are measured, concluded from, and kept as a run's first trials."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safebo.errors import InputError, RunExistsError, RunStoppedError, StudyError, UnsafeSeedError
from safebo.evaluators.gate import ended_early, margins_of, negative_margins, what_happened
from safebo.files.reading import usable_path
from safebo.runs.recommendation import versions
from safebo.runs.runner import make_default_tuner
from safebo.runs.seed_trials import SingleTrials, single_trials
from safebo.storage.journal import Journal
from safebo.storage.run_lock import run_lock
from safebo.study import Study
from safebo.study.checks import with_defaults
from safebo.study.initial import REPEATS, Shown, beliefs, step_length, stepped
from safebo.study.initial_file import Wishes, study_text
from safebo.study.reading import StudyFile, parse_study, study_hash
from safebo.study.space import Space
from safebo.types import Measurement


@dataclass(frozen=True)
class FirstStudy:
    """What `begin_study` left behind: the study file, the run's folder, its first trials and whether steps ended early.

    `halted` says why fewer steps than parameters were taken; it is empty where all were.
    """

    file: StudyFile
    folder: Path
    seen: tuple[Shown, ...]
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
        tell: takes a line for people, one a trial.

    Raises:
        InputError: a file or run is there already, what was said makes no study, or the evaluator moves a robot.
        UnsafeSeedError: the seed was measured unsafe; nothing was written.
        RunStoppedError: a trial had no valid measurement; nothing was written.
    """
    path, folder = usable_path(path), usable_path(folder)
    if path.exists():
        raise InputError(f"{path}: is there already; choose another name, or remove it")
    if Journal.exists(folder):
        raise RunExistsError(f"{folder}: already holds a run; choose another folder with --out")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: its folder {path.parent} is not there or cannot be written; make it first")
    provisional = _provisional(wishes, path)
    with single_trials(provisional) as trials:
        if trials.info.robot:
            raise InputError(
                f"evaluator {trials.info.name!r} moves a {trials.info.robot} robot, and init asks nobody before "
                "a trial: begin in its simulation, and let `safebo tune --robot` measure the seed with an operator"
            )
        study = with_defaults(provisional.study, trials.info)
        measured, halted = _measure(trials, study, wishes, repeats, tell)
    seen = [shown for shown, _ in measured]
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
        _keep(file, with_defaults(file.study, trials.info), folder, [m for _, m in measured], seen)
    return FirstStudy(file, folder, tuple(seen), halted)


def _provisional(wishes: Wishes, path: Path) -> StudyFile:
    """The study without beliefs, to find the evaluator and to check what was said."""
    try:
        return parse_study(study_text(wishes), path)
    except StudyError as error:
        # The lines are of a file that nobody has.
        said = [re.sub(rf"^{re.escape(str(path))}(:\d+)?: ", "", line) for line in error.problems]
        raise StudyError("what was given makes no study:", said or [error.title]) from None


def _measure(
    trials: SingleTrials, study: Study, wishes: Wishes, repeats: int, tell: Callable[[str], None]
) -> tuple[list[tuple[Shown, Measurement]], str]:
    """The seed's repeats and the steps, up to the first that halves a margin; why they ended, if they did."""
    space, (seed, *_) = Space.of_parameters(study), study.seeds
    row, found = space.vector(seed.parameters), []

    def shown(parameters: dict[str, object]) -> Shown:
        measurement = trials.measure(parameters, seed.context)
        if measurement.outcome != "completed" or measurement.objective is None:
            why = "; ".join([measurement.outcome, *what_happened(measurement)])
            raise RunStoppedError(f"a trial of {_said(parameters)} has no whole measurement: {why}")
        one = Shown(parameters, measurement.objective, margins_of(study, measurement))
        found.append((one, measurement))
        margins = ", ".join(f"{n} {v:.4g}" for n, v in one.margins.items())
        tell(
            f"trial {len(found)}: {_said(parameters)}: {study.objective.name} {one.objective:.4g}; {margins}"
        )
        return one

    for _ in range(repeats):
        one = shown(dict(space.named(row)))
        if negative := negative_margins(found[-1][1], study):
            what = ", ".join(f"{name} = {value:.4g}" for name, value in negative)
            raise UnsafeSeedError(
                f"the seed is not safe: it measured {what} (safe is >= 0); give one that is"
            )
    first = found[0][0].margins
    length = step_length(first, wishes.changes)
    for index in range(len(row)):
        there = stepped(space, row, index, length)
        if there is None:
            continue
        one = shown(there)
        fallen = [name for name, value in one.margins.items() if value < 0.5 * first[name]]
        if fallen or ended_early(found[-1][1]):
            return (
                found,
                f"a step of {space.names[index]} took half of the margin of {', '.join(fallen)} or more",
            )
    return found, ""


def _said(parameters: dict[str, object]) -> str:
    return ", ".join(f"{n} {v:.6g}" if isinstance(v, float) else f"{n} {v}" for n, v in parameters.items())


def _keep(
    file: StudyFile, resolved: Study, folder: Path, measured: list[Measurement], seen: list[Shown]
) -> None:
    """The run's journal with these trials: the seed as asked, all others as entered."""
    seed = file.study.seed
    with Journal.create(
        folder,
        study=resolved,
        declared=file.study,
        study_text=file.text,
        study_hash=study_hash(file.study),
        source=file.source,
        seed=seed,
        trials=max(file.study.trials, len(seen)),
        versions=versions(),
    ) as journal:
        tuner = make_default_tuner(resolved, seed)
        first = tuner.ask()
        journal.ask(first, 0)
        journal.tell(first.id, measured[0])
        tuner.tell(first, measured[0])
        for number, (shown, measurement) in enumerate(zip(seen[1:], measured[1:], strict=True), 1):
            trial = tuner.tell_manual(shown.parameters, first.context_name, measurement)  # type: ignore[attr-defined]
            journal.enter(trial, measurement, number, "by safebo init")


def next_commands(made: FirstStudy) -> list[str]:
    """What to type next."""
    file, folder = (shlex.quote(str(p)) for p in (made.file.path, made.folder))
    return [f"safebo check {file}", f"safebo tune {file} --out {folder} --resume"]
