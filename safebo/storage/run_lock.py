"""One writer per run: an advisory lock on a file in the run's folder.

The lock belongs to the open file, so it ends with the process that holds it, however that process ends.
Its file descriptor is not inherited by workers (PEP 446), so a worker that outlives a killed run for a moment
never keeps the run locked.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from safebo.errors import JournalError, RunLockedError

LOCK_FILE = "run.lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock on a run's folder, which must exist.

    Raises:
        RunLockedError: another process has it; the message says which, where and since when.
        JournalError: the folder cannot hold a lock.
    """
    path = folder / LOCK_FILE
    descriptor = -1
    try:
        while descriptor < 0:
            descriptor = _opened(path)
            _take(descriptor, path)
            if not _is_file(descriptor, path):  # whoever had it took the file away before letting go
                os.close(descriptor)
                descriptor = -1
        _write_holder(descriptor, path)
        try:
            yield
        finally:
            with suppress(OSError):  # nobody works on it any more
                os.ftruncate(descriptor, 0)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether a process of this machine works on a run, or one of another machine that shares the folder says so.

    The lock is not tried: that would keep a run from starting for a moment.
    """
    try:
        holder = json.loads((folder / LOCK_FILE).read_bytes())
        pid, host = int(holder["pid"]), holder["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"{path}: cannot open the run's lock: {error.strerror}") from error


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _take(descriptor: int, path: Path) -> None:
    """Lock the open file now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise RunLockedError(
                f"{path.parent}: another process works on this run ({_describe_holder(descriptor)}). "
                "Wait until it is done, stop it, or choose another folder with --out."
            ) from error
        raise JournalError(
            f"{path}: no lock on this file system ({error.strerror}); put the run elsewhere"
        ) from error


def _write_holder(descriptor: int, path: Path) -> None:
    """Say in the file whose lock it is."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
    except OSError as error:
        raise JournalError(f"{path}: cannot write the run's lock: {error.strerror}") from error


def _this_process() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _describe_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said who it is"
