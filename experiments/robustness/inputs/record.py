"""One input and what came of it; the product's commands run in this process; what counts as a fault."""

from __future__ import annotations

import contextlib
import io
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from safebo.cli.main import main

MAX_TEXT = 2000
"""Characters of a message that a person still reads."""

STUDY = """\
name: bowl
evaluator: {name: "safebo.experiments.robustness.bowl:evaluate", options: {repeatable: true}}
parameters:
  - {name: stiffness, unit: N/m, bounds: [0, 10]}
  - {name: damping, unit: N s/m, bounds: [0.1, 10], scale: log}
objective: {name: speed, unit: m/s, prior_std: 2.0}
constraints:
  - {name: height, unit: m}
seeds:
  - parameters: {stiffness: 2, damping: 3}
trials: 3
seed: 1
"""
"""A small study that runs."""

FAULTS = {
    "internal": "internal errors",
    "traceback": "tracebacks",
    "lost": "told trials that were lost",
    "misleading": "misleading messages (too long, or without the file or key)",
    "left": "refused inputs that left something on disk",
    "wrong": "outcomes other than the right one",
}
"""What is counted, for people."""


@dataclass(frozen=True)
class Row:
    """One input.

    Args:
        kind: the group it belongs to.
        given: the input, for people.
        happened: outcome or exit code and message.
        kept: what stays on record.
        faults: keys of `FAULTS`.
        seconds: of CPU time in this process.
    """

    kind: str
    given: str
    happened: str
    kept: str = "nothing"
    faults: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class CommandOutput:
    """What a command said."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        """What an error says; else what was printed."""
        return self.err or self.out

    @property
    def shown(self) -> str:
        """Exit code and message."""
        return f"exit {self.code}: {self.text.strip()[:MAX_TEXT]}" if self.code else "exit 0"


def safebo(arguments: Sequence[str], folder: Path) -> CommandOutput:
    """Run the command `safebo` in a folder."""
    out, err = io.StringIO(), io.StringIO()
    begin, code = time.process_time(), 0
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:  # what a process would end with
            code = 1
            err.write(traceback.format_exc())
    return CommandOutput(code, out.getvalue(), err.getvalue(), time.process_time() - begin)


def faults_of(text: str, names: Sequence[str] = ()) -> Iterator[str]:
    """What is wrong with a message that must name some things, as far as a rule can tell."""
    if "internal error" in text:
        yield "internal"
    if "Traceback" in text:
        yield "traceback"
    if len(text) > MAX_TEXT or any(name not in text for name in names):
        yield "misleading"


def refused(kind: str, given: str, arguments: Sequence[str], folder: Path, names: Sequence[str]) -> Row:
    """An input that a command must refuse as bad input, naming some things and leaving nothing behind."""
    before = tree(folder)
    answer = safebo(arguments, folder)
    left = tree(folder) - before
    faults = [*faults_of(answer.text, names)]
    faults += ["wrong"] * (answer.code != 2) + ["left"] * bool(left)
    kept = ", ".join(sorted(left)) or "nothing"
    return Row(kind, given, answer.shown, kept, tuple(faults), answer.seconds)


def tree(folder: Path) -> set[str]:
    """Every file below a folder with the time of its last change, but for compiled Python."""
    return {
        f"{os.path.relpath(os.path.join(at, name), folder)}"
        for at, _, files in os.walk(folder)
        for name in files
        if "__pycache__" not in at
    }
