"""The command line's reference page, from the commands themselves: what `--help` says, on one page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from safebo.cli.main import app as tuning
from safebo.hardware.guardian.cli import app as guardian
from safebo.hardware.virtual.cli import app as virtual_robot

HEAD = """\
# The command line

<!-- written by `python -m safebo.experiments.site` from the commands: change their help there -->

Every command says the same with `--help`. Exit codes: 0 done, 2 bad input (nothing was changed), 1 failure or stopped
before it was done.
"""

PROGRAMS = {"safebo": tuning, "safebo-guardian": guardian, "safebo-virtual-robot": virtual_robot}


def commands_page() -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    for name, app in PROGRAMS.items():
        command = typer.main.get_command(app)
        parts += _sections(name, command, command.make_context(name, [], resilient_parsing=True))
    return "\n".join(parts)


def _sections(path: str, command: Any, context: Any) -> Iterator[str]:
    """A command's section, and those of its subcommands after it."""
    yield f"## `{path}`\n"
    yield f"{_text(command.help)}\n"
    yield f"    {' '.join([path, *command.collect_usage_pieces(context)])}\n"
    rows = [
        _row(parameter, context) for parameter in command.params if not getattr(parameter, "hidden", False)
    ]
    rows = [row for row in rows if "`--help`" not in row]
    if rows:
        yield "\n".join(["| argument or option | meaning |", "|---|---|", *rows]) + "\n"
    if not hasattr(command, "list_commands"):
        return
    for name in command.list_commands(context):
        _, sub, _ = command.resolve_command(context, [name])  # loads those of other packages
        yield from _sections(
            f"{path} {name}", sub, sub.make_context(name, [], parent=context, resilient_parsing=True)
        )


def _row(parameter: Any, context: Any) -> str:
    """One argument or option: names, value, meaning, default."""
    record = parameter.get_help_record(context) or (parameter.make_metavar(), "")
    names, text = record[:2]
    required = parameter.required and "required" not in text
    names = ", ".join(f"`{part}`" for part in re.split(r", | / ", names))
    text = f"{text} [required]" if required else text
    return f"| {_cell(names)} | {_cell(text)} |"


def _cell(text: str) -> str:
    """Text for one cell of a table: what would begin a cell or, outside code, a tag or link is written as itself."""
    text = re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
    return "`".join(
        part if i % 2 else part.replace("<", "&lt;").replace("[", "\\[")
        for i, part in enumerate(text.split("`"))
    )


def _text(help_text: str | None) -> str:
    """A command's help: paragraphs as they are, those that are lines to type as code."""
    paragraphs = (help_text or "").replace("\f", "").strip().split("\n\n")
    return "\n\n".join(_as_code(text) if _is_typed(text) else text for text in paragraphs)


def _is_typed(paragraph: str) -> bool:
    """Whether a paragraph is a command or a line of a file."""
    return re.match(r"(- )?(safebo[ -]|# )", paragraph.lstrip()) is not None and not paragraph.endswith(".")


def _as_code(paragraph: str) -> str:
    """A command as an indented block; one that was wrapped goes on after a backslash."""
    lines = [line.strip() for line in paragraph.removeprefix("- ").splitlines()]
    return "    " + " \\\n        ".join(lines)
