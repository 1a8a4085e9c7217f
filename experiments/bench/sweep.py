"""Doing every run that is not there yet, whoever does it, and counting what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field

from safebo.errors import InputError
from safebo.experiments.bench.contestants import Contestant, contestant, file_hash
from safebo.experiments.bench.jobs import Job, do
from safebo.experiments.bench.pools import WorkerLostError
from safebo.experiments.bench.store import Store
from safebo.experiments.bench.tasks import problem_named

ATTEMPTS = 3
"""A run whose worker was lost so often is given up: something in it kills workers."""

AHEAD = 4
"""Jobs given to the executor beyond those that run, so that one that ends is followed at once."""


@dataclass(frozen=True)
class Planned:
    """A run that is asked for.

    Args:
        job: what to do.
        task, method: names in results.
    """

    job: Job
    task: str
    method: str


@dataclass
class SweepOutcome:
    """What became of a sweep.

    Args:
        done: runs done now. skipped: that were there already.
        failed: runs that raised or lost their worker, with words.
        lost: workers that died.
        stopped: whether it was asked to end before its end.
        seconds: of work, over all workers.
    """

    done: int = 0
    skipped: int = 0
    failed: dict[Planned, str] = field(default_factory=dict)
    lost: int = 0
    stopped: bool = False
    seconds: float = 0.0

    @property
    def ended(self) -> int:
        """Runs that were there, are done now, or have failed."""
        return self.skipped + self.done + len(self.failed)


def plan(
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    trials: int | None,
    refused: dict[tuple[str, str], str],
) -> list[Planned]:
    """Every run of a sweep: all methods of a task and seed close together, so that early results compare.

    Args:
        tasks: names or files.
        methods: names or files.
        seeds: of the runs.
        trials: for every task; None for each task's own number.
        refused: takes what does not go together.

    Raises:
        UnknownNameError: a task or method that does not exist.
        InputError: two methods or two tasks of one name.
    """
    chosen: list[tuple[str, Contestant]] = [(text, contestant(text)) for text in methods]
    names = [c.name for _, c in chosen]
    if len(set(names)) < len(names):
        raise InputError(f"methods: {max(names, key=names.count)} is named twice")
    problems = [(text, problem_named(text)) for text in tasks]
    called = [problem.name for _, problem in problems]
    if len(set(called)) < len(called):
        twice = max(called, key=called.count)
        given_as = ", ".join(text for text, problem in problems if problem.name == twice)
        raise InputError(
            f"tasks: {given_as} would all be {twice!r} in the results; name each once, or rename one"
        )
    found = []
    for seed in seeds:
        for text, problem in problems:
            for given, one in chosen:
                why = problem.refuses(given)
                if why:
                    refused[problem.name, one.name] = why
                    continue
                job = Job(text, given, seed, problem.trials if trials is None else trials)
                found.append(Planned(job, problem.name, one.name))
    return found


def sweep(
    store: Store,
    planned: Sequence[Planned],
    executor: Executor,
    tell: Callable[[Planned, float], None] = lambda _planned, _seconds: None,
    asked: Callable[[], int] = lambda: 0,
    width: int = 1,
    outcome: SweepOutcome | None = None,
) -> SweepOutcome:
    """Do the runs that are not in the store.

    Args:
        store: where results are and go.
        planned: all runs.
        executor: who does them.
        tell: called after every run with its seconds.
        asked: how often a person asked to stop: once, running runs are finished; twice, they are left.
        width: how many run at a time.
        outcome: that is filled in while it goes on.

    Raises:
        InputError: a result is there of another length, or of another definition of its task.
    """
    outcome = outcome or SweepOutcome()
    todo = [one for one in planned if not there(store, one)][::-1]
    outcome.skipped = len(planned) - len(todo)
    tries: dict[Planned, int] = {}
    running: dict[Future[bytes], tuple[Planned, float]] = {}
    while todo or running:
        if asked():
            outcome.stopped = True
            todo.clear()
            for future in list(running):
                if future.cancel():
                    del running[future]
            if asked() >= 2:
                break
        while todo and len(running) < width + AHEAD:
            one = todo.pop()
            tries[one] = tries.get(one, 0) + 1
            running[executor.submit(do, one.job)] = (one, time.monotonic())
        ended, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in ended:
            one, since = running.pop(future)
            if future.cancelled():
                continue
            _take(store, outcome, todo, tries, one, future, time.monotonic() - since, tell)
    return outcome


def _take(
    store: Store,
    outcome: SweepOutcome,
    todo: list[Planned],
    tries: dict[Planned, int],
    one: Planned,
    future: Future[bytes],
    waited: float,
    tell: Callable[[Planned, float], None],
) -> None:
    error = future.exception()
    if error is None:
        store.write(one.task, one.method, one.job.seed, future.result())
        outcome.done += 1
        facts = store.facts(one.task, one.method, one.job.seed) or {}
        seconds = float(facts.get("seconds", waited))
        outcome.seconds += seconds
        tell(one, seconds)
    elif _lost(error):
        outcome.lost += 1
        if tries[one] < ATTEMPTS:
            todo.append(one)
        else:
            outcome.failed[one] = f"its worker was lost {ATTEMPTS} times"
    else:
        outcome.failed[one] = f"{type(error).__name__}: {error}"
        tell(one, 0.0)


def _lost(error: BaseException) -> bool:
    """Whether a job failed only because its worker died (Dask's own exception has that name)."""
    return isinstance(error, WorkerLostError) or type(error).__name__ in ("KilledWorker", "CancelledError")


def there(store: Store, one: Planned) -> bool:
    """Whether a run's result is in the store.

    Raises:
        InputError: it is, of another number of trials or another definition of its task or method.
    """
    facts = store.facts(one.task, one.method, one.job.seed)
    if facts is None:
        return False
    path = store.path(one.task, one.method, one.job.seed)
    if int(facts["job"]["trials"]) != one.job.trials:
        raise InputError(
            f"{path}: has {facts['job']['trials']} trials, asked for are {one.job.trials}; take another --out"
        )
    if facts["task"] != problem_named(one.job.task).provenance():
        raise InputError(f"{path}: was made with another definition of task {one.task}; take another --out")
    if facts["method"].get("file_hash", "") != file_hash(contestant(one.job.method).file):
        raise InputError(f"{path}: was made with another text of {one.job.method}; take another --out")
    return True
