"""A run's folder: whether it holds a run, and that one process alone works on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from safebo.errors import InputError, RunExistsError
from safebo.runs.evaluator_workers import LOG_FILE
from safebo.storage.journal import Journal
from safebo.storage.run_lock import LOCK_FILE, run_lock


def holds_run(folder: Path, resume: bool) -> bool:
    """Whether the folder holds a run, which only resuming may go on with."""
    exists = Journal.exists(folder)
    if exists and not resume:
        raise RunExistsError(
            f"{folder}: already holds a run. Go on with it with --resume, or choose another folder with --out"
        )
    return exists


@contextlib.contextmanager
def owned_folder(folder: Path) -> Iterator[None]:
    """A folder in which no other process runs; nothing is left of it where no run comes to be."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the run's folder cannot be made: {error.strerror}") from error
    with run_lock(folder):
        try:
            yield
        except BaseException:
            if not Journal.exists(folder):
                with contextlib.suppress(OSError):
                    log = folder / LOG_FILE
                    if log.exists() and log.stat().st_size == 0:
                        log.unlink()
                    (folder / LOCK_FILE).unlink()
                    if made:
                        folder.rmdir()
            raise
