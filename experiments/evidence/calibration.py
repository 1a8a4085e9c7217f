"""How often safe methods break a constraint, where their prior is right and where it is wrong.

    python -m safebo.experiments.evidence.calibration --out runs/calibration --page docs/calibration.md

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
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from scipy.stats import binomtest, norm

from safebo.experiments.evidence.truth import process_pool
from safebo.experiments.tasks.gp_samples import BELIEFS, gp_sample
from safebo.experiments.tasks.sampled import SampledFunctions
from safebo.experiments.tasks.task import Task

DELTA = 0.05
Safeguard = Literal[
    "posterior", "srinivas2010", "beta 2", "real beta", "lipschitz", "measured", "robust", "earned"
]

SCHEDULES: dict[Safeguard, Any] = {
    "posterior": "posterior",
    "robust": "posterior",
    "earned": "posterior",
    "srinivas2010": "srinivas2010",
    "lipschitz": "srinivas2010",
    "real beta": "fiedler2024",
}
"""Of beta; the other safeguards have the constant 2."""

BOUNDS_METHODS = (
    "safe_ucb", "safeopt", "stageopt", "goose", "itl", "vtl", "ctl", "ctl_squared", "mm_itl", "undirected", "ise",
    "ise_bo", "mes", "random_safe",
)  # fmt: skip

ROWS: tuple[tuple[str, Safeguard], ...] = (
    *[(name, "posterior") for name in BOUNDS_METHODS],
    *[(name, "earned") for name in BOUNDS_METHODS],
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


@dataclass(frozen=True)
class CalibrationRun:
    """What one run showed.

    Args:
        violating_trials: trials at which the true constraint was broken.
        depth: the worst true margin below the threshold, in prior standard deviations; 0 when none was.
        trials: trials made; fewer than asked for when nothing was certified any more.
        regret: of the certified recommendation after the last trial; NaN when nothing is certified.
    """

    violating_trials: int
    depth: float
    trials: int
    regret: float


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


def tuner_of(task: Task, method: str, safeguard: Safeguard, caution: float = 0.5) -> Any:
    """The method on the task's grid under the safeguard."""
    from safebo.acquisition import GridSettings, GridTuner
    from safebo.models.trust import TrustRule
    from safebo.study import ConfidenceSpec

    beta: Any = 2.0
    if safeguard in SCHEDULES:
        beta = ConfidenceSpec(
            schedule=SCHEDULES[safeguard], delta=0.5 * DELTA if safeguard == "earned" else DELTA
        )
    settings = GridSettings()
    if safeguard == "earned":
        constraints = len(task.constraints)
        settings = GridSettings(trust=TrustRule.of([caution], None, 0.05, 0.01, constraints, DELTA))
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
    return GridTuner(method, kernels, noise, task.grid, task.thresholds, beta, settings=settings)


def run(method: str, safeguard: Safeguard, prior: str, problem: int, trials: int) -> CalibrationRun:
    """One run; a run in which nothing is certified any more stops there."""
    from safebo.errors import EmptySafeSetError

    drawn = gp_sample(1, problem, BELIEFS[prior], trials=trials)
    task = robust(drawn) if safeguard == "robust" else drawn
    tuner = tuner_of(task, method, safeguard)
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
        regret = drawn.regret(tuner.best().x.numpy())
    except EmptySafeSetError:
        regret = float("nan")
    broken = [m for m in margins if m < 0]
    return CalibrationRun(len(broken), abs(min(broken, default=0.0)), len(margins), regret)


def runs(
    method: str, safeguard: Safeguard, prior: str, problems: Sequence[int], trials: int
) -> list[CalibrationRun]:
    """Runs of several problems, in whatever process."""
    import torch

    torch.set_num_threads(1)
    return [run(method, safeguard, prior, problem, trials) for problem in problems]


