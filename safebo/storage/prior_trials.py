"""Trials of another run that inform this one, as its journal keeps them: a copy, so that the other may go.

What is modelled of a trial is copied: gains, context, objective, margins and outcome. States and telemetry stay where
they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from safebo.errors import JournalError
from safebo.storage.database import to_json
from safebo.storage.rows import measurement_columns, measurement_from_row, trial_columns, trial_from_row
from safebo.storage.tables import metadata
from safebo.types import Measurement, Trial

prior_runs = sa.Table(
    "prior_runs",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("prior_run", sa.String(32), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("study", sa.Text, nullable=False),
    sa.Column("differences", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)

prior_trials = sa.Table(
    "prior_trials",
    metadata,
    sa.Column("run", sa.ForeignKey("prior_runs.run"), primary_key=True),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("context_name", sa.Text, nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("objective", sa.Double),
    sa.Column("margins", sa.Text, nullable=False),
    sa.Column("fell", sa.Boolean, nullable=False),
)

ENDED_EARLY = ""
"""Among the margins of a trial that ended early or walked scenarios: its further numbers. No margin's name is blank."""

_TRIAL = ("parameters", "context", "context_name", "phase")
_MEASUREMENT = ("outcome", "objective", "margins", "fell")

# What a copy does not keep and no surrogate reads.
_REST: dict[str, Any] = {
    "seed": 0,
    "certified": False,
    "predicted": "{}",
    "reason": "",
    "trigger_rule": None,
    "trigger_guarantee": False,
    "backup_time": None,
    "backup_state": None,
    "true_objective": None,
    "true_margins": None,
    "telemetry": None,
    "duration": 0.0,
    "message": "",
    "extra": "{}",
}


@dataclass(frozen=True)
class PriorTrials:
    """Told trials of another run.

    Args:
        run: key of that run in its journal.
        source: its folder, an absolute path, for people.
        study: name of its study.
        differences: in what its study differs from this run's, `key: there -> here`, for people.
        rows: of the trials in the order of their ids, as the columns of the table.
    """

    run: str
    source: str
    study: str
    differences: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def records(self) -> list[tuple[Trial, Measurement | None]]:
        """The trials as `Tuner.take_prior` takes them."""
        whole = [{**_REST, **_whole(row)} for row in self.rows]
        return [(trial_from_row(row), measurement_from_row(row, None)) for row in whole]

    @property
    def digest(self) -> str:
        """SHA-256 of all rows, hexadecimal."""
        return hashlib.sha256(
            json.dumps([dict(row) for row in self.rows], sort_keys=True).encode()
        ).hexdigest()


def prior_rows(told: Sequence[tuple[Trial, Measurement]]) -> tuple[Mapping[str, Any], ...]:
    """What is kept of told trials."""
    rows = []
    for trial, measurement in told:
        columns = {**trial_columns(trial), **measurement_columns(measurement)}
        row = {"id": trial.id, **{name: columns[name] for name in (*_TRIAL, *_MEASUREMENT)}}
        if measurement.ended or measurement.scenarios:
            # What a trial that ended early did not show is not told, and scenarios may be told one by one; the
            # column is the only one that may grow.
            row["margins"] = to_json({**measurement.margins, ENDED_EARLY: json.loads(columns["extra"])})
        rows.append(row)
    return tuple(rows)


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with such further numbers in their own column."""
    margins = json.loads(row["margins"])
    extra = margins.pop(ENDED_EARLY, None)
    return dict(row) if extra is None else {**row, "margins": to_json(margins), "extra": to_json(extra)}


def insert_prior(connection: sa.Connection, run: str, prior: PriorTrials) -> None:
    """Write the copy of another run's trials."""
    head = {
        "run": run,
        "prior_run": prior.run,
        "source": prior.source,
        "study": prior.study,
        "differences": to_json(list(prior.differences)),
        "digest": prior.digest,
    }
    connection.execute(prior_runs.insert(), head)
    if prior.rows:
        connection.execute(prior_trials.insert(), [{"run": run, **row} for row in prior.rows])


def select_prior(connection: sa.Connection, run: str) -> PriorTrials | None:
    """Read the copy; None for a run without a prior, and for a journal that is older than priors.

    Raises:
        JournalError: it is not what was written.
    """
    if not sa.inspect(connection).has_table(prior_runs.name):
        return None
    head = connection.execute(sa.select(prior_runs).where(prior_runs.c.run == run)).mappings().one_or_none()
    if head is None:
        return None
    query = sa.select(prior_trials).where(prior_trials.c.run == run).order_by(prior_trials.c.id)
    names = ("id", *_TRIAL, *_MEASUREMENT)
    rows = tuple({name: row[name] for name in names} for row in connection.execute(query).mappings())
    prior = PriorTrials(
        head["prior_run"], head["source"], head["study"], tuple(json.loads(head["differences"])), rows
    )
    if prior.digest != head["digest"]:
        raise JournalError(f"the {len(rows)} trials of its prior ({prior.source}) were changed")
    return prior
