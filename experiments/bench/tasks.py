"""Tasks by name, and the suites that they form."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import ModuleType

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.bench import package_tasks
from safebo.experiments.bench.function_problem import FunctionProblem
from safebo.experiments.bench.problem import BenchProblem
from safebo.experiments.bench.studies import STUDIES, problem_of_file, shipped_problem
from safebo.experiments.bench.user_files import from_file
from safebo.experiments.tasks import BELIEFS, DIMENSIONS, TASKS, task_named

DRAWN = {
    "safeopt-1d": 100,
    "safeopt-2d": 100,
    **{f"gp-{d}d-{belief}": 100 for d in DIMENSIONS for belief in BELIEFS},
}
"""Tasks whose functions are drawn anew for every seed, and their trials."""

FIXED = tuple(TASKS)
"""Tasks of one function each."""

SUITES: dict[str, tuple[str, ...]] = {
    "synthetic-core": ("valley", "island", "safeopt-1d", "safeopt-2d", "gp-1d-right", "gp-2d-right"),
    "synthetic": (
        "valley",
        "island",
        "safeopt-1d",
        "safeopt-2d",
        *(f"gp-{d}d-{belief}" for d in DIMENSIONS for belief in ("right", "long")),
        *(f"gp-{d}d-{belief}" for d in (1, 2) for belief in ("quiet", "tails")),
        "camelback",
        "hartmann6",
        "gaussian10",
    ),
    "control": ("quadcopter", "pendulum", "gosafeopt-toy", "cartpole", "furuta"),
    "plants": ("motor", "reactor", "aircraft"),
    "legged": ("go1-paper", "go1-mpc", "go2-mpc", "go1-trot-heavy"),
}
SUITES["all"] = (*SUITES["synthetic"], *SUITES["control"], *SUITES["plants"], *SUITES["legged"])
"""Tasks of every suite.

- `synthetic-core`: six on grids, published and drawn
- `synthetic`: those, test functions, and functions drawn in 1 to 10 inputs under right and wrong priors
- `control`: plants that are simulated
- `plants`: a motor's cascade, and linear models of industrial plants
- `legged`: quadrupeds: gaits one after the other, gains of model-predictive control, a heavy and weak robot
- `all`: all of these
"""


def suite(name: str) -> tuple[str, ...]:
    """Tasks of a suite, of several with commas, of one task's name, or of a user's own file.

    Raises:
        UnknownNameError: no suite and no task has that name.
    """
    found: list[str] = []
    for part in name.split(","):
        part = part.strip()
        if part in SUITES:
            found += [task for task in SUITES[part] if task not in found]
        else:
            problem_named(part)
            found.append(part)
    return tuple(found)


@lru_cache(maxsize=64)
def problem_named(name: str) -> BenchProblem:
    """The task of that name, of safebo or of an installed package, or that a Python or a study's YAML file defines.

    Raises:
        UnknownNameError: no task has that name. InputError: a file or an entry point that defines none.
    """
    if name.endswith(".py"):
        return _of_file(Path(name))
    if name.endswith((".yaml", ".yml")):
        return problem_of_file(Path(name))
    if name in STUDIES:
        return shipped_problem(name)
    if name in DRAWN:
        make = lru_cache(maxsize=4)(lambda seed: task_named(f"{name}-{seed}"))
        return FunctionProblem(name, make, DRAWN[name])
    if name in FIXED:
        task = task_named(name)
        return FunctionProblem(name, lambda _seed: task, task.trials)
    packaged = package_tasks.found()
    if name in packaged:
        return package_tasks.problem_of_package(name)
    raise UnknownNameError("task or suite", name, [*SUITES, *FIXED, *DRAWN, *STUDIES, *packaged])


def own(name: str) -> bool:
    """Whether safebo itself has a task or a suite of that name."""
    return name in SUITES or name in STUDIES or name in DRAWN or name in FIXED


def _of_file(path: Path) -> BenchProblem:
    """The task in a user's own file: `task`, a `Task` or a function of the seed that gives one."""

    def found(module: ModuleType) -> BenchProblem:
        try:
            problem = package_tasks.problem_of(getattr(module, "task", None))
        except InputError as error:
            raise InputError(f"`task`: {error}") from error
        if own(problem.name):
            raise InputError(f"`task` is named {problem.name!r}, as a task of safebo's own is: rename it")
        return problem

    return from_file(path, "task", found)