def summary(outcomes: Sequence[CalibrationRun]) -> dict[str, float]:
    """Rate of violating runs with its 95 % Clopper-Pearson interval, violating trials, worst depth, median regret."""
    violating = sum(o.violating_trials > 0 for o in outcomes)
    interval = binomtest(violating, len(outcomes)).proportion_ci(0.95)
    regret = [o.regret for o in outcomes if not np.isnan(o.regret)]
    return {
        "runs": len(outcomes),
        "violating": violating,
        "rate": violating / len(outcomes),
        "low": float(interval.low),
        "high": float(interval.high),
        "trial_rate": sum(o.violating_trials for o in outcomes) / max(1, sum(o.trials for o in outcomes)),
        "depth": max(o.depth for o in outcomes),
        "regret": float(np.median(regret)) if regret else float("nan"),
        "stopped": sum(o.trials == 0 for o in outcomes),
    }


def line(prior: str, method: str, safeguard: str, numbers: dict[str, float]) -> str:
    """One row of the table, in markdown."""
    return (
        f"| {prior} | {method} | {safeguard} | {int(numbers['violating'])}/{int(numbers['runs'])} "
        f"| {100 * numbers['rate']:.1f} ({100 * numbers['low']:.1f} to {100 * numbers['high']:.1f}) "
        f"| {100 * numbers['trial_rate']:.2f} | {numbers['depth']:.2f} | {numbers['regret']:.3f} "
        f"| {int(numbers['stopped'])} |"
    )


HEADING = (
    "| prior | method | safeguard | violating runs | % of runs (95 % interval) | % of trials | worst depth "
    "| median regret | nothing certified |\n|---|---|---|---|---|---|---|---|---|"
)


Cell = tuple[str, str, Safeguard]
"""Prior, method, safeguard."""


def cells(
    wanted: Sequence[tuple[Cell, int]], trials: int, workers: int, out: Path | None
) -> Iterator[tuple[Cell, dict[str, float]]]:
    """Every wanted cell of the table in order; finished ones are read from `out`, new ones are written there.

    Args:
        wanted: cells, each with its number of problems.
        trials: of every run.
        workers: processes.
        out: folder of finished cells.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers
    with process_pool(workers) as pool:
        for (prior, method, safeguard), problems in wanted:
            name = f"{prior}-{method}-{safeguard.replace(' ', '_')}-{problems}x{trials}.json"
            path = None if out is None else out / name
            if path is not None and path.exists():
                outcomes = [CalibrationRun(**o) for o in json.loads(path.read_text())]
            else:
                parts = [list(range(start, problems, 4 * workers)) for start in range(4 * workers)]
                jobs = [pool.submit(runs, method, safeguard, prior, part, trials) for part in parts if part]
                outcomes = [o for job in as_completed(jobs) for o in job.result()]
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps([asdict(o) for o in outcomes]))
            yield (prior, method, safeguard), summary(outcomes)


def page(table: Mapping[Cell, dict[str, float]], trials: int) -> str:
    """The page of the documentation, in markdown."""
    text = [PAGE_HEAD.format(trials=trials)]
    right = [cell for cell in table if cell[0] == "right"]
    if right:
        text += [f"## The prior is right, {int(table[right[0]]['runs'])} problems\n", HEADING]
        text += [line(*cell, table[cell]) for cell in right]
    wrong = [prior for prior in BELIEFS if prior != "right" and any(cell[0] == prior for cell in table)]
    if wrong:
        counts = sorted({int(n["runs"]) for cell, n in table.items() if cell[0] in wrong})
        shown = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        text += [
            f"\n## The prior is wrong, {shown} problems each\n",
            "Percentage of violating runs with the upper end of its interval, and the worst depth.\n",
            "| method | safeguard | " + " | ".join(wrong) + " |",
            "|---|---|" + "---|" * len(wrong),
        ]
        for method, safeguard in dict.fromkeys((cell[1], cell[2]) for cell in table if cell[0] in wrong):
            found = [table.get((prior, method, safeguard)) for prior in wrong]
            parts = [
                "-" if n is None else f"{100 * n['rate']:.0f} % (to {100 * n['high']:.0f}), {n['depth']:.2f}"
                for n in found
            ]
            text.append(f"| {method} | {safeguard} | " + " | ".join(parts) + " |")
    return "\n".join(text) + "\n"


PAGE_HEAD = """# Calibration: how often safe methods break a constraint

Safe means safe under the declared model. This page shows what that is worth where the model is right, and what is left
of it where the model is wrong. Made by

    python -m safebo.experiments.evidence.calibration --out runs/calibration --page docs/calibration.md

