"""Running a study: in a new folder, or going on in one that holds a run. `safebo.runs.loop` is the loop."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebo.errors import InputError, RunExistsError, StudyChangedError
from safebo.evaluators.source import is_loading
from safebo.files.problems import Problem, shown
from safebo.files.reading import usable_path
from safebo.runs.deadline import Deadline
from safebo.runs.evaluator_workers import LOG_FILE
from safebo.runs.loop import RunLoop
from safebo.runs.operators import Operator
from safebo.runs.preferences import Judge
from safebo.runs.prior_run import informed, read_prior, refuse_another_prior, with_prior_data
from safebo.runs.progress import Progress, Silent
from safebo.runs.recommendation import refuse_other_files, versions
from safebo.runs.result import RunResult, contexts_of
from safebo.runs.supervision import check_allowed, check_meant, check_same_robot, note_robot
from safebo.runs.tuner_protocol import MakeTuner, TunerLike, restorable
from safebo.storage.journal import Journal
from safebo.storage.run_lock import LOCK_FILE, run_lock
from safebo.study import LEARNED_RULE, MAX_SEED, MAX_TRIALS, Study
from safebo.study.checks import with_defaults
from safebo.study.methods import METHODS, canonical
from safebo.study.preference_checks import prefers
from safebo.study.reading import StudyFile, changed_keys, load_study, study_hash, study_in_python
from safebo.study.tuner_checks import with_trust
from safebo.types import EvaluatorInfo, RobotAddress
from safebo.workers.pool import UNGUARDED, starts_unguarded

__all__ = ["LOG_FILE", "MakeTuner", "RunResult", "contexts_of", "make_default_tuner", "restorable", "run"]

if TYPE_CHECKING:
    from safebo.runs.continued import CampaignChanges, Earlier

MAX_WORKERS = 1000


def make_default_tuner(study: Study, seed: int) -> TunerLike:
    """The tuner of `safebo.tuner`, imported only here: it brings torch."""
    return _load_tuner()(study, seed)


def _load_tuner() -> Any:
    from safebo.tuner import Tuner

    return Tuner


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
    if starts_unguarded():
        os._exit(UNGUARDED)  # the run that started this worker says what is wrong
    if is_loading():
        raise InputError(
            'it calls safebo.run() while it is imported; put the call under `if __name__ == "__main__":`'
        )
    folder = usable_path(Path(out))
    file = _as_file(study)
    if robot is not None and (operator is None or executor is not None or (workers or 1) != 1):
        raise InputError("a robot needs an operator, one worker and no executor: one robot, one process")
    for name, value, least, most in (
        ("trials", trials, 1, MAX_TRIALS),
        ("workers", workers, 1, MAX_WORKERS),
        ("seed", seed, 0, MAX_SEED),
    ):
        if value is not None and not least <= value <= most:
            raise InputError(f"{name} must be a whole number from {least} to {most}, not {shown(value)}")
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"minutes must be a number above 0, not {shown(minutes)}")
    deadline = None if minutes is None else Deadline(minutes)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; the run needs a folder")
    _holds_run(folder, resume)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_owned_folder(folder))
        exists = _holds_run(folder, resume)
        if exists:
            journal = stack.enter_context(Journal.open(folder, url=journal_url))
            file = _as_begun(file, journal.run.declared)
            _check_same_run(journal, file, seed)
            refuse_other_files(folder, file.study, new=False)
            if prior is not None:
                refuse_another_prior(journal, prior)
            if continues is not None:
                raise InputError(
                    "--continue: the run in this folder has begun and keeps the trials that it began with; leave the "
                    "option out, or choose another folder with --out"
                )
            taken = journal.prior()
            if trials is not None and trials != journal.run.trials:
                journal.set_trials(trials)
            workers = workers or journal.run.workers
        else:
            refuse_other_files(folder, file.study, new=True)
            # Refused before anything starts.
            taken = None if prior is None else read_prior(prior, file.study)
            if continues is not None and prefers(file.study):
                raise InputError(
                    "--continue: the objective is a preference, and another run's answers are not taken over; begin a "
                    "new run without it"
                )
            if continues is not None:
                Journal.open(usable_path(continues.folder), read_only=True).close()
        if robot is not None:
            planned = trials or (journal.run.trials if exists else file.study.trials)
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
        if exists:
            loop.ask_unknown(journal)
        if exists and not _work_left(journal):
            return loop.finished_already(journal, make_tuner)
        # The worker loads the robot while this process loads the tuner.
        described = loop.workers.start()
        chosen_seed = file.study.seed if seed is None else seed
        if make_tuner is make_default_tuner:
            _load_tuner()
        info = loop.workers.check(described)
        if make_tuner is make_default_tuner:
            _refuse_unwatched(info, file)
        if info.robot and operator is None:
            raise InputError(
                f"evaluator {info.name!r} moves a {info.robot} robot: its trials need an operator who approves and "
                "judges them (`operator` of `safebo.runs.runner.run`, or --robot)"
            )
        if info.robot:
            if robot is not None:
                check_meant(info, robot.serial)
            check_allowed(info, file.study, approve_all, global_trials)
        if exists:
            check_same_robot(journal, info)
        resolved = with_trust(with_defaults(file.study, info), journal.run.study if exists else None)
        if prior is not None and not exists:
            taken = read_prior(prior, resolved)
        earlier = None if continues is None else _earlier(continues, resolved, info, prior)
        if earlier is not None and earlier.prior is not None:
            taken = earlier.prior
        if taken is not None:
            resolved = with_prior_data(resolved, journal.run.study if exists else None)
        if not exists:
            first = None if earlier is None else earlier.taken
            journal = stack.enter_context(
                new_journal(
                    folder,
                    file,
                    resolved,
                    seed=chosen_seed,
                    trials=(trials or file.study.trials) + (0 if first is None else len(first.told)),
                    workers=workers or 1,
                    url=journal_url,
                    prior=taken,
                    taken=first,
                )
            )
            note_robot(journal, info)
            if earlier is not None:
                if first is None:
                    journal.note("robot-changed", earlier.text)
                loop.progress.note(earlier.text)
        tuner = informed(make_tuner(resolved, journal.run.seed), taken)
        if earlier is not None or exists:
            _say_lapses(journal, resolved, make_tuner, loop.progress)
        return loop.run(journal, tuner, info, resumed=exists)


def _earlier(
    continues: CampaignChanges, resolved: Study, info: EvaluatorInfo, prior: str | Path | None
) -> Earlier:
    """The trials that a new run begins with; imported only here, as few runs do."""
    from safebo.runs.continued import read_earlier

    earlier = read_earlier(continues, resolved, info)
    if earlier.prior is not None and prior is not None:
        raise InputError(
            f"--prior {prior}: a run has one prior, and --continue {continues.folder} brings its own; leave --prior out"
        )
    return earlier


def _say_lapses(journal: Journal, study: Study, make_tuner: MakeTuner, progress: Progress) -> None:
    """Of a run that began with an earlier one's trials, what it certifies no longer, where that was not said yet."""
    from safebo.runs.lapses import begins_with_another, say_lapses

    if begins_with_another(journal):
        tuner = informed(make_tuner(study, journal.run.seed), journal.prior())
        tuner.restore(restorable(journal.records()))
        say_lapses(journal, tuner, make_tuner, progress)


