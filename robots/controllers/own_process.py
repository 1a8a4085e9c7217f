"""A controller's process that is a child of this one: started anew with every change of gains, ended with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from safebo.robots.controllers.numbers import STOP_TIMEOUT_S
from safebo.robots.controllers.protocol import GainPortError

MAX_SAID = 300
"""Characters of a process's last words that go into a message."""

# A process that outlives whoever started it would hold its port for ever. Linux ends it with its parent.
WITH_PARENT = (
    "import ctypes, os, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 15)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
"""A program for `python -c` that becomes the command that follows it."""


class OwnProcess:
    """Starts and ends a controller's process.

    Args:
        command: program and arguments.
        folder: it runs there; a program named by a relative path is looked for there too.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command, self._folder = [str(word) for word in command], folder
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._end: Callable[[], Any] = _nothing

    def restart(self) -> None:
        """End it, if it runs, and start it.

        Raises:
            GainPortError: there is no such program.
        """
        self.stop()
        program = self._command[0]
        beside = self._folder / program
        if "/" in program and not beside.is_file():
            raise GainPortError(f"start: {beside}: no such program; was it built?")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-c", WITH_PARENT, *self._command],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in this terminal is not for the controller
            )
        except OSError as error:
            raise GainPortError(f"start: `{program}` cannot be run: {error.strerror}") from error
        self._end = weakref.finalize(self, _stop, self._child)

    def stop(self) -> None:
        """End it: asked by SIGTERM, and by SIGKILL when it has not ended after `STOP_TIMEOUT_S`."""
        self._end()
        if self._log is not None:
            self._log.close()
        self._child = self._log = None

    @property
    def running(self) -> bool:
        """Whether it has been started and lives."""
        return self._child is not None and self._child.poll() is None

    def ended(self) -> str:
        """How it has ended by itself, and its last words; empty while it runs."""
        code = None if self._child is None else self._child.poll()
        if code is None:
            return ""
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"{how}: {self.said() or 'no output'}"

    def said(self) -> str:
        """The last of what it printed, in one line."""
        if self._log is None:
            return ""
        number = self._log.fileno()
        # read at a place of its own: the file's is the child's too
        text = os.pread(number, 4 * MAX_SAID, max(0, os.fstat(number).st_size - 4 * MAX_SAID))
        return " ".join(text.decode(errors="replace").split())[-MAX_SAID:]


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _nothing() -> None:
    """There is no process to end."""
