"""The command line: `tune`, `report`, `best`, `show`, `methods`, `schema`, manual steps, and others' commands.

Nothing here imports torch; the commands that need it import it when they run.
"""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from safebo.cli import manual as cli_by_hand
from safebo.cli.command_group import CommandGroup
from safebo.cli.output import AsJson, RunFolder, folder_worked_on, print_json, wide_screen, work_on
from safebo.errors import InputError, InterruptedRunError, JournalError, SafeboError
from safebo.text.command import run_command
from safebo.text.file_names import file_name
from safebo.text.printable import printable
from safebo.text.screen import Screen
from safebo.text.streams import say

if TYPE_CHECKING:
    from safebo.study import Study

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def about() -> None:
    """Tune controller gains safely: every trial is chosen so that it keeps its safety margins.

    A *study* file says which gains may change, what is good (the objective, always maximised) and what is
    safe (margins, safe when >= 0). `safebo tune` proposes gains trial by trial, runs each on the robot or
    simulation that the study names, and keeps everything in a folder. `safebo report` draws it.

    A first run:

    - safebo studies

    - safebo tune go1-trot --trials 20

    - safebo report runs/go1-trot

    - safebo best runs/go1-trot

    Exit codes: 0 done, 2 bad input (nothing was changed), 1 failure or stopped before it was done.
    """


@app.command()
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
    prior: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A run of the same study, usually in simulation, whose trials inform a new run.",
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

    Exit codes: 0 all trials are done; 2 the study, the folder or an option is wrong; 1 stopped or failed; 130 stopped
    by Ctrl-C on a robot.
    """
    from safebo.cli.robot import robot_options
    from safebo.runs.progress import progress_for
    from safebo.runs.runner import LOG_FILE, run
    from safebo.study.reading import load_study

    file = load_study(study)
    options = robot_options(robot, physical, key, approve_all, global_trials, dry_run)
    folder = out if out is not None else Path("runs") / f"{file_name(file.study.name)}{options.suffix}"
    work_on(folder)
    _log_warnings_to(folder / LOG_FILE)
    again = shlex.join([study, *options.words(), "--out", str(folder), "--resume"])
    screen = Screen()
    try:
        with options.ready(file.study.evaluator, folder) as there:
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
                operator=there.operator(screen),
                approve_all=approve_all,
                global_trials=global_trials,
                prior=prior,
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
    _say_what_remains(file.study, folder)
    say(f"Next: safebo report {shlex.quote(str(folder))}")


@app.command()
def report(folder: RunFolder) -> None:
    """Draw a run: one HTML file that opens offline, with pictures and tables, beside PNGs and the best gains.

    It may be asked for while the run goes on.
    """
    from safebo.storage.journal import Journal

    work_on(folder)
    Journal.open(folder, read_only=True).close()
    from safebo.report import build_report

    try:
        page = build_report(folder)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else f"{folder}: "
        raise SafeboError(f"{place}the report cannot be written: {error.strerror or error}") from error
    say(f"Report: {page}")


@app.command()
def best(
    folder: RunFolder,
    context: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this context. [default: every context that was tried]"),
    ] = None,
    predict: Annotated[
        bool,
        typer.Option(
            "--predict", help="The most promising gains by the model alone, for any context. Not certified."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the gains to use: highest guaranteed objective among those certified safe.

    Certified means that the lower confidence bound of every margin is >= 0 in that context; `lower` of the
    objective is what the gains are guaranteed to reach with the study's confidence. A lucky trial outside the
    certified set is never the best.

    `--predict` works for contexts that were never tried; such gains are only a guess, marked `certified:
    false`.

    With `--json`, one context gives one object (`context`, `certified`, `parameters`, `objective`,
    `margins`), several give `{"best": [...]}`.

    Exit codes: 0 printed; 1 nothing is certified for a context; 2 no such run or context.
    """
    work_on(folder)
    from safebo.runs.recommend import recommend

    found = recommend(folder, context, predict)
    from safebo.console.run_view import gains_data, gains_table, nothing_data

    if as_json:
        objects = [nothing_data(found.study, name) if b is None else gains_data(b) for name, b in found.best]
        print_json(objects[0] if len(objects) == 1 else {"best": objects})
    screen, missing = wide_screen(), False
    for name, gains in found.best:
        if gains is None:
            missing = True
            say(f"error: nothing is certified safe for context {name!r} in {folder}", error=True)
        elif not as_json:
            kind = "best certified gains" if gains.certified else "predicted gains, NOT certified"
            say(f"context {name}: {kind}")
            screen.print(gains_table(gains, found.study))
    if missing:
        raise typer.Exit(1)


