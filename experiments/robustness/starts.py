"""Commands of `safebo`, started from the beginning or in a fork of this process, which has loaded what they import.

Loading costs seconds of a core for every start. A fork runs the same `safebo.cli.main.main` in a session of its own,
with worker processes that are started as ever. Linux.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safebo.evaluators.supervisor import adopt_orphans, descendants


def load() -> None:
    """Load what the commands import, without a thread, and become the parent of all that is left behind."""
    os.environ["OMP_NUM_THREADS"] = "1"
    adopt_orphans()
    import safebo.cli.main
    import safebo.report.page
    import safebo.runs.recommend
    import safebo.runs.runner
    import safebo.tuner  # noqa: F401

    gc.freeze()  # so that forks share what was loaded


@dataclass
class Started:
    """A command under way, the leader of a session.

    Args:
        pid: its process id.
        output: file with all that it has printed.
        ended: its exit code, negative for a signal, once that is known.
    """

    pid: int
    output: Path
    ended: int | None = None

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(errors="replace")

    def poll(self) -> int | None:
        """Its exit code, None while it goes on."""
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = os.waitstatus_to_exitcode(status)
        return self.ended

    def wait(self, limit: float = 300.0) -> int:
        """Its exit code, once it has ended.

        Raises:
            TimeoutError: it takes longer than `limit` seconds.
        """
        end = time.monotonic() + limit
        while self.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"goes on after {limit:g} s: {self.said[-500:]}")
            time.sleep(0.001)
        assert self.ended is not None
        return self.ended

    def kill(self, group: bool) -> None:
        """SIGKILL, to its process alone or to its group, and wait until it is gone."""
        try:
            (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not come to having a group of its own
            os.kill(self.pid, signal.SIGKILL)
        self.wait()


def start(arguments: Sequence[str], output: Path, whole: bool) -> Started:
    """Start `safebo ARGUMENTS`.

    Args:
        arguments: of the command.
        output: file for what it prints; emptied.
        whole: whether from the beginning, as `python -m safebo`; otherwise in a fork of this process.
    """
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(file)
        os.close(nothing)
        return Started(pid, output)
    code = 99
    try:
        os.setsid()
        for number, source in enumerate((nothing, file, file)):
            os.dup2(source, number)
        if whole:
            os.execv(sys.executable, [sys.executable, "-m", "safebo", *arguments])
        code = _forked(arguments)
    finally:
        os._exit(code)


def _forked(arguments: Sequence[str]) -> int:
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.modules["__main__"] = types.ModuleType(
        "__main__"
    )  # workers import that of `python -m safebo` neither
    sys.argv = ["safebo", *arguments]
    from safebo.cli.main import main

    try:
        main(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def time_until_alone(limit: float) -> tuple[float, list[str]]:
    """Seconds until no process is left below this one, at most `limit`, and the command lines of those left.

    They are killed. Needs `load`, by which all that loses its parent comes to this process.
    """
    began = time.monotonic()
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return time.monotonic() - began, []
        if time.monotonic() - began > limit:
            break
        time.sleep(0.001)
    left = []
    for pid in descendants(os.getpid()):
        try:
            left.append(
                Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
    return limit, left
