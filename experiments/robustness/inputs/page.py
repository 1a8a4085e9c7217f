"""docs/robustness.md, from the rows."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from safebo.experiments.robustness.inputs.record import FAULTS, Row

_MAX = 220
"""Characters of a message that the page shows."""

HEAD = """\
# What odd inputs do

Written by `python -m safebo.experiments.robustness.inputs`, which hands every one of these inputs to the product and
counts what must not be. Messages are shortened. An exit code of 2 is bad input, and nothing was changed.
"""


def page(rows: Sequence[Row]) -> str:
    """The whole page, grouped by kind."""
    lines = [HEAD, *summary(rows), ""]
    for kind, group in groupby(rows, key=lambda row: row.kind):
        lines += [f"## {kind}", "", "| input | what happens | what stays on record |", "|---|---|---|"]
        lines += [f"| {_cell(r.given)} | {_cell(r.happened)} | {_cell(r.kept)} |" for r in group]
        lines.append("")
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> Iterable[str]:
    """What is counted."""
    yield f"{len(rows)} inputs of {len({row.kind for row in rows})} kinds."
    yield ""
    for fault, what in FAULTS.items():
        yield f"- {what}: {sum(fault in row.faults for row in rows)}"


def _cell(text: str) -> str:
    """A text as it reads in a table of Markdown: one line, seen characters, folders and times left out."""
    text = re.sub(r"/tmp/[^\s:]*?/(?=[^/\s:]+[:\s)])", "", text)
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split())
    )
    short = text if len(text) <= _MAX else f"{text[:_MAX]} ..."
    return re.sub(r"([|*_`\\\[\]{}])", r"\\\1", html.escape(short, quote=False))


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the page, whole or not at all."""
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(page(rows), encoding="utf-8")
    draft.replace(path)
