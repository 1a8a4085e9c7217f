"""The journal: the record of one run in SQL, SQLite in the run's folder by default.

Every ask and every tell is one transaction, on disk before the call returns (SQLite: write-ahead log with
`synchronous=FULL`). A trial is recorded as asked before it runs, so after a crash it is known what ran.

Reading::

    journal = Journal.open("runs/go1-trot", read_only=True)
    journal.run.study          # the study as it ran, with the evaluator's units and scales filled in
    for record in journal.records():
        record.trial, record.measurement, record.status
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from safebo.errors import JournalError
from safebo.storage import chain, tables
from safebo.storage.database import altered_errors, damaged, readable_errors
from safebo.storage.location import SQLITE_FILE, URL_FILE, JournalLocation
from safebo.storage.prior_trials import PriorTrials, select_prior
from safebo.storage.records import Event, KeptAnswer, Record, RunInfo, TakenTrials
from safebo.storage.rows import (
    answer_from_row,
    answer_row,
    event_from_row,
    event_row,
    measurement_rows,
    now,
    record_from_rows,
    trial_columns,
    trial_row,
)
from safebo.storage.run_rows import insert_run, renew_format, select_run
from safebo.storage.shared import Patience, parsed_url
from safebo.study import Study
from safebo.types import Measurement, PreferenceAnswer, Trial


class Journal(AbstractContextManager["Journal"]):
    """The record of one run. Make one with `Journal.create` or `Journal.open`; close it, or use it in `with`.

    One process writes (see `safebo.storage.run_lock`); any number may read at the same time.
    """

    def __init__(self, engine: sa.Engine, place: str, run: RunInfo, read_only: bool) -> None:
        self._engine = engine
        self._place = place
        self._mutex = threading.Lock()
        self.run = run
        self.read_only = read_only

    # -- making and opening ------------------------------------------------------------------------------

    @staticmethod
    def exists(folder: str | Path) -> bool:
        """Whether a folder holds a run."""
        folder = Path(folder)
        return (folder / SQLITE_FILE).exists() or (folder / URL_FILE).exists()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        study: Study,
        declared: Study,
        study_text: str,
        study_hash: str,
        source: str,
        seed: int,
        trials: int,
        workers: int = 1,
        versions: Mapping[str, str] | None = None,
        url: str | None = None,
        prior: PriorTrials | None = None,
        taken: TakenTrials | None = None,
    ) -> Journal:
        """Begin the record of a new run in an existing folder that holds none.

        Args:
            folder: the run's folder.
            study: the study as it runs, with the evaluator's units and scales filled in.
            declared: the study as its file declares it.
            study_text: the file's text.
            study_hash: hash of what was declared.
            source: where the study came from, for people.
            seed: the run's seed.
            trials: the run's total number of trials, seeds included.
            workers: how many trials are asked before the first of them is told.
            versions: of Python and the packages that decide the numbers.
            url: an SQLAlchemy URL of a database that many runs may share; None for SQLite in the folder. The
                password belongs in the database's own password file, not in the URL.
            prior: trials of another run that inform this one; they are copied.
            taken: told trials of an earlier run of the same robot, which become this one's first.

        Raises:
            JournalError: the record cannot be written.
        """
        folder = Path(folder)
        if cls.exists(folder):
            raise JournalError(f"{folder}: already holds a run")
        run = RunInfo(
            run=uuid.uuid4().hex,
            name=study.name,
            study=study,
            declared=declared,
            study_text=study_text,
            study_hash=study_hash,
            source=source,
            seed=seed,
            trials=trials,
            workers=workers,
            versions=dict(versions or {}),
            created_at=now(),
        )
        location = JournalLocation(folder, run.run, None if url is None else parsed_url(url))
        with location.new_engine() as engine:
            _make_tables(engine)
            with engine.begin() as connection:
                insert_run(connection, run, prior, taken)
        return cls(location.engine(read_only=False), location.place, run, read_only=False)

    @classmethod
    def open(cls, folder: str | Path, read_only: bool = False, url: str | None = None) -> Journal:
        """Open the record of a run.

        Args:
            folder: the run's folder.
            read_only: nothing will be written.
            url: where the run's shared database is now, or with which password it is reached; kept (without the
                password) from now on. None for what the folder says.

        Raises:
            InputError: a URL for a run that keeps its journal in its folder, or one that is none.
            NotARunError: the folder does not exist or holds no run.
            JournalError: the record is damaged, unreadable or (for writing) read-only.
        """
        location = JournalLocation.of(Path(folder), url)
        place, engine = location.place, location.engine(read_only)
        try:
            with readable_errors(place, "read"), _snapshot(engine) as connection:
                run, found = select_run(connection, location)
            if not read_only:
                with readable_errors(place, "write"), engine.begin() as connection:
                    renew_format(connection, run.run, found, place)
                if location.moved:
                    location.keep()
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, place, run, read_only)

    def close(self) -> None:
        """Close the database. What was written is already on disk."""
        self._engine.dispose()

    def __exit__(self, *unused: object) -> None:
        self.close()

    # -- writing -----------------------------------------------------------------------------------------

    def ask(self, trial: Trial, round: int) -> datetime:
        """Record a trial, in its round, before it runs; returns the time that is recorded with it."""
        row = trial_row(trial, round, "asked")
        self._write(lambda writer: writer.insert(tables.trials, row))
        return datetime.fromisoformat(row["asked_at"])

    def tell(self, trial_id: int, measurement: Measurement) -> None:
        """Record what a trial showed. A trial is told once; `unknown` trials may be told by a person."""

        def work(writer: chain.ChainedWriter) -> None:
            waits = tables.trials.c.status != "told"
            if not writer.update(tables.trials, (self.run.run, trial_id), waits, status="told"):
                raise JournalError(f"{self._place}: trial {trial_id} was not waiting for a result")
            _insert_measurement(writer, trial_id, measurement)

        self._write(work)

    def enter(self, trial: Trial, measurement: Measurement, round: int, by: str = "by a person") -> None:
        """Record a trial that the tuner did not choose together with what it showed, in one transaction."""

        def work(writer: chain.ChainedWriter) -> None:
            writer.insert(tables.trials, trial_row(trial, round, "told"))
            _insert_measurement(writer, trial.id, measurement)
            writer.insert(tables.events, event_row("entered", by, trial.id, {}))

        self._write(work)

    def mark_unknown(self, trial_id: int, text: str) -> None:
        """Record that a trial was asked and that only a person can say what became of it."""

        def work(writer: chain.ChainedWriter) -> None:
            asked = tables.trials.c.status == "asked"
            writer.update(tables.trials, (self.run.run, trial_id), asked, status="unknown")
            writer.insert(tables.events, event_row("unknown", text, trial_id, {}))

        self._write(work)

    def reopen(self, trial_id: int, text: str) -> None:
        """Record that a trial of which nobody knew how it ended waits for its result again."""

        def work(writer: chain.ChainedWriter) -> None:
            unknown = tables.trials.c.status == "unknown"
            writer.update(tables.trials, (self.run.run, trial_id), unknown, status="asked")
            writer.insert(tables.events, event_row("reopened", text, trial_id, {}))

        self._write(work)

    def edit(self, trial: Trial, text: str = "") -> None:
        """Record that a person changed a trial before it ran; an event keeps the old and the new one."""

        def work(writer: chain.ChainedWriter) -> None:
            query = self._rows(tables.trials).where(tables.trials.c.id == trial.id)
            old = writer.connection.execute(query).mappings().one_or_none()
            if old is None or old["status"] != "asked":
                raise JournalError(f"{self._place}: trial {trial.id} cannot be edited: it does not wait")
            data = {
                "before": {"parameters": json.loads(old["parameters"]), "certified": bool(old["certified"])},
                "after": {"parameters": dict(trial.parameters), "certified": trial.certified},
            }
            writer.update(tables.trials, (self.run.run, trial.id), **trial_columns(trial))
            writer.insert(tables.events, event_row("edited", text, trial.id, data))

        self._write(work)

    def note(
        self, kind: str, text: str, trial_id: int | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        """Record an event: `started`, `resumed`, `stopped`, `finished`, `failure`, `note`, ..."""
        self._write(lambda writer: writer.insert(tables.events, event_row(kind, text, trial_id, data or {})))

    def answer(self, answer: PreferenceAnswer, by: str) -> None:
        """Record what a person said of two trials, and who it was."""
        row = answer_row(answer, by)
        self._write(lambda writer: writer.insert(tables.answers, row))

    def set_trials(self, trials: int) -> None:
        """Change the run's total number of trials."""

        def work(writer: chain.ChainedWriter) -> None:
            writer.update(tables.runs, (self.run.run,), trials=trials)

        self._write(work)
        self.run = replace(self.run, trials=trials)

    # -- reading -----------------------------------------------------------------------------------------

    def records(self, states: bool = True) -> list[Record]:
        """Every trial in the order of its id, with what became of it.

        Args:
            states: whether to load the visited states (they are by far the largest part).
        """
        with self._reading() as connection:

            def by_trial(table: sa.Table) -> dict[int, sa.RowMapping]:
                return {row["trial"]: row for row in connection.execute(self._rows(table)).mappings()}

            query = self._rows(tables.trials).order_by(tables.trials.c.id)
            asked = connection.execute(query).mappings().all()
            told = by_trial(tables.measurements)
            visited = by_trial(tables.states) if states else {}
            for row in asked:
                if (row["status"] == "told") != (row["id"] in told):
                    raise JournalError(
                        damaged(self._place, f"trial {row['id']} is kept as {row['status']!r}")
                    )
            return [record_from_rows(row, told.get(row["id"]), visited.get(row["id"])) for row in asked]

    def events(self) -> list[Event]:
        """Everything that happened besides asks and tells, oldest first."""
        query = self._rows(tables.events).order_by(tables.events.c.id)
        with self._reading() as connection:
            return [event_from_row(row) for row in connection.execute(query).mappings()]

    def answers(self) -> list[KeptAnswer]:
        """What people said of pairs of trials, in the order asked; none where the objective is measured."""
        query = self._rows(tables.answers).order_by(tables.answers.c.number)
        with self._reading() as connection:
            if not sa.inspect(connection).has_table(tables.answers.name):
                return []
            return [answer_from_row(row) for row in connection.execute(query).mappings()]

    def prior(self) -> PriorTrials | None:
        """The trials of another run that inform this one; None where there are none.

        Raises:
            JournalError: they are not those that the run began with.
        """
        with self._reading() as connection:
            try:
                return select_prior(connection, self.run.run)
            except JournalError as error:
                raise JournalError(damaged(self._place, str(error))) from error

    def content(self) -> str | None:
        """SHA-256 of the run, its trials with what they showed, and its prior; events do not count.

        None for a journal of an older format, which has no digests.
        """
        with self._reading() as connection:
            return chain.content(connection, self.run.run)

    # -- inner parts -------------------------------------------------------------------------------------

    @cached_property
    def _patience(self) -> Patience:
        return Patience(self._engine)

    def _rows(self, table: sa.Table) -> sa.Select[Any]:
        return sa.select(table).where(table.c.run == self.run.run)

    def _write(self, work: Callable[[chain.ChainedWriter], None]) -> None:
        """Do some work in one transaction, again where the connection to a server was lost; see `Patience`."""
        if self.read_only:
            raise JournalError(f"{self._place}: opened for reading only")
        head = ""

        def attempt() -> None:
            nonlocal head
            with self._engine.begin() as connection:
                if head and chain.holds(connection, self.run.run, head):
                    return  # the attempt before was committed; only the server's answer was lost
                writer = chain.ChainedWriter(connection, self.run.run)
                work(writer)
                with altered_errors(self._place):
                    head = writer.link()

        with self._mutex, readable_errors(self._place, "write"):
            self._patience.do(attempt)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with (
            readable_errors(self._place, "read"),
            self._patience.do(self._engine.connect) as connection,
        ):
            if self.read_only:  # another process may write between two queries
                _hold_state(connection)
            yield connection


def _make_tables(engine: sa.Engine) -> None:
    try:
        tables.metadata.create_all(engine)
    except sa.exc.DBAPIError:
        tables.metadata.create_all(engine)  # another run made them at the same moment


@contextmanager
def _snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose queries all see the same state, whatever a writer does meanwhile."""
    with Patience(engine).do(engine.connect) as connection:
        _hold_state(connection)
        yield connection


def _hold_state(connection: sa.Connection) -> None:
    """From now on every query of a fresh connection sees the same state."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    else:
        connection.execution_options(isolation_level="REPEATABLE READ")


def _insert_measurement(writer: chain.ChainedWriter, trial_id: int, measurement: Measurement) -> None:
    for table, row in measurement_rows(trial_id, measurement):
        writer.insert(table, row)
