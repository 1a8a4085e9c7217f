"""Running a study: in a new folder, or going on in one that holds a run. `safebo.runs.loop` is the loop."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from safebo.errors import InputError
from safebo.evaluators.loading import is_loading
from safebo.files.reading import usable_path
from safebo.runs.beginning import begin, check_begins
from safebo.runs.begun import go_on, study_as_begun, work_left
from safebo.runs.deadline import Deadline
from safebo.runs.evaluator_workers import EvaluatorWorkers
from safebo.runs.loop import RunLoop
from safebo.runs.operators import Operator
from safebo.runs.preferences import Judge
from safebo.runs.progress import Progress, Silent
from safebo.runs.result import RunResult
from safebo.runs.run_checks import check_numbers, check_robot, refuse_unwatched
from safebo.runs.run_folder import holds_run, owned_folder
from safebo.runs.tuner_protocol import MakeTuner, load_tuner, make_default_tuner
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.reading import StudyFile, load_study, study_in_python
from safebo.types import EvaluatorInfo, RobotAddress
from safebo.workers.pool import UNGUARDED, starts_unguarded

if TYPE_CHECKING:
    from safebo.runs.continued import CampaignChanges


def run(
    study: str | Path | Study | StudyFile,
    out: str | Path,
    *,
    trials: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    journal_url: str | None = None,
    executor: Executor | None = None,
    make_tuner: MakeTuner = make_default_tuner,
    max_failures: int = 3,
    robot: RobotAddress | None = None,
    operator: Operator | None = None,
    approve_all: bool = False,
    global_trials: bool = False,
    prior: str | Path | None = None,
    continues: CampaignChanges | None = None,
    minutes: float | None = None,
    trace: bool = False,
    judge: Judge | None = None,
) -> RunResult:
    """Tune a study until its trials are done.

    Args:
        study: a study, the path of its file or the name of one that is shipped.
        out: the run's folder; made when missing.
        trials: the run's total number of trials, seeds included, also on resume; None takes the study's, or
            on resume what the run was started with.
        seed: seed of everything random; None takes the study's. It cannot change on resume.
        workers: trials that run at the same time; None takes 1, or on resume what the run was started with.
        resume: go on with the run in `out`; an empty folder starts one, a finished run is left as it is.
        progress: is told what happens.
        journal_url: database of a new run's journal, or where a run's shared database is now; None for SQLite in `out`,
            or on resume for what the folder says.
        executor: evaluates the trials instead of processes of our own (a Dask cluster's, for example).
        make_tuner: makes the tuner from the study as it runs and the seed.
        max_failures: so many failed trials in a row stop the run.
        robot: where the robot is that the trials shall move; None for what the study itself names.
        operator: who approves and judges trials that move a robot; needed with `robot`.
        approve_all: whether that operator approves everything; refused with a physical robot.
        global_trials: whether trials outside the certified set may run on a robot.
        prior: folder of another run of the study, usually in simulation, whose told trials inform this one as
            `surrogate.prior_data` says (its defaults where the study has none). They are copied into the journal of a
            new run; on resume that copy is used, and the key may be left out.
        continues: an earlier run whose trials a new run begins with, and what changed since; `trials` are then those
            that follow.
        minutes: no trial begins later than so many minutes from now; those that are left wait for a resume.
        trace: whether what every ask looked at is kept as a table in the folder (`safebo.runs.trace.read_trace`). It
            changes no trial. On resume it is said again.
        judge: who says which of two walks is better, where the study's objective is a preference. Without one the run
            stops at the first question, which `safebo.runs.preferences.answer_question` then answers.

    Raises:
        InputError: a study, folder, number or option that cannot be; nothing was changed.
        InterruptedRunError: Ctrl-C or SIGTERM; the run can be resumed.
        SafeboError: the run stopped; what was told is kept and the last certified gains are in the folder.

    Example:
        >>> run("pendulum", "runs/pendulum", trials=2).told
        2
    """
    _refuse_while_imported()
    folder = usable_path(Path(out))
    file = _as_file(study)
    if robot is not None and (operator is None or executor is not None or (workers or 1) != 1):
        raise InputError("a robot needs an operator, one worker and no executor: one robot, one process")
    check_numbers(trials, workers, seed, minutes)
    deadline = None if minutes is None else Deadline(minutes)
    with contextlib.ExitStack() as stack:
        journal = _own(stack, folder, resume, journal_url)
        if journal is None:
            check_begins(folder, file, prior, continues)
            planned = trials or file.study.trials
        else:
            file = study_as_begun(journal, folder, file, seed=seed, prior=prior, continues=continues)
            planned = trials or journal.run.trials
            if planned != journal.run.trials:
                journal.set_trials(planned)
            workers = workers or journal.run.workers
        if robot is not None:
            robot = replace(robot, trials=planned)
        loop = RunLoop(
            file,
            folder,
            workers or 1,
            progress or Silent(),
            executor,
            max_failures,
            operator,
            robot,
            deadline,
            trace,
            judge,
        )
        stack.callback(loop.close)
        if journal is not None:
            loop.ask_unknown(journal)
            if not work_left(journal):
                return loop.finished_already(journal, make_tuner)
        info = _described(loop.workers, make_tuner, loop.progress)
        check_robot(info, file.study, robot, operator is not None, approve_all, global_trials)
        if journal is not None:
            return go_on(loop, journal, info, make_tuner)
        return begin(
            loop,
            info,
            make_tuner,
            seed=seed,
            trials=trials,
            url=journal_url,
            prior=prior,
            continues=continues,
        )


def _refuse_while_imported() -> None:
    """End a worker, or refuse a call, that runs only since a script's file is imported once more."""
    if starts_unguarded():
        os._exit(UNGUARDED)  # the run that started this worker says what is wrong
    if is_loading():
        raise InputError(
            'it calls safebo.run() while it is imported; put the call under `if __name__ == "__main__":`'
        )


def _own(stack: contextlib.ExitStack, folder: Path, resume: bool, url: str | None) -> Journal | None:
    """Take a run's folder for this process until the stack closes; the journal of the run that it holds, None for a
    run that begins.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; the run needs a folder")
    holds_run(folder, resume)  # refused before the folder is made
    stack.enter_context(owned_folder(folder))
    return stack.enter_context(Journal.open(folder, url=url)) if holds_run(folder, resume) else None


def _described(workers: EvaluatorWorkers, make_tuner: MakeTuner, progress: Progress) -> EvaluatorInfo:
    """What the evaluator accepts, checked; a worker loads the robot while this process loads the tuner."""
    described = workers.start()
    own = make_tuner is make_default_tuner
    if own:
        load_tuner()
    info = workers.check(described, progress.note)
    if own:
        refuse_unwatched(info, workers.file)
    return info


def _as_file(study: str | Path | Study | StudyFile) -> StudyFile:
    if isinstance(study, StudyFile):
        return study
    return study_in_python(study) if isinstance(study, Study) else load_study(study)
