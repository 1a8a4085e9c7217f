"""The command `safebo tune`."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from safebo.cli.robot_options import robot_options
from safebo.cli.run_messages import say_result, say_what_remains
from safebo.cli.tune_options import (
    ApproveAll,
    Continue,
    DryRun,
    GlobalTrials,
    InConsole,
    JournalUrl,
    KeyFile,
    Minutes,
    Moved,
    Out,
    Physical,
    Prior,
    Resume,
    RobotChanged,
    RobotHost,
    Seed,
    StudyName,
    Trace,
    Trials,
    Workers,
)
from safebo.errors import InputError, InterruptedRunError, JournalError, SafeboError
from safebo.text.command import keep_details_in, say
from safebo.text.file_names import file_name
from safebo.text.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from safebo.runs.continued import CampaignChanges
    from safebo.runs.preferences import Judge
    from safebo.study import Study


def tune(
    study: StudyName,
    out: Out = None,
    trials: Trials = None,
    minutes: Minutes = None,
    seed: Seed = None,
    workers: Workers = None,
    resume: Resume = False,
    journal: JournalUrl = None,
    robot: RobotHost = None,
    physical: Physical = None,
    key: KeyFile = None,
    approve_all: ApproveAll = False,
    global_trials: GlobalTrials = False,
    dry_run: DryRun = False,
    console: InConsole = False,
    prior: Prior = None,
    trace: Trace = False,
    continues: Continue = None,
    robot_changed: RobotChanged = None,
    moved: Moved = None,
) -> None:
    """Tune the gains of a study until its trials are done; its help is `tune_options.HELP`."""
    from safebo.runs.evaluator_workers import LOG_FILE
    from safebo.runs.progress import progress_for
    from safebo.runs.runner import run
    from safebo.study.reading import load_study
    from safebo.text.screen import Screen

    file = load_study(study)
    changes = _campaign_changes(continues, robot_changed, moved or [], file.study)
    # Of a preference, a simulated run asks a person as well.
    page = console and not (file.study.objective.kind == "preference" and robot is None and not dry_run)
    options = robot_options(robot, physical, key, approve_all, global_trials, dry_run, page)
    folder = out if out is not None else Path("runs") / f"{file_name(file.study.name)}{options.suffix}"
    keep_details_in(folder)
    _log_warnings_to(folder / LOG_FILE)
    more = [*(["--trace"] if trace else []), *(["--console"] if console and not page else [])]
    again = shlex.join([study, *options.words(), *more, "--out", str(folder), "--resume"])
    screen = Screen()
    with (
        _told_failures(file.study, folder, again, moves=bool(options.suffix)),
        options.ready(file, folder) as there,
    ):
        result = run(
            file,
            folder,
            trials=trials,
            seed=seed,
            workers=workers,
            resume=resume,
            progress=progress_for(screen),
            journal_url=journal,
            robot=there.robot,
            operator=there.operator(screen, folder),
            approve_all=approve_all,
            global_trials=global_trials,
            prior=prior,
            continues=changes,
            minutes=minutes,
            trace=trace,
            judge=_judge(file.study, screen, folder, console),
        )
    say_result(result, file.study, study, again)
    if result.told and result.failed == result.told:
        say("error: every trial failed, so nothing is known of any gains", error=True)
        raise typer.Exit(1)


def _campaign_changes(
    continues: Path | None, robot_changed: str | None, moved: Sequence[str], study: Study
) -> CampaignChanges | None:
    """What `--continue` and the options that go with it say; None without it.

    Raises:
        InputError: one of them without it, or one that says nothing.
    """
    if continues is None and (robot_changed is not None or moved):
        name = "--moved" if robot_changed is None else "--robot-changed"
        raise InputError(f"{name} goes with --continue DIR, an earlier run that goes on")
    if robot_changed is not None and not robot_changed.strip():
        raise InputError("--robot-changed: say in a few words what changed")
    if continues is None:
        return None
    from safebo.runs.continued import CampaignChanges, moved_margins  # few runs need it

    return CampaignChanges(continues, (robot_changed or "").strip(), moved_margins(moved, study))


@contextmanager
def _told_failures(study: Study, folder: Path, again: str, moves: bool) -> Iterator[None]:
    """Say why a run stopped, what remains of it and how it goes on, and end with the exit code of that.

    Args:
        study: the run's.
        folder: the run's.
        again: the command's arguments that go on with it.
        moves: whether its trials move a robot.
    """
    try:
        yield
    except InputError:
        raise
    except BrokenPipeError:
        say(f"stopped: nobody reads the output any more. Go on with: safebo tune {again}", error=True)
        raise
    except SafeboError as error:
        interrupted = isinstance(error, InterruptedRunError)
        say(str(error) if interrupted else f"error: {error}", error=True)
        say_what_remains(study, folder, error=True, quiet=isinstance(error, JournalError))
        if "--resume" in str(error):
            say(f"Go on with: safebo tune {again}", error=True)
        raise typer.Exit(130 if interrupted and moves else error.exit_code) from error
    except Exception:
        say_what_remains(study, folder, error=True)
        raise


def _judge(study: Study, screen: Console, folder: Path, page: bool) -> Judge | None:
    """Who says which of two walks is better; None for a measured objective."""
    if study.objective.kind != "preference":
        return None
    from safebo.runs.preferences import PageJudge
    from safebo.storage.questions import QuestionFile

    return PageJudge(screen, QuestionFile(folder), folder, waits=page)


def _log_warnings_to(file: Path) -> None:
    """Warnings of libraries go to the run's log: they are for who looks for a cause, not for who watches."""

    class _Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                with file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                    stream.write(printable(record.getMessage()) + "\n")
            except OSError:
                return

    logging.getLogger("py.warnings").addHandler(_Log())
