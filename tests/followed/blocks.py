"""The fenced blocks of a page, and what is to be done with each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>\w*)(?P<rest>[^\n]*)\n(?P<text>.*?)^(?P=fence)\s*$", re.S | re.M
)
TITLE = re.compile(r'title="([^"]*)"')
FILE_NAME = re.compile(r"[\w./-]+\.\w+")
NOT_RUN = "Not run here: "


class Kind(StrEnum):
    """What is done with a block."""

    SHELL = "shell"
    BESIDE = "beside"
    SCRIPT = "script"
    FILE = "file"
    PRINTED = "printed"
    SHOWN = "shown"


@dataclass(frozen=True)
class Block:
    """One block.

    Args:
        kind: what is done with it.
        text: what stands in it.
        line: where it begins.
        title: what readers see above it.
    """

    kind: Kind
    text: str
    line: int
    title: str


def blocks(page: Path) -> list[Block]:
    """All of a page, in their order.

    Raises:
        ValueError: one of which it is not clear what it is for; says where.
    """
    found, source = [], page.read_text(encoding="utf-8")
    for match in FENCE.finditer(source):
        line = source.count("\n", 0, match.start()) + 1
        titled = TITLE.search(match["rest"])
        title = titled[1] if titled else ""
        try:
            kind = _kind(match["language"], title)
        except ValueError as error:
            raise ValueError(f"{page.name}:{line}: {error}") from None
        found.append(Block(kind, match["text"], line, title))
    return found


def _kind(language: str, title: str) -> Kind:
    if title.startswith("Not run"):
        if not title.startswith(NOT_RUN) or not title.removeprefix(NOT_RUN).strip():
            raise ValueError(f"a block that is not run says why: title={NOT_RUN!r} and the reason")
        return Kind.SHOWN
    if FILE_NAME.fullmatch(title):
        return Kind.FILE
    known = {
        ("bash", ""): Kind.SHELL,
        ("python", ""): Kind.SCRIPT,
        ("text", "It prints"): Kind.PRINTED,
    }
    if language == "bash" and re.fullmatch(r"Terminal [2-9]", title):
        return Kind.BESIDE
    if (language, title) not in known:
        raise ValueError(
            f"what is to be done with {language or 'a block'!r} titled {title!r}? See tests/followed"
        )
    return known[language, title]
