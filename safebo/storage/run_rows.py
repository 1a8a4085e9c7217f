"""A run in its table: what it begins with, written; and its row, verified and read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from safebo.errors import JournalError
from safebo.storage import chain, tables
from safebo.storage.database import altered_errors, damaged, readable_errors, to_json
from safebo.storage.location import JournalLocation
from safebo.storage.prior_trials import PriorTrials, insert_prior
from safebo.storage.records import TAKEN_ROUND, RunInfo, TakenTrials
from safebo.storage.rows import event_row, measurement_rows, trial_row
from safebo.study import Study

FORMAT = 3
"""With a chain of digests; a version that knows of none would write past it, so it must not open it."""
OLD_FORMATS = (1, 2)
"""Without and with a prior; the first opening for writing begins their chain and makes them the present format."""


def insert_run(
    connection: sa.Connection, run: RunInfo, prior: PriorTrials | None, taken: TakenTrials | None
) -> None:
    """Write what a run begins with, and begin its chain."""
    connection.execute(tables.runs.insert(), {"format": FORMAT, **_run_columns(run)})
    if prior is not None:
        insert_prior(connection, run.run, prior)
    for table, row in [] if taken is None else _taken_rows(taken):
        connection.execute(table.insert(), {"run": run.run, **row})
    chain.checkpoint(connection, run.run)


def select_run(connection: sa.Connection, location: JournalLocation) -> tuple[RunInfo, int]:
    """The run that is kept there, and the format of its journal, verified where that has a chain.

    Raises:
        JournalError: the record is damaged, holds another run, or is of a version that this one cannot read.
    """
    place = location.place
    if connection.dialect.name == "sqlite":
        verdict = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar()
        if verdict != "ok":
            raise JournalError(damaged(place, str(verdict)))
    query = sa.select(tables.runs)
    if location.run is not None:
        query = query.where(tables.runs.c.run == location.run)
    rows = connection.execute(query).mappings().all()
    if not rows and location.run is not None:
        raise JournalError(
            f"{place}: this database does not hold the run of {location.folder} (key {location.run})"
        )
    if len(rows) != 1:
        raise JournalError(damaged(place, f"it describes {len(rows)} runs instead of one"))
    row = rows[0]
    if row["format"] not in (FORMAT, *OLD_FORMATS):
        raise JournalError(
            f"{place}: written in format {row['format']}, this version reads formats "
            f"{', '.join(map(str, OLD_FORMATS))} and {FORMAT}"
        )
    if row["format"] == FORMAT:
        with altered_errors(place):
            chain.verify(connection, row["run"])
    return run_from_row(row, place), row["format"]


def renew_format(connection: sa.Connection, run: str, found: int, place: str) -> None:
    """Make a journal of the format `found` one of the present format.

    It takes the write lock in any case, so that a read-only journal is noticed before a trial runs.
    """
    connection.execute(tables.runs.update().where(tables.runs.c.run == run).values(format=FORMAT))
    if found != FORMAT:
        tables.metadata.create_all(connection)
        with readable_errors(place, "read"):
            chain.checkpoint(connection, run)


def _taken_rows(taken: TakenTrials) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """The rows of an earlier run's trials, told before the first round, and the event that says where they are from."""
    for trial, measurement in taken.told:
        yield tables.trials, trial_row(trial, TAKEN_ROUND, "told")
        yield from measurement_rows(trial.id, measurement)
    yield tables.events, event_row("taken", taken.text, None, taken.data)


def _run_columns(run: RunInfo) -> dict[str, Any]:
    return {
        "run": run.run,
        "name": run.name,
        "study_text": run.study_text,
        "study": run.study.model_dump_json(),
        "declared": run.declared.model_dump_json(),
        "study_hash": run.study_hash,
        "source": run.source,
        "seed": run.seed,
        "trials": run.trials,
        "workers": run.workers,
        "versions": to_json(run.versions),
        "created_at": run.created_at.isoformat(),
    }


def run_from_row(row: Mapping[Any, Any], place: str) -> RunInfo:
    """The run that a row describes; `place` is named when it cannot be read."""
    try:
        study, declared = _study(row["study"]), _study(row["declared"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise JournalError(
            f"{place}: this version cannot read the run's study ({where}: {first['msg']}); "
            f"it was written by safebo {json.loads(row['versions']).get('safebo', 'of another version')}"
        ) from error
    return RunInfo(
        run=row["run"],
        name=row["name"],
        study=study,
        declared=declared,
        study_text=row["study_text"],
        study_hash=row["study_hash"],
        source=row["source"],
        seed=row["seed"],
        trials=row["trials"],
        workers=row["workers"],
        versions=json.loads(row["versions"]),
        created_at=datetime.fromisoformat(row["created_at"]),
    )


def _study(text: str) -> Study:
    """A study as it was kept; one that was kept before `tuner.rounding` was a key rounds to digits."""
    study = Study.model_validate_json(text)
    if "rounding" in study.tuner.model_fields_set:
        return study
    return study.model_copy(update={"tuner": study.tuner.model_copy(update={"rounding": "digits"})})
