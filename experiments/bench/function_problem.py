"""Tasks whose truth is a function: a grid, lines through a box, or a box, and any method on them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy.stats import norm

from safebo.acquisition.registry import METHODS, acquisition_class, method
from safebo.errors import EmptySafeSetError
from safebo.experiments.bench.box_proposals import BoxProposals
from safebo.experiments.bench.contestants import Contestant, contestant
from safebo.experiments.bench.external import external_proposals, external_refusal
from safebo.experiments.bench.rows import NAN, ResultRow
from safebo.experiments.tasks.runs import GridProposals, LineProposals, Variant, norm_of
from safebo.experiments.tasks.task import BoolArray, FloatArray, Task

PROBES = 2_000
"""Points of a box at which the certified set is compared with the truth."""


class Proposals(Protocol):
    """A method in a run: told what was measured, asked what to try."""

    @property
    def best(self) -> FloatArray | None:
        """Its answer, `d`; None where it has none."""

    def tell(self, x: FloatArray, y: FloatArray) -> None:
        """Inputs, `d` or `k x d`, and what was measured there, `m` or `k x m`."""

    def ask(self, trial: int) -> FloatArray:
        """The next input, `d`."""

    def certified(self, x: FloatArray) -> BoolArray | None:
        """Which inputs `n x d` it certifies, `n`; None for a method without a certificate."""


@dataclass
class FunctionProblem:
    """A benchmark task as a problem of a suite.

    Args:
        name: in results.
        make: the task of a run's seed; one whose functions are drawn is another for every seed.
        trials: length of a run.
        what: identifies the definition: anything that changes when the task does.
    """

    name: str
    make: Callable[[int], Task]
    trials: int
    what: str = ""

    def provenance(self) -> dict[str, str]:
        """Hash of the task of seed 0: what methods are told, and the truth at 64 points."""
        return {"name": self.name, "hash": definition_hash(self.make(0)), "what": self.what}

    def refuses(self, method: str) -> str:
        """Grids have no visited states, so what watches trials cannot run; constants must be there."""
        return refusal(contestant(method), self.make(0))

    def run(self, method: str, seed: int, trials: int) -> Iterator[ResultRow]:
        """One run; see `safebo.experiments.bench.problem.BenchProblem`."""
        yield from run_task(self.make(seed), contestant(method), seed, trials)


def refusal(chosen: Contestant, task: Task) -> str:
    """Why a method cannot run on a task; empty when it can."""
    if chosen.external:
        return external_refusal(task, chosen.method)
    if chosen.promise == "watched":
        return "it watches trials while they run, and this task has nothing to watch"
    if METHODS[chosen.method].schedule is not None and norm_of(task) is None:
        return "it takes a bound on the functions' norms, which is not known, or infinite, here"
    if METHODS[chosen.method].certificate == "measured" and task.lattice is None:
        return "it takes Lipschitz constants, which are known on grids alone here"
    if chosen.origin and chosen.origin not in task.lipschitz:
        return f"the task has no Lipschitz constants {chosen.origin!r}"
    return ""


def proposals(task: Task, chosen: Contestant, seed: int) -> Proposals:
    """The method on the task."""
    if chosen.external:
        return external_proposals(task, chosen.method, seed)
    variant = Variant(chosen.method, chosen.origin or None)
    if task.lattice is not None:
        return GridProposals(task, variant, seed)
    if task.line_points:
        return LineProposals(task, variant, seed)
    return BoxProposals(task, variant, seed)


def run_task(task: Task, chosen: Contestant, seed: int, trials: int) -> Iterator[ResultRow]:
    """One run of one method.

    A run ends early where nothing can be certified any more: the rows so far are its result.
    """
    who = proposals(task, chosen, seed)
    x0, y0 = task.initial(seed)
    who.tell(x0, y0)
    optimum = task.optimum()
    probes, safe, reachable = probe_points(task, seed)
    wanted = int(
        reachable.sum()
    )  # none where the safe set is too small a part of a box for any probe to hit it
    values = task.values(x0)
    start = best_tried = float(values[~task.violated(values), 0].max(initial=-np.inf))
    claims = not chosen.external and promises_each(chosen)
    risk = certified_risk(task)
    for trial in range(1, trials + 1):
        began = time.perf_counter()
        try:
            x = who.ask(trial)
        except EmptySafeSetError:
            return
        asked = time.perf_counter() - began
        truth = task.values(x)
        measured = task.measure(x, seed, trial)
        violated = bool(task.violated(truth)[0])
        if not violated:
            best_tried = max(best_tried, float(truth[0, 0]))
        who.tell(x, measured)
        answer, mask = who.best, who.certified(probes)
        yield ResultRow(
            trial=trial,
            x=[float(v) for v in x],
            certified=claims,
            objective=float(measured[0]),
            margin=smallest_margin(task, measured),
            true_objective=float(truth[0, 0]),
            true_margin=smallest_margin(task, truth[0]),
            violated=violated,
            regret=NAN if answer is None else optimum - float(task.values(answer)[0, 0]),
            answer_safe=None if answer is None else not bool(task.violated(task.values(answer))[0]),
            tried_regret=optimum - best_tried,
            optimum=optimum,
            start=start,
            risk=risk,
            safe_share=NAN if mask is None or not wanted else float((mask & reachable).sum() / wanted),
            false_share=NAN if mask is None else float((mask & ~safe).sum() / max(1, mask.sum())),
            ask_seconds=asked,
        )


def promises_each(chosen: Contestant) -> bool:
    """Whether a method calls every one of its trials certified."""
    local = method(chosen.method).local
    return chosen.promise == "certified" and local is not None and acquisition_class(local).certified_only


def certified_risk(task: Task) -> float:
    """Largest probability that a certified trial violates a constraint.

    A normal variable is below its mean minus beta standard deviations with probability `Phi(-beta)`; summed over the
    constraints.
    """
    return min(1.0, float(sum(norm.sf(task.beta[i]) for i in task.constraints)))


def smallest_margin(task: Task, values: FloatArray) -> float:
    """How far the worst constraint is above its threshold."""
    return float(min(values[i] - task.thresholds[i] for i in task.constraints))


def probe_points(task: Task, seed: int) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Where the certified set is looked at: points, whether they are safe, whether safe ones can be reached.

    The grid itself where there is one; else Sobol points, of which every safe one counts as reachable.
    """
    if task.lattice is not None:
        return task.grid, task.safe, task.reachable(seed)
    points = _sobol(task.dimension) * (task.bounds[1] - task.bounds[0]) + task.bounds[0]
    safe = ~task.violated(task.values(points))
    return points, safe, safe


@lru_cache(maxsize=4)
def _sobol(dimension: int) -> FloatArray:
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(dimension, seed=0).random(2048)[:PROBES])


def definition_hash(task: Task) -> str:
    """SHA-256 over what methods are told and over the truth at 64 points, hexadecimal, 16 digits."""
    rng = np.random.default_rng(0)
    points = task.bounds[0] + (task.bounds[1] - task.bounds[0]) * rng.random((64, task.dimension))
    told = [
        task.bounds.tolist(),
        [[k.kind, k.lengthscale, k.variance] for k in task.kernels],
        [task.prior_means, task.noise_std, task.beta, task.thresholds, task.lattice, task.endpoint],
        task.start(0).tolist(),
        np.round(task.values(points), 6).tolist(),
        None if task.noise is None else [task.noise.std, task.noise.degrees_of_freedom],
        [task.line_points, task.min_width, sorted(task.lipschitz.items())],
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
