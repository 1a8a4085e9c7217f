"""Databases that many runs share, by URL: what is accepted, how it is shown without secrets, and lost connections."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from safebo.errors import InputError, JournalError
from safebo.storage.database import keep_secret, sqlite_reader, sqlite_writer

RECONNECT_SECONDS = 60.0
"""So long a run waits for a server that restarts or cannot be reached; then it stops and can be resumed."""

Result = TypeVar("Result")


def parsed_url(text: str) -> sa.URL:
    """The URL of a shared database, with the driver that safebo has and an absolute path.

    Raises:
        InputError: it is none; the message shows no password.
    """
    plain = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    try:
        url = sa.make_url(plain)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InputError(
            f"journal {_masked(text)!r}: not a database URL (postgresql://user@host/db, sqlite:////path/of/file.db)"
        ) from error
    keep_secret(secret for secret in (url.password, *_secret_values(url)) if secret)
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise InputError(
                f"journal {text!r}: names no file, so nothing would be kept (sqlite:////path/of/file.db)"
            )
        url = url.set(database=str(Path(str(url.database)).absolute()))
    return url


def shown_url(url: sa.URL) -> str:
    """A URL as it may be shown and kept: without passwords, wherever they stand in it."""
    kept = {key: value for key, value in url.query.items() if not _is_secret(key)}
    return url._replace(password=None, query=sa.util.immutabledict(kept)).render_as_string()


def shared_engine(url: sa.URL, read_only: bool = False, new: bool = False) -> sa.Engine:
    """An engine for the database.

    Args:
        url: as `parsed_url` gives it.
        read_only: nothing will be written.
        new: an SQLite file may be made.

    Raises:
        InputError: its driver is not installed.
        JournalError: an SQLite file that is not there.
    """
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        if not file.exists() and not new:
            raise JournalError(f"{file}: the run's database is not there")
        return sqlite_reader(file) if read_only else sqlite_writer(file)
    try:
        return sa.create_engine(url, pool_pre_ping=True)
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        name = getattr(error, "name", None) or url.drivername
        raise InputError(
            f"journal {shown_url(url)}: its driver {name!r} is not installed; "
            "for PostgreSQL: pip install 'safebo[postgres]'"
        ) from error


class Patience:
    """Does work on a database, again while a server cannot be reached, for up to `RECONNECT_SECONDS`.

    What is done after it has given up is tried once, so that a run that stops does so soon.

    Args:
        engine: of the database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._seconds = 0.0 if engine.dialect.name == "sqlite" else RECONNECT_SECONDS

    def do(self, work: Callable[[], Result]) -> Result:
        """The work's result; raises the last error."""
        end = time.monotonic() + self._seconds
        while True:
            try:
                return work()
            except sa.exc.OperationalError as error:
                refused = any(word in str(error.orig) for word in _REFUSED)
                if refused or time.monotonic() >= end:
                    self._seconds = 0.0
                    raise
                self._engine.dispose()
                time.sleep(0.5)


_REFUSED = ("password", "authentication", "does not exist", "pg_hba", "permission denied")
"""Words of a server that was reached and will not be persuaded by waiting."""


def _is_secret(key: str) -> bool:
    return "pass" in key.lower() and key.lower() != "passfile"


def _secret_values(url: sa.URL) -> list[str]:
    values = [value for key, value in url.query.items() if _is_secret(key)]
    return [text for value in values for text in ([value] if isinstance(value, str) else value)]


def _masked(text: str) -> str:
    text = re.sub(r"(?<=://).*@", "***@", text)
    return re.sub(r"(?i)(pass\w*=)[^&\s]*", r"\1***", text)
