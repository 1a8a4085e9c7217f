"""Safe gains in two islands: a study's landscape by brute force, and whether SafeOpt and GoSafeOpt find the better one.

    python -m safebo.experiments.evidence.islands go1-shaker [--points 60,13] [--rules safeopt,margin_to_go]
        [--seeds 10] [--first-seed 0] [--trials 24] [--workers 1] [--out runs/islands]

For a study with two parameters and one context. Evaluates every pair of gains on a grid without noise, labels the
connected parts of the safe set and prints each. Then runs the study: `safeopt` with that method, any other name with
`gosafeopt` and that `tuner.backup.rule`. Of every run one line: the island in which the recommended gains lie and their
noise-free objective, trials whose true margin was negative, falls, how many global trials there were, how many of them
the monitor ended, how many of those need not have been (gains that are safe by the grid), and the first trial that
completed in the better island.

Grid and runs are kept in `--out` (the grid in `grid.parquet`, a run in `RULE-SEED/`), where every run is one like
any other (`safebo report`), and the command goes on where it was ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from safebo.errors import InputError
from safebo.experiments.evidence.landscape import landscape
from safebo.experiments.evidence.regions import Landscape, axis_of, landscape_of
from safebo.experiments.evidence.truth import truth
from safebo.experiments.evidence.tuning import unsafe
from safebo.runs.opened import open_run
from safebo.runs.runner import run
from safebo.study import BackupSpec, Study, quantity_of
from safebo.study.reading import load_study
from safebo.types import Measurement, TrialRecord

SAFEOPT = "safeopt"
RULES = tuple(BackupSpec.model_json_schema()["properties"]["rule"]["enum"])
"""Backup rules that there are."""


@dataclass(frozen=True)
class IslandRun:
    """What one run found.

    Args:
        rule: of its backups, or `safeopt`.
        seed: of the run.
        best: gains that it recommends; None where it certifies none.
        better: whether they lie in the better island.
        objective: noise-free, of those gains.
        violations: trials whose true margin was negative, whatever their phase.
        uncertified: those of them that were no local trials.
        falls: trials in which the robot fell.
        global_trials: trials outside the certified set.
        ended: those that the monitor ended.
        in_vain: those of them whose gains are safe.
        first: the first trial that completed in the better island.
    """

    rule: str
    seed: int
    best: dict[str, float] | None
    better: bool
    objective: float | None
    violations: tuple[int, ...]
    uncertified: tuple[int, ...]
    falls: int
    global_trials: int
    ended: int
    in_vain: int
    first: int | None


def brute_force(
    study: Study, points: tuple[int, int], out: Path | None = None, workers: int = 1
) -> Landscape:
    """The landscape of a study with two parameters, in its first context.

    Args:
        study: the study.
        points: of the grid, by parameter.
        out: Parquet file of the grid, which is gone on with; None keeps nothing.
        workers: processes.

    Raises:
        InputError: the study has another number of parameters or contexts.
    """
    if len(study.parameters) != 2 or len(study.context.values) != 1:
        raise InputError(f"{study.name}: islands are looked for in two parameters and one context")
    first, second = study.parameters
    axes = axis_of(first, points[0]), axis_of(second, points[1])
    gains = [{first.name: float(a), second.name: float(b)} for a in axes[0] for b in axes[1]]
    found = landscape(study, next(iter(study.context.values)), gains, out, workers)
    shape = points[0], points[1]
    margin = np.array([smallest_margin(study, m) for m in found]).reshape(shape)
    objective = np.array([np.nan if m.objective is None else m.objective for m in found]).reshape(shape)
    seed = study.seeds[0].parameters
    logs = first.scale == "log", second.scale == "log"
    return landscape_of(axes, logs, margin, objective, (float(seed[first.name]), float(seed[second.name])))


def smallest_margin(study: Study, measurement: Measurement) -> float:
    """Of those that the study constrains; that of a robot that fell is negative."""
    values = [measurement.margins[quantity_of(c)] for c in study.constraints]
    return min(*values, -1e-9) if measurement.fell else min(values)


def as_rule(study: Study, rule: str) -> Study:
    """The study with a backup rule, or with SafeOpt."""
    tuner = study.tuner
    if rule == SAFEOPT:
        changed = tuner.model_copy(update={"method": SAFEOPT})
    else:
        backup = tuner.backup.model_copy(update={"rule": rule})
        changed = tuner.model_copy(update={"method": "gosafeopt", "backup": backup})
    return study.model_copy(update={"tuner": changed})


def island_run(
    study: Study, islands: Landscape, rule: str, seed: int, trials: int, folder: Path
) -> IslandRun:
    """One run, made or gone on with in a folder, against the landscape."""
    result = run(as_rule(study, rule), folder, trials=trials, seed=seed, resume=True)
    best = {name: dict(one.gains) for name, one in result.best.items()}
    gains = next(iter(best.values()), None)
    return summary(study, islands, rule, seed, gains, open_run(folder).records)


def summary(
    study: Study,
    islands: Landscape,
    rule: str,
    seed: int,
    gains: dict[str, float] | None,
    records: Sequence[TrialRecord],
) -> IslandRun:
    """What a run's trials and the gains that it recommends are by the landscape."""
    names = [p.name for p in study.parameters]
    better = islands.best_region.label

    def label(parameters: dict[str, float]) -> int:
        return islands.region_of(*(float(parameters[name]) for name in names))

    told = [(r.trial, r.measurement) for r in records if r.measurement is not None]
    wrong = [t for t, m in told if unsafe(m, study)]
    watched = [(t, m) for t, m in told if t.phase == "global"]
    ended = [t for t, m in watched if m.outcome == "backup"]
    inside = [t.id for t, m in told if m.outcome == "completed" and label(dict(t.parameters)) == better]
    context = next(iter(study.context.values))
    return IslandRun(
        rule=rule,
        seed=seed,
        best=gains,
        better=gains is not None and label(gains) == better,
        objective=None if gains is None else truth(study, context, [gains])[0].objective,
        violations=tuple(t.id for t in wrong),
        uncertified=tuple(t.id for t in wrong if t.phase == "global"),
        falls=sum(m.fell for _, m in told),
        global_trials=len(watched),
        ended=len(ended),
        in_vain=sum(label(dict(t.parameters)) > 0 for t in ended),
        first=min(inside, default=None),
    )


