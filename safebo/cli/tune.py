"""The command `safebo tune`, and its options that have to do with a robot."""

from __future__ import annotations

import importlib.metadata
import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebo.errors import EvaluatorError, InputError, InterruptedRunError, JournalError, SafeboError
from safebo.text.command import keep_details_in, say
from safebo.text.file_names import file_name
from safebo.text.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from safebo.runs.operators import Operator
    from safebo.runs.preferences import Judge
    from safebo.study import Study
    from safebo.study.reading import StudyFile
    from safebo.types import RobotAddress

REHEARSALS = "safebo.rehearsals"
"""Entry points, by the evaluator's name: context managers that put a virtual robot behind a guardian.

They take the evaluator's options and a folder for logs, and give host, port and key file.
"""


@dataclass(frozen=True)
class RobotOptions:
    """The options, checked.

    Args:
        robot: where the robot is; None for a simulation.
        approve_all: whether nobody is asked.
        rehearse: whether the robot is a virtual one that this command starts and ends.
        console: whether a page may answer as well as the terminal.
    """

    robot: RobotAddress | None
    approve_all: bool
    rehearse: bool = False
    console: bool = False

    @property
    def suffix(self) -> str:
        """What the name of a run's folder ends with."""
        return "-rehearsal" if self.rehearse else "-robot" if self.robot else ""

    def words(self) -> list[str]:
        """The options as they are typed, to go on with the same robot."""
        approve = ["--approve-all"] if self.approve_all else ["--console"] if self.console else []
        if self.rehearse:
            return ["--dry-run", *approve]
        if self.robot is None:
            return []
        words = ["--robot", f"{self.robot.host}:{self.robot.port}"]
        words += ["--key", self.robot.key] if self.robot.key else []
        words += ["--physical", self.robot.serial] if self.robot.serial else []
        return [*words, *approve]

    @contextmanager
    def ready(self, file: StudyFile, folder: Path) -> Iterator[RobotOptions]:
        """The options with a robot that is there: for a rehearsal, a virtual one as long as the block runs.

        Raises:
            InputError: this evaluator cannot be rehearsed. EvaluatorError: robot or guardian did not start.
        """
        if not self.rehearse:
            yield self
            return
        from safebo.evaluators.source import EvaluatorSource
        from safebo.types import RobotAddress  # with numpy, which help needs not

        evaluator = file.study.evaluator
        points = importlib.metadata.entry_points(group=REHEARSALS)
        known = sorted(point.name for point in points)
        if evaluator.name not in known:
            raise InputError(
                f"--dry-run: evaluator {evaluator.name!r} has no virtual robot (those that have: {', '.join(known)})"
            )
        logs = folder / "rehearsal"
        with ExitStack() as stack:
            try:
                make = points[evaluator.name].load()
                options = EvaluatorSource.of_file(file).bridge_options()
                host, port, key = stack.enter_context(make(options, logs))
            except Exception as error:
                raise EvaluatorError(f"--dry-run: no virtual robot could be started: {error}") from error
            say(
                f"A virtual robot and its guardian are up for this run; their logs are in {logs}. To stop it from "
                f"another terminal: safebo robot stop {host}:{port} --key {key}"
            )
            yield replace(self, robot=RobotAddress(host, port, key, clears=self.approve_all))

    def operator(self, console: Console, folder: Path) -> Operator | None:
        """Who approves and judges the trials of the run in a folder."""
        if self.robot is None:
            return None
        if self.console:
            from safebo.runs.page_operator import PageOperator
            from safebo.storage.questions import QuestionFile

            where = f"safebo console {shlex.quote(str(folder))}"
            return PageOperator(console, QuestionFile(folder), where, self.robot)
        from safebo.runs.operators import ApprovesAll, TerminalOperator

        return ApprovesAll(console) if self.approve_all else TerminalOperator(console)


