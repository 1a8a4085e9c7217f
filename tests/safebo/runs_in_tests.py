"""Runs of the closed-form study with a tuner that needs no torch, and what they left."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from closed_form_runs import STUDY, HashTuner

from safebo.experiments.robustness.killed_runs import comparable
from safebo.runs.result import RunResult
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study


def tune(folder: Path, text: str = STUDY, **changes: Any) -> RunResult:
    """A run on threads of this process, with the tuner that needs no torch."""
    workers = max(changes.get("workers") or 2, 1)
    with ThreadPoolExecutor(workers) as executor:
        return run(
            parse_study(text), folder, **{"make_tuner": HashTuner, "executor": executor, "seed": 3, **changes}
        )


def tune_in_processes(folder: Path, text: str = STUDY, **changes: Any) -> RunResult:
    return run(parse_study(text), folder, **{"make_tuner": HashTuner, "seed": 3, **changes})


def trials_of(folder: Path) -> list[Any]:
    with Journal.open(folder, read_only=True) as journal:
        return [comparable(record) for record in journal.records()]


def events_of(folder: Path) -> list[str]:
    with Journal.open(folder, read_only=True) as journal:
        return [event.kind for event in journal.events()]
