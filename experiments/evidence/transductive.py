"""Do the published orderings of transductive methods hold on their three tasks, without a violation?

    python -m safebo.experiments.evidence.transductive valley
    python -m safebo.experiments.evidence.transductive island --methods itl,vtl,mm_itl,ise --trials 30
    python -m safebo.experiments.evidence.transductive quadcopter --seeds 10
    python -m safebo.experiments.evidence.transductive boundary

runs every method on the task (`safebo.experiments.tasks`) and prints, per method: trials and runs that broke a
constraint by the truth, then at checkpoints the mean and the median over seeds of the regret of the certified
recommendation, and the mean regret of the best safe input tried so far; last the mean and the longest time of
an ask in s. `safeopt:prior` is SafeOpt with Lipschitz constants of that origin, `safeopt` the one without. Then
each claim is printed with whether it holds. Regret that is meant: Hübotter et al. 2024, figures 5 and 18.

The fourth task, `boundary`, has its best safe point on the boundary: which methods are safe and fast at once? Named are
those that broke nothing and have under half of SafeOpt's mean regret. Constrained qLogNEI is the unsafe baseline (its
certified recommendation is that of the surrogate it has made; `tried` is the best safe input it happened to try).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from safebo.errors import InputError
from safebo.experiments.evidence.sweep import heading, mean_regret, row, sweep, violations
from safebo.experiments.tasks.runs import TaskRun, Variant, certifies

Runs = Mapping[str, Sequence[TaskRun]]
TRANSDUCTIVE = ("itl", "vtl", "mm_itl")
ACROSS = 0.3
"""Mean regret in the valley below which most seeds have crossed: 0.458 is that of the hill they start on."""


@dataclass(frozen=True)
class Expectation:
    """Something that ought to hold.

    Args:
        text: the claim.
        methods: that must have been run.
        trials: that must have been run.
        holds: whether it does.
    """

    text: str
    methods: tuple[str, ...]
    trials: int
    holds: Callable[[Runs], bool]


@dataclass(frozen=True)
class TaskPlan:
    """What is run on one task unless the user says otherwise."""

    methods: tuple[str, ...]
    trials: int
    checkpoints: tuple[int, ...]
    claims: tuple[Expectation, ...] = ()
    rival: str = ""
    """Whose mean regret others are compared with; it is run in any case."""


def at_most(methods: tuple[str, ...], regret: float, trials: int, text: str) -> Expectation:
    """Every method's mean regret after so many trials is at most that."""
    return Expectation(
        text, methods, trials, lambda runs: all(mean_regret(runs[m], trials) <= regret for m in methods)
    )


def above(methods: tuple[str, ...], regret: float, trials: int, text: str) -> Expectation:
    """Every method's mean regret after so many trials is more than that."""
    return Expectation(
        text, methods, trials, lambda runs: all(mean_regret(runs[m], trials) > regret for m in methods)
    )


def behind(last: str, methods: tuple[str, ...], trials: int) -> Expectation:
    """One method's mean regret after so many trials exceeds that of all others."""
    return Expectation(
        f"{last} is behind {', '.join(methods)} at {trials} trials",
        (last, *methods),
        trials,
        lambda runs: all(mean_regret(runs[last], trials) > mean_regret(runs[m], trials) for m in methods),
    )


PLANS = {
    "valley": TaskPlan(
        (*TRANSDUCTIVE, "ise", "ise_bo", "safeopt", "safeopt:prior", "safeopt:oracle", "goose", "safe_ucb"),
        500,
        (50, 100, 300, 500),
        (
            at_most(("vtl", "mm_itl"), ACROSS, 500, "vtl and mm_itl cross the valley by 500 trials"),
            above(
                ("safeopt", "safeopt:prior"), 0.4, 500, "safeopt does not, with prior constants or without"
            ),
        ),
    ),
    "island": TaskPlan(
        (*TRANSDUCTIVE, "ise", "ise_bo", "safeopt", "safeopt:oracle", "goose", "safe_ucb"),
        100,
        (10, 30, 50, 100),
        (behind("ise", TRANSDUCTIVE, 30),),
    ),
    "quadcopter": TaskPlan(
        (*TRANSDUCTIVE, "ise", "ise_bo", "safeopt", "safeopt:oracle", "goose", "safe_ucb"),
        50,
        (10, 30, 50),
        (at_most(TRANSDUCTIVE, 0.10, 50, "itl, vtl and mm_itl are at or under 0.10 by 50 trials"),),
    ),
    "boundary": TaskPlan(
        ("safeopt", "safe_ucb", "goose", "ise_bo", "mm_itl", "vtl", "itl", "qlognei"),
        40,
        (10, 20, 40),
        rival="safeopt",
    ),
}


def main(
    task: Annotated[str, typer.Argument(help="valley, island, quadcopter or boundary")],
    methods: Annotated[str, typer.Option(help="with commas; the task's own list when absent")] = "",
    seeds: Annotated[int, typer.Option(min=1)] = 10,
    trials: Annotated[int, typer.Option(min=0, help="0: the task's own number")] = 0,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Run, print the table, judge the claims."""
    if task not in PLANS:
        raise InputError(f"task must be one of {', '.join(PLANS)}, got {task!r}")
    plan = PLANS[task]
    names = [Variant.parse(m.strip()).name for m in methods.split(",")] if methods else list(plan.methods)
    if plan.rival and plan.rival not in names:
        names.insert(0, plan.rival)
    count = trials or plan.trials
    checkpoints = [n for n in plan.checkpoints if n <= count] or [count]
    runs: dict[str, list[TaskRun]] = defaultdict(list)
    print(f"task {task}, {seeds} seeds, {count} trials\n" + heading(checkpoints), flush=True)
    for run in sweep(task, names, seeds, count, workers):
        runs[run.variant].append(run)
        if len(runs[run.variant]) == seeds:
            print(row(runs[run.variant], checkpoints), flush=True)
    broken = {name: violations(runs[name]) for name in names if certifies(Variant.parse(name))}
    print(f"{_verdict(not any(broken.values()))} no certified trial broke a constraint")
    for claim in plan.claims:
        if count >= claim.trials and set(claim.methods) <= set(names):
            print(f"{_verdict(claim.holds(runs))} {claim.text}")
    if plan.rival:
        regret = {name: mean_regret(runs[name], count) for name in names}
        good = [
            f"{name} ({regret[name]:.3f})"
            for name in names
            if violations(runs[name]) == 0 and regret[name] < 0.5 * regret[plan.rival]
        ]
        print(
            f"no violation and under half of {plan.rival}'s {regret[plan.rival]:.3f}: {', '.join(good) or 'none'}"
        )


def _verdict(holds: bool) -> str:
    return "holds:" if holds else "DOES NOT HOLD:"


if __name__ == "__main__":
    typer.run(main)
