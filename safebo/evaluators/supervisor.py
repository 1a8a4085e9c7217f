"""A process that stands above others and lets none of them outlive it.

Whoever supervises adopts what its child leaves behind (Linux), so that processes which left the child's session, or
whose parent ended, are found too. When the child ends it kills everything below it; when it is asked to (SIGTERM), when
time is over or when its own parent is gone, it sends everything below it SIGTERM first, and kills what is left a moment
later.

Run as a program, by the path of this file, it starts a command in a session of its own and supervises it:

    python supervisor.py PARENT DESCRIPTOR COMMAND [ARGUMENT ...]

and writes a line to the descriptor: `exit STATUS`, `signal NUMBER`, or before either `error ERRNO`. The command is
killed with it. It imports nothing of safebo, so that it starts within milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType

POLL_SECONDS = 0.1
"""After so long at most it is noticed that the parent is gone, or that time is over."""

GRACE_SECONDS = 0.5
"""From SIGTERM to SIGKILL for a program and all that it started."""

ENDING_SECONDS = 2.0
"""For processes that were killed to be gone; one of another user can stay."""

CHUNK = 1 << 16
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends. Linux; elsewhere nothing happens."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Let the system send a signal to this process when its parent ends; end at once where that is gone already."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Take back `die_with_parent`."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value)


def watch(
    child: int,
    parent: int,
    output: int | None = None,
    keep: Callable[[bytes], None] = lambda data: None,
    over: Callable[[], bool] = lambda: False,
    grace: float = GRACE_SECONDS,
) -> int | None:
    """Wait until a child ends, then end everything below this process.

    Args:
        child: its process id; the leader of a session.
        parent: process id of this process's parent.
        output: descriptor from which all that the child and its children print is read; None for none.
        keep: takes what was read.
        over: whether the child has to be ended now.
        grace: seconds from SIGTERM to SIGKILL for a child that did not end by itself.

    Returns:
        The exit code, negative for the number of a signal; None where the child was ended from here.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sources = [woken] if output is None else [woken, output]
    code = _code_of(child)
    while code is None and not asked and os.getppid() == parent and not over():
        ready, _, _ = select.select(sources, [], [], POLL_SECONDS)
        if woken in ready:
            os.read(woken, CHUNK)
        if output in ready and output is not None:
            data = os.read(output, CHUNK)
            if data:
                keep(data)
            else:
                sources.remove(output)
        code = _code_of(child)
    end_all(child, grace if code is None else 0.0)
    if output is not None:
        _drain(output, keep)
    return code


def _code_of(child: int) -> int | None:
    """The child's exit code once it has ended; other processes that ended are reaped on the way."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid == child:
                return os.waitstatus_to_exitcode(status)
    return None


def _drain(output: int, keep: Callable[[bytes], None]) -> None:
    """What was printed and not read yet, at most what a pipe holds and a little more."""
    os.set_blocking(output, False)
    with contextlib.suppress(OSError):
        for _ in range(64):
            data = os.read(output, CHUNK)
            if not data:
                return
            keep(data)


def end_all(child: int, grace: float = 0.0) -> None:
    """End every process below this one, and wait until they are gone.

    Args:
        child: leader of a group that is below this process.
        grace: seconds after SIGTERM at which they are killed; without it they are killed now.
    """
    if grace:
        _signal_all(child, signal.SIGTERM)
    began = time.monotonic()
    while (waited := time.monotonic() - began) < grace + ENDING_SECONDS:
        if waited >= grace:
            _signal_all(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.005)
    with contextlib.suppress(OSError):  # where orphans are not adopted
        os.killpg(child, signal.SIGKILL)


def _signal_all(child: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child, number)
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_marked(mark: Mapping[str, str]) -> None:
    """Kill every process that was started with these variables: what is left where a supervisor was killed itself."""
    wanted = {f"{name}={value}".encode() for name, value in mark.items()}
    end = time.monotonic() + ENDING_SECONDS
    found = True
    while found and time.monotonic() < end:
        found = False
        for pid in _processes():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    marked = pid != os.getpid() and wanted <= set(file.read().split(b"\0"))
                if marked:
                    os.kill(pid, signal.SIGKILL)
                    found = True


def _processes() -> list[int]:
    """Process ids, by the system's table in `/proc`; none where there is no such table."""
    try:
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return []


def descendants(root: int) -> list[int]:
    """Processes below one, by the system's table in `/proc`; none where there is no such table."""
    children: dict[int, list[int]] = {}
    for pid in _processes():
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name in brackets may hold anything; state and parent follow its last bracket.
                parent = int(file.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _main(parent: int, descriptor: int, command: list[str]) -> None:
    # Whoever asks this process to end before it watches waits until it does.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    die_with_parent(parent, signal.SIGTERM)
    os.setsid()
    adopt_orphans()
    os.set_inheritable(descriptor, False)
    ordinary = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGXFSZ)
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            die_with_parent(supervisor)
            for known in ordinary:
                signal.signal(known, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execvp(command[0], command)
        except OSError as error:
            os.write(descriptor, f"error {error.errno}\n".encode())
        finally:
            os._exit(127)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # so that whoever reads sees the end of the program's output
        os.dup2(nowhere, number)
    code = watch(child, parent)
    if code is not None:
        os.write(descriptor, (f"exit {code}" if code >= 0 else f"signal {-code}").encode())


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
