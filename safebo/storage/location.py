"""Where the journal of a run is: in a file of its folder, or in a shared database that the folder names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from safebo.errors import InputError, JournalError, NotARunError
from safebo.files.writing import write_whole
from safebo.storage.database import (
    readable_errors,
    remove_database,
    sqlite_reader,
    sqlite_writer,
    to_json,
)
from safebo.storage.shared import parsed_url, shared_engine, shown_url

SQLITE_FILE = "journal.sqlite"
URL_FILE = "journal.json"


@dataclass(frozen=True)
class JournalLocation:
    """Where a run's journal is.

    Args:
        folder: the run's.
        run: the run's key; None for that of the one run in `SQLITE_FILE`.
        url: of a shared database; None for `SQLITE_FILE` in the folder.
        moved: whether the folder names another place than `url`.
    """

    folder: Path
    run: str | None = None
    url: sa.URL | None = None
    moved: bool = False

    @classmethod
    def of(cls, folder: Path, url: str | None) -> JournalLocation:
        """That of a folder's run; `url` as in `Journal.open`, with its errors."""
        if not folder.is_dir():
            what = "is a file, not a run's folder" if folder.exists() else "no such folder"
            raise NotARunError(f"{folder}: {what}; give the folder that `safebo tune` wrote (--out)")
        if (folder / SQLITE_FILE).exists():
            if url is not None:
                raise InputError(
                    f"{folder}: this run keeps its journal in {SQLITE_FILE}; leave --journal out"
                )
            return cls(folder)
        if not (folder / URL_FILE).exists():
            raise NotARunError(f"{folder}: holds no run (no {SQLITE_FILE}); start one with `safebo tune`")
        named, run = _read_pointer(folder / URL_FILE)
        shared = parsed_url(url or named)
        return cls(folder, run, shared, moved=shown_url(shared) != named)

    @property
    def place(self) -> str:
        """It, for people: without passwords."""
        return str(self.folder / SQLITE_FILE) if self.url is None else shown_url(self.url)

    def engine(self, read_only: bool) -> sa.Engine:
        """An engine for the database that is there."""
        if self.url is not None:
            return shared_engine(self.url, read_only)
        file = self.folder / SQLITE_FILE
        return sqlite_reader(file) if read_only else sqlite_writer(file)

    @contextmanager
    def new_engine(self) -> Iterator[sa.Engine]:
        """An engine that writes what a run begins with.

        A run killed meanwhile must leave no run or a whole one: the database takes its name in one step, at the end.
        """
        draft = self.folder / (SQLITE_FILE + ".new")
        if self.url is None:
            remove_database(draft)
        engine = sqlite_writer(draft, "DELETE") if self.url is None else shared_engine(self.url, new=True)
        try:
            with readable_errors(self.place, "write"):
                yield engine
                engine.dispose()
                if self.url is None:
                    draft.rename(self.folder / SQLITE_FILE)
                    _synchronise(self.folder)
                else:
                    self.keep()
        except BaseException:
            engine.dispose()
            if self.url is None:
                remove_database(draft)
            raise

    def keep(self) -> None:
        """Name the shared database in the folder."""
        write_whole(self.folder / URL_FILE, to_json({"url": self.place, "run": self.run}))


def _read_pointer(file: Path) -> tuple[str, str]:
    """URL and key that a folder names."""
    try:
        pointer = json.loads(file.read_text())
        return str(pointer["url"]), str(pointer["run"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{file}: does not say where the run's journal is") from error


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
