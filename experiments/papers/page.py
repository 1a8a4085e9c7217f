"""What a paper's command leaves behind: `summary.md` beside its results and, if asked, a page with its pictures."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from safebo.errors import InputError

PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")

PageOption = Annotated[
    Path | None,
    typer.Option("--page", help="write the summary and its pictures there too, e.g. docs/papers/x.md"),
]
"""Of the command line."""


def check(page: Path | None, quick: bool) -> None:
    """Refuse a page that could not be written or would show a trial run, before hours of runs.

    Raises:
        InputError: the page is of a quick run, or its name does not end in `.md`.
    """
    if page is None:
        return
    if quick:
        raise InputError(
            "--page shows results, --quick only tries whether everything runs: leave one of them out"
        )
    if page.suffix != ".md":
        raise InputError(f"--page {page}: the name of a page ends in .md")


def leave(text: str, out: Path, page: Path | None = None, command: str = "") -> None:
    """Write `summary.md` in a folder of results, and the same as a page whose pictures lie beside it.

    A page's only picture is called after the page, of several each has its own name added.

    Args:
        text: Markdown whose pictures lie in `out`.
        out: folder of the results.
        page: file of the page; None for none.
        command: which made it; the page ends with it.

    Raises:
        InputError: a picture of the text does not lie in `out`.
    """
    (out / "summary.md").write_text(text + "\n", encoding="utf-8")
    if page is None:
        return
    pictures = [name for _, name in PICTURE.findall(text)]
    names = {
        name: f"{page.stem}.png" if len(pictures) == 1 else f"{page.stem}-{Path(name).name}"
        for name in pictures
    }
    page.parent.mkdir(parents=True, exist_ok=True)
    for old, new in names.items():
        if not (out / old).is_file():
            raise InputError(f"{out / old} is missing, which the page {page} shows")
        shutil.copyfile(out / old, page.parent / new)
    shown = PICTURE.sub(lambda found: f"![{found[1]}]({names[found[2]]})", text)
    made = f"\n\nMade by `{command}`.\n" if command else "\n"
    page.write_text(shown + made, encoding="utf-8")


def command_line(name: str, seeds: int, trials: int, *more: str) -> str:
    """The command that makes a paper's page, for people to type again.

    Args:
        name: of the paper's module.
        seeds: of every method.
        trials: as given; 0 stands for the module's own lengths and is left out.
        more: further words.
    """
    words = ["python -m", f"safebo.experiments.papers.{name}", f"--seeds {seeds}"]
    words += [f"--trials {trials}"] if trials else []
    return " ".join([*words, *more, f"--page docs/papers/{name}.md"])