def robot_options(
    robot: str | None,
    physical: str | None,
    key: Path | None,
    approve_all: bool,
    global_trials: bool,
    dry_run: bool,
    console: bool = False,
) -> RobotOptions:
    """Check what belongs together.

    Raises:
        InputError: options that contradict each other, or an address that is none.
    """
    if console and approve_all:
        raise InputError("--console asks a person, and --approve-all asks nobody: leave one of them out")
    if dry_run and physical is not None:
        raise InputError("--dry-run is for a virtual robot; leave --physical out")
    if robot is None:
        given = [
            name
            for name, value in {
                "--physical": physical,
                "--key": key,
                "--approve-all": approve_all and not dry_run,
                "--global-trials": global_trials and not dry_run,
                "--console": console and not dry_run,
            }.items()
            if value
        ]
        if given == ["--console"]:
            raise InputError(
                "--console goes with --robot HOST:PORT or --dry-run, whose trials a person approves. A simulated run "
                "asks nobody: look at it with `safebo console DIR`"
            )
        if given:
            raise InputError(f"{given[0]} goes with --robot HOST:PORT, where the robot's guardian listens")
        return RobotOptions(None, approve_all, dry_run, console)
    if approve_all and physical is not None:
        raise InputError(
            "--approve-all works only with a virtual robot: a person approves what moves a physical one"
        )
    address = robot_address(robot, key, physical, approve_all)
    return RobotOptions(address, approve_all, console=console)


def robot_address(
    robot: str, key: Path | None, physical: str | None = None, clears: bool = False
) -> RobotAddress:
    """Where a robot's guardian is.

    Args:
        robot: HOST:PORT as it was typed.
        key: file of the shared key.
        physical: serial of the robot that is meant.
        clears: whether latches are cleared without a person.

    Raises:
        InputError: an address that is none.
    """
    host, _, port = robot.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--robot {robot!r}: expected HOST:PORT, for example 127.0.0.1:4750")
    from safebo.types import RobotAddress  # with numpy, which help needs not

    return RobotAddress(host, int(port), None if key is None else str(key), physical, clears)


