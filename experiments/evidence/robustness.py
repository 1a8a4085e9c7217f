"""Do tuned gains survive what makes the initial ones fall?

    python -m safebo.experiments.evidence.robustness --gains runs/go1-trot/best.yaml

lets the robot of `go1-trot`, with its reality gap, walk through named scenarios (pushes, a slippery floor) with
the study's initial gains and with the tuned ones, several noise seeds each, and prints how often each fell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebo.experiments.evidence.truth import process_pool
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.runs.best_gains import read_best_gains
from safebo.study.reading import load_study

SCENARIOS = (
    "leaned_on",
    "struck_from_above",
    "leaned_on_smooth_floor",
    "shoved_aside",
    "pushed_forward",
    "pushed",
    "slippery",
)


def falls(gap: str, gains: dict[str, float], seeds: int) -> int:
    """How many of `seeds` walks end in a fall."""
    evaluator = LeggedEvaluator({"robot": "go1", "disturbance": gap})
    return sum(evaluator.walk(gains, {}, seed).fell for seed in range(1, seeds + 1))


def main(
    gains: Annotated[Path, typer.Option(help="tuned gains, as `safebo report` writes them")],
    study: str = "go1-trot",
    seeds: int = 5,
    workers: int = 2,
) -> None:
    """Walk and count falls."""
    loaded = load_study(study).study
    gap = str(loaded.evaluator.options["disturbance"])
    initial = dict(loaded.seeds[0].parameters)
    tuned = dict(read_best_gains(gains).gains)
    names = [f"{gap}+{scenario}" for scenario in SCENARIOS]
    with process_pool(workers) as pool:
        jobs = [(pool.submit(falls, n, initial, seeds), pool.submit(falls, n, tuned, seeds)) for n in names]
        for name, (before, after) in zip(names, jobs, strict=True):
            first, second = before.result(), after.result()
            verdict = "  <- initial gains fall, tuned survive" if first == seeds and second == 0 else ""
            print(f"{name:28s} falls of {seeds}: initial {first}, tuned {second}{verdict}")


if __name__ == "__main__":
    typer.run(main)
