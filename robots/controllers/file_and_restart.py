"""Gains in a file: read by the controller when it starts, or again whenever the file changes while it stands by."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from safebo.errors import FileError
from safebo.files.reading import read_text
from safebo.robots.controllers.gains_text import TextFormat, read_numbers, replace_numbers
from safebo.robots.controllers.numbers import RESTART_TIMEOUT_S
from safebo.robots.controllers.own_process import OwnProcess
from safebo.robots.controllers.protocol import GainPortError

MAX_OUTPUT = 300
"""Characters of a failed command's output that go into the message."""


class FileAndRestartPort:
    """Changes numbers in the controller's own file and runs a command that restarts it.

    That the controller has come up with them is seen by whoever hears its answers: one of a new start, with the
    identity of these gains.

    Args:
        path: the file; all of it but the gains' numbers stays as it is.
        kind: its format.
        keys: path inside the file of every gain.
        command: program and arguments, run in the file's folder; it has to end by itself, leaving the
            controller behind.
        patience: seconds that the command gets.
        process: the controller's process where it is one of ours; it is started anew instead of running a command.
    """

    def __init__(
        self,
        path: Path,
        kind: TextFormat,
        keys: Mapping[str, str],
        command: Sequence[str] = (),
        patience: float = RESTART_TIMEOUT_S,
        process: OwnProcess | None = None,
    ) -> None:
        self._path, self._kind, self._keys = path, kind, dict(keys)
        self._command, self._patience, self._process = list(command), patience, process

    @property
    def restarts(self) -> bool:
        """Whether writing starts the controller anew."""
        return True

    def write(self, gains: Mapping[str, float]) -> None:
        """Replace the file in one step, so that nobody ever reads half of it, and restart the controller.

        Raises:
            GainPortError: the file cannot be changed, or the command fails.
        """
        try:
            text = replace_numbers(self._text(), self._kind, self._keys, gains)
        except GainPortError as error:
            raise GainPortError(f"{self._path}: {error}") from None
        try:
            replace_file(self._path, text)
        except OSError as error:
            raise GainPortError(f"{self._path}: cannot be written: {error.strerror}") from error
        self._restart()

    def read(self) -> dict[str, float]:
        """The gains in the file.

        Raises:
            GainPortError: it cannot be read, or lacks one.
        """
        try:
            return read_numbers(self._text(), self._kind, self._keys)
        except GainPortError as error:
            raise GainPortError(f"{self._path}: {error}") from None

    def _text(self) -> str:
        try:
            return read_text(self._path)
        except FileError as error:
            raise GainPortError(str(error).removeprefix(f"{self._path}: ")) from error

    def _restart(self) -> None:
        if self._process is not None:
            self._process.restart()
            return
        command = shlex.join(self._command)
        # A pipe would stay open for as long as the controller that the command leaves behind.
        with tempfile.TemporaryFile() as said:
            try:
                done = subprocess.run(
                    self._command,
                    cwd=self._path.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    timeout=self._patience,
                    check=False,
                    start_new_session=True,  # Ctrl-C in the guardian's terminal is not for the controller
                )
            except subprocess.TimeoutExpired:
                raise GainPortError(f"restart: `{command}` took longer than {self._patience:g} s") from None
            except OSError as error:
                raise GainPortError(f"restart: `{command}` cannot be run: {error.strerror}") from error
            if done.returncode:
                said.seek(0)
                output = said.read().decode(errors="replace").strip()[-MAX_OUTPUT:]
                raise GainPortError(
                    f"restart: `{command}` ended with {done.returncode}: {output or 'no output'}"
                )


class WatchedFilePort(FileAndRestartPort):
    """Changes numbers in a file that the controller looks at while it stands by.

    That it has taken them is seen in its answers: it must name the gains of every command.

    Args:
        path: the file; all of it but the gains' numbers stays as it is.
        kind: its format.
        keys: path inside the file of every gain.
        process: the controller's process where it is one of ours: writing starts it when it does not run.
    """

    def __init__(
        self, path: Path, kind: TextFormat, keys: Mapping[str, str], process: OwnProcess | None = None
    ) -> None:
        super().__init__(path, kind, keys, process=process)

    @property
    def restarts(self) -> bool:
        """Whether writing starts the controller anew."""
        return self._process is not None and not self._process.running

    def _restart(self) -> None:
        if self._process is not None and not self._process.running:
            self._process.restart()


def replace_file(path: Path, text: str) -> None:
    """Replace a file by another text at once, on disk when this returns; its permissions stay.

    Raises:
        OSError: it is as it was before.
    """
    mode = path.stat().st_mode & 0o7777
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
