"""Subcommands of other packages, found by entry point and loaded only when they are used.

Help lists them by the first line of their module's docstring, read without importing the module.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from safebo.errors import SafeboError

ENTRY_POINTS = "safebo.commands"


class CommandGroup(TyperGroup):
    """A group that also holds the entry points of `safebo.commands`, each a `typer.Typer`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Own commands first, then those of other packages."""
        own = super().list_commands(ctx)
        return [*own, *sorted(name for name in self._entry_points if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command; those of other packages as a stand-in that only carries its help."""
        own = super().get_command(ctx, cmd_name)
        point = self._entry_points.get(cmd_name)
        if own is not None or point is None:
            return own
        return TyperCommand(name=cmd_name, help=_first_line(point), callback=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is about to run."""
        name = args[0] if args else ""
        point = self._entry_points.get(name)
        if point is not None and name not in self.commands:
            try:
                loaded = point.load()
            except Exception as error:
                text = " ".join(str(error).split())
                raise SafeboError(
                    f"command {name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {text}"
                ) from error
            command = typer.main.get_command(loaded) if isinstance(loaded, typer.Typer) else loaded
            command.name = name
            self.commands[name] = command
        return super().resolve_command(ctx, args)

    @cached_property
    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        """Looked for once in a process's command line: that reads a file of every package installed."""
        return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def _first_line(point: importlib.metadata.EntryPoint) -> str:
    try:
        spec = importlib.util.find_spec(point.module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        text = ast.get_docstring(ast.parse(source)) or ""
    except (ImportError, OSError, SyntaxError, ValueError):
        text = ""
    return text.split("\n", 1)[0] or f"Commands of {point.module}."
