"""Errors for people: one tree, so that a caller can tell what safebo refuses from what went wrong elsewhere.

The text of an error is the whole message. `exit_code` is what the command line returns for it: 2 for bad
input, 1 for a failure, 3 for a run that paused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safebo.text.printable import one_line


class SafeboError(Exception):
    """Something that safebo refuses or cannot do; the message says what, where and what is allowed."""

    exit_code = 1


class InputError(SafeboError, ValueError):
    """The user asked for something that cannot be: a file, a name, a value, an option."""

    exit_code = 2


_MAX_TOLD = 1600
"""Characters of problems that a message tells before it only counts them."""


def few_of(lines: Sequence[str]) -> list[str]:
    """The first lines, and of many how many more there are."""
    length = 0
    for index, line in enumerate(lines):
        length += len(line)
        if length > _MAX_TOLD and 0 < index < len(lines) - 1:
            return [*lines[:index], f"and {len(lines) - index:,} more"]
    return list(lines)


class FileError(InputError):
    """A file that cannot be read, or that does not hold what it should; the message names file, line and key."""


class StudyError(InputError):
    """A study that cannot be run: a key, a value, or two of them that contradict each other.

    Args:
        title: what is wrong, in one sentence.
        problems: one line for each thing wrong: file, line, key, what was wrong, what is allowed. The message tells
            the first ones.
    """

    def __init__(self, title: str, problems: Sequence[str] = ()) -> None:
        self.title = title
        self.problems = tuple(problems)
        super().__init__("\n".join([title, *(f"  {one_line(problem)}" for problem in few_of(self.problems))]))


class EvaluatorOptionError(StudyError):
    """The study's `evaluator.name` or one of its `evaluator.options` is not usable; `key` says which."""

    def __init__(self, message: str, key: str = "evaluator.name") -> None:
        self.key = key
        super().__init__(message)


class UnknownNameError(InputError):
    """A context, parameter, method or trial that does not exist; the message lists those that do."""

    def __init__(self, kind: str, name: object, known: object) -> None:
        known_names = list(known) if isinstance(known, (list, tuple, set, dict)) else [known]
        names = ", ".join(one_line(str(n)) for n in known_names)
        super().__init__(f"unknown {kind} {name!r}: known are {names or 'none'}")


class ParameterError(InputError):
    """Parameters that are missing, unknown, not finite or outside their bounds."""


class MeasurementError(SafeboError, ValueError):
    """A measurement that cannot be taken: a value missing or not finite, an outcome that does not exist."""


class UnsafeSeedError(SafeboError):
    """A seed that was declared safe was measured unsafe, so nothing in its context can be trusted."""


class ImpossibleSeedError(SafeboError):
    """A seed measured what its prior calls impossible, so no certificate that rests on the prior is worth anything."""


class ShortTrialError(SafeboError):
    """Trials as short as the seed's cannot certify as far as the study's horizon."""


class ModelAlarmError(SafeboError):
    """No prior of the study fits what was measured; the run paused at its certified gains."""

    exit_code = 3


class EmptySafeSetError(SafeboError):
    """No parameters can be certified in a context although its seeds were measured safe."""


class NoBackupError(SafeboError):
    """A monitor was asked for where no backup state with a certified policy is known."""


class EvaluatorError(SafeboError):
    """An evaluator could not be made or used."""


class JournalError(SafeboError):
    """The record of a run could not be read or written."""


class RunLockedError(JournalError):
    """Another process works on this run."""


class NotARunError(InputError):
    """A folder that holds no run."""


class RunExistsError(InputError):
    """A folder that already holds a run although nobody said that it should be resumed."""


class OtherFileError(InputError):
    """A file that would be written over was not written by the run, or was changed since."""


class StudyChangedError(InputError):
    """A run was started with another study than the one it should be resumed with."""


class RunStoppedError(SafeboError):
    """A run ended before it was done."""


class InterruptedRunError(RunStoppedError):
    """A person or the system asked a run to end; it can be resumed."""


class UnknownTrialError(RunStoppedError):
    """A trial was asked and its result is not known; only a person can say what happened."""


MAX_MESSAGE = 2000
"""Characters of a message of a user's own code that are kept."""


def short_text(error: BaseException) -> str:
    """An error in one line: type and text; of one of ours the text alone, of `sys.exit` that it was called."""
    if isinstance(error, SystemExit):
        return f"{exit_call(error)} was called"
    text = " ".join(text_of(error).split())
    if isinstance(error, SafeboError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """The text of an error, whose own code may fail."""
    try:
        return str(error)[: MAX_MESSAGE + 1]
    except BaseException as other:
        return f"(its text cannot be shown: {type(other).__name__})"


def exit_call(error: SystemExit) -> str:
    """The call of `sys.exit` that ended a user's code."""
    try:
        return f"sys.exit({'' if error.code is None else repr(error.code)[:200]})"
    except BaseException as other:
        return f"sys.exit() with a value that cannot be shown ({type(other).__name__})"


def place_of(error: BaseException) -> str:
    """Where the user's own code failed: the innermost frame. Nothing for errors of ours, which say what to do."""
    if isinstance(error, SafeboError):
        return ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f" ({Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name})"
