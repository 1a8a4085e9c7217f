"""Make the faults that a bridge to a robot must survive, and look at what happens.

    python -m safebo.experiments.robustness.faults [--only NUMBER ...] [--processes] [--page docs/faults.md]

Without `--processes` those that run in lock-step, in a minute; with it also those of real processes, four minutes more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from safebo.experiments.robustness import process_faults
from safebo.experiments.robustness.faults.page import page, time_of
from safebo.experiments.robustness.faults.registry import NUMBERS, lock_step
from safebo.experiments.robustness.faults.report import Report


def main() -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", type=int, choices=NUMBERS, metavar="NUMBER", default=list(NUMBERS)
    )
    parser.add_argument("--processes", action="store_true", help="real processes too")
    parser.add_argument("--page", type=Path, help="write the table of the documentation; needs --processes")
    parser.add_argument("--domain", type=int, default=41, help="DDS domain on the loopback interface")
    given = parser.parse_args()
    if given.page is not None and (not given.processes or list(given.only) != list(NUMBERS)):
        parser.error("--page shows all faults: it goes with --processes and without --only")
    reports = [_told(fault.report()) for fault in lock_step() if fault.number in given.only]
    made = process_faults.run(given.only, given.domain) if given.processes else ()
    real = [_told(report) for report in made]
    if given.page is not None:
        given.page.write_text(page(reports, real), encoding="utf-8")
    wrong = sum(bool(report.wrong) for report in [*reports, *real])
    print(f"{len(reports) + len(real)} faults made, {wrong} not as promised")
    return 1 if wrong else 0


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
    sys.exit(main())