def new_journal(folder: Path, file: StudyFile, resolved: Study, **how: Any) -> Journal:
    """The journal of a run that begins.

    Args:
        folder: the run's folder.
        file: the study as it is declared.
        resolved: the study as it runs.
        how: further arguments of `Journal.create`.
    """
    return Journal.create(
        folder,
        study=resolved,
        declared=file.study,
        study_text=file.text,
        study_hash=study_hash(file.study),
        source=file.source,
        versions=versions(),
        **how,
    )


def _refuse_unwatched(info: EvaluatorInfo, file: StudyFile) -> None:
    """A method with global trials relies on a monitor that can end them, so the evaluator must take one."""
    method = METHODS.get(canonical(file.study.tuner.method))
    if method is None or method.exploration is None:
        return
    if not info.monitored:
        message = (
            f"{file.study.tuner.method!r} needs a monitor that switches gains during global trials, and "
            f"evaluator {info.name!r} takes none; choose a method without global trials (safe_ucb, safeopt)"
        )
        raise file.error([Problem(("tuner", "method"), message)])
    rule, message = file.study.tuner.backup.rule, ""
    if rule == "cost_to_go" and not info.margins_to_go:
        message = (
            f"{rule!r} learns from margins to go, and evaluator {info.name!r} reports none; choose another rule "
            "(lipschitz, gaussian_tail, kernel_covariance)"
        )
    elif rule == LEARNED_RULE and info.robot:
        message = (
            f"{rule!r} tries backups in simulated trials, and these trials move a {info.robot} robot, whose guardian "
            "takes no such monitor; choose another rule (lipschitz, gaussian_tail, kernel_covariance)"
        )
    elif rule == LEARNED_RULE and not info.tries_switches:
        message = (
            f"{rule!r} tries backups on the way of simulated trials, and evaluator {info.name!r} cannot put a trial "
            "back (its info does not say tries_switches); choose another rule (lipschitz, gaussian_tail, "
            f"kernel_covariance{', cost_to_go' if info.margins_to_go else ''})"
        )
    if message:
        raise file.error([Problem(("tuner", "backup", "rule"), message)])


