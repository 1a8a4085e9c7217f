"""From a text to its tokens, and errors that say where in the text they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from safebo.robots.evaluation.stl.tree import Span

MAX_CHARACTERS = 5_000
"""Of one formula."""

_CONTEXT = 30
"""Characters around a place that are shown with it."""

_TOKEN = re.compile(
    r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*(?:\.\w+)*)"
    r"|(?P<sign>>=|<=|[-+*/^()\[\],<>])",
    re.ASCII,
)


class FormulaError(ValueError):
    """A formula that cannot be used: what is wrong, where it stands, what is allowed.

    Args:
        text: of the formula.
        span: the place in it.
        message: what is wrong there.
    """

    def __init__(self, text: str, span: Span, message: str) -> None:
        start, end = span
        before, inside, after = text[:start], text[start:end], text[end:]
        if len(before) > _CONTEXT:
            before = "..." + before[-_CONTEXT:]
        if len(after) > _CONTEXT:
            after = after[:_CONTEXT] + "..."
        place = f"{before}>>{inside}<<{after}" if inside else f"{before}>><<{after}"
        super().__init__(f"at character {start + 1}: {message}; here: {place}")


@dataclass(frozen=True)
class Token:
    """A word, number or sign; `end` stands after the last one."""

    kind: Literal["number", "name", "sign", "end"]
    text: str
    span: Span


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text.

    Raises:
        FormulaError: a character that no formula has, or too many characters.
    """
    if len(text) > MAX_CHARACTERS:
        raise FormulaError(
            text, (0, 1), f"{len(text):,} characters are more than a formula may have ({MAX_CHARACTERS:,})"
        )
    found, place = [], 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None:
            raise FormulaError(text, (place, place + 1), _unknown_character(text, place))
        found.append(Token(match.lastgroup, match.group(), match.span()))  # type: ignore[arg-type]
        place = match.end()
    return [*found, Token("end", "", (len(text), len(text)))]


def _unknown_character(text: str, place: int) -> str:
    character = text[place]
    if character in "=!":
        return (
            "a value is hardly ever equal to another: compare with >=, <=, > or <, as in abs(a - b) <= limit"
        )
    if character in "&|~":
        return f"{character!r} is not used: write and, or, not"
    return f"{character!r} is no character of a formula"
