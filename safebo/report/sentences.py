"""Parts of the sentences in which findings are said: numbers, ids of trials, a message that is quoted."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 240
"""Characters of a message that is quoted."""


def number(value: float) -> str:
    """A number in a sentence: three significant digits, a minus sign as in the tables."""
    return f"{value:.3g}".replace("-", "−") if value else "0"


def signed(value: float) -> str:
    """A difference in a sentence."""
    return number(value) if value < 0 else f"+{number(value)}"


def trials_listed(ids: Sequence[int]) -> str:
    """Ids of trials, the first six."""
    return ", ".join(map(str, ids[:6])) + (", ..." if len(ids) > 6 else "")


def one_sentence(text: str) -> str:
    """A text as one sentence, cut where it is long."""
    first = text.strip().split(". ")[0].rstrip(".")
    return f"{first}." if len(first) <= LONGEST else f"{first[:LONGEST].rsplit(' ', 1)[0]} ..."
