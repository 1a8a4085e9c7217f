"""`safebo bench` once there are results: a page, a comparison, a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebo.text.command import say
from safebo.text.screen import Screen

if TYPE_CHECKING:
    from safebo.experiments.bench.promises import Flag


def register(app: typer.Typer) -> None:
    """Put the commands on the command line."""
    app.command("report")(report)
    app.command("compare")(compare_folders)
    app.command("leaderboard")(leaderboard)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results of `safebo bench run`.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="[default: DIR/report.html]")] = None,
) -> None:
    """Make one page that opens offline: leaderboard, curves, violations, provenance.

    Exit codes: 0; 2 no results there; 3 a method breaks its promise of safety (the page is made all the same).
    """
    from safebo.experiments.bench.report import write_report

    page, broken = write_report(folder, out)
    _end(page, broken)


def compare_folders(
    a: Annotated[Path, typer.Argument(metavar="A", help="Results of `safebo bench run`.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Other results.")],
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Level of the tests, corrected for their number.")
    ] = 0.05,
) -> None:
    """Say whether two results differ, run by run, and what only one of them has.

    Runs are paired by task, method and seed. Exit codes: 0 the same, or no significant difference; 1 they differ;
    2 no results there.
    """
    from safebo.experiments.bench.compare import compare

    found = compare(a, b, alpha)
    for line in found.lines():
        say(line)
    if found.differs:
        raise typer.Exit(1)


def leaderboard(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results of `safebo bench run`.")],
    page: Annotated[Path, typer.Option(metavar="FILE", help="Markdown.")] = Path("docs/leaderboard.md"),
    record: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The same numbers for programs.")
    ] = None,
) -> None:
    """Write a page of who does how well, per suite and over all tasks, with intervals and violations.

    The page and the file name a version: a hash of the tasks' definitions. Numbers under one version compare.

    Exit codes: 0; 2 no results, or some that do not go together; 3 a method breaks its promise of safety (the page is
    written all the same).
    """
    from safebo.experiments.bench.leaderboard import write_leaderboard

    _end(page, write_leaderboard(folders, page, record))


def _end(page: Path, broken: Sequence[Flag]) -> None:
    """Name the page and, in red, the methods that break their promise."""
    console = Screen(stderr=True)
    for flag in broken:
        console.print(flag.sentence, style="bold red", soft_wrap=True)
    say(str(page))
    if broken:
        raise typer.Exit(3)
