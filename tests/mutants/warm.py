"""What is imported once and shared by all mutants of a room: heavy libraries, and modules that no mutant reaches."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

LIBRARIES = (
    "torch",
    "numpy",
    "sqlalchemy",
    "numba",
    "pytest",
    "xdist.plugin",
    "hypothesis",
    "hypothesis.strategies",
)
"""Of all rooms; a room's own are found by running its tests."""


def import_libraries(names: Sequence[str] = LIBRARIES) -> None:
    """Import them; those that are not installed are left out."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def import_untouched(root: Path, modules: Collection[str], run_tests: Callable[[], str]) -> str:
    """Import what the tests use and what imports none of the mutated modules: libraries, and modules of the house.

    Args:
        root: of the repository.
        modules: that are mutated.
        run_tests: runs the room's tests on the unchanged modules and says what is wrong with them.

    Returns:
        What is wrong with them; empty when they pass.
    """
    said, names = _asked_in_a_fork(root, modules, run_tests)
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    present = set(modules) & set(sys.modules)
    if present:
        raise RuntimeError(f"imported before they are mutated: {', '.join(sorted(present))}")
    return said


def _asked_in_a_fork(
    root: Path, modules: Collection[str], run_tests: Callable[[], str]
) -> tuple[str, list[str]]:
    """What the tests say, and the names to import, from a process that imports everything and then ends."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said: tuple[str, list[str]] = ("no tests were run", [])
        try:
            os.close(reading)
            before = set(sys.modules)
            wrong = run_tests()
            house = house_imports(root)
            libraries = [name for name in sys.modules if name not in before and not _of(root, name)]
            said = (wrong, libraries + untouched(house, modules))
        finally:
            with os.fdopen(writing, "w") as pipe:
                json.dump(said, pipe)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        wrong, names = json.load(pipe)
    os.waitpid(pid, 0)
    return wrong, names


def _of(root: Path, name: str) -> bool:
    """Whether a loaded module is of the repository; one without a file, or of this package, counts as such."""
    file = getattr(sys.modules[name], "__file__", None)
    if file is None:
        return True
    return Path(file).is_relative_to(root) and "site-packages" not in Path(file).parts


def house_imports(root: Path) -> dict[str, set[str]]:
    """Loaded modules of the repository, tests aside, in the order of loading, and what each imports."""
    graph: dict[str, set[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or not file.endswith(".py") or name == "__main__":
            continue
        path = Path(file)
        inside = path.is_relative_to(root) and not path.is_relative_to(root / "tests")
        if inside and "site-packages" not in path.parts:
            graph[name] = imported_names(path.read_text(encoding="utf-8")) | _packages_above(name)
    return graph


def imported_names(source: str) -> set[str]:
    """Absolute names of what a source imports, at any depth; attributes of modules among them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names | {above for name in names for above in _packages_above(name)}


def _packages_above(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:k]) for k in range(1, len(parts))}


def untouched(graph: Mapping[str, Collection[str]], modules: Collection[str]) -> list[str]:
    """The modules of a graph from which none of `modules` can be reached, in the graph's order."""
    touched = set(modules)
    while True:
        more = {name for name, imports in graph.items() if name not in touched and touched & set(imports)}
        if not more:
            return [name for name in graph if name not in touched]
        touched |= more
