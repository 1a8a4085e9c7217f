"""Text that only says something: it moves no cursor, sets no title, and turns no other text around."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    r"""The text with every character that is not seen written out, as `\x1b` or `\u202e`; line breaks stay.

    These are control characters, so escape sequences too, what changes the direction of writing, characters of no
    width, halves of surrogate pairs, and code points that nothing is assigned to.

    Example:
        >>> print(printable("5 N\x1b[2J"))
        5 N\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else written_out(c) for c in text)


def one_line(text: str) -> str:
    r"""The same on one line: a line break is written out as `\n`.

    Example:
        >>> one_line("first\nsecond")
        'first\\nsecond'
    """
    return printable(text).replace("\n", r"\n")


def written_out(character: str) -> str:
    r"""A character by its code, as `\x1b`; a space of any width as it is."""
    if unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
