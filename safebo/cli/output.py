"""What the commands share: their arguments, what they print, and where an unexpected error leaves its details."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from safebo.files.reading import usable_path

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run, as `safebo tune` wrote it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]

# The folder that the running command works on: an unexpected error leaves its details there.
_folder: Path | None = None


def say(console: Console, text: str) -> None:
    """Print a text as it is, on as many columns as it takes."""
    console.print(escape(text), highlight=False, soft_wrap=True)


def wide_console() -> Console:
    """A console for tables: as wide as the terminal, and never wrapped in a file or pipe."""
    return Console() if sys.stdout.isatty() else Console(width=400)


def print_json(value: Any) -> None:
    """Print a value as JSON and nothing else."""
    print(json.dumps(value, indent=2, allow_nan=False))


def work_on(folder: Path) -> None:
    """Remember the folder that the running command works on.

    Raises:
        FileError: no folder can have that name.
    """
    global _folder
    _folder = None
    _folder = usable_path(folder)


def keep_details() -> str:
    """Write the traceback of the error being handled to a file; returns where."""
    text = traceback.format_exc()
    name = f"safebo-error-{os.getpid()}.log"
    places = [_folder] if _folder is not None and _folder.is_dir() else []
    for place in [*places, Path(tempfile.gettempdir())]:
        try:
            (place / name).write_text(text)
        except OSError:
            continue
        return str(place / name)
    return "nowhere, no folder could be written"
