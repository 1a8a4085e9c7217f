"""`safebo bench` once there are results: a page, a comparison, a leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Put the commands on the command line."""
    app.command("report")(report)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results of `safebo bench run`.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="[default: DIR/report.html]")] = None,
) -> None:
    """Make one page that opens offline: leaderboard, curves, violations, provenance.

    Exit codes: 0; 2 no results there; 3 a method breaks its promise of safety (the page is made all the same).
    """
    from experiments.bench.report import write_report

    page, broken = write_report(folder, out)
    console = Console(stderr=True)
    for flag in broken:
        console.print(f"[bold red]{flag.sentence}[/]", highlight=False, soft_wrap=True)
    typer.echo(str(page))
    if broken:
        raise typer.Exit(3)
