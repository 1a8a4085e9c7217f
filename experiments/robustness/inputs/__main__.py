"""Hand hostile and clumsy inputs to the product, count what must not be, and write docs/robustness.md.

python -m safebo.experiments.robustness.inputs
python -m safebo.experiments.robustness.inputs --only tampered
python -m safebo.experiments.robustness.inputs --values 10000
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from safebo.experiments.robustness.inputs.commands import command_lines, handed_over, run_to_tamper, tampered
from safebo.experiments.robustness.inputs.first_steps import first_steps
from safebo.experiments.robustness.inputs.page import summary, write
from safebo.experiments.robustness.inputs.record import Row
from safebo.experiments.robustness.inputs.study_files import names, study_files
from safebo.experiments.robustness.inputs.values import function_answers, generated_answers, program_answers

PAGE = Path("docs/robustness.md")
ROWS = Path("runs/robustness-inputs")

PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "study-files": study_files,
    "names": names,
    "function": function_answers,
    "program": program_answers,
    "command-lines": lambda folder: command_lines(run_to_tamper(folder)),
    "first-steps": lambda folder: first_steps(run_to_tamper(folder)),
    "files": lambda folder: handed_over(run_to_tamper(folder)),
    "tampered": lambda folder: tampered(run_to_tamper(folder)),
}


def main(
    values: Annotated[int, typer.Option(min=0, help="Only so many generated answers, and no page.")] = 0,
    only: Annotated[str, typer.Option(help=f"Only one part, and no page: {', '.join(PARTS)}.")] = "",
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = PAGE,
    rows_in: Annotated[Path, typer.Option("--rows", help="Folder for the rows of every part.")] = ROWS,
    resume: Annotated[bool, typer.Option("--resume", help="Take the parts that are there already.")] = False,
) -> None:
    """Run every input, print what is wrong with any, and write the page."""
    rows: list[Row] = []
    begin = time.monotonic()
    parts = dict(PARTS)
    if only and only not in PARTS:
        raise typer.BadParameter(f"--only {only}: one of {', '.join(PARTS)}")
    if values:
        parts = {"values": lambda folder: generated_answers(values, folder)}
    elif only:
        parts = {only: PARTS[only]}
    for name, part in parts.items():
        kept = rows_in / f"{name}.json"
        if resume and kept.is_file():
            rows += [Row(**{**row, "faults": tuple(row["faults"])}) for row in json.loads(kept.read_text())]
            continue
        found = list(_told(part, name))
        rows_in.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([asdict(row) for row in found]))
        rows += found
        print(f"{name}: {len(found)} inputs, {time.monotonic() - begin:.0f} s so far", flush=True)
    print("\n".join(summary(rows)))
    slowest = max(rows, key=lambda row: row.seconds)
    print(f"slowest: {slowest.given}, {slowest.seconds:.2f} s of CPU")
    if not values and not only:
        write(rows, out)
        print(f"page: {out}")
    sys.exit(any(row.faults for row in rows))


def _told(part: Callable[[Path], Iterator[Row]], name: str) -> Iterator[Row]:
    """The rows of a part, each with a fault printed."""
    with tempfile.TemporaryDirectory(prefix="safebo-inputs-") as folder:
        for row in part(Path(folder, "safebo") if name in _OWN else Path(folder)):
            if row.faults:
                print(f"{row.kind}: {row.given}: {', '.join(row.faults)}: {row.happened[:300]}", flush=True)
            yield row


_OWN = ("command-lines", "first-steps", "files", "tampered")
"""Parts that make their folder themselves."""

if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
