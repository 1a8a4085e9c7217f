"""GoSafeOpt's reason to exist: SafeOpt and GoSafeOpt on the study `pendulum`, several seeds each.

`python -m safebo.experiments.evidence.pendulum_islands [--seeds 10] [--trials 150] [--workers 2] [--backup-rule
lipschitz] [--global-rule widest_outside]` prints, for every run, the island in which the best certified gains lie (by
the brute-force grid), the true objective there, the trials whose true margin was negative in any phase, how often the
boundary condition fired, and the first trial that completed in the better island.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from safebo.experiments.evidence.pendulum_landscape import Landscape, brute_force, load
from safebo.experiments.evidence.truth import process_pool
from safebo.study import Study
from safebo.types import Measurement, Trial

METHODS = ("safeopt", "gosafeopt")


@dataclass(frozen=True)
class PendulumRun:
    """All trials of one run, and the gains it recommends at the end."""

    method: str
    seed: int
    trials: tuple[tuple[Trial, Measurement], ...]
    best: dict[str, float] | None


@dataclass(frozen=True)
class PendulumSummary:
    """What a run found.

    Args:
        better: whether the recommended gains lie in the better island.
        objective: noise-free, of the recommended gains.
        violations: trials whose true margin was negative, whatever their phase.
        triggers: trials in which the monitor switched gains.
        first: id of the first completed trial in the better island.
    """

    better: bool
    objective: float | None
    violations: tuple[int, ...]
    triggers: int
    first: int | None


@dataclass(frozen=True)
class Rules:
    """What differs from the shipped study in GoSafeOpt's global phases.

    Args:
        backup: the boundary condition.
        exploration: the rule that proposes global trials.
        local_steps: trials of a local phase; None for the study's.
    """

    backup: str = "lipschitz"
    exploration: str = "widest_outside"
    local_steps: int | None = None

    def applied(self, study: Study, method: str) -> Study:
        """The study with these rules and this method."""
        tuner = study.tuner
        steps = tuner.exploration.local_steps if self.local_steps is None else self.local_steps
        update: dict[str, Any] = {
            "method": method,
            "backup": tuner.backup.model_copy(update={"rule": self.backup}),
            "exploration": tuner.exploration.model_copy(
                update={"rule": self.exploration, "local_steps": steps}
            ),
        }
        return study.model_copy(update={"tuner": tuner.model_copy(update=update)})


def run(method: str, seed: int, trials: int, rules: Rules | None = None) -> PendulumRun:
    """One run of a method on the shipped study, in process."""
    from safebo.tuner import Tuner

    study, evaluator = load()
    tuner = Tuner((rules or Rules()).applied(study, method), seed=seed)
    done = []
    for _ in range(trials):
        trial = tuner.ask()
        measurement = evaluator.evaluate(trial, tuner.monitor(trial))
        tuner.tell(trial, measurement)
        done.append((trial, measurement))
    best = tuner.best()
    return PendulumRun(method, seed, tuple(done), None if best is None else dict(best.parameters))


def summary(done: PendulumRun, islands: Landscape) -> PendulumSummary:
    """The run against the brute-force landscape."""
    better = islands.best_region.label
    _, evaluator = load()
    objective = None
    if done.best is not None:
        last = done.trials[-1][0]
        check = Trial(0, done.best, {}, last.context_name, "manual", 0, True)
        objective = evaluator.evaluate(check).true_objective
    inside = [
        t.id
        for t, m in done.trials
        if m.outcome == "completed" and islands.region_of(t.parameters["kp"], t.parameters["kd"]) == better
    ]
    return PendulumSummary(
        better=done.best is not None and islands.region_of(done.best["kp"], done.best["kd"]) == better,
        objective=objective,
        violations=tuple(t.id for t, m in done.trials if min((m.true_margins or {"": -1.0}).values()) < 0),
        triggers=sum(m.outcome == "backup" for _, m in done.trials),
        first=min(inside, default=None),
    )


def all_runs(seeds: int, trials: int, workers: int, rules: Rules) -> Iterable[PendulumRun]:
    """Both methods, seed by seed."""
    with process_pool(workers) as pool:
        jobs = [pool.submit(run, method, seed, trials, rules) for method in METHODS for seed in range(seeds)]
        for job in jobs:
            yield job.result()


def main(
    seeds: Annotated[int, typer.Option(help="runs per method")] = 10,
    trials: Annotated[int, typer.Option(help="trials per run, the seed included")] = 150,
    workers: Annotated[int, typer.Option(help="processes")] = 2,
    backup_rule: Annotated[
        Literal["lipschitz", "gaussian_tail", "kernel_covariance", "cost_to_go"],
        typer.Option(help="boundary condition"),
    ] = "lipschitz",
    global_rule: Annotated[
        Literal["widest_outside", "maximin_distance", "uncertainty_covariance"],
        typer.Option(help="of global trials"),
    ] = "widest_outside",
) -> None:
    """Print one line per run and the count of runs that did what they should."""
    rules = Rules(backup_rule, global_rule)
    islands = brute_force(201)
    good = dict.fromkeys(METHODS, 0)
    for done in all_runs(seeds, trials, workers, rules):
        s = summary(done, islands)
        expected = s.better if done.method == "gosafeopt" else s.first is None
        good[done.method] += expected and not s.violations
        gains = "nothing" if done.best is None else f"kp {done.best['kp']:.2f}, kd {done.best['kd']:.2f}"
        where = "better island" if s.better else "seed's island"
        print(
            f"{done.method:9s} seed {done.seed}: {gains} ({where}), objective "
            f"{float('nan') if s.objective is None else s.objective:.3f}, "
            f"violations {len(s.violations)} {list(s.violations) or ''}, triggers {s.triggers}, "
            f"first trial in the better island: {s.first or 'none'}",
            flush=True,
        )
    print(
        f"without a violation, SafeOpt stayed in the seed's island in {good['safeopt']} of {seeds} "
        f"runs, GoSafeOpt found the better one in {good['gosafeopt']} of {seeds}"
    )


if __name__ == "__main__":
    typer.run(main)
