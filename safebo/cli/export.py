"""The command `safebo export`: gains for a robot's own software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from safebo.cli.output import RunFolder, work_on
from safebo.errors import InputError
from safebo.text.command import say
from safebo.text.counted import counted


def export(
    folder: RunFolder,
    form: Annotated[
        Literal["yaml", "json", "ros2", "c"],
        typer.Option(
            "--format",
            help="`ros2`: a parameter file, dots in names as levels; `c`: a header for C99 and C++.",
        ),
    ] = "yaml",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it. [default: stdout]")
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this context. [default: every context that was tried]"),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(metavar="N", help="The gains of this trial instead of the recommended ones."),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="ROS 2 node whose parameters they are. [default: /**, any]"),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="The table of all trials as CSV instead of any gains."),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What people said of pairs of walks as CSV instead of any gains."),
    ] = None,
) -> None:
    """Write recommended gains for a robot's own software: YAML, JSON, ROS 2 parameters or a C header; or all trials.

    With them goes what certifies them: run, trial, bounds of objective and margins, and until when; as fields in YAML
    and JSON, as comments in the others. A file that something else wrote is not written over.

    With `--csv`, a row for every trial: gains, context, outcome, objective, margins, the bounds with which it was
    proposed, phase, whether it was certified and by which priors, seed and times. Units stand in the heading.

    With `--answers`, of a run whose objective is a person's preference: a row for every question, with both trials,
    what was said, by whom and when, and which question it repeats.

    To try:

        safebo export runs/go1-trot --csv trials.csv

        safebo export runs/go1-trot --format ros2 --node go1_controller --out gains.yaml

        safebo export runs/go1-trot --format c --out gains.h

    Exit codes: 0 written; 1 nothing is certified for a context, or no longer (which the file says); 2 no such run,
    context or trial, or the file cannot be written.
    """
    work_on(folder)
    if table is not None or answers is not None:
        given = {"--out": out, "--context": context, "--trial": trial, "--node": node}
        option, what = ("--csv", "all trials") if table is not None else ("--answers", "all answers")
        if wrong := [name for name, value in given.items() if value is not None]:
            raise InputError(f"{option} writes the table of {what}; leave {wrong[0]} out")
        if table is not None:
            _write_trials(folder, table)
        if answers is not None:
            _write_answers(folder, answers)
        return
    if trial is not None and context is not None:
        raise InputError("--trial and --context: a trial has its own context; leave one of them out")
    if node is not None and form != "ros2":
        raise InputError(f"--node {node}: belongs to --format ros2")
    _write_gains(folder, form, out, context, trial, node)


def _write_gains(
    folder: Path,
    form: Literal["yaml", "json", "ros2", "c"],
    out: Path | None,
    context: str | None,
    trial: int | None,
    node: str | None,
) -> None:
    """Recommended gains, or a trial's, as `export` was asked for them."""
    from safebo.runs.export_formats import ANY_NODE, exported_text
    from safebo.runs.exported import gains_of_trial, recommended_gains, write_export

    found = recommended_gains(folder, context) if trial is None else gains_of_trial(folder, trial)
    for name in found.missing:
        say(f"error: nothing is certified safe for context {name!r} in {folder}", error=True)
    for warning in found.warnings:
        say(f"warning: {warning}", error=True)
    if found.contexts:
        text = exported_text(found, form, ANY_NODE if node is None else node)
        if out is None:
            print(text, end="")
        else:
            try:
                write_export(out, text)
            except OSError as error:
                raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
            say(f"Gains: {out}")
    if found.missing or (trial is None and any(not gains.certified for gains in found.contexts)):
        raise typer.Exit(1)


def _write_answers(folder: Path, file: Path) -> None:
    """The table of what people said of pairs of walks as CSV."""
    from safebo.runs.trial_export import answer_cells, write_csv
    from safebo.storage.journal import Journal

    with Journal.open(folder, read_only=True) as journal:
        cells = answer_cells(journal.answers())
    write_csv(file, cells)
    say(f"Answers: {file} ({counted(len(cells.rows), 'row')})")


def _write_trials(folder: Path, file: Path) -> None:
    """The table of a run's trials as CSV."""
    from safebo.runs.trial_export import trial_cells, write_csv
    from safebo.storage.journal import Journal

    with Journal.open(folder, read_only=True) as journal:
        cells = trial_cells(journal.records(states=False), journal.run.study)
    write_csv(file, cells)
    say(f"Trials: {file} ({counted(len(cells.rows), 'row')})")
