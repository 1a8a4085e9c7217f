"""Databases for the journal: connections that keep what they acknowledge, and errors that people can read."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import numpy as np
import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool

from safebo.errors import JournalError


def sqlite_writer(file: Path, log: Literal["WAL", "DELETE"] = "WAL") -> sa.Engine:
    """The one writing connection to a file; every commit is on disk before it returns.

    Args:
        file: the database.
        log: readers beside the writer need a write-ahead log; a file that is about to be renamed must be whole by
            itself at every commit, also when the disk is too full to fold a log into it.
    """

    def connect() -> sqlite3.Connection:
        fine = log == "WAL" and _has_small_blocks(file)
        if fine and not _has_room(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # The mutex of Journal serialises the threads of the one writing process.
        connection = sqlite3.connect(file, timeout=5.0, check_same_thread=False, factory=_Writing)
        try:
            for pragma in (f"journal_mode={log}", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            if fine:
                connection.execute("PRAGMA schema_version")
                connection.keep_index(file)
        except BaseException:
            connection.close()
            raise
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=StaticPool)


_INDEX = 32768
"""Bytes of a write-ahead log's index, for all of the log that is written before it is folded into the file."""


def _has_small_blocks(file: Path) -> bool:
    """Whether the file system gives room in blocks below 4 KiB, as a small ext4 does.

    SQLite maps the log's index into memory and makes room for it by a byte in every 4 KiB. Where that is not enough, a
    disk that is full ends the process with SIGBUS.
    """
    return os.statvfs(file.parent).f_frsize < 4096


def _has_room(file: Path) -> bool:
    found = os.statvfs(file.parent)
    return found.f_bavail * found.f_frsize >= 2 * _INDEX


class _Writing(sqlite3.Connection):
    """A connection that has room on disk for all of the log's index."""

    _index = -1

    def keep_index(self, file: Path) -> None:
        """Take the room now. OSError: there is none."""
        if hasattr(os, "posix_fallocate"):
            # Closing it would give up SQLite's own locks on the file, so it stays open as long as the connection.
            self._index = os.open(f"{file}-shm", os.O_RDWR | os.O_CLOEXEC)
            os.posix_fallocate(self._index, 0, _INDEX)

    def close(self) -> None:
        """Close the database, then the index."""
        super().close()
        if self._index >= 0:
            os.close(self._index)
            self._index = -1


_NO_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)


def sqlite_reader(file: Path) -> sa.Engine:
    """Open the file for writing where allowed: SQLite then mends what a killed writer left behind."""
    writable = os.access(file.parent, os.W_OK) and os.access(file, os.W_OK)

    def read_only(mode: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=5.0)

    def connect() -> sqlite3.Connection:
        # A read-only folder or a full disk has no room for the log's index; without anything in the log, the
        # file can be read as one that never changes.
        if not writable:
            return read_only("mode=ro" if Path(f"{file}-shm").exists() else "immutable=1")
        log = Path(f"{file}-wal")
        logged = log.exists() and log.stat().st_size > 0
        if _has_small_blocks(file) and not _has_room(file):
            if logged:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return read_only("immutable=1")
        connection = sqlite3.connect(file, timeout=5.0)
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode & 0xFF not in _NO_ROOM or logged:
                raise
            return read_only("immutable=1")
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)


def remove_database(file: Path) -> None:
    """Delete an SQLite file and its companions."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


@contextmanager
def readable_errors(place: str, action: Literal["read", "write"]) -> Iterator[None]:
    """Turn a database's errors into one sentence that says what to do."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        origin = getattr(error, "orig", None) or error
        raise JournalError(explain(place, action, " ".join(str(origin).split()))) from error
    except sa.exc.SQLAlchemyError as error:
        raise JournalError(f"{place}: cannot {action} the journal: {error}") from error
    except OSError as error:
        raise JournalError(explain(place, action, error.strerror or str(error))) from error
    except (ValueError, KeyError, zlib.error) as error:
        raise JournalError(damaged(place, str(error))) from error
    except (TypeError, AttributeError) as error:  # a value of another kind than was written
        if action == "write":
            raise
        raise JournalError(damaged(place, str(error))) from error


@contextmanager
def altered_errors(place: str) -> Iterator[None]:
    """Say what to do about a journal that does not hold what was written to it."""
    try:
        yield
    except JournalError as error:
        raise JournalError(
            f"{place}: the journal does not hold what safebo wrote to it: {error}. Go "
            "back to an earlier copy of the folder, or start a new run in another one"
        ) from error


_secrets: set[str] = set()


def keep_secret(secrets: Iterable[str]) -> None:
    """Passwords that no text may show from now on, as they are and as a URL writes them."""
    for secret in secrets:
        _secrets.update((secret, quote(secret, safe=""), quote_plus(secret)))


def without_secrets(text: str) -> str:
    """A text without the passwords that are kept secret."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def explain(place: str, action: str, detail: str) -> str:
    """One sentence for a database's error: what could not be done, why, and what is kept."""
    detail = without_secrets(detail)
    kept = "Every trial told before this is kept; then go on with --resume."
    # The first that the detail speaks of, in any case of its letters.
    causes = (
        (("full", "no space", "file too large"), f"the disk is full. Free some space. {kept}"),
        (("readonly", "read-only", "permission"), f"it or its folder is read-only. {kept}"),
        (("locked",), f"another program keeps it locked. Close that. {kept}"),
        (("malformed", "not a database", "no such table"), None),
        (("server", "connection"), f"{detail}. Once it can be reached: {kept}"),
        (("i/o error",), f"{detail} (a full or failing disk?). {kept}"),
        (("",), detail),
    )
    cause = next(said for words, said in causes if any(word in detail.lower() for word in words))
    return f"{place}: cannot {action} the journal: {cause}" if cause else damaged(place, detail)


def damaged(place: str, detail: str) -> str:
    """One sentence for a journal that can no longer be read."""
    return (
        f"{place}: the journal is damaged ({' '.join(detail.split())}). Nothing was changed. Keep a copy of the "
        "folder; `sqlite3 journal.sqlite .recover` can often save the rest."
    )


def to_json(value: Any) -> str:
    """JSON text of plain values, numpy's included."""
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    """Numpy's numbers and arrays as Python's own, which JSON keeps to the last bit."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be kept in the journal")
