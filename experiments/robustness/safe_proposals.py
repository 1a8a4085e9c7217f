"""Ask every safe method for trials of thousands of random problems and certify each of them a second time.

    python -m safebo.experiments.robustness.safe_proposals --problems 3000 --seed 0

Half of the problems are studies (`random_problems`), half are grids from plain tensors (`random_grids`). A local
trial is uncertified when the second program (`independent_posterior`: numpy, nothing shared) finds a lower bound
below 0 at the parameters as they are printed. There must be none.
"""

from __future__ import annotations

import math
import multiprocessing
import operator
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
import typer

from safebo.errors import EmptySafeSetError, SafeboError
from safebo.experiments.robustness import random_grids
from safebo.experiments.robustness.independent_certificate import Judge
from safebo.experiments.robustness.independent_posterior import FunctionPrior
from safebo.experiments.robustness.random_grids import random_grid_problem, random_values, safe_start
from safebo.experiments.robustness.random_problems import (
    METHODS,
    random_measurement,
    random_simulation,
    random_study,
)
from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import Posterior
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

ROUND_OFF = 1e-8
"""On a grid a point on the border of the safe set may lie on either side, in prior standard deviations."""

STEPS = 5
"""Asks of a problem, without its seeds."""


@dataclass(frozen=True)
class Outcome:
    """What became of one problem.

    Args:
        kind: `study` or `grid`.
        method: that was asked.
        asks: all trials.
        local: local ones among them.
        moved: local ones that are no declared seed.
        uncertified: local ones that the second program does not certify, or that do not say they are certified.
        smallest: the smallest margin that certified a local one, in prior standard deviations.
        faults: what went wrong, one sentence each.
    """

    kind: str
    method: str
    asks: int
    local: int
    moved: int
    uncertified: int
    smallest: float
    faults: tuple[str, ...] = ()


def run_study(method: str, seed: int, steps: int = STEPS) -> Outcome:
    """Ask and tell one random study of a method."""
    rng = np.random.default_rng([seed, *method.encode()])
    study = random_study(rng, method)
    simulation = random_simulation(rng, study)
    tuner, judge = Tuner(study, seed, simulation), Judge(study, simulation)
    records: dict[int, tuple[Trial, Measurement | None]] = {}
    local = moved = uncertified = 0
    smallest = math.inf
    faults: list[str] = []
    for _ in range(steps + len(study.seeds)):
        try:
            trial = tuner.ask()
        except EmptySafeSetError:
            break
        except SafeboError as error:
            faults.append(f"{method}, seed {seed}: {error}")
            break
        if trial.phase == "local":
            local += 1
            moved += not any(dict(trial.parameters) == seed.parameters for seed in study.seeds)
            report = tuner.prior_report()
            believed = report is not None and report.contradiction is None
            margin = judge.margins(list(records.values()), trial, _fitted(tuner, study), believed).min()
            smallest = min(smallest, float(margin))
            if not (margin >= 0 and trial.certified):
                uncertified += 1
                where = f"{method}, seed {seed}, trial {trial.id}"
                faults.append(f"{where}: margin {margin:.3g}, said certified: {trial.certified}")
        measurement = random_measurement(rng, study, trial)
        records[trial.id] = (trial, measurement)
        if measurement is not None:
            tuner.tell(trial, measurement)
        _tell_late(rng, study, tuner, records)
    return Outcome("study", method, len(records), local, moved, uncertified, smallest, tuple(faults))


def run_grid(method: str, seed: int, steps: int = STEPS) -> Outcome:
    """Ask and tell one random problem on a grid, with points that are pending now and then."""
    rng = np.random.default_rng([seed, *method.encode(), 1])
    problem = random_grid_problem(rng, method)
    tuner = problem.tuner()
    pairs = [safe_start(rng, problem, context) for context in problem.contexts for _ in range(2)]
    X, Y = (np.array(part) for part in zip(*pairs, strict=True))
    tuner.tell(X, Y)
    asks, uncertified, smallest = 0, 0, math.inf
    faults: list[str] = []
    for step in range(steps):
        context = problem.contexts[step % len(problem.contexts)]
        pending = rng.uniform(0.0, 1.0, (int(rng.integers(3)), X.shape[1]))
        try:
            chosen, best = tuner.ask(context, pending), tuner.best(context)
        except EmptySafeSetError:
            if (problem.margins(X, Y, problem.grid, context).min(1, initial=math.inf) > ROUND_OFF).any():
                faults.append(f"{method}, grid {seed}: nothing is certified, but something is")
            break
        except SafeboError as error:
            faults.append(f"{method}, grid {seed}: {error}")
            break
        asks += 1
        margins = problem.margins(X, Y, problem.grid[[chosen.index, best.index]], context)
        smallest = min(smallest, float(margins[0].min()))
        if margins.min() < -ROUND_OFF or not chosen.certified:
            uncertified += 1
            faults.append(f"{method}, grid {seed}, ask {asks}: margins {margins.min(1)}, {chosen.certified}")
        x, y = np.append(problem.grid[chosen.index], context), random_values(rng, problem)
        tuner.tell(x, y)
        X, Y = np.vstack([X, x]), np.vstack([Y, y])
    return Outcome("grid", method, asks, asks, asks, uncertified, smallest, tuple(faults))


