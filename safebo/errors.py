"""Everything that can go wrong in a way a person should read: one tree of errors.

`exit_code` is what the command line returns: 2 for bad input, 1 for a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class SafeboError(Exception):
    """Root of every error this package raises on purpose. Its text is the whole message for people."""

    exit_code = 1


class InputError(SafeboError):
    """The user asked for something that cannot be: a file, a name, an option."""

    exit_code = 2


class StudyError(InputError):
    """A study is not valid. `problems` holds one line each: file, line, key, what was wrong, what is allowed."""

    def __init__(self, title: str, problems: Sequence[str] = ()) -> None:
        self.title = title
        self.problems = tuple(problems)
        super().__init__("\n".join([title, *(f"  {problem}" for problem in problems)]))


class EvaluatorError(SafeboError):
    """An evaluator could not be found, made or used."""


class JournalError(SafeboError):
    """The record of a run could not be read or written."""


class RunLockedError(JournalError):
    """Another process works on this run."""


class NotARunError(InputError):
    """A folder holds no run."""


class RunExistsError(InputError):
    """A folder already holds a run and nobody said that it should be resumed."""


class StudyChangedError(InputError):
    """A run was started with another study than the one it should be resumed with."""


class UnknownTrialError(SafeboError):
    """A trial was asked and its result is not known; only a person can say what happened."""


class RunStoppedError(SafeboError):
    """A run ended before it was done."""


class InterruptedRunError(RunStoppedError):
    """A person or the system asked a run to end; it can be resumed."""

    def __init__(self, message: str, folder: Path) -> None:
        self.folder = folder
        super().__init__(message)
