"""What a prior that has to be earned costs where it is right, in four inputs.

    python -m safebo.experiments.evidence.price_of_earning

Functions are drawn from a Matern-3/2 prior of lengthscale 0.6 on random points of the cube and on as many again within
0.25 of the seed, as a search over a box would find them; noise 0.05, beta 3. Function 1 is a constraint, the further
ones of `--functions` are recorded and count as evidence where all are declared to be rough alike (`common_scale`).
Seeds have a margin of 0.7 prior standard deviations at least. With `--local 0` there are no points near the seed: where
even the nearest point is too far for the cautious prior nothing is ever earned.
"""

from __future__ import annotations

import math
import os
from typing import Annotated, NamedTuple

import numpy as np
import typer

from safebo.experiments.evidence.truth import process_pool
from safebo.experiments.tasks.task import FloatArray

LENGTHSCALE, NOISE, BETA, INPUTS = 0.6, 0.05, 3.0, 4
SEED_MARGIN, REACH = 0.7, 0.25
SHOWN = (10, 20, 50)
"""Trials at which regret is shown."""


class PricedRun(NamedTuple):
    """Regret at `SHOWN`, trials at which the constraint was broken, and the first trial after which the declared prior
    certified; None where it never did.
    """

    regret: list[float]
    violations: int
    promoted: int | None


def problem(seed: int, functions: int, points: int, local: int) -> tuple[FloatArray, FloatArray]:
    """Candidates `n x 4`, the seed first, and true values `n x functions`."""
    rng = np.random.default_rng([seed, functions])
    centre = rng.random(INPUTS)
    direction = rng.standard_normal((local, INPUTS))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    near = np.clip(centre + REACH * rng.random((local, 1)) * direction, 0.0, 1.0)
    x = np.concatenate([centre[None], near, rng.random((points, INPUTS))])
    squared = (x**2).sum(1)
    r = np.sqrt(3.0 * np.maximum(squared[:, None] + squared - 2.0 * x @ x.T, 0.0)) / LENGTHSCALE
    factor = np.linalg.cholesky((1.0 + r) * np.exp(-r) + 1e-8 * np.eye(len(x)))
    while True:
        values = factor @ rng.standard_normal((len(x), functions))
        if values[0, 1] >= SEED_MARGIN:
            return x, values


def run(
    method: str, seed: int, functions: int, earned: bool, trials: int, points: int, local: int
) -> PricedRun:
    """One run; with more than two functions all are declared to be rough alike."""
    import torch
    from gpytorch.kernels import MaternKernel, ScaleKernel

    from safebo.acquisition import GridSettings, GridTuner
    from safebo.models.prior_variants import DECLARED
    from safebo.models.trust import TrustRule

    torch.set_num_threads(1)
    x, truth = problem(seed, functions, points, local)
    kernel = ScaleKernel(MaternKernel(1.5)).double()
    kernel.outputscale, kernel.base_kernel.lengthscale = 1.0, LENGTHSCALE
    thresholds = [-math.inf, 0.0, *[-math.inf] * (functions - 2)]
    rule = TrustRule.of([0.5], None, 0.05, 0.01, 1, common_scale=functions > 2)
    settings = GridSettings(trust=rule if earned else None)
    noise = [NOISE**2] * functions
    tuner = GridTuner(method, [kernel] * functions, noise, x, thresholds, BETA, settings=settings)
    rng = np.random.default_rng([seed, 1])
    best, regret, violations, promoted = truth[truth[:, 1] >= 0.0, 0].max(), [], 0, None
    index = 0
    for trial in range(trials + 1):
        tuner.tell(x[index], truth[index] + NOISE * rng.standard_normal(functions))
        if trial in SHOWN:
            regret.append(float(best - truth[tuner.best().index, 0]))
        if promoted is None and tuner.trust and tuner.trust[0].certified_by == DECLARED:
            promoted = trial
        index = tuner.ask().index
        violations += bool(truth[index, 1] < 0.0) and trial < trials
    return PricedRun(regret, violations, promoted)


def main(
    methods: Annotated[str, typer.Option(help="with commas")] = "safe_ucb,safeopt",
    functions: Annotated[str, typer.Option(help="numbers of functions, with commas")] = "2,6",
    problems: Annotated[int, typer.Option(min=1)] = 60,
    points: Annotated[int, typer.Option(min=1, help="random candidates in the cube")] = 750,
    local: Annotated[int, typer.Option(min=0, help="candidates near the seed")] = 750,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Print regret with declared and earned priors, side by side."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers
    trials = max(SHOWN)
    shown = ", ".join(map(str, SHOWN))
    print(
        f"| method | functions | prior | median regret at {shown} | over declared | mean | violating runs | earned |"
    )
    print("|---" * 8 + "|")
    with process_pool(workers) as pool:
        for method in methods.split(","):
            for count in map(int, functions.split(",")):
                declared = np.full(len(SHOWN), np.nan)
                for earned in (False, True):
                    jobs = [
                        pool.submit(run, method, seed, count, earned, trials, points, local)
                        for seed in range(problems)
                    ]
                    found = [job.result() for job in jobs]
                    regret = np.array([r.regret for r in found])
                    median = np.median(regret, axis=0)
                    declared = declared if earned else median
                    first = [r.promoted for r in found if r.promoted is not None]
                    when = f"{len(first)}/{problems}, trial {np.median(first):.0f}" if first else "-"
                    print(
                        f"| {method} | {count} | {'earned' if earned else 'declared'} | {_list(median)} "
                        f"| {_list(median / declared, 2)} | {_list(regret.mean(0))} "
                        f"| {sum(r.violations > 0 for r in found)}/{problems} | {when} |",
                        flush=True,
                    )


def _list(values: FloatArray, digits: int = 3) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    typer.run(main)
