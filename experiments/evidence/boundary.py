"""Safe and fast at once: methods on the task `boundary`, whose best safe point lies on the boundary.

    python -m safebo.experiments.evidence.boundary

40 trials, 10 seeds. Prints per method what `safebo.experiments.evidence.transductive` prints; constrained
qLogNEI is the
unsafe baseline (its certified recommendation is that of the surrogate it has made; `tried` is the best safe
input it happened to try). Then which methods broke nothing and have under half of SafeOpt's mean regret.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

import typer

from safebo.experiments.evidence.sweep import heading, mean_regret, row, sweep, violations
from safebo.experiments.tasks import boundary
from safebo.experiments.tasks.runs import TaskRun, Variant

METHODS = ("safeopt", "safe_ucb", "goose", "ise_bo", "mm_itl", "vtl", "itl", "qlognei")


def main(
    methods: Annotated[
        str, typer.Option(help="with commas; safeopt is added where it is missing")
    ] = ",".join(METHODS),
    seeds: Annotated[int, typer.Option(min=1)] = 10,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Run, print the table, name the methods that are safe and fast."""
    task = boundary()
    names = [Variant.parse(m.strip()).name for m in methods.split(",")]
    names = names if "safeopt" in names else ["safeopt", *names]
    checkpoints = [task.trials // 4, task.trials // 2, task.trials]
    runs: dict[str, list[TaskRun]] = defaultdict(list)
    print(f"task boundary, {seeds} seeds, {task.trials} trials\n" + heading(checkpoints), flush=True)
    for run in sweep(task.name, names, seeds, task.trials, workers):
        runs[run.variant].append(run)
        if len(runs[run.variant]) == seeds:
            print(row(runs[run.variant], checkpoints), flush=True)
    safeopt = mean_regret(runs["safeopt"], task.trials)
    good = [
        f"{name} ({mean_regret(runs[name], task.trials):.3f})"
        for name in names
        if violations(runs[name]) == 0 and mean_regret(runs[name], task.trials) < 0.5 * safeopt
    ]
    print(f"no violation and under half of SafeOpt's {safeopt:.3f}: {', '.join(good) or 'none'}")


if __name__ == "__main__":
    typer.run(main)
