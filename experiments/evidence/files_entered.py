"""How many of our files a run enters before its journal holds the first row.

`python -m safebo.experiments.evidence.files_entered` counts calls of functions in the parent process from
`safebo tune STUDY` on, not what importing a module does.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from safebo.cli.main import main as command_line
from safebo.storage.journal import Journal

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]


class Entered(BaseException):
    """The first row is there."""


def files_entered(study: str, folder: str) -> tuple[list[str], int]:
    """The files that were entered, in that order, and how often a call led from one to another."""
    files: list[str] = []
    changes, last = 0, ""
    known: dict[str, str] = {}

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal changes, last
        code = frame.f_code
        if event != "call" or code.co_name == "<module>":
            return
        if code.co_filename not in known:
            path = Path(code.co_filename).resolve()
            ours = path.is_file() and path.is_relative_to(ROOT) and ".venv" not in path.parts and path != HERE
            known[code.co_filename] = str(path.relative_to(ROOT)) if ours else ""
        file = known[code.co_filename]
        if file and file != last:
            changes, last = changes + 1, file
            if file not in files:
                files.append(file)

    create = Journal.create

    def stop(*arguments: Any, **named: Any) -> Journal:
        create(*arguments, **named).close()
        sys.setprofile(None)
        raise Entered

    Journal.create = stop  # type: ignore[method-assign]
    try:
        for name, profiler in (("first", None), ("second", profile)):  # the first imports everything
            sys.setprofile(profiler)
            with contextlib.suppress(Entered), contextlib.redirect_stdout(io.StringIO()):
                command_line(["tune", study, "--trials", "1", "--out", f"{folder}/{name}"])
    finally:
        sys.setprofile(None)
        Journal.create = create  # type: ignore[method-assign]
    return files, changes


def main(study: Annotated[str, typer.Argument(help="Name or file of a study.")] = "pendulum") -> None:
    """Print the files that are entered before the first row of the journal."""
    with tempfile.TemporaryDirectory() as folder:
        files, changes = files_entered(study, str(Path(folder) / "run"))
    for file in files:
        print(file)
    print(f"{len(files)} files, {changes} changes of file, to the first row of the journal")


if __name__ == "__main__":
    typer.run(main)
