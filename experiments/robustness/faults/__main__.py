"""Make the faults that a bridge to a robot must survive, and look at what happens.

    python -m safebo.experiments.robustness.faults [NUMBER ...] [--processes] [--page docs/faults.md]

Without `--processes` those that run in lock-step, in a minute; with it also those of real processes, four minutes more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from safebo.experiments.robustness import page_faults, process_faults  # noqa: F401  page_faults adds to the list
from safebo.experiments.robustness.faults.page import page, time_of
from safebo.experiments.robustness.faults.registry import NUMBERS, lock_step
from safebo.experiments.robustness.faults.report import Report


def main(
    numbers: Annotated[
        list[int] | None,
        typer.Argument(min=NUMBERS[0], max=NUMBERS[-1], help="which faults; all when none is given"),
    ] = None,
    processes: Annotated[bool, typer.Option("--processes", help="real processes too")] = False,
    page_path: Annotated[
        Path | None,
        typer.Option(
            "--page",
            help="write the rows of these faults into the table of the documentation; without numbers the whole table",
        ),
    ] = None,
    domain: Annotated[int, typer.Option(help="DDS domain on the loopback interface")] = 41,
) -> None:
    """Make the faults that a bridge to a robot must survive, and look at what happens; exit code 1 on any surprise."""
    if page_path is not None and not (processes or numbers):
        raise typer.BadParameter("--page shows all faults: it goes with --processes, or with numbers")
    reports = [_told(fault.report()) for fault in lock_step() if fault.number in (numbers or NUMBERS)]
    made = process_faults.run(numbers or NUMBERS, domain) if processes else ()
    real = [_told(report) for report in made]
    if page_path is not None:
        before = page_path.read_text(encoding="utf-8") if numbers else ""
        page_path.write_text(page(reports, real, before), encoding="utf-8")
    wrong = sum(bool(report.wrong) for report in [*reports, *real])
    print(f"{len(reports) + len(real)} faults made, {wrong} not as promised")
    sys.exit(1 if wrong else 0)


def _told(report: Report) -> Report:
    """Print what became of a fault."""
    mark = "ok    " if not report.wrong else "WRONG "
    print(
        f"{mark} {report.number:2d} {report.name}: {report.robot}; {time_of(report)}".rstrip("; "), flush=True
    )
    for words in report.wrong:
        print(f"          {words}", flush=True)
    return report


if __name__ == "__main__":
    typer.run(main)
