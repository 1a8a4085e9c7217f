"""`safebo bench`: compare acquisition functions on the same tasks, seeds and noise."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from safebo.errors import InputError
from safebo.experiments.bench.cli_results import register
from safebo.hardware.command_options import with_options
from safebo.text.command import say
from safebo.text.screen import Screen
from safebo.workers.interrupt import StopRequest

if TYPE_CHECKING:  # `--help` loads no torch
    from safebo.experiments.bench.store import Store
    from safebo.experiments.bench.sweep import Planned, SweepOutcome

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    help="Benchmarks: run suites, report them, say whether two results differ.",
)

SAFE_METHODS = "safe"
"""Stands for every native method that certifies each of its trials."""
NATIVE_METHODS = "native"
"""Stands for every method of safebo itself, the unsafe baselines among them."""


@dataclass(frozen=True)
class SweepOptions:
    """What is run, how long, where, and by whom."""

    methods: Annotated[
        str,
        typer.Option(
            help="Names with commas, as `safebo bench list` has them; `safe`: every native method that certifies its "
            "trials; `native`: all of safebo's own; a Python file with a method of your own."
        ),
    ] = SAFE_METHODS
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every method, seeds 0, 1, ...")] = 10
    trials: Annotated[int | None, typer.Option(min=1, help="Of a run. [default: the task's]")] = None
    out: Annotated[Path, typer.Option(metavar="DIR", help="Results; a sweep that was stopped goes on.")] = (
        Path("runs/bench")
    )
    workers: Annotated[int, typer.Option(min=1, help="Processes of this machine.")] = 2
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler instead, tcp://HOST:PORT.")
    ] = None
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Jobs that Slurm starts instead, `--workers` of them.")
    ] = False
    slurm_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Of dask_jobqueue.SLURMCluster: queue, account, walltime, memory, ..."
        ),
    ] = None
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Say how long it would take, and what is left out; run nothing."),
    ] = False
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before a sweep of more than an hour.")
    ] = False

    def executor(self) -> AbstractContextManager[Executor]:
        """Who does the runs."""
        from safebo.experiments.bench import pools

        if self.dask is not None and self.slurm:
            raise InputError("--dask and --slurm exclude each other")
        if self.dask is not None:
            return pools.dask(self.dask)
        if self.slurm:
            return pools.slurm(self.workers, _options(self.slurm_option or []))
        return pools.local(self.workers)


@app.command("run")
@with_options(SweepOptions)
def run_suite(
    options: SweepOptions,
    suite: Annotated[
        str,
        typer.Argument(
            help="Suites or tasks with commas, of installed packages too, or a Python file with a task of your own."
        ),
    ],
) -> None:
    """Run every method on every task, and keep each run in a file of its own.

    A task's seed decides its noise, its safe seeds and, where functions are drawn, the functions; methods differ in the
    acquisition alone. What is there already is not run again, so a sweep may be stopped (Ctrl-C ends it once what runs
    is done) and gone on with, by several machines at once when each takes other tasks; `safebo bench merge` joins them.

        safebo bench run synthetic-core --seeds 10 --trials 100 --out runs/core

        safebo bench run valley,island --methods safeopt,itl,gp_ucb,my_rule.py

        safebo bench run my_task.py --methods safe --dask tcp://scheduler:8786

    Exit codes: 0 all runs are done; 2 something asked for does not exist; 1 runs failed; 130 stopped by Ctrl-C.
    """
    from safebo.experiments.bench.estimate import estimate
    from safebo.experiments.bench.store import Store
    from safebo.experiments.bench.sweep import plan
    from safebo.experiments.bench.tasks import suite as tasks_of

    where = options.executor()
    console = Screen(stderr=not options.estimate)
    names = _methods(options.methods)
    tasks = tasks_of(suite)
    refused: dict[tuple[str, str], str] = {}
    planned = plan(tasks, names, range(options.seeds), options.trials, refused)
    for (task, method), why in refused.items():
        console.print(f"left out: {method} on {task}: {why}")
    store = Store(options.out)
    seconds, known = estimate(store, planned, options.workers)
    console.print(
        f"{len(planned)} runs: {len(tasks)} tasks, {len(names)} methods, {options.seeds} seeds; "
        f"about {_span(seconds)} on {options.workers} workers ({known})",
    )
    if options.estimate:
        return
    if seconds > 3600 and not options.yes and sys.stdin.isatty() and not typer.confirm("Go on?"):
        raise typer.Exit(1)
    left_out = [{"task": task, "method": method, "why": why} for (task, method), why in refused.items()]
    store.add_plan(
        {
            "suite": suite,
            "tasks": list(tasks),
            "methods": names,
            "seeds": options.seeds,
            "trials": options.trials,
            "left_out": left_out,
        }
    )
    began = time.monotonic()
    outcome = _sweep(store, planned, where, options.workers, console)
    _say(console, outcome, time.monotonic() - began)
    if outcome.stopped:
        console.print(f"stopped; go on with the same command, --out {options.out}")
        raise typer.Exit(130)
    console.print(f"Next: safebo bench report {options.out}")
    if outcome.failed:
        raise typer.Exit(1)


def _sweep(
    store: Store,
    planned: Sequence[Planned],
    where: AbstractContextManager[Executor],
    workers: int,
    console: Screen,
) -> SweepOutcome:
    """The runs under a bar of progress; Ctrl-C ends them."""
    from safebo.experiments.bench.sweep import SweepOutcome, sweep

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress, where as executor, StopRequest() as stop:
        line, outcome = progress.add_task("runs", total=len(planned)), SweepOutcome()

        def tell(one: Planned, _seconds: float) -> None:
            progress.update(line, completed=outcome.ended, description=f"{one.task} {one.method}"[:36])

        sweep(store, planned, executor, tell, lambda: stop.requests, workers, outcome)
        progress.update(line, completed=outcome.ended)
        if stop.at_once:
            _leave(executor)
    return outcome


def _say(console: Screen, outcome: SweepOutcome, took: float) -> None:
    """What became of a sweep of that many seconds."""
    for one, why in outcome.failed.items():
        what = f": {one.method} on {one.task}, seed {one.job.seed}: {why}"
        console.print(Text.assemble(("failed", "red"), what))
    if outcome.lost:
        console.print(f"{outcome.lost} runs lost their worker and were run again")
    console.print(
        f"{outcome.done} runs done in {_span(took)}, {outcome.skipped} were there, {len(outcome.failed)} failed; "
        f"{outcome.seconds / max(took, 1e-9):.2f} workers' time a second",
    )


def _leave(executor: Executor) -> None:
    """End at once: what runs is killed, and nothing of it is kept."""
    executor.shutdown(wait=False, cancel_futures=True)
    os.killpg(os.getpgrp(), signal.SIGTERM) if os.getpgrp() == os.getpid() else os._exit(130)


def _methods(text: str) -> list[str]:
    from safebo.experiments.bench.contestants import contestant
    from safebo.study.methods import METHODS

    found: list[str] = []
    for part in text.split(","):
        part = part.strip()
        if part in (SAFE_METHODS, NATIVE_METHODS):
            chosen = [n for n, m in METHODS.items() if m.safety == "certified" or part == NATIVE_METHODS]
            found += [name for name in chosen if name not in found]
        elif part:
            contestant(part)
            found.append(part)
    return found


def _options(given: list[str]) -> dict[str, object]:
    options: dict[str, object] = {}
    for entry in given:
        key, separator, value = entry.partition("=")
        if not separator or not key:
            raise InputError(f"--slurm-option {entry!r}: expected KEY=VALUE, for example queue=long")
        options[key] = int(value) if value.isdigit() else value
    return options


def _span(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@app.command("list")
def list_all() -> None:
    """Suites, their tasks, tasks of installed packages, and the methods that can take part."""
    from safebo.experiments.bench.external import EXTERNAL
    from safebo.experiments.bench.package_tasks import listed
    from safebo.experiments.bench.tasks import SUITES, own, problem_named
    from safebo.study.methods import METHODS

    console = Screen()
    for name, tasks in SUITES.items():
        trials = ", ".join(f"{task} ({problem_named(task).trials})" for task in tasks)
        console.print(Text.assemble((name, "bold"), f": {trials}"), soft_wrap=True)
    for name, what, runs in listed(own):
        told = Text.assemble((name, "bold"), f": {what}") if runs else Text(what, "red")
        console.print(told, soft_wrap=True)
    rows = [
        *((m.name, m.safety, m.summary) for m in METHODS.values()),
        *((one.name, "unsafe", f"{one.summary} ({one.package})") for one in EXTERNAL.values()),
    ]
    for method, safety, summary in rows:
        console.print(f"{method:18s} {safety:10s} {summary}", soft_wrap=True)


@app.command("merge")
def merge_folders(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Takes the runs.")],
    sources: Annotated[list[Path], typer.Argument(metavar="FROM...", help="Folders of other machines.")],
) -> None:
    """Join the results of several machines."""
    from safebo.experiments.bench.store import merge

    say(f"{merge(target, sources)} runs copied into {target}")


register(app)

if __name__ == "__main__":
    app()