@app.command()
def show(
    folder: RunFolder,
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the last N trials. [default: all]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the trials of a run as a table: gains, objective, margins (safe when >= 0), outcome.

    Under it stands what they come to. A narrow terminal gets the table without the gains; `| less -S` shows all of it.

    Outcomes: `completed`; `backup`, the monitor switched to safe gains; `aborted`, ended early, a fall
    included; `failed`, no valid measurement.

    With `--json`: `{"trials": [...]}`, each with id, phase (seed, local, global, manual), context,
    parameters, objective, margins, outcome, fell, true_objective and true_margins (without sensor noise,
    where the evaluator knows them), predicted bounds, certified, trigger_rule and more; `prior` beside it for a run
    that has one: source, trials, dropped, correlation.
    """
    from safebo.console.run_view import trial_data
    from safebo.console.trial_table import trial_summary, trial_table
    from safebo.runs.prior_events import prior_lines, prior_state
    from safebo.storage.journal import Journal

    work_on(folder)
    with Journal.open(folder, read_only=True) as journal:
        records, run, prior = journal.records(states=False), journal.run, prior_state(journal)
    shown = records if last is None else records[-last:]
    if as_json:
        told = {} if prior is None else {"prior": prior}
        print_json({"trials": [trial_data(record, run.study) for record in shown], **told})
        return
    say(f"{run.name}, seed {run.seed}: {len(records)} trials asked, {run.trials} planned")
    for line in [] if prior is None else prior_lines(prior):
        say(line)
    screen = Screen()
    size = (screen.width, screen.height) if screen.is_terminal else (None, None)
    screen.print(trial_table(shown, run.study, *size), soft_wrap=True)
    for line in trial_summary(records, run.study):
        say(line)


@app.command()
def studies(as_json: AsJson = False) -> None:
    """List the studies that are shipped, by the name that `safebo tune` takes."""
    from safebo.study.reading import load_study, registered_studies, resolve_study

    screen, found, broken = Screen(), [], False
    for name in registered_studies():
        try:
            study = load_study(name).study
        except SafeboError as error:
            broken = True
            say(f"error: {error}", error=True)
            continue
        found.append({"name": name, "path": str(resolve_study(name)), "description": study.description})
        if not as_json:
            screen.print(Text.assemble((name, "bold"), f"  {study.description}"), soft_wrap=True)
    if as_json:
        print_json({"studies": found})
    if broken:
        raise typer.Exit(1)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the methods that `tuner.method` takes, with what each promises while it learns.

    `certified`: every trial but the declared seeds lies in the safe set that the study's certificate gives, so that
    it is safe as surely as the certificate's assumptions hold. `watched`: the same between global trials, which a
    monitor ends by switching to safe gains. `baseline`: nothing is promised; for simulation and comparison alone.

    Hyphens count as underscores. With `--json`: `{"methods": [...]}`, each with name, safety, certificate, schedule
    and summary.
    """
    from safebo.study.methods import METHODS

    if as_json:
        keys = ("name", "safety", "certificate", "schedule", "summary")
        print_json({"methods": [{key: getattr(m, key) for key in keys} for m in METHODS.values()]})
        return
    table = Table(box=None, pad_edge=False)
    for title in ("method", "while learning", "what it does"):
        table.add_column(title, no_wrap=title != "what it does")
    for m in METHODS.values():
        table.add_row(m.name, m.safety, m.summary)
    wide_screen().print(table)


@app.command()
def schema(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to write it. [default: stdout]")
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="The reference page of the study file, in Markdown, instead.")
    ] = False,
) -> None:
    """Print the JSON schema of study files, for completion and marks under mistakes in an editor.

    An editor takes it from the first line of a study:

        safebo schema study.schema.json

        # yaml-language-server: $schema=study.schema.json

    It knows all methods and the evaluators that are installed. It cannot compare keys: `safebo tune` checks more,
    before anything runs.
    """
    from safebo.study.reference import study_page, study_schema

    text = study_page() if page else json.dumps(study_schema(), indent=2) + "\n"
    if file is None:
        print(text, end="")
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error


for command in (cli_by_hand.resolve, cli_by_hand.tell, cli_by_hand.edit):
    app.command()(command)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command `safebo`; ends the process with its exit code."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    run_command(app, arguments, SafeboError, folder_worked_on)


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


def _say_what_remains(study: Study, folder: Path, error: bool = False, quiet: bool = False) -> None:
    """Where the run's certified gains are; that there are none is not said when `quiet`."""
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
            f"Certified gains for context {name}: {path} "
            f"({best.objective_name} at least {best.objective.lower:.4g}{unit}, "
            f"expected {best.objective.mean:.4g})",
            error,
        )
    if not found and folder.is_dir() and not quiet:
        say("No gains are certified yet.", error)