def _as_file(study: str | Path | Study | StudyFile) -> StudyFile:
    if isinstance(study, StudyFile):
        return study
    return study_in_python(study) if isinstance(study, Study) else load_study(study)


def _holds_run(folder: Path, resume: bool) -> bool:
    """Whether the folder holds a run, which only resuming may go on with."""
    exists = Journal.exists(folder)
    if exists and not resume:
        raise RunExistsError(
            f"{folder}: already holds a run. Go on with it with --resume, or choose another folder with --out"
        )
    return exists


@contextlib.contextmanager
def _owned_folder(folder: Path) -> Iterator[None]:
    """A folder in which no other process runs; nothing is left of it where no run comes to be."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the run's folder cannot be made: {error.strerror}") from error
    with run_lock(folder):
        try:
            yield
        except BaseException:
            if not Journal.exists(folder):
                with contextlib.suppress(OSError):
                    log = folder / LOG_FILE
                    if log.exists() and log.stat().st_size == 0:
                        log.unlink()
                    (folder / LOCK_FILE).unlink()
                    if made:
                        folder.rmdir()
            raise


def _work_left(journal: Journal) -> bool:
    records = journal.records(states=False)
    return len(records) < journal.run.trials or any(record.status != "told" for record in records)


def _as_begun(file: StudyFile, declared: Study) -> StudyFile:
    """The study of a run that goes on: what its file leaves open is as it was when the run began."""
    study, tuner, prior = file.study, file.study.tuner, file.study.surrogate.prior_data
    if "rounding" not in tuner.model_fields_set:
        tuner = tuner.model_copy(update={"rounding": declared.tuner.rounding})
        study = study.model_copy(update={"tuner": tuner})
    before = declared.surrogate.prior_data
    if prior is not None and before is not None:
        open_keys = {"correlation", "inflation"} - prior.model_fields_set
        prior = prior.model_copy(update={key: getattr(before, key) for key in open_keys})
        surrogate = study.surrogate.model_copy(update={"prior_data": prior})
        study = study.model_copy(update={"surrogate": surrogate})
    return replace(file, study=study)


def _check_same_run(journal: Journal, file: StudyFile, seed: int | None) -> None:
    if seed is not None and seed != journal.run.seed:
        raise InputError(
            f"the run was started with --seed {journal.run.seed}; a run keeps its seed (leave --seed out)"
        )
    # Not by the hash, which changes when this version knows keys that the run's did not.
    if changed := changed_keys(journal.run.declared, file.study):
        shown = [f"  {line}" for line in changed[:20]]
        if len(changed) > len(shown):
            shown.append(f"  and {len(changed) - len(shown)} more")
        raise StudyChangedError(
            "\n".join(
                [
                    f"{file.source} is not the study that this run was started with; it differs in:",
                    *shown,
                    "Undo the changes to resume, or start a new run with another --out.",
                ]
            )
        )