def tune(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a shipped study, or path of a study file.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/NAME]")] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Total number of trials, seeds included, also on resume. [default: the study's]"
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="No trial begins later than so many minutes from now; `--resume` goes on with the rest."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Same seed, same trials. [default: the study's]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials that run at the same time, asked in rounds. [default: 1]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    journal: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Database for a new run's journal. [default: SQLite in the folder]"),
    ] = None,
    robot: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Run the trials on the robot behind this guardian instead of in simulation.",
        ),
    ] = None,
    physical: Annotated[
        str | None,
        typer.Option(
            metavar="SERIAL", help="The physical robot that is meant; without it only a virtual one will do."
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Key shared with the guardian. [default: ~/.config/safebo/link.key]"
        ),
    ] = None,
    approve_all: Annotated[
        bool, typer.Option("--approve-all", help="Ask nobody before and after a trial. Virtual robots only.")
    ] = False,
    global_trials: Annotated[
        bool,
        typer.Option(
            "--global-trials",
            help="On a robot: also trials outside the certified set, if the method makes any.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Rehearse on a virtual robot, which this command starts with its guardian. With --robot: on the one "
            "there, and refuse any that is not virtual.",
        ),
    ] = False,
    console: Annotated[
        bool,
        typer.Option(
            "--console",
            help="On a robot: trials are approved and judged in the page of `safebo console DIR`, or at this terminal, "
            "whichever answers first. With a preference objective: so are walks compared, in simulation as well.",
        ),
    ] = False,
    prior: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A run of the same study, usually in simulation, whose trials inform a new run.",
        ),
    ] = None,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace",
            help="Keep what every ask looked at (candidates, bounds, values, the decision) as tables in the folder "
            "`trace`.",
        ),
    ] = False,
    continues: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            metavar="DIR",
            help="An earlier run of the same robot that goes on in a new one, under changed bounds, limits or gains.",
        ),
    ] = None,
    robot_changed: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="With --continue: what changed of the robot since (foot, firmware, payload). Its earlier trials are "
            "then another robot's, and seeds come first.",
        ),
    ] = None,
    moved: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MARGIN=AMOUNT",
            help="With --continue: how much larger a margin is by the new limits than it was measured, or nothing.",
        ),
    ] = None,
) -> None:
    """Tune the gains of a study until its trials are done.

    Every trial is recorded before it runs and again when it is measured, so a run that is killed loses
    nothing that was measured. Ctrl-C finishes the trial that runs; a second Ctrl-C stops at once. Either way
    `--resume` goes on as if nothing had happened: same trials, same order.

    The objective is maximised; a margin is safe when it is >= 0, in the unit that the study gives.

    To try:

        safebo tune go1-trot

        safebo tune my-robot.yaml --out runs/monday --trials 40 --workers 2

        safebo tune go1-trot --trials 80 --resume

        safebo tune go2-trot --dry-run

        safebo tune go2-trot --robot 127.0.0.1:4750

    With `--dry-run`, all of what follows is rehearsed on a virtual robot that comes and goes with this command.

    With `--robot`, trials move the robot that `safebo-guardian` guards at that address. What is seen before the first
    trial is listed; every trial is approved at the terminal before it runs and judged after it; each step is recorded
    before it is taken. Ctrl-C ends the trial and lets the robot lie down, a second one damps its joints at once. That
    is a software stop: the emergency stop is the robot's own remote or switch, in somebody's hand.

    With `--prior`, the trials of another run serve as prior as the study's `surrogate.prior_data` says: beta is
    inflated while they are believed, they are dropped when the first trials here contradict them, and seeds are
    measured first all the same. They are copied into the new run's journal, so `--resume` needs neither the other
    folder nor the option.

        safebo tune go1-trot --prior runs/simulated --out runs/measured

    With `--continue`, a new run begins with the trials of an earlier one whose study had other bounds, limits or gains:
    they count as measured, and --trials more follow. Gains that the earlier run certified and this one does not are
    named before the first trial. A gain that is new had the evaluator's default, or what the seeds say; one that is
    gone is fixed there. Where the evaluator's options changed, `--moved tilt=0.05` says that the limit of margin tilt
    is that much further away now, `--moved nothing` that no margin moved.

        safebo tune go1-trot.yaml --continue runs/monday --out runs/tuesday

        safebo tune go1-trot.yaml --continue runs/tuesday --robot-changed "new feet" --out runs/wednesday

    Where the study's objective is a preference (`objective.kind`), the run asks after every walk from the second on
    which of two is better: at this terminal, by `safebo answer DIR`, or in the page of `safebo console DIR`. Where
    nobody can answer it stops and says so; it makes up no answer.

    With `--trace`, every ask leaves a Parquet file in the run's folder `trace`: the candidates (at most 1,000 of a
    search: the 500 of the largest value and 500 others), their bounds, whether each is certified, the acquisition's
    value, and the trial with its reason. Trials are the same with it and without it. `--resume` goes on without it
    unless it is said again.

        safebo tune go1-trot --out runs/seen --trace

    Exit codes: 0 all trials are done, or the --minutes are over; 2 the study, the folder or an option is wrong;
    1 stopped or failed; 130 stopped by Ctrl-C on a robot.
    """
    from safebo.runs.progress import progress_for
    from safebo.runs.runner import LOG_FILE, run
    from safebo.study.reading import load_study
    from safebo.text.screen import Screen

    file = load_study(study)
    if continues is None and (robot_changed is not None or moved):
        name = "--moved" if robot_changed is None else "--robot-changed"
        raise InputError(f"{name} goes with --continue DIR, an earlier run that goes on")
    if robot_changed is not None and not robot_changed.strip():
        raise InputError("--robot-changed: say in a few words what changed")
    changes = None
    if continues is not None:
        from safebo.runs.continued import CampaignChanges, moved_margins  # few runs need it

        changes = CampaignChanges(
            continues, (robot_changed or "").strip(), moved_margins(moved or [], file.study)
        )
    # Of a preference, a simulated run asks a person as well.
    page = console and not (file.study.objective.kind == "preference" and robot is None and not dry_run)
    options = robot_options(robot, physical, key, approve_all, global_trials, dry_run, page)
    folder = out if out is not None else Path("runs") / f"{file_name(file.study.name)}{options.suffix}"
    keep_details_in(folder)
    _log_warnings_to(folder / LOG_FILE)
    more = [*(["--trace"] if trace else []), *(["--console"] if console and not page else [])]
    again = shlex.join([study, *options.words(), *more, "--out", str(folder), "--resume"])
    screen = Screen()
    try:
        with options.ready(file, folder) as there:
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
    except InputError:
        raise
    except BrokenPipeError:
        say(f"stopped: nobody reads the output any more. Go on with: safebo tune {again}", error=True)
        raise
    except SafeboError as error:
        interrupted = isinstance(error, InterruptedRunError)
        say(str(error) if interrupted else f"error: {error}", error=True)
        _say_what_remains(file.study, folder, error=True, quiet=isinstance(error, JournalError))
        if "--resume" in str(error):
            say(f"Go on with: safebo tune {again}", error=True)
        raise typer.Exit(130 if interrupted and options.suffix else error.exit_code) from error
    except Exception:
        _say_what_remains(file.study, folder, error=True)
        raise
    done = "1 trial is" if result.told == 1 else f"{result.told} trials are"
    say(f"{done} done, in {folder}.")
    if result.left:
        say(f"{result.left} Go on with: safebo tune {again}")
    _say_what_was_unsafe(result.unsafe, study)
    _say_what_remains(file.study, folder, advice=False)
    _say_findings(folder)
    say(f"Next: safebo report {shlex.quote(str(folder))}")


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


