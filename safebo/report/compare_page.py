"""Compared runs as lines of text, and as a page with the look of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from safebo.errors import OtherFileError
from safebo.files.writing import write_whole
from safebo.report.comparison import ComparedRun, Verdict
from safebo.report.figures.style import CONTEXT_COLOURS, WIDTH, new_figure, number, styled, with_unit
from safebo.report.html import page_environment
from safebo.report.picture import drawn
from safebo.text.printable import printable

GENERATOR = b'<meta name="generator" content="safebo compare'
"""In the head of every such page: by it an older one is told from a page of the user's own."""

QUARTERS = (0.25, 0.5, 0.75, 1.0)
"""Of a run's trials, at which the best so far is told in text."""


def compared_rows(runs: Sequence[ComparedRun]) -> Iterator[dict[str, str]]:
    """One row a run, by column."""
    objective = with_unit(runs[0].view.study.objective.name, runs[0].view.study.objective.unit)
    for run in runs:
        o = None if run.best is None else run.best.objective
        bounds = (
            "nothing certified" if o is None else f"{number(o.mean)} ({number(o.lower)} to {number(o.upper)})"
        )
        yield {
            "run": str(run.view.folder),
            "study": run.view.study.name,
            "method": run.method,
            "seed": str(run.seed),
            "trials": str(run.told),
            f"best certified {objective}": bounds,
            "seed's": number(run.start),
            "unsafe": str(run.unsafe),
            "smallest margins": ", ".join(f"{name} {number(value)}" for name, value in run.smallest.items()),
            "best so far at 25, 50, 75, 100 %": ", ".join(number(_so_far(run, part)) for part in QUARTERS),
        }


def _so_far(run: ComparedRun, part: float) -> float | None:
    """The best safe objective measured in the first part of a run's trials."""
    own = [e.trial.id for e in run.view.records]
    last = own[max(0, round(part * len(own)) - 1)]
    until = [value for trial, value in zip(run.ids, run.curve, strict=True) if trial <= last]
    return until[-1] if until else None


def curves_figure(runs: Sequence[ComparedRun]) -> Figure:
    """The best safe objective so far over trials, a colour for each group."""
    figure = new_figure(WIDTH, 3.2)
    ax = figure.subplots()
    groups = list(dict.fromkeys(run.group for run in runs))
    for run in runs:
        colour = CONTEXT_COLOURS[groups.index(run.group) % len(CONTEXT_COLOURS)]
        first = next(r.group == run.group and r is run for r in runs if r.group == run.group)
        label = printable(run.group) if first else "_"
        ax.step(run.ids, run.curve, where="post", color=colour, lw=1.2, label=label)
    objective = runs[0].view.study.objective
    ax.set_xlabel("trial")
    ax.set_ylabel(printable(with_unit(objective.name, objective.unit)))
    ax.legend(loc="lower right")
    return figure


def write_comparison(page: Path, runs: Sequence[ComparedRun], said: Sequence[Verdict]) -> None:
    """Write the page of a comparison.

    Raises:
        OtherFileError: a file is there that no comparison wrote.
        OSError: it cannot be written.
    """
    if page.exists() and GENERATOR not in page.read_bytes()[:1000]:
        raise OtherFileError(
            f"{page}: was not made by `safebo compare`, so it is left as it is; name another page"
        )
    rows = list(compared_rows(runs))
    with styled():
        alt = "Best safe objective so far over trials, one line per run"
        caption = "Best safe objective measured so far; one line a run, one colour for runs that differ by seed alone."
        picture = drawn("compare", curves_figure(runs), alt, caption)
    environment = page_environment("safebo.report")
    text = environment.get_template("compare.html").render(rows=rows, said=said, picture_=picture)
    write_whole(page, text)
