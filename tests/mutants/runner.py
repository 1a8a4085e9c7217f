"""Runs mutants: libraries are imported once, then every mutant has a process forked from that one."""

from __future__ import annotations

import json
import math
import os
import random
import selectors
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from mutants.child import MutantOutcome, answer_and_exit
from mutants.generate import Mutant, mutants_of
from mutants.rooms import Room

PATIENCE = 4.0
"""A mutant has this many times the processor time that the unchanged source takes, and `SETTLING` more."""

SETTLING = 5.0  # s of processor time

ASLEEP = 10.0
"""Seconds by the clock for every second of processor time: other programs are at work, or a mutant waits for ever."""


@dataclass
class _Running:
    mutant: Mutant
    pid: int
    pipe: int
    begin: float
    folder: Path


Report = Callable[[Mutant, MutantOutcome, float], None]
"""Of a mutant, what the tests said and the processor time they took, s."""


def limit_of(seconds: float) -> int:
    """Processor time that a mutant has where the unchanged source takes `seconds`."""
    return math.ceil(PATIENCE * seconds + SETTLING)


def source_path(module: str) -> Path:
    """The file of a module, which is not imported by this, though the packages above it are.

    Raises:
        ModuleNotFoundError: there is none.
    """
    place: Iterable[str] | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, list(place) if place is not None else None)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no module {name} for {module}")
        place = spec.submodule_search_locations
    return Path(spec.origin) if spec and spec.origin else Path()


def mutants_of_room(room: Room, sample: int | None = None, seed: int = 0) -> list[Mutant]:
    """All mutants of a room in a fixed order, or as many as `sample`, drawn with `seed`, in that order."""
    mutants = [
        mutant
        for module, functions in room.modules.items()
        for mutant in mutants_of(module, source_path(module).read_text(encoding="utf-8"), functions)
    ]
    if sample is None or sample >= len(mutants):
        return mutants
    chosen = sorted(random.Random(seed).sample(range(len(mutants)), sample))
    return [mutants[k] for k in chosen]


def unchanged(room: Room) -> Mutant:
    """The first module of a room as it is, to see that the tests pass and how long they take."""
    module = next(iter(room.modules))
    text = source_path(module).read_text(encoding="utf-8")
    return Mutant(module, "none", 0, "", "", "", text)


def run(mutants: Iterable[Mutant], room: Room, limit: int, workers: int, report: Report) -> None:
    """Run mutants, as many at a time as `workers`; each is reported when it is known.

    Args:
        mutants: in the order in which they start.
        room: whose tests.
        limit: seconds of processor time after which a mutant counts as killed.
        workers: processes at a time.
        report: called with what is known of each.
    """
    waiting, running = iter(mutants), list[_Running]()
    with selectors.DefaultSelector() as selector:
        while True:
            for mutant in _some(waiting, workers - len(running)):
                one = _fork(mutant, room, limit)
                running.append(one)
                selector.register(one.pipe, selectors.EVENT_READ, one)
            if not running:
                return
            ready = {key.data.pid for key, _ in selector.select(timeout=0.2)}
            for one in list(running):
                late = time.monotonic() - one.begin > ASLEEP * limit
                if one.pid not in ready and not late:
                    continue
                verdict = _verdict(one) if one.pid in ready else MutantOutcome("killed", "it waits for ever")
                selector.unregister(one.pipe)
                running.remove(one)
                report(one.mutant, verdict, _end(one))


def _some(waiting: Iterator[Mutant], count: int) -> Iterator[Mutant]:
    for _ in range(count):
        mutant = next(waiting, None)
        if mutant is None:
            return
        yield mutant


def _fork(mutant: Mutant, room: Room, limit: int) -> _Running:
    reading, writing = os.pipe()
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        answer_and_exit(writing, mutant.module, mutant.text, room.tests, room.without, folder, limit)
    os.close(writing)
    return _Running(mutant, pid, reading, time.monotonic(), folder)


def _verdict(one: _Running) -> MutantOutcome:
    said = os.read(one.pipe, 65536)
    if not said:
        return MutantOutcome("killed", "the process ended, or took too long")
    outcome, by = json.loads(said)
    return MutantOutcome(outcome, by)


def _end(one: _Running) -> float:
    """End a mutant's process and what it started; the processor time it took, s."""
    os.close(one.pipe)
    for end in (lambda: os.killpg(one.pid, signal.SIGKILL), lambda: os.kill(one.pid, signal.SIGKILL)):
        try:
            end()
        except (ProcessLookupError, PermissionError):
            continue
    _, _, used = os.wait4(one.pid, 0)
    shutil.rmtree(one.folder, ignore_errors=True)
    return used.ru_utime + used.ru_stime
