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
    """Remember the folder that the running command works on."""
    global _folder
    _folder = folder


def keep_details() -> str:
    """Write the traceback of the error being handled to a file of the run, or a temporary one; returns where."""
    text = "\n".join(_shortened(line, 300) for line in traceback.format_exc(limit=-40).splitlines())
    places = [_folder] if _folder is not None and _folder.is_dir() else []
    for place in [*places, Path(tempfile.gettempdir())]:
        try:
            # Readable by its owner alone: an error's text may quote what a study holds.
            descriptor, name = tempfile.mkstemp(prefix="safebo-error-", suffix=".log", dir=place)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(_shortened(text, 30_000) + "\n")
        except OSError:
            continue
        return name
    return "nowhere, no folder could be written"


def _shortened(text: str, limit: int) -> str:
    """A text with its middle left out where it is longer: an error may quote a whole mesh."""
    half = limit // 2
    return (
        text
        if len(text) <= limit
        else f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
    )