Every problem is an objective and a constraint drawn from a unit-variance squared-exponential prior on 150 points of the
unit interval (lengthscale 0.1, noise 0.1), with one safe seed; {trials} trials each. A run violates when the true
constraint is broken at any of its trials. Intervals are Clopper-Pearson, 95 %. Depths are in prior standard deviations.

Wrong priors: `long` is told a lengthscale twice too long, `longer` 1.5 times, `short` half of the true one; `quiet`
noise three times too low; `scale` half of the true prior standard deviation; `tails` the true standard deviation of
noise that has a Student distribution of 2.5 degrees of freedom. The truth may also be what no prior here describes:
noise that differs ninefold over the interval (`uneven`), 3 % of measurements with ten times the noise (`outliers`), a
constraint that falls off a `cliff` of two standard deviations, or sinks by one during the run (`drift`).

The safeguards, from the promise alone to what helps when it fails:

- `posterior`, `srinivas2010`: beta by that schedule (`tuner.confidence`), delta 0.05
- `real beta`: the schedule fiedler2024 with every function's true norm, delta 0.05
- `lipschitz`: `srinivas2010`, certified only by lower bounds at tried points less the true Lipschitz constant
- `measured`: LoSBO's safe set, with the true Lipschitz constant and a noise bound taken from the told noise
- `robust`: `posterior`, told lengthscales times 0.6 and told noise times 2
- `earned`: `posterior` with half of delta; certified with half the told lengthscale until the told prior is earned
  (`surrogate.trust`), with the other half
- `beta 2`: the practical constant; it promises nothing

What to take from it: where the prior is right every promise of 5 % is kept with room to spare, and the constant 2
breaks constraints in every tenth run. A lengthscale twice too long voids the promise of every method alike: about half
of the runs break a constraint. What helps then is a cautious declaration, true Lipschitz constants, or a beta with the
true norm. `measured` stands on the noise bound: told too little noise, it fails like the others.
"""


def chosen_cells(priors: str, methods: str, safeguards: str) -> list[Cell]:
    """Cells by names with commas; all methods and safeguards where there is none.

    Raises:
        BadParameter: a prior that does not exist.
    """
    chosen = [p.strip() for p in priors.split(",")]
    unknown = [p for p in chosen if p not in BELIEFS]
    if unknown:
        raise typer.BadParameter(f"prior {unknown[0]!r}: known are {', '.join(BELIEFS)}")
    only = {m.strip() for m in methods.split(",") if m.strip()}
    guards = {g.strip() for g in safeguards.split(",") if g.strip()}
    return [
        (prior, method, safeguard)
        for prior in chosen
        for method, safeguard in ROWS
        if (not only or method in only) and (not guards or safeguard in guards)
    ]


def main(
    problems: Annotated[
        int, typer.Option(min=1, help="drawn problems per cell, where the prior is right")
    ] = 200,
    wrong_problems: Annotated[int, typer.Option(min=1, help="the same where it is wrong")] = 50,
    priors: Annotated[str, typer.Option(help="with commas")] = ",".join(BELIEFS),
    methods: Annotated[str, typer.Option(help="with commas; all when empty")] = "",
    safeguards: Annotated[str, typer.Option(help="with commas; all when empty")] = "",
    trials: Annotated[int, typer.Option(min=1, help="trials per run")] = 100,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="folder of finished cells, read and written")] = None,
    page_path: Annotated[
        Path | None, typer.Option("--page", help="markdown page to write at the end")
    ] = None,
) -> None:
    """Print the table, one line as each cell ends."""
    wanted = [
        (cell, problems if cell[0] == "right" else wrong_problems)
        for cell in chosen_cells(priors, methods, safeguards)
    ]
    print(HEADING, flush=True)
    table: dict[Cell, dict[str, float]] = {}
    for cell, numbers in cells(wanted, trials, workers, out):
        table[cell] = numbers
        print(line(*cell, numbers), flush=True)
    if page_path is not None:
        page_path.write_text(page(table, trials))
        print(f"page: {page_path}")


if __name__ == "__main__":
    typer.run(main)
