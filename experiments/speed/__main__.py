"""`python -m safebo.experiments.speed [--json] [NAME ...]`: median seconds of the parts, against their bars."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy is imported: one core is what is measured

from safebo.experiments.speed import (  # noqa: E402
    continuous_cases,
    grid_cases,
    long_cases,
    robot_cases,
    transductive_cases,
    tuner_cases,
    virtual_cases,
    wire_cases,
)
from safebo.experiments.speed.measure import Timing, timed  # noqa: E402

CASES = {
    case.name: case
    for module in (
        robot_cases,
        tuner_cases,
        grid_cases,
        transductive_cases,
        continuous_cases,
        wire_cases,
        virtual_cases,
        long_cases,
    )
    for case in module.CASES
}


def details(timing: Timing) -> str:
    """What a case says of itself and the memory it took, in brackets."""
    peak = "" if timing.peak_bytes is None else f"peak memory {timing.peak_bytes / 1e9:.2f} GB"
    text = ", ".join(part for part in (timing.note, peak) if part)
    return f" ({text})" if text else ""


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"which parts; all when none is given: {', '.join(CASES)}")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print only JSON")] = False,
) -> None:
    """Time the parts of safebo on one core."""
    unknown = [name for name in names or [] if name not in CASES]
    if unknown:
        print(f"unknown name {unknown[0]!r}: known are {', '.join(CASES)}", file=sys.stderr)
        raise typer.Exit(2)
    timings = []
    for name in names or CASES:
        timing = timed(CASES[name])
        timings.append(timing)
        if not as_json:
            verdict = "ok" if timing.median_seconds <= timing.case.bar else "OVER"
            print(
                f"{timing.case.name:<18} {timing.median_seconds:10.6f} s  (5-95 %: {timing.low:.6f} to "
                f"{timing.high:.6f}, bar {timing.case.bar:g}, {timing.case.repeats} repeats) {verdict}  "
                f"{timing.case.description}{details(timing)}",
                flush=True,
            )
    if as_json:
        rows = [
            {
                "name": t.case.name,
                "median_seconds": t.median_seconds,
                "repeats": t.case.repeats,
                "bar_seconds": t.case.bar,
                "peak_bytes": t.peak_bytes,
                "note": t.note,
            }
            for t in timings
        ]
        print(json.dumps({"speed": rows}))


if __name__ == "__main__":
    typer.run(main)
