"""The command `safebo compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebo.text.command import say


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of two runs or more.")],
    context: Annotated[
        str | None, typer.Option(metavar="NAME", help="Context to compare. [default: the only one in common]")
    ] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Also an HTML page, with curves.")] = None,
) -> None:
    """Print runs side by side, and whether what they found differs by more than chance.

    Runs of one study and method are a group. Two groups that ran the same seeds of the same task are compared in pairs,
    by a sign-flip permutation test; others by Welch's t-test; p is corrected for the number of pairs (Holm). Of single
    runs only their own intervals are compared: one run each decides nothing about methods. Studies whose objective has
    another name or unit are refused.

    To try:

        safebo compare runs/monday runs/tuesday --page compared.html

    Exit codes: 0 printed; 2 no such run, or they cannot be compared.
    """
    from safebo.cli.output import wide_screen
    from safebo.errors import InputError
    from safebo.files.reading import usable_path
    from safebo.report.compare_page import compared_rows, write_comparison
    from safebo.report.comparison import read_compared, verdicts
    from safebo.text.screen import literal

    runs = read_compared([usable_path(folder) for folder in folders], context)
    said, rows = verdicts(runs), list(compared_rows(runs))
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(literal(name), no_wrap=True)
    for row in rows:
        table.add_row(*map(literal, row.values()))
    wide_screen().print(table)
    for one in said:
        say(one.words)
    if page is not None:
        try:
            write_comparison(page, runs, said)
        except OSError as error:
            raise InputError(f"{page}: cannot be written: {error.strerror or error}") from error
        say(f"Comparison: {page}")
