"""A chain of digests over everything that a journal writes, by which changed or missing rows are noticed.

Every row that is inserted or updated adds a link in the same transaction: the row's key, its SHA-256, and

    head_n = SHA-256(head_(n-1), key_n, digest_n),    head_0 = the run's key.

The last head and the number of links stand in a table of their own, so the last links are missed too. This finds damage
and edits by other programs; it is no signature, as whoever can write the file can compute it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from safebo.errors import JournalError
from safebo.storage import prior_trials
from safebo.storage.tables import answers, events, measurements, metadata, runs, states, trials

links = sa.Table(
    "chain",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("head", sa.String(64), nullable=False),
)

heads = sa.Table(
    "chain_heads",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("head", sa.String(64), nullable=False),
)

_TABLES = (
    runs,
    trials,
    measurements,
    states,
    events,
    prior_trials.prior_runs,
    prior_trials.prior_trials,
    answers,
)
Key = tuple[sa.Table, tuple[Any, ...]]
"""A table and the primary key of one of its rows."""


class ChainedWriter:
    """Writes rows of one run within a transaction; `link` then adds their links.

    Args:
        connection: in a transaction.
        run: the run's key.
    """

    def __init__(self, connection: sa.Connection, run: str) -> None:
        self.connection, self.run = connection, run
        self._written: dict[Key, None] = {}

    def insert(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """Insert a row of the run."""
        result = self.connection.execute(table.insert(), {"run": self.run, **row})
        self._written[table, tuple(result.inserted_primary_key or ())] = None

    def update(
        self, table: sa.Table, key: tuple[Any, ...], *conditions: sa.ColumnElement[bool], **values: Any
    ) -> bool:
        """Change the row with that primary key if the conditions hold; returns whether there was one."""
        query = table.update().where(*_same(table, key), *conditions).values(**values)
        changed = self.connection.execute(query).rowcount == 1
        if changed:
            self._written[table, key] = None
        return changed

    def link(self) -> str:
        """Add a link for each row that was written, as it stands now; returns the new head."""
        found = [
            (table, self.connection.execute(_raw(table).where(*_same(table, key))).one())
            for table, key in self._written
        ]
        return _append(self.connection, self.run, [_link(table, row) for table, row in found])


def checkpoint(connection: sa.Connection, run: str) -> None:
    """Begin the chain of a run with all the rows that it has."""
    connection.execute(heads.insert(), {"run": run, "count": 0, "head": _digest(run)})
    _append(connection, run, list(_present(connection, run)))


def verify(connection: sa.Connection, run: str) -> None:
    """Compare the rows of a run with its chain.

    Raises:
        JournalError: rows are changed, missing, or more than were written; it names the first.
    """
    last = _head(connection, run)
    expected: dict[str, str] = {}
    head, count = _digest(run), 0
    columns = (links.c.number, links.c.key, links.c.digest, links.c.head)
    query = sa.select(*columns).where(links.c.run == run).order_by(links.c.number)
    for number, key, digest, noted in connection.execute(query):
        head = _digest(head, key, digest)
        if (number, noted) != (count, head):
            raise JournalError(f"its chain of digests is broken at link {count}")
        expected[key] = digest
        count += 1
    if (count, head) != (last["count"], last["head"]):
        raise JournalError(
            f"its chain of digests has {count} links and ends otherwise than after {last['count']}"
        )
    for key, digest in _present(connection, run):
        known = expected.pop(key, None)
        if known != digest:
            raise JournalError(f"{key} was {'added' if known is None else 'changed'} by another program")
    if expected:
        raise JournalError(f"{next(iter(expected))} is missing")


def content(connection: sa.Connection, run: str) -> str | None:
    """SHA-256 of all rows of a run but its events, by the links of a chain that was verified; None without a chain."""
    if not sa.inspect(connection).has_table(links.name):
        return None
    query = sa.select(links.c.key, links.c.digest).where(links.c.run == run).order_by(links.c.number)
    last: dict[str, str] = dict(connection.execute(query).all())
    rows = sorted((key, digest) for key, digest in last.items() if key.split()[0] != events.name)
    return _digest(*(part for row in rows for part in row)) if rows else None


def _append(connection: sa.Connection, run: str, new: list[tuple[str, str]]) -> str:
    # The rows themselves were written before, so this transaction holds the write lock and the head is the last one.
    last = _head(connection, run, lock=True)
    head, rows = str(last["head"]), []
    for number, (key, digest) in enumerate(new, last["count"]):
        head = _digest(head, key, digest)
        rows.append({"run": run, "number": number, "key": key, "digest": digest, "head": head})
    if rows:
        connection.execute(links.insert(), rows)
        end = {"count": last["count"] + len(rows), "head": head}
        connection.execute(heads.update().where(heads.c.run == run).values(**end))
    return head


def holds(connection: sa.Connection, run: str, head: str) -> bool:
    """Whether the chain has been at that head."""
    query = sa.select(links.c.number).where(links.c.run == run, links.c.head == head)
    return connection.execute(query).first() is not None


def _head(connection: sa.Connection, run: str, lock: bool = False) -> sa.RowMapping:
    query = sa.select(heads).where(heads.c.run == run)
    found = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if found is None:
        raise JournalError("the end of its chain of digests is missing")
    return found


def _present(connection: sa.Connection, run: str) -> Iterator[tuple[str, str]]:
    for table in _TABLES:
        if table is answers and not sa.inspect(connection).has_table(answers.name):
            continue  # a journal of a version that knew of none
        for row in connection.execute(_raw(table).where(table.c.run == run)):
            yield _link(table, row)


def _link(table: sa.Table, row: Sequence[Any]) -> tuple[str, str]:
    """The key of a row of `_raw` as people read it, and the digest of its content."""
    content = dict(zip(_names(table), row, strict=True))
    key = " ".join([table.name, *(str(content[name]) for name in _own_key(table))])
    return key, _digest(_JSON.encode(content))


def _raw(table: sa.Table) -> sa.Select[Any]:
    """The rows as the database keeps them: SQLite may hold a text in a column of booleans."""
    columns: list[Any] = [sa.type_coerce(table.c[name], sa.types.NullType()) for name in _names(table)]
    return sa.select(*columns)


@cache
def _names(table: sa.Table) -> tuple[str, ...]:
    """Names of the columns in the order in which a row's content is written."""
    return tuple(sorted(column.name for column in table.columns))


@cache
def _own_key(table: sa.Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key if column.name != "run")


def _same(table: sa.Table, values: tuple[Any, ...]) -> list[sa.ColumnElement[bool]]:
    return [column == value for column, value in zip(table.primary_key, values, strict=True)]


def _bytes(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    raise TypeError(f"{type(value).__name__} cannot be kept in the journal")


_JSON = json.JSONEncoder(default=_bytes)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
