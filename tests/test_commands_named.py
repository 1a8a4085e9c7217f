"""Every command and option that a page, a message or a help text names exists."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from safebo.cli.main import app
from safebo.hardware.guardian.cli import app as guardian
from safebo.hardware.virtual.cli import app as virtual_robot

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(
    path for room in ("safebo", "hardware", "robots", "experiments") for path in (ROOT / room).rglob("*.py")
)
PROGRAMS = {"safebo": app, "safebo-guardian": guardian, "safebo-virtual-robot": virtual_robot}
MODULES = {
    "safebo": "safebo",
    "safebo.hardware.guardian": "safebo-guardian",
    "safebo.hardware.virtual": "safebo-virtual-robot",
}
"""What `python -m` starts."""

SPOKEN = {"CHANGELOG.md"}
"""Pages on which commands of earlier versions may stand."""


@cache
def tree(program: str) -> Any:
    """A program with all its commands."""
    command = typer.main.get_command(PROGRAMS[program])
    if program == "safebo":
        for point in importlib.metadata.entry_points(group="safebo.commands"):
            command.commands[point.name] = typer.main.get_command(point.load())  # type: ignore[attr-defined]
    return command


def quoted(text: str) -> list[str]:
    """What stands between single backticks, over line ends too, and in indented or fenced blocks of a page."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.S | re.M)
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", rest)]
    lines = [line for block in fenced for line in block.splitlines()]
    lines += re.findall(r"^(?: {4,}|\t)(.*)$", rest, re.M)
    return [*spans, *(line.strip().removeprefix("$ ") for line in lines)]


def texts(path: Path) -> list[str]:
    """All texts of a module, the parts of an f-string joined."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            found.append("".join(map(str, parts)))
    return found


def calls(text: str) -> list[list[str]]:
    """The calls of our programs in a quoted piece, as words."""
    found = []
    for piece in re.split(r"[|;&]|\s#", text):
        try:
            words = shlex.split(piece)
        except ValueError:
            words = piece.split()
        while words and re.fullmatch(r"[A-Z_]+=.*|sudo|exec|nice|timeout|time|nohup|[\d.]+", words[0]):
            words = words[1:]
        if words[1:2] == ["-m"] and words[0].endswith(("python", "python3")) and len(words) > 2:
            words = [MODULES.get(words[2], "?"), *words[3:]]
        if words and words[0] in PROGRAMS:
            found.append(words)
    return found


def wrong(words: list[str]) -> str:
    """What of a call does not exist; empty when all of it does."""
    command, rest = tree(words[0]), words[1:]
    while rest and getattr(command, "commands", None) and not rest[0].startswith("-"):
        name = rest[0].rstrip(".,:")
        if name in ("...", "COMMAND", "X") or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            return ""
        if name not in command.commands:
            return f"{' '.join(words[: len(words) - len(rest)])} has no command {name!r}"
        command, rest = command.commands[name], rest[1:]
    options = {text for one in command.params for text in (*one.opts, *one.secondary_opts)}
    if command.context_settings.get("ignore_unknown_options"):
        return ""
    for word in rest:
        option = word.split("=")[0].rstrip(".,:")
        if re.fullmatch(r"--[a-z][a-z-]*", option) and option not in options | {"--help"}:
            return f"{' '.join(words[: len(words) - len(rest)])} has no option {option!r}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_pages_exist(page: Path) -> None:
    if page.name in SPOKEN:
        return
    found = [(text, wrong(words)) for text in quoted(page.read_text()) for words in calls(text)]
    assert [one for one in found if one[1]] == []


def test_commands_of_messages_and_help_exist() -> None:
    found = []
    for path in SOURCES:
        for text in texts(path):
            for piece in quoted(text):
                found += [
                    (str(path.relative_to(ROOT)), piece, said)
                    for words in calls(piece)
                    if (said := wrong(words))
                ]
    assert found == []


def test_a_command_that_is_not_there_is_seen() -> None:
    assert wrong(["safebo", "status"]) == "safebo has no command 'status'"
    assert wrong(["safebo", "robot", "stand"]) == "safebo robot has no command 'stand'"
    assert wrong(["safebo", "tune", "go2-trot", "--aprove-all"]) == "safebo tune has no option '--aprove-all'"
    assert wrong(["safebo-guardian", "go2", "--physical"]) == ""
    assert wrong(["safebo", "robot", "status", "HOST:PORT"]) == ""
    assert calls("PYTHONPATH=. python -m safebo.hardware.virtual go2 --domain 0 & safebo studies") == [
        ["safebo-virtual-robot", "go2", "--domain", "0"],
        ["safebo", "studies"],
    ]
    assert quoted("look at `safebo robot\nstatus`:\n\n    safebo show\n") == [
        "safebo robot status",
        "safebo show",
    ]
