"""Tasks of installed packages: a laboratory's own, found by the entry point `safebo.tasks`.

In the package's pyproject.toml:

    [project.entry-points."safebo.tasks"]
    acme-arm = "acme.tasks:arm"

The value is a `Task`, a function of a run's seed that gives one, or a `BenchProblem`; in results it has the entry
point's name. A task that cannot be loaded is said where it is asked for, and stops nothing else.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from safebo.errors import InputError
from safebo.experiments.bench.function_problem import FunctionProblem
from safebo.experiments.bench.problem import BenchProblem
from safebo.experiments.tasks.check import checked
from safebo.experiments.tasks.task import Task

ENTRY_POINTS = "safebo.tasks"

EXPECTED = (
    "expected is a safebo.experiments.tasks.Task, a function of the seed (a whole number) that gives one, or a "
    "BenchProblem"
)


def found() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """Entry points by the task's name, sorted; more than one where packages disagree."""
    names: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        names.setdefault(point.name, []).append(point)
    return dict(sorted(names.items()))


def words(point: importlib.metadata.EntryPoint) -> str:
    """The entry point as its package wrote it: `acme-arm = acme.tasks:arm of acme 1.0`."""
    package = "an unnamed package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    return f"{point.name} = {point.value} of {package}"


def problem_of_package(name: str) -> BenchProblem:
    """The task that a package has under that name; there is one (see `found`).

    Raises:
        InputError: two packages have it, or it cannot be loaded, or it is no task.
    """
    points = found()[name]
    if len(points) > 1:
        raise InputError(
            f"task {name}: {len(points)} entry points have that name ({'; '.join(map(words, points))}): remove or "
            "rename one"
        )
    (point,) = points
    try:
        given = point.load()
        return problem_of(given, name)
    except Exception as error:
        why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}; {EXPECTED}"
        raise InputError(f"task {name}: entry point {words(point)}: {why}") from error


def problem_of(given: Any, name: str | None = None) -> BenchProblem:
    """A task that a person wrote, as a problem of a suite.

    Args:
        given: see `EXPECTED`.
        name: in results; the task's own when None.

    Raises:
        InputError: it is something else, or the task of seed 0 cannot be what it says.
    """
    if isinstance(given, type):
        raise InputError(f"it is the class {given.__name__}, not an object; {EXPECTED}")
    first = given if isinstance(given, BenchProblem | Task) else given(0) if callable(given) else given
    if isinstance(first, BenchProblem):
        if name is not None and first.name != name:
            raise InputError(f"it calls itself {first.name!r}: name and entry point must agree")
        return first
    if not isinstance(first, Task):
        raise InputError(f"it gives a value of type {type(first).__name__}; {EXPECTED}")

    def make(seed: int) -> Task:
        return checked(given(seed) if callable(given) else first, seed)

    make(0)
    return FunctionProblem(name or first.name, lru_cache(maxsize=4)(make), first.trials)


def listed(taken: Callable[[str], bool]) -> Iterator[tuple[str, str, bool]]:
    """Every task of a package: its name, what there is to say of it, and whether it can be run.

    Args:
        taken: whether safebo has a task of that name itself, which then counts.
    """
    for name, points in found().items():
        said = "; ".join(map(words, points))
        if taken(name):
            yield name, f"{said}: not used, safebo has a task of that name; rename the entry point", False
            continue
        try:
            problem = problem_of_package(name)
        except InputError as error:
            yield name, str(error), False
        else:
            yield name, f"{problem.trials} trials, {said}", True
