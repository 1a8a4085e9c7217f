"""The command line: tune, report, best, export, show, methods, schema, manual steps, and the commands of others.

Nothing here imports torch; the commands that need it import it when they run.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import logging
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from safebo.cli import manual as cli_by_hand
from safebo.cli.check import check
from safebo.cli.compare import compare
from safebo.cli.console import console, watch
from safebo.cli.export import export
from safebo.cli.init import init
from safebo.cli.output import AsJson, RunFolder, print_json, wide_screen, work_on
from safebo.cli.tune import tune
from safebo.cli.tune_options import HELP as TUNE_HELP
from safebo.errors import InputError, SafeboError
from safebo.text.command import program, run_command, say
from safebo.text.counted import counted
from safebo.text.screen import Screen

ENTRY_POINTS = "safebo.commands"
"""Subcommands of other packages, each loaded when it is used. Help reads only their modules' docstrings."""


class CommandGroup(TyperGroup):
    """A group that also holds the entry points of `safebo.commands`, each a `typer.Typer`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Own commands first, then those of other packages."""
        own = super().list_commands(ctx)
        return [*own, *sorted(name for name in self._entry_points if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command; those of other packages as a stand-in that only carries its help."""
        own = super().get_command(ctx, cmd_name)
        point = self._entry_points.get(cmd_name)
        if own is not None or point is None:
            return own
        return TyperCommand(name=cmd_name, help=_first_line(point), callback=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is about to run."""
        name = args[0] if args else ""
        point = self._entry_points.get(name)
        if point is not None and name not in self.commands:
            try:
                loaded = point.load()
            except Exception as error:
                text = " ".join(str(error).split())
                raise SafeboError(
                    f"command {name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {text}"
                ) from error
            command = typer.main.get_command(loaded) if isinstance(loaded, typer.Typer) else loaded
            command.name = name
            self.commands[name] = command
        return super().resolve_command(ctx, args)

    @cached_property
    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        """Looked for once in a process's command line: that reads a file of every package installed."""
        return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


app = program(cls=CommandGroup)


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


app.command()(init)
app.command()(check)
app.command(help=TUNE_HELP)(tune)


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

    Exit codes: 0 printed; 1 nothing is certified for a context, or no longer; 2 no such run or context.
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
            say(f"context {name}: {gains.kind}{', ' if gains.holds else ''}{gains.holds}")
            screen.print(gains_table(gains, found.study))
            if validity := gains.validity():
                say(f"{validity[0].upper()}{validity[1:]}.", error=gains.expired())
            if gains.advice:
                say(gains.advice)
        missing |= gains is not None and gains.expired()
    if missing:
        raise typer.Exit(1)


app.command()(compare)
app.command()(export)
app.command()(console)
app.command()(watch)


@app.command()
def show(
    folder: RunFolder,
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the last N trials. [default: all]")
    ] = None,
    tolerance: Annotated[
        bool,
        typer.Option(
            "--tolerance",
            help="Also how far each recommended gain may move alone before its certificate or its gain is lost.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the trials of a run as a table: gains, objective, margins (safe when >= 0), outcome.

    Under it stands what they come to: what was found, how sure that is, what limits it, and the next command. A narrow
    terminal gets the table without the gains; `| less -S` shows all of it.

    Outcomes: `completed`; `backup`, the monitor switched to safe gains; `aborted`, ended early, a fall
    included; `failed`, no valid measurement.

    With `--json`: `{"trials": [...]}`, each with id, phase (seed, local, global, manual), context,
    parameters, objective, margins, outcome, fell, true_objective and true_margins (without sensor noise,
    where the evaluator knows them), predicted bounds, certified, trigger_rule and more; `prior` beside it for a run
    that has one: source, trials, dropped, correlation, kept.
    """
    from safebo.console.run_view import trial_data
    from safebo.console.trial_table import trial_summary, trial_table
    from safebo.report.findings import findings, view_of
    from safebo.runs.norm_events import norm_line
    from safebo.runs.prior_events import prior_lines, prior_state
    from safebo.storage.journal import Journal

    work_on(folder)
    with Journal.open(folder, read_only=True) as journal:
        records, run, prior = journal.records(states=False), journal.run, prior_state(journal)
        norm, found = norm_line(journal), () if as_json else findings(view_of(folder, journal))
    shown = records if last is None else records[-last:]
    if as_json:
        told = {} if prior is None else {"prior": prior}
        print_json({"trials": [trial_data(record, run.study) for record in shown], **told})
        return
    say(f"{run.name}, seed {run.seed}: {counted(len(records), 'trial')} asked, {run.trials} planned")
    for line in [*([] if prior is None else prior_lines(prior)), *([norm] if norm else [])]:
        say(line)
    screen = Screen()
    size = (screen.width, screen.height) if screen.is_terminal else (None, None)
    screen.print(trial_table(shown, run.study, *size), soft_wrap=True)
    for line in trial_summary(records, run.study):
        say(line)
    if tolerance:
        from safebo.report.tolerance import tolerance_lines  # with torch

        for line in tolerance_lines(folder):
            say(line)
    for one in found:
        say(" ".join(filter(None, (one.text, one.remedy, one.command if one.topic == "next" else ""))))


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


for command in (cli_by_hand.answer, cli_by_hand.resolve, cli_by_hand.tell, cli_by_hand.edit):
    app.command()(command)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command `safebo`; ends the process with its exit code."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    run_command(app, arguments, SafeboError)


def _first_line(point: importlib.metadata.EntryPoint) -> str:
    try:
        spec = importlib.util.find_spec(point.module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        text = ast.get_docstring(ast.parse(source)) or ""
    except (ImportError, OSError, SyntaxError, ValueError):
        text = ""
    return text.split("\n", 1)[0] or f"Commands of {point.module}."
