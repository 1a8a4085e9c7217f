"""What a run left behind, as `safebo.run` returns it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safebo.evaluators.outcome import was_unsafe
from safebo.runs.best_gains import BestGains
from safebo.storage.records import Record
from safebo.study import Study


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Args:
        folder: the run's folder.
        told: number of trials told.
        best: certified gains by context; contexts for which nothing is certified are missing.
        files: where they are kept, by context.
        unsafe: ids of certified trials that fell or measured a negative margin: the model was wrong there.
        left: why trials are left; empty where all are done.
        failed: how many of the told trials failed, and so say nothing about their gains.
    """

    folder: Path
    told: int
    best: dict[str, BestGains] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    unsafe: tuple[int, ...] = ()
    left: str = ""
    failed: int = 0


def unsafe_trials(records: Sequence[Record], study: Study) -> tuple[int, ...]:
    """Ids of certified trials that fell or measured a negative margin."""
    return tuple(
        record.trial.id
        for record in records
        if record.trial.certified and record.measurement is not None and was_unsafe(record.measurement, study)
    )


def failed_trials(records: Sequence[Record]) -> int:
    """How many trials failed without a fall: nothing is known of their gains."""
    told = (r.measurement for r in records if r.measurement is not None)
    return sum(m.outcome == "failed" and not m.fell for m in told)


def contexts_of(records: Sequence[Record], study: Study) -> list[str]:
    """Names of the contexts that were asked for, in the study's order."""
    asked = {record.trial.context_name for record in records}
    return [name for name in study.context.values if name in asked]
