"""How often safe methods break a constraint, where their prior is right and where it is wrong.

    python -m safebo.experiments.evidence.calibration --out runs/calibration.csv --page docs/calibration.md

Problems are objective and constraint drawn from a unit-variance squared-exponential prior on 150 points of the unit
interval (`safebo.experiments.tasks.gp_samples`), each with one safe seed. A run counts as violating when the true
constraint is broken at any trial after the seed. Priors: `right`, and those of `BELIEFS`, which are wrong.

Each row of the table is a method with a safeguard:

- `posterior`, `srinivas2010`: beta by that schedule, delta 0.05, which the rows promise where the prior is right
- `beta 2`: the practical constant, which promises nothing
- `real beta`: the schedule fiedler2024 with every function's true norm, delta 0.05
- `lipschitz`: `srinivas2010`, and certified only by lower bounds at tried points less the true Lipschitz constant
- `measured`: LoSBO's set with the true Lipschitz constant and the noise bound that the told noise exceeds in all
  trials together with probability 0.05
- `robust`: `posterior` with the told lengthscale times 0.6 and the told noise times 2
- `earned`: `posterior` with half of delta; the constraint is certified with half the told lengthscale until the told
  prior is earned (`safebo.models.trust`), the other half of delta
- `student`: `earned`, told that the noise of both functions has a Student distribution of 4 degrees of freedom, or of
  as many as it truly has where it is one
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import norm

from safebo.experiments.evidence.calibration_page import (
    HEADING,
    CalibrationRun,
    Cell,
    Safeguard,
    line,
    page,
    pooled_lines,
    summary,
)
from safebo.experiments.evidence.truth import process_pool
from safebo.experiments.tasks.gp_samples import BELIEFS, DIMENSIONS, gp_sample
from safebo.experiments.tasks.sampled import SampledFunctions
from safebo.experiments.tasks.task import Task

DELTA = 0.05
SCHEDULES: dict[Safeguard, Any] = {
    "posterior": "posterior",
    "robust": "posterior",
    "earned": "posterior",
    "student": "posterior",
    "srinivas2010": "srinivas2010",
    "lipschitz": "srinivas2010",
    "real beta": "fiedler2024",
}
"""Of beta; the other safeguards have the constant 2."""

TRUSTED: tuple[Safeguard, ...] = ("earned", "student")
"""Safeguards with earned priors."""

STUDENT_DEGREES = 4.0
"""Of freedom, that `student` is told where the noise has no Student distribution."""

BOUNDS_METHODS = (
    "safe_ucb", "safeopt", "stageopt", "goose", "itl", "vtl", "ctl", "ctl_squared", "mm_itl", "undirected", "ise",
    "ise_bo", "mes", "random_safe",
)  # fmt: skip

ROWS: tuple[tuple[str, Safeguard], ...] = (
    *[(name, "posterior") for name in BOUNDS_METHODS],
    *[(name, "earned") for name in BOUNDS_METHODS],
    *[(name, "student") for name in BOUNDS_METHODS],
    ("safe_ucb", "srinivas2010"),
    ("safeopt", "srinivas2010"),
    ("real_beta_safeopt", "real beta"),
    ("safe_ucb", "lipschitz"),
    ("safeopt", "lipschitz"),
    ("losbo", "measured"),
    ("los_gp_ucb", "measured"),
    ("safe_ucb", "robust"),
    ("safeopt", "robust"),
    ("safe_ucb", "beta 2"),
    ("safeopt", "beta 2"),
)  # fmt: skip


def lipschitz_constants(task: Task) -> list[float]:
    """Largest slope of the true functions, from differences over 20,000 steps of the unit interval."""
    x = np.linspace(0.0, 1.0, 20_001)[:, None]
    values = task.values(x)
    return [float(v) for v in np.abs(np.diff(values, axis=0)).max(0) / (x[1, 0] - x[0, 0])]


def robust(task: Task) -> Task:
    """The task with a cautious declaration: shorter lengthscales and more noise than believed."""
    kernels = tuple(replace(kernel, lengthscale=0.6 * kernel.lengthscale) for kernel in task.kernels)
    told = tuple(2.0 * std for std in task.noise_std)
    return replace(task, kernels=kernels, noise_std=told)


def tuner_of(task: Task, method: str, safeguard: Safeguard, points: Any = None, caution: float = 0.5) -> Any:
    """The method on the task's grid, or on other points, under the safeguard."""
    from safebo.acquisition import GridSettings, GridTuner
    from safebo.models.trust import TrustRule
    from safebo.study import ConfidenceSpec

    beta: Any = 2.0
    if safeguard in SCHEDULES:
        beta = ConfidenceSpec(
            schedule=SCHEDULES[safeguard], delta=0.5 * DELTA if safeguard in TRUSTED else DELTA
        )
    settings = GridSettings()
    if safeguard in TRUSTED:
        constraints = len(task.constraints)
        settings = GridSettings(trust=TrustRule.of([caution], None, 0.05, 0.01, constraints, DELTA))
    if safeguard == "student":
        true = math.inf if task.noise is None else task.noise.degrees_of_freedom
        told = STUDENT_DEGREES if math.isinf(true) else true
        settings = replace(settings, noise_degrees=[told] * len(task.kernels))
    if safeguard == "real beta":
        assert isinstance(task.functions, SampledFunctions)
        beta = beta.model_copy(update={"norm": float(task.functions.norms.max())})
    elif safeguard == "lipschitz":
        settings = GridSettings(certificate="lipschitz", lipschitz=lipschitz_constants(task))
    elif safeguard == "measured":
        bound = float(norm.isf(DELTA / (2.0 * task.trials)))
        settings = GridSettings(
            lipschitz=lipschitz_constants(task), measured_noise=[bound * std for std in task.noise_std]
        )
    kernels: list[Any] = [kernel.gpytorch() for kernel in task.kernels]
    noise = [std**2 for std in task.noise_std]
    settings = replace(settings, prior_means=task.prior_means)
    grid = task.grid if points is None else points
    return GridTuner(method, kernels, noise, grid, task.thresholds, beta, settings=settings)


