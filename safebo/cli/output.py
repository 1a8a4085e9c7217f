"""What the commands share: their arguments, what they print, and the folder that they work on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from safebo.text.command import keep_details_in
from safebo.text.screen import Screen

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run, as `safebo tune` wrote it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]


def wide_screen() -> Screen:
    """A console for tables: as wide as the terminal, and never wrapped in a file or pipe."""
    return Screen() if sys.stdout.isatty() else Screen(width=400)


def print_json(value: Any) -> None:
    """Print a value as JSON and nothing else."""
    print(json.dumps(value, indent=2, allow_nan=False))


def work_on(folder: Path) -> None:
    """An unexpected error of the command that runs leaves its details in this folder.

    Raises:
        FileError: no folder can have that name.
    """
    from safebo.files.reading import usable_path  # with YAML, which help needs not

    keep_details_in(usable_path(folder))
