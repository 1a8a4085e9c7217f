"""Evaluators that do to their process what must cost one trial and no more, for tests of the run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from safebo.errors import EvaluatorError
from safebo.types import EvaluatorInfo

GOOD = {"objective": 1.0, "margins": {"height": 1.0}}


class Odd(BaseException):
    pass


class TextFails(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class NotSendable(EvaluatorError):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")
        self.held = lambda: None


def deep(number: int = 0) -> int:
    return deep(number + 1)


def throw(error: BaseException) -> None:
    raise error


async def cancelled_task() -> None:
    task = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


DEEDS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "exit 3": lambda: sys.exit(3),
    "exit": sys.exit,
    "exit text": lambda: sys.exit("no robot"),
    "generator": lambda: throw(GeneratorExit()),
    "interrupt": lambda: throw(KeyboardInterrupt()),
    "cancelled": lambda: throw(asyncio.CancelledError()),
    "cancelled task": lambda: asyncio.run(cancelled_task()),
    "cancelled future": lambda: throw(concurrent.futures.CancelledError()),
    "broken pool": lambda: throw(concurrent.futures.BrokenExecutor("of its own")),
    "group": lambda: throw(BaseExceptionGroup("two", [KeyboardInterrupt(), SystemExit(3)])),
    "odd": lambda: throw(Odd("odd")),
    "text fails": lambda: throw(TextFails()),
    "not sendable": lambda: throw(NotSendable("one", "two")),
    "recursion": deep,
    "memory": lambda: bytearray(1 << 60),
    "leave": lambda: os._exit(5),
    "fault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hangs in C": lambda: ctypes.PyDLL(None).sleep(60),
}


def unruly(
    parameters: Mapping[str, float], context: Mapping[str, float], seed: int, deeds: Sequence[str]
) -> Any:
    """The trials do one deed each, in turn, then nothing."""
    number = seed % 1000 - 1
    if number < len(deeds):
        DEEDS[deeds[number]]()
    return GOOD


def talkative(parameters: Mapping[str, float], context: Mapping[str, float], megabytes: int) -> Any:
    """Prints through Python, below it, and in a child."""
    print("the first line")
    for _ in range(megabytes):
        os.write(1, b"x" * 999_999 + b"\n")
    subprocess.run([sys.executable, "-c", f"print('y' * {megabytes}_000_000)"], check=True)
    print("the last line", file=sys.stderr)
    return GOOD


def with_children(
    parameters: Mapping[str, float], context: Mapping[str, float], mark: str, ready: str
) -> Any:
    """Starts a child, and one that leaves the session and loses its parent; then waits."""
    nap = f"sleep 600.{mark}"
    subprocess.Popen(["sh", "-c", f"{nap} & (setsid {nap} &) ; touch {ready}; {nap}; true"])
    time.sleep(600)


class Made:
    """An evaluator that does a deed while it is made, or when it is asked what it accepts."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options
        DEEDS[options.get("made", "nothing")]()

    def info(self) -> Any:
        DEEDS[self.options.get("info", "nothing")]()
        return EvaluatorInfo("made", (), (), ()) if "info" in self.options else {}

    def preflight(self) -> list[Any]:
        DEEDS[self.options.get("preflight", "nothing")]()
        return []

    def score(self, trial: object, ended: object) -> Any:
        DEEDS[self.options.get("score", "nothing")]()
        return GOOD

    def evaluate(self, trial: object, monitor: object = None) -> Any:
        return GOOD