POINTS = 1500
"""Random points of a cube, which has no lattice."""


def candidates(task: Task, problem: int) -> Any:
    """Points that a method may choose from, `n x d`, the seed among them."""
    if task.lattice is not None:
        return task.grid
    drawn = np.random.default_rng([problem, task.dimension]).random((POINTS - 1, task.dimension))
    return np.concatenate([task.start(0), drawn])


def run(cell: Cell, problem: int, trials: int) -> CalibrationRun:
    """One run; a run in which nothing is certified any more stops there."""
    from safebo.errors import EmptySafeSetError

    drawn = gp_sample(cell.inputs, problem, BELIEFS[cell.prior], trials=trials)
    points = candidates(drawn, problem)
    task = robust(drawn) if cell.safeguard == "robust" else drawn
    tuner = tuner_of(task, cell.method, cell.safeguard, points)
    # The noise is that of the drawn task, whatever the declaration says.
    tuner.tell(*drawn.initial(0))
    margins = []
    try:
        for trial in range(1, trials + 1):
            x = tuner.ask().x.numpy()
            margins.append(float(drawn.values_at(x, trial)[0, 1]) - drawn.thresholds[1])
            tuner.tell(x, drawn.measure(x, 0, trial))
    except EmptySafeSetError:
        pass
    try:
        truth = drawn.functions(np.concatenate([points, tuner.best().x.numpy()[None]]))
        regret = float(truth[truth[:, 1] >= drawn.thresholds[1], 0].max() - truth[-1, 0])
    except EmptySafeSetError:
        regret = float("nan")
    broken = [m for m in margins if m < 0]
    depth = abs(min(broken, default=0.0))
    trust = tuner.trust
    alarm, refuted = any(t.alarm is not None for t in trust), any(t.refuted for t in trust)
    return CalibrationRun(len(broken), depth, len(margins), regret, alarm, refuted)


def runs(cell: Cell, problems: Sequence[int], trials: int) -> list[tuple[int, CalibrationRun]]:
    """Runs of several problems, in whatever process."""
    import torch

    torch.set_num_threads(1)
    return [(problem, run(cell, problem, trials)) for problem in problems]


COLUMNS = (*Cell._fields, "problem", "of", *(f.name for f in fields(CalibrationRun)))
"""Of the file of finished runs; `of` is the number of trials that a run was to have."""


def finished(out: Path | None, trials: int) -> dict[Cell, dict[int, CalibrationRun]]:
    """Runs of that many trials in a file, by cell and problem.

    Raises:
        BadParameter: a file that is none of these.
    """
    found: dict[Cell, dict[int, CalibrationRun]] = {}
    if out is None or not out.exists():
        return found
    with out.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise typer.BadParameter(
                f"{out} is no file of this command's runs: its columns are not {COLUMNS}"
            )
        for row in reader:
            if int(row["of"]) == trials:
                cell = Cell(row["prior"], row["method"], row["safeguard"], int(row["inputs"]))  # type: ignore[arg-type]
                found.setdefault(cell, {})[int(row["problem"])] = CalibrationRun(
                    int(row["violating_trials"]),
                    float(row["depth"]),
                    int(row["trials"]),
                    float(row["regret"]),
                    row["alarm"] == "True",
                    row["refuted"] == "True",
                )
    return found


