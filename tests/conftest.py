"""One thread for linear algebra in every test process, as `make test` has it: two workers that use all cores each stand
in each other's way, and small matrices are faster on one.

The order of the tests keeps two workers busy. Each begins with half of the list and takes over from the other's end
when it is done. Where nothing is compiled yet, whoever walks a robot first compiles its controller for most of a
minute: so all tests with robots are in the first half, and nobody else needs them before they are compiled.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

WITH_ROBOTS = (
    "robots/test_walking",  # compiles the controller, in one process
    "hardware/test_faults",
    "hardware/test_process_faults",
    "hardware/test_rehearsal",
    "hardware",
    "robots",
    "e2e",
    "experiments",
)
WITHOUT = ("safebo",)
"""Beginnings of file names in the order in which they are run: what takes long comes first."""

HERE = Path(__file__).parent


class _OfThisTree(importlib.metadata.Distribution):
    """The installed package with the entry points that this tree declares: an editable install keeps those of the day
    it was made, and knows no command that was added since.
    """

    def __init__(self, installed: importlib.metadata.Distribution) -> None:
        project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
        groups = {"console_scripts": project["scripts"], **project["entry-points"]}
        lines = [
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in of.items()) for group, of in groups.items()
        ]
        self._installed, self._entry_points = installed, "\n".join(lines)

    def read_text(self, filename: str) -> str | None:
        return self._entry_points if filename == "entry_points.txt" else self._installed.read_text(filename)

    def locate_file(self, path: Any) -> Any:
        return self._installed.locate_file(path)


class _Finder(importlib.metadata.DistributionFinder):
    """Finds that package before the installed one."""

    def __init__(self) -> None:
        self._found = _OfThisTree(importlib.metadata.distribution("safebo"))

    def find_distributions(self, context: Any = None) -> Iterator[importlib.metadata.Distribution]:
        if context is None or context.name in (None, "safebo"):
            yield self._found

    def find_spec(self, *arguments: Any) -> None:
        return None


sys.meta_path.insert(0, _Finder())


def place(item: pytest.Item, names: tuple[str, ...]) -> int:
    """Where in an order a test is, at its end when it is not named."""
    file = os.path.relpath(item.path, HERE)
    return next((place for place, name in enumerate(names) if file.startswith(name)), len(names))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    walking = sorted(
        (item for item in items if place(item, WITH_ROBOTS) < len(WITH_ROBOTS)),
        key=lambda item: place(item, WITH_ROBOTS),
    )
    others = sorted(
        (item for item in items if place(item, WITH_ROBOTS) == len(WITH_ROBOTS)),
        key=lambda item: place(item, WITHOUT),
    )
    half = (len(items) + 1) // 2
    items[:] = walking + others[half:] + others[:half]
