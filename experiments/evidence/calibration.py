"""How often safe methods break a constraint, where their prior is right and where it is wrong.

    python -m experiments.evidence.calibration --out runs/calibration

Problems are objective and constraint drawn from a unit-variance squared-exponential prior on 150 points of the unit
interval (`experiments.tasks.gp_samples`), each with one safe seed. A run counts as violating when the true constraint
is broken at any trial after the seed. Priors: `right`; `long`, told a lengthscale twice too long; `quiet`, told noise
three times too low; `tails`, Student noise of 2.5 degrees of freedom.

Each row of the table is a method with a safeguard:

- `posterior`, `srinivas2010`: beta by that schedule, delta 0.05, which the rows promise where the prior is right
- `beta 2`: the practical constant, which promises nothing
- `real beta`: the schedule fiedler2024 with every function's true norm, delta 0.05
- `lipschitz`: `srinivas2010`, and certified only by lower bounds at tried points less the true Lipschitz constant
- `measured`: LoSBO's set with the true Lipschitz constant and the noise bound that the told noise exceeds in all
  trials together with probability 0.05
- `robust`: `posterior` with the told lengthscale times 0.6 and the told noise times 2
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from scipy.stats import binomtest, norm

from experiments.evidence.truth import process_pool
from experiments.tasks.gp_samples import BELIEFS, gp_sample
from experiments.tasks.sampled import SampledFunctions
from experiments.tasks.task import Task

DELTA = 0.05
Safeguard = Literal["posterior", "srinivas2010", "beta 2", "real beta", "lipschitz", "measured", "robust"]

BOUNDS_METHODS = (
    "safe_ucb", "safeopt", "stageopt", "goose", "itl", "vtl", "ctl", "ctl_squared", "mm_itl", "undirected", "ise",
    "ise_bo", "mes", "random_safe",
)  # fmt: skip

ROWS: tuple[tuple[str, Safeguard], ...] = (
    *[(name, "posterior") for name in BOUNDS_METHODS],
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
class Outcome:
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


def tuner_of(task: Task, method: str, safeguard: Safeguard) -> Any:
    """The method on the task's grid under the safeguard."""
    from safebo.acquisition import GridSettings, GridTuner
    from safebo.study import ConfidenceSpec

    beta: Any = ConfidenceSpec(schedule="posterior", delta=DELTA)
    settings = GridSettings()
    if safeguard == "srinivas2010":
        beta = ConfidenceSpec(schedule="srinivas2010", delta=DELTA)
    elif safeguard == "beta 2":
        beta = 2.0
    elif safeguard == "real beta":
        assert isinstance(task.functions, SampledFunctions)
        beta = ConfidenceSpec(schedule="fiedler2024", delta=DELTA, norm=float(task.functions.norms.max()))
    elif safeguard == "lipschitz":
        beta = ConfidenceSpec(schedule="srinivas2010", delta=DELTA)
        settings = GridSettings(certificate="lipschitz", lipschitz=lipschitz_constants(task))
    elif safeguard == "measured":
        bound = float(norm.isf(DELTA / (2.0 * task.trials)))
        settings = GridSettings(
            lipschitz=lipschitz_constants(task), measured_noise=[bound * std for std in task.noise_std]
        )
        beta = 2.0
    kernels: list[Any] = [kernel.gpytorch() for kernel in task.kernels]
    noise = [std**2 for std in task.noise_std]
    return GridTuner(
        method, kernels, noise, task.grid, task.thresholds, beta, task.prior_means, settings=settings
    )


def run(method: str, safeguard: Safeguard, prior: str, problem: int, trials: int) -> Outcome:
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
            margins.append(float(drawn.values(x)[0, 1]) - drawn.thresholds[1])
            tuner.tell(x, drawn.measure(x, 0, trial))
    except EmptySafeSetError:
        pass
    try:
        regret = drawn.regret(tuner.best().x.numpy())
    except EmptySafeSetError:
        regret = float("nan")
    broken = [m for m in margins if m < 0]
    return Outcome(len(broken), abs(min(broken, default=0.0)), len(margins), regret)


def runs(
    method: str, safeguard: Safeguard, prior: str, problems: Sequence[int], trials: int
) -> list[Outcome]:
    """Runs of several problems, in whatever process."""
    import torch

    torch.set_num_threads(1)
    return [run(method, safeguard, prior, problem, trials) for problem in problems]


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
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


def cells(
    wanted: Sequence[tuple[str, str, Safeguard]], problems: int, trials: int, workers: int, out: Path | None
) -> Iterator[tuple[str, str, Safeguard, dict[str, float]]]:
    """Every wanted cell of the table in order; finished ones are read from `out`, new ones are written there."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers
    with process_pool(workers) as pool:
        for prior, method, safeguard in wanted:
            name = f"{prior}-{method}-{safeguard.replace(' ', '_')}-{problems}x{trials}.json"
            path = None if out is None else out / name
            if path is not None and path.exists():
                outcomes = [Outcome(**o) for o in json.loads(path.read_text())]
            else:
                parts = [list(range(start, problems, 4 * workers)) for start in range(4 * workers)]
                jobs = [pool.submit(runs, method, safeguard, prior, part, trials) for part in parts if part]
                outcomes = [o for job in as_completed(jobs) for o in job.result()]
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps([asdict(o) for o in outcomes]))
            yield prior, method, safeguard, summary(outcomes)


def main(
    problems: Annotated[int, typer.Option(min=1, help="drawn problems per cell")] = 200,
    trials: Annotated[int, typer.Option(min=1, help="trials per run")] = 100,
    priors: Annotated[str, typer.Option(help="with commas")] = ",".join(BELIEFS),
    methods: Annotated[str, typer.Option(help="with commas; all when empty")] = "",
    safeguards: Annotated[str, typer.Option(help="with commas; all when empty")] = "",
    workers: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="folder of finished cells, read and written")] = None,
) -> None:
    """Print the table, one line as each cell ends."""
    chosen = [p.strip() for p in priors.split(",")]
    unknown = [p for p in chosen if p not in BELIEFS]
    if unknown:
        raise typer.BadParameter(f"prior {unknown[0]!r}: known are {', '.join(BELIEFS)}")
    only = {m.strip() for m in methods.split(",") if m.strip()}
    guards = {g.strip() for g in safeguards.split(",") if g.strip()}
    wanted = [
        (prior, method, safeguard)
        for prior in chosen
        for method, safeguard in ROWS
        if (not only or method in only) and (not guards or safeguard in guards)
    ]
    print(f"{problems} problems, {trials} trials each\n\n{HEADING}", flush=True)
    for prior, method, safeguard, numbers in cells(wanted, problems, trials, workers, out):
        print(line(prior, method, safeguard, numbers), flush=True)


if __name__ == "__main__":
    typer.run(main)
