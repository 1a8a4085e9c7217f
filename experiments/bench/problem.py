"""What a benchmark runs: a problem gives, for a method and a seed, one row per trial."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from safebo.experiments.bench.rows import ResultRow


@runtime_checkable
class BenchProblem(Protocol):
    """One task of a suite.

    Attributes:
        name: of the task, in results.
        trials: length of a run unless the user says otherwise.
    """

    name: str
    trials: int

    def provenance(self) -> dict[str, str]:
        """What identifies the task beyond its name: hash of its definition, where its optimum comes from."""

    def refuses(self, method: str) -> str:
        """Why this method cannot run here, in words; empty when it can."""

    def run(self, method: str, seed: int, trials: int) -> Iterator[ResultRow]:
        """One run.

        Args:
            method: a name as `safebo.experiments.bench.contestants` reads it.
            seed: decides the noise of every trial, whatever the method, and the method's own draws.
            trials: how many.
        """
