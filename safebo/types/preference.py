"""Questions which of two walks is better, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PreferenceWord = Literal["left", "right", "same", "unacceptable"]

PREFERENCE_WORDS: dict[PreferenceWord, str] = {
    "left": "the left one is better",
    "right": "the right one is better",
    "same": "they look the same",
    "unacceptable": "neither is acceptable",
}
"""What may be answered to which of two walks is better, and what it means."""


@dataclass(frozen=True)
class PreferenceQuestion:
    """Two walks of one context, of which a person says which is better.

    Args:
        number: of the question in its run, from 1.
        left: id of one trial.
        right: id of the other one; which is on which side is drawn.
        context_name: of both.
        repeats: number of the question that is asked once more; None for a new pair.
    """

    number: int
    left: int
    right: int
    context_name: str
    repeats: int | None = None


@dataclass(frozen=True)
class PreferenceAnswer:
    """What a person answered to a question.

    Example:
        >>> PreferenceAnswer(PreferenceQuestion(1, 2, 1, "default"), "left").better
        2
    """

    question: PreferenceQuestion
    word: PreferenceWord

    @property
    def better(self) -> int | None:
        """Id of the trial that was said to be better; None where none was."""
        return {"left": self.question.left, "right": self.question.right}.get(self.word)