def cells(
    wanted: Sequence[tuple[Cell, int]], trials: int, workers: int, out: Path | None
) -> Iterator[tuple[Cell, dict[str, float]]]:
    """Every wanted cell of the table in order; finished runs are read from `out`, new ones are added there.

    Args:
        wanted: cells, each with its number of problems.
        trials: of every run.
        workers: processes.
        out: file of finished runs, comma-separated values.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers
    known = finished(out, trials)
    with process_pool(workers) as pool:
        for cell, problems in wanted:
            have = known.get(cell, {})
            missing = [problem for problem in range(problems) if problem not in have]
            parts = [missing[start :: 4 * workers] for start in range(4 * workers)]
            jobs = [pool.submit(runs, cell, part, trials) for part in parts if part]
            for job in as_completed(jobs):
                done = job.result()
                have |= dict(done)
                if out is not None:
                    _add(out, [(*cell, problem, trials, *astuple(found)) for problem, found in done])
            yield cell, summary([have[problem] for problem in sorted(have)])


def _add(out: Path, rows: Sequence[tuple[object, ...]]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    new = not out.exists()
    with out.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS] * new)
        writer.writerows([f"{v:.4g}" if isinstance(v, float) else v for v in row] for row in rows)


def chosen_cells(priors: str, methods: str, safeguards: str, inputs: str) -> list[Cell]:
    """Cells by names with commas; all methods and safeguards where there is none.

    Raises:
        BadParameter: a prior that does not exist, or numbers of inputs that problems are not drawn in.
    """
    chosen = [p.strip() for p in priors.split(",")]
    unknown = [p for p in chosen if p not in BELIEFS]
    if unknown:
        raise typer.BadParameter(f"prior {unknown[0]!r}: known are {', '.join(BELIEFS)}")
    counts = [n.strip() for n in inputs.split(",")]
    wrong = [n for n in counts if n not in map(str, DIMENSIONS)]
    if wrong:
        raise typer.BadParameter(
            f"inputs {wrong[0]!r}: one of {', '.join(map(str, DIMENSIONS))}, with commas"
        )
    only = {m.strip() for m in methods.split(",") if m.strip()}
    guards = {g.strip() for g in safeguards.split(",") if g.strip()}
    return [
        Cell(prior, method, safeguard, int(count))
        for count in counts
        for prior in chosen
        for method, safeguard in ROWS
        if (not only or method in only) and (not guards or safeguard in guards)
    ]


def main(
    problems: Annotated[
        int, typer.Option(min=1, help="drawn problems per cell, where the prior is right or earned")
    ] = 200,
    wrong_problems: Annotated[int, typer.Option(min=1, help="the same of the other cells")] = 50,
    priors: Annotated[str, typer.Option(help="with commas")] = ",".join(BELIEFS),
    methods: Annotated[str, typer.Option(help="with commas; all when empty")] = "",
    safeguards: Annotated[str, typer.Option(help="with commas; all when empty")] = "",
    inputs: Annotated[str, typer.Option(help="numbers of inputs, with commas")] = "1",
    trials: Annotated[int, typer.Option(min=1, help="trials per run")] = 100,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="file of finished runs (CSV), read and added to")] = None,
    page_path: Annotated[
        Path | None, typer.Option("--page", help="markdown page of all runs in --out, written at the end")
    ] = None,
) -> None:
    """Print the table, one line as each cell ends, and rates pooled over methods."""
    wanted = [
        (cell, problems if "right" in cell or cell.safeguard in TRUSTED else wrong_problems)
        for cell in chosen_cells(priors, methods, safeguards, inputs)
    ]
    print(HEADING, flush=True)
    table: dict[Cell, dict[str, float]] = {}
    for cell, numbers in cells(wanted, trials, workers, out):
        table[cell] = numbers
        print(line(cell, numbers), flush=True)
    print("\n".join(["", *pooled_lines(table)]))
    if page_path is not None:
        everything = {cell: summary(list(found.values())) for cell, found in finished(out, trials).items()}
        page_path.write_text(page(_ordered(everything) or table, trials))
        print(f"page: {page_path}")


def _ordered(table: Mapping[Cell, dict[str, float]]) -> dict[Cell, dict[str, float]]:
    """Cells in the order of `ROWS`, whatever the order in which they were run."""
    rows = {row: n for n, row in enumerate(ROWS)}
    last = len(rows)
    return dict(
        sorted(
            table.items(),
            key=lambda item: (item[0].inputs, rows.get((item[0].method, item[0].safeguard), last)),
        )
    )


if __name__ == "__main__":
    typer.run(main)