def _say_what_was_unsafe(trials: Sequence[int], study: str) -> None:
    """That certified trials were not safe, where there are some."""
    if not trials:
        return
    named = ", ".join(map(str, trials[:10])) + (", ..." if len(trials) > 10 else "")
    say(
        f"WARNING: {'trial' if len(trials) == 1 else f'{len(trials)} trials,'} {named}, certified and measured unsafe: "
        "the study's priors promise too much. Do not rely on certified gains before you know why: "
        f"safebo check {shlex.quote(study)}",
        error=True,
    )


def _say_findings(folder: Path) -> None:
    """What the run found, how sure that is, and what limits it most."""
    from safebo.report.findings import findings, shortened, view_of
    from safebo.storage.journal import Journal

    with Journal.open(folder, read_only=True) as journal:
        found = findings(view_of(folder, journal))
    for one in shortened(found):
        say(f"{one.text} {one.remedy}".rstrip())


def _say_what_remains(
    study: Study, folder: Path, error: bool = False, quiet: bool = False, advice: bool = True
) -> None:
    """Where the run's certified gains are, with the run's advice; that there are none is not said when `quiet`."""
    from safebo.runs.best_gains import read_best_gains, written_by_run
    from safebo.runs.recommendation import best_file
    from safebo.study.checks import tuned_contexts

    found = False
    for name in tuned_contexts(study):
        path = best_file(folder, name, study)
        if not written_by_run(path, study.name, name):
            continue
        best, found = read_best_gains(path), True
        unit = f" {best.objective_unit}" if best.objective_unit else ""
        say(
            f"{'Certified gains' if best.certified else best.kind.capitalize()} for context {name}: {path} "
            f"({best.objective_name} at least {best.objective.lower:.4g}{unit}, "
            f"expected {best.objective.mean:.4g}{', ' if best.holds else ''}{best.holds})",
            error,
        )
        if validity := best.validity():
            say(f"{validity[0].upper()}{validity[1:]}.", error)
        if best.advice and advice:
            say(best.advice, error)
    if not found and folder.is_dir() and not quiet:
        say("No gains are certified yet.", error)
