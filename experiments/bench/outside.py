"""Optimizers that a user would pick instead, each through its own package: unsafe, and shown as such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.tasks.task import Task


@dataclass(frozen=True)
class Outside:
    """An optimizer of another package.

    Args:
        name: in results.
        package: that has to be installed.
        summary: in one line.
    """

    name: str
    package: str
    summary: str


OUTSIDE: dict[str, Outside] = {}


def outside_proposals(task: Task, name: str, seed: int) -> Any:
    """The optimizer on a task."""
    raise NotImplementedError
