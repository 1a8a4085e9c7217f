"""From a text to its tokens, read one by one, and errors that say where in the text they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from safebo.robots.evaluation.stl.tree import Span

TEMPORAL = ("always", "eventually", "historically", "once")
WORDS = (*TEMPORAL, "not", "and", "or", "implies", "until", "since", "scale", "per", "end")
"""Names that no signal and no unit has."""

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


class TokenStream:
    """The tokens of a text, taken one by one.

    Args:
        text: of the formula.

    Raises:
        FormulaError: a character that no formula has, or too many characters.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens, self._place = tokens_of(text), 0

    @property
    def next(self) -> Token:
        """The token that stands here."""
        return self._tokens[self._place]

    def ahead(self, count: int) -> Token:
        """The token so many places further on; the last one behind the end."""
        return self._tokens[min(self._place + count, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The token that stands here; the next one stands here then."""
        token = self.next
        self._place += token.kind != "end"
        return token

    def at(self, *texts: str) -> bool:
        """Whether one of these stands here."""
        return self.next.kind != "end" and self.next.text in texts

    def expect(self, text: str, why: str) -> Token:
        """Take this token, which must stand here."""
        if not self.at(text):
            raise self.error_here(f"expected {text!r} {why}, found {self.found()}")
        return self.take()

    def found(self) -> str:
        """What stands here, for people."""
        return "the end of the text" if self.next.kind == "end" else repr(self.next.text)

    def since(self, start: int) -> Span:
        """From a place to the end of the last token that was taken."""
        return start, self._tokens[self._place - 1].span[1]

    def error(self, span: Span, message: str) -> FormulaError:
        """An error at a place of the text."""
        return FormulaError(self.text, span, message)

    def error_here(self, message: str) -> FormulaError:
        """An error at the token that stands here."""
        return self.error(self.next.span, message)


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
