"""One thread for linear algebra in every test process, as `make test` has it: two workers that use all cores each stand
in each other's way, and small matrices are faster on one.

The order of the tests keeps two workers busy. Each begins with half of the list and takes over from the other's end
when it is done. Where nothing is compiled yet, whoever walks a robot first compiles its controller for most of a
minute: so all tests with robots are in the first half, and nobody else needs them before they are compiled.
"""

from __future__ import annotations

import os
from pathlib import Path

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
    "e2e/test_main_job",
    "experiments/test_shipped_studies",
    "experiments/test_hostile_inputs",
)
WITHOUT = (
    "experiments",
    "e2e",
    "safebo",
)
"""Beginnings of file names in the order in which they are run: what takes long comes first."""

HERE = Path(__file__).parent


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
