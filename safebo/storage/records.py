"""What a journal gives back: the run, its trials with what became of them, and its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from safebo.study import Study
from safebo.types import Measurement, PreferenceAnswer, Trial, TrialRecord


@dataclass(frozen=True)
class KeptAnswer:
    """What a person said of two trials, who it was and when."""

    answer: PreferenceAnswer
    by: str
    at: datetime


@dataclass(frozen=True)
class RunInfo:
    """What a run is.

    Args:
        run: its key in the journal.
        study: the study as it runs: what the file declares, with the evaluator's units and scales filled in.
        declared: the study as its file declares it.
        study_text: the file's text.
        study_hash: hash of what was declared; see `safebo.study.reading.study_hash`.
        source: where the study came from, for people.
        trials: the run's total number of trials, seeds included.
        workers: size of a round: how many trials are asked before the first of them is told.
        versions: of Python and the packages that decide the numbers.
    """

    run: str
    name: str
    study: Study
    declared: Study
    study_text: str
    study_hash: str
    source: str
    seed: int
    trials: int
    workers: int
    versions: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Record(TrialRecord):
    """One trial as the journal keeps it.

    `round` counts from 0; the trials of one round were all asked before the first of them was told.
    """

    asked_at: datetime
    told_at: datetime | None
    round: int


@dataclass(frozen=True)
class Event:
    """Something worth remembering that is neither an ask nor a tell."""

    at: datetime
    kind: str
    trial: int | None
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


TAKEN_ROUND = -1
"""The round of an earlier run's trials, before the first one of a run."""


@dataclass(frozen=True)
class TakenTrials:
    """Trials of an earlier run of the same robot with which a run begins.

    Args:
        told: they, with ids from 1 on.
        text: where they are from, for people.
        data: the same for programs.
    """

    told: tuple[tuple[Trial, Measurement], ...]
    text: str
    data: Mapping[str, Any]