def _tell_late(
    rng: np.random.Generator,
    study: Study,
    tuner: Tuner,
    records: dict[int, tuple[Trial, Measurement | None]],
) -> None:
    """Sometimes the result of an earlier trial comes in."""
    for number, (trial, known) in list(records.items()):
        if known is None and rng.random() < 0.3:
            measurement = random_measurement(rng, study, trial)
            if measurement is not None:
                records[number] = (trial, measurement)
                tuner.tell(trial, measurement)


def _fitted(tuner: Tuner, study: Study) -> Sequence[Sequence[FunctionPrior]] | None:
    """Hyperparameters that were estimated, as numbers: which ones are right is not the question here."""
    if study.surrogate.hyperparameters == "fixed":
        return None
    declared = Judge(study).declared
    found = []
    for posterior, (prior,) in zip(tuner.surrogate().posteriors, declared, strict=True):
        parts: Sequence[Posterior] = (
            posterior.components if isinstance(posterior, MixturePosterior) else [posterior]
        )
        found.append([_numbers(part, prior) for part in parts])
    return found


def _numbers(posterior: Posterior, prior: FunctionPrior) -> FunctionPrior:
    kernel = posterior.kernel
    lengthscale: torch.Tensor = kernel.lengthscale  # type: ignore[attr-defined]
    return FunctionPrior(
        prior.kind,
        lengthscale.numpy(),
        math.sqrt(kernel.variance),  # type: ignore[attr-defined]
        math.sqrt(posterior.noise_variance),
        prior.mean,
        prior.groups,
        prior.period,
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Method by method: problems, asks, local asks and those without a certificate."""
    lines = [
        f"{'method':<26}{'problems':>9}{'asks':>8}{'local':>8}{'moved':>8}{'uncertified':>13}{'smallest':>11}"
    ]
    names = sorted({f"{o.kind} {o.method}" for o in outcomes})
    for name in (*names, "all"):
        rows = [o for o in outcomes if name in (f"{o.kind} {o.method}", "all")]
        asks, local, moved, wrong = (
            sum(getattr(o, name) for o in rows) for name in ("asks", "local", "moved", "uncertified")
        )
        smallest = min(o.smallest for o in rows)
        lines.append(f"{name:<26}{len(rows):>9}{asks:>8}{local:>8}{moved:>8}{wrong:>13}{smallest:>11.2g}")
    return "\n".join(lines)


def tasks(problems: int, seed: int) -> list[partial[Outcome]]:
    """Studies and grids of all methods in turn."""
    kinds = [
        *(partial(run_study, method) for method in METHODS),
        *(partial(run_grid, method) for method in random_grids.METHODS),
    ]
    return [partial(kinds[k % len(kinds)], seed + k // len(kinds)) for k in range(problems)]


def main(
    problems: Annotated[int, typer.Option(help="over all methods")] = 3000,
    seed: Annotated[int, typer.Option(help="of the first problem")] = 0,
    processes: int = 2,
) -> None:
    """Ask every safe method for trials of thousands of random problems and certify each of them a second time."""
    work = tasks(problems, seed)
    if processes == 1:
        outcomes = [task() for task in work]
    else:
        os.environ["OMP_NUM_THREADS"] = "1"
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, initializer=partial(torch.set_num_threads, 1)) as pool:
            outcomes = list(pool.imap(operator.call, work, chunksize=4))
    print(table(outcomes))
    print(
        "local: local trials; moved: those that are no declared seed; smallest: smallest margin in prior std"
    )
    faults = [fault for outcome in outcomes for fault in outcome.faults]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
