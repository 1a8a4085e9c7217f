"""What a paper's command leaves behind: `summary.md` beside its results and, if asked, a page with its pictures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from safebo.errors import InputError, UnknownNameError

PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


@dataclass(frozen=True)
class Asked:
    """What a paper's command is asked for.

    Args:
        seeds: of every method, 0, 1, ...
        trials: of a run; 0 for each task's own number.
        tasks: those that are wanted; all when empty.
        workers: processes.
        out: folder of the results.
    """

    seeds: int
    trials: int
    tasks: tuple[str, ...]
    workers: int
    out: Path


def paper_command(
    name: str, build: Callable[[Asked], str], known: Sequence[str] = (), quick_trials: int = 12
) -> Callable[..., None]:
    """The command line of a paper's module.

    Args:
        name: of the module.
        build: makes the runs that are missing and the figures, and returns the page.
        known: tasks among which `--tasks` chooses; empty for a paper that needs all of them.
        quick_trials: of a run with `--quick`.
    """

    def main(
        seeds: Annotated[int, typer.Option(min=1)] = 10,
        trials: Annotated[int, typer.Option(min=0, help="of a run; 0: as many as the page shows")] = 0,
        tasks: Annotated[
            str, typer.Option(help="with commas, where a paper has several; all when empty")
        ] = "",
        workers: Annotated[int, typer.Option(min=1)] = 2,
        out: Annotated[
            Path | None, typer.Option(help="results, figures, summary.md; runs/papers/NAME when absent")
        ] = None,
        quick: Annotated[bool, typer.Option("--quick", help="two seeds, few trials: does it run?")] = False,
        page: Annotated[
            Path | None,
            typer.Option(help="write the summary and its pictures there too, e.g. docs/papers/x.md"),
        ] = None,
    ) -> None:
        """Run what is missing, draw, judge, print."""
        check(page, quick)
        chosen = tuple(task.strip() for task in tasks.split(",")) if tasks else ()
        if chosen and not known:
            raise InputError(f"--tasks: {name} compares its tasks and needs all of them")
        for task in chosen:
            if task not in known:
                raise UnknownNameError("task", task, list(known))
        folder = Path("runs/papers") / name if out is None else out
        if quick:
            seeds, trials, folder = 2, quick_trials, folder.with_name(folder.name + "-quick")
        text = build(Asked(seeds, trials, chosen, workers, folder))
        words = [f"--tasks {tasks}"] if tasks else []
        leave(text, folder, page, command_line(name, seeds, trials, *words))
        print(text)

    return main


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
