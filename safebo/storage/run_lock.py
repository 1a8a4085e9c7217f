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
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from safebo.errors import JournalError, RunLockedError

LOCK_FILE = "run.lock"


class RunLock:
    """Holds the lock on a run's folder from `acquire` to `release`; also a context manager.

    Args:
        folder: the run's folder; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> RunLock:
        """Take the lock now or raise `RunLockedError` that names who has it, where and since when."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot open the run's lock: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _describe_holder(descriptor)
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise RunLockedError(
                    f"{self.path.parent}: another process works on this run ({holder}). "
                    "Wait until it is done, stop it, or choose another folder with --out."
                ) from error
            raise JournalError(
                f"{self.path}: no lock on this file system ({error.strerror}); put the run elsewhere"
            ) from error
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{self.path}: cannot write the run's lock: {error.strerror}") from error
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Give the lock back. Releasing twice does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> RunLock:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


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