def island_lines(study: Study, islands: Landscape) -> list[str]:
    """The islands, in lines for people."""
    first, second = study.parameters
    lines = []
    for r in islands.regions:
        lines.append(
            f"region {r.label}: {100 * r.share:.1f} % of the box, best objective {r.best_objective:.3f} at "
            f"{first.name} {r.best_gains[0]:.3g}, {second.name} {r.best_gains[1]:.3g}, largest margin "
            f"{r.best_margin:.3g}" + (", holds the seed" if r.holds_seed else "")
        )
    if len(islands.regions) == 2:
        lines.append(f"gap between the two: {islands.gap(1, 2):.3f} of the unit box")
    return lines


def run_line(one: IslandRun) -> str:
    """A run in a line."""
    where = "nothing certified"
    if one.best is not None:
        gains = ", ".join(f"{name} {value:.4g}" for name, value in one.best.items())
        where = f"{gains} ({'better' if one.better else 'other'} island), objective {one.objective:.3f}"
    return (
        f"{one.rule} seed {one.seed}: {where}; violations {len(one.violations)} {list(one.violations) or ''}, falls "
        f"{one.falls}; global trials {one.global_trials}, ended {one.ended}, of them safe gains {one.in_vain}; first "
        f"trial in the better island: {one.first or 'none'}"
    )


def rule_line(rule: str, found: Sequence[IslandRun]) -> str:
    """All runs of a rule in a line."""
    better = sum(r.better for r in found)
    clean = sum(r.better and not r.violations and not r.falls for r in found)
    reached = sorted(r.first for r in found if r.first is not None)
    median = f", first trial there: median {np.median(reached):g}" if reached else ""
    wrong, uncertified = sum(len(r.violations) for r in found), sum(len(r.uncertified) for r in found)
    return (
        f"{rule}: {better} of {len(found)} runs recommend gains of the better island, {clean} without a violation"
        f"{median}; {wrong} violations ({uncertified} in global trials), {sum(r.falls for r in found)} falls; "
        f"{sum(r.global_trials for r in found)} global trials, {sum(r.ended for r in found)} ended, "
        f"{sum(r.in_vain for r in found)} of safe gains"
    )


def main(
    study: Annotated[str, typer.Argument(help="name or path of the study")],
    points: Annotated[str, typer.Option(help="of the grid, by parameter")] = "60,13",
    rules: Annotated[str, typer.Option(help="`safeopt`, and rules of backups")] = "safeopt,margin_to_go",
    seeds: Annotated[int, typer.Option(help="runs per rule; 0 for the landscape alone")] = 10,
    first_seed: int = 0,
    trials: Annotated[int | None, typer.Option(help="per run; the study's when left out")] = None,
    workers: Annotated[int, typer.Option(help="processes, for the grid")] = 1,
    out: Annotated[Path, typer.Option(help="folder of the grid and the runs, which is gone on with")] = Path(
        "runs/islands"
    ),
) -> None:
    """Print the islands, one line per run, and one per rule."""
    try:
        _tell(study, points, rules, range(first_seed, first_seed + seeds), trials, workers, out)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def _tell(
    name: str, points: str, rules: str, seeds: range, trials: int | None, workers: int, out: Path
) -> None:
    study, shape, wanted = load_study(name).study, _points(points), [r.strip() for r in rules.split(",")]
    for rule in wanted:
        if rule not in (SAFEOPT, *RULES):
            raise InputError(f"--rules: {rule!r} is none of {', '.join((SAFEOPT, *RULES))}")
    islands = brute_force(study, shape, out / "grid.parquet", workers)
    print("\n".join(island_lines(study, islands)), flush=True)
    if not seeds:
        return
    for rule in wanted:
        found = []
        for seed in seeds:
            folder = out / f"{rule}-{seed}"
            found.append(island_run(study, islands, rule, seed, trials or study.trials, folder))
            print(run_line(found[-1]), flush=True)
        print(rule_line(rule, found), flush=True)


def _points(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(p.strip().isdigit() and int(p) > 1 for p in parts):
        raise InputError(f"--points: two whole numbers over 1, as 60,13; got {text!r}")
    return int(parts[0]), int(parts[1])


if __name__ == "__main__":
    typer.run(main)
