"""One run of a program: a text to its stdin, what it wrote to stdout, and how it ended. Nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from safebo.evaluators import supervisor
from safebo.text.printable import one_line

MAX_ANSWER = 64 << 20
"""Bytes of stdout; a program that writes more is ended."""

_MAX_TAIL = 4096
_MAX_LINE = 200


@dataclass(frozen=True)
class ProgramOutput:
    """What a program left behind.

    Args:
        output: its stdout.
        ending: how it ended, in words; empty where it ended by itself with exit status 0.
        over_limit: whether it was ended at its time limit.
    """

    output: bytes
    ending: str = ""
    over_limit: bool = False


def run_program(command: Sequence[str], text: str, limit: float, folder: str | None) -> ProgramOutput:
    """Run a program under a supervisor that ends all that it started when it ends, or when this process does.

    What it writes to stderr goes to this process's stderr too, as it comes.

    Args:
        command: the program and its arguments.
        text: for its stdin.
        limit: seconds after which it is ended: SIGTERM, and SIGKILL half a second later.
        folder: its working folder; None for the current one.

    Raises:
        OSError: it cannot be run.
    """
    status, give = os.pipe()
    mark = {"SAFEBO_PROGRAM": uuid.uuid4().hex}
    line = [sys.executable, "-I", "-S", supervisor.__file__, str(os.getpid()), str(give), *command]
    try:
        process = subprocess.Popen(
            line,
            cwd=folder,
            env={**os.environ, **mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(give,),
            bufsize=0,
        )
    except BaseException:
        os.close(status)
        raise
    finally:
        os.close(give)
    try:
        streams = _Streams(process, text.encode())
        over_limit = not streams.until_over(limit)
        _end(process)
        said = os.read(status, 100).decode()
    finally:
        os.close(status)
        _end(process)
        if process.returncode < 0:
            supervisor.end_marked(mark)
    kind, _, number = said.partition("\n")[0].partition(" ")
    if streams.too_much:
        return ProgramOutput(b"", f"wrote more than {MAX_ANSWER >> 20} MB to stdout and was ended")
    if over_limit:
        return ProgramOutput(bytes(streams.output), f"did not answer within {limit:g} s and was ended", True)
    if kind == "error":
        raise OSError(int(number), os.strerror(int(number)), command[0])
    if (kind, number) == ("exit", "0"):
        return ProgramOutput(bytes(streams.output))
    how = f"ended with exit status {number}" if kind == "exit" else ended_by(int(number or signal.SIGKILL))
    return ProgramOutput(bytes(streams.output), f"{how}{last_line(streams.tail)}")


def ended_by(number: int) -> str:
    """That a signal ended a process, for people."""
    causes = {
        signal.SIGKILL: "SIGKILL (often the system, out of memory)",
        signal.SIGSEGV: "SIGSEGV (a fault in compiled code)",
        signal.SIGABRT: "SIGABRT (abort() in compiled code)",
    }
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"was ended by signal {number}"
    return f"was ended by {causes.get(known, known.name)}"


def first_line(text: bytes) -> str:
    """The first line that is not empty, fit to be shown; empty where there is none."""
    lines = text[:_MAX_TAIL].decode("utf-8", "backslashreplace").strip().splitlines()
    return _short(lines[0]) if lines else ""


def last_line(text: bytes) -> str:
    """The last line, fit to be shown, after a colon; empty where there is none."""
    lines = text.decode("utf-8", "backslashreplace").strip().splitlines()
    return f": {_short(lines[-1])}" if lines else ""


def _short(line: str) -> str:
    shown = one_line(line[:_MAX_LINE])
    return shown if len(shown) == len(line) else f"{shown[:_MAX_LINE]} ..."


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a supervisor, which ends what it watches; whatever comes in between, it is not left alone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2 * supervisor.ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()


class _Streams:
    """A program's three streams, kept going at the same time."""

    def __init__(self, process: subprocess.Popen[bytes], text: bytes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.output, self.tail = bytearray(), b""
        self._process = process
        self._left = memoryview(text)
        self._stdin, self._stdout = process.stdin, process.stdout
        self._open = selectors.DefaultSelector()
        os.set_blocking(self._stdin.fileno(), False)
        self._open.register(self._stdin, selectors.EVENT_WRITE)
        for stream in (process.stdout, process.stderr):
            self._open.register(stream, selectors.EVENT_READ)

    @property
    def too_much(self) -> bool:
        """Whether stdout holds more than any measurement."""
        return len(self.output) > MAX_ANSWER

    def until_over(self, limit: float) -> bool:
        """Serve the streams until the program has ended or too much came; False where that takes longer than `limit`.

        A program may close its streams and go on.
        """
        end = time.monotonic() + limit
        while self._open.get_map():
            ready = self._open.select(min(0.5, max(0.0, end - time.monotonic())))
            for key, _ in ready:
                self._serve(key.fileobj)
            if not ready and self._process.poll() is not None:
                return True  # the supervisor was killed: what it watched may hold the streams open
            if self.too_much:
                return True
            if time.monotonic() >= end:
                return False
        try:
            self._process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _serve(self, stream: object) -> None:
        if stream is self._stdin:
            try:
                self._left = self._left[os.write(self._stdin.fileno(), self._left[: supervisor.CHUNK]) :]
            except OSError:  # the program reads no more
                self._left = self._left[:0]
            if not self._left:
                self._open.unregister(self._stdin)
                self._stdin.close()
            return
        reader = self._stdout if stream is self._stdout else stream
        data = os.read(reader.fileno(), supervisor.CHUNK)  # type: ignore[attr-defined]
        if not data:
            self._open.unregister(reader)  # type: ignore[arg-type]
        elif stream is self._stdout:
            self.output += data
        else:
            self.tail = (self.tail + data)[-_MAX_TAIL:]
            with contextlib.suppress(OSError):
                os.write(2, data)
