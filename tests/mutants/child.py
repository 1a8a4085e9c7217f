"""One mutant in a process of its own: its source in place of the module's, and the room's tests on it.

The working tree is never written to: an import hook gives the changed text.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

MEMORY = 8 * 2**30
"""Bytes that a mutant's process may write to."""


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a text in place of its file, and keeps no compiled copy."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        """The changed source, compiled."""
        return compile(self.text, self.path, "exec", dont_inherit=True)


class Replacement(importlib.abc.MetaPathFinder):
    """Finds one module, with another text.

    Args:
        module: its dotted name.
        text: in place of its file's.
    """

    def __init__(self, module: str, text: str) -> None:
        self.module, self.text = module, text

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """The module's specification, with a loader of the other text; None for all other modules."""
        if fullname != self.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            raise ImportError(f"no source of {fullname}")
        loader = _Loader(fullname, spec.origin)
        loader.text = self.text
        spec.loader = loader
        return spec


@dataclass(frozen=True)
class MutantOutcome:
    """What the tests said.

    Args:
        outcome: `killed` or `survived`; `broken` when no test ran.
        by: the first test that failed, or what else ended the run.
    """

    outcome: str
    by: str = ""


class _Recorder:
    """The first test that failed, or the first file that could not be read.

    Args:
        at_once: called with it as soon as it is known.
    """

    def __init__(self, at_once: Callable[[str], None] | None = None) -> None:
        self.first, self.at_once = "", at_once

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._failed(report.failed, report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        self._failed(report.failed, f"{report.nodeid} (not imported)")

    def _failed(self, failed: bool, name: str) -> None:
        if failed and not self.first:
            self.first = name
            if self.at_once is not None:
                self.at_once(name)


def arguments(tests: Sequence[str], without: Sequence[str], folder: Path) -> list[str]:
    """Of pytest: in this process, in this order, until the first failure, without traces in the tree."""
    return [
        *tests,
        *(f"--deselect={name}" for name in without),
        *("-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=no"),
        *("-o", "addopts=", f"--basetemp={folder}"),
    ]


def run_tests(
    tests: Sequence[str], without: Sequence[str], folder: Path, at_once: Callable[[str], None] | None = None
) -> MutantOutcome:
    """Run tests in this process.

    Args:
        tests: files or single tests.
        without: those of them that are left out.
        folder: for temporary files.
        at_once: called with the first failure, before the run ends.
    """
    import pytest

    _repeatable_examples()
    recorder = _Recorder(at_once)
    status = int(pytest.main(arguments(tests, without, folder), plugins=[recorder]))
    if status == pytest.ExitCode.OK:
        return MutantOutcome("survived")
    if status in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        return MutantOutcome("killed", recorder.first)
    return MutantOutcome("broken", f"pytest ended with {status}")


def _repeatable_examples() -> None:
    """The same examples for every mutant; a failing one is not made smaller."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")


def answer_and_exit(
    pipe: int,
    module: str,
    text: str,
    tests: Sequence[str],
    without: Sequence[str],
    folder: Path,
    limit: int,
) -> None:
    """The verdict into a pipe, from a process just forked that may use `limit` seconds; does not return."""

    def say(verdict: MutantOutcome) -> None:
        os.write(pipe, json.dumps([verdict.outcome, verdict.by]).encode())
        os._exit(0)

    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        silence()
        if module in sys.modules:
            raise RuntimeError(f"{module} was imported before its mutant")
        sys.meta_path.insert(0, Replacement(module, text))
        say(run_tests(tests, without, folder, lambda name: say(MutantOutcome("killed", name))))
    except SystemExit as error:
        say(MutantOutcome("killed", f"exit {error.code}"))
    except BaseException as error:
        say(MutantOutcome("broken", f"{type(error).__name__}: {error}"))


def silence() -> None:
    """Nothing that a mutant prints is of use."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
