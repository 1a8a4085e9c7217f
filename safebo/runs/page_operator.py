"""An operator at the terminal or at a page: whoever answers first decides, for exactly the gains that were shown."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import Any

from rich.console import Console

from safebo.runs.cards import measured_card, proposal_card
from safebo.runs.nearest import Nearest
from safebo.runs.operators import (
    APPROVAL,
    JUDGEMENT,
    Account,
    Decision,
    InterruptedQuestionError,
    TerminalOperator,
    Verdict,
    drawn_measurement,
    drawn_proposal,
    explanation,
    print_alarm,
    print_checks,
)
from safebo.storage.questions import Answer, AnswerRefusedError, Question, QuestionFile
from safebo.study import Study
from safebo.text.screen import literal
from safebo.text.signals import ending_signals_to
from safebo.text.typed_ahead import TYPED_AHEAD, drop_typed_ahead
from safebo.types import PREFERENCE_WORDS, Check, Measurement, RobotAddress, Trial, trial_hash

LOOK_S = 0.1
"""Between two looks for an answer."""

VALID_S = 60.0
"""For which an answer counts; the run hears one at once unless it was frozen."""

ANSWERS = {
    "approve": ("yes", "skip", "stop"),
    "judge": ("accept", "contaminated", "unsafe"),
    "prefer": tuple(PREFERENCE_WORDS),
}
"""What may be answered to each kind of question."""

REASONS = {"skip": "Why?", "stop": "Why?", "contaminated": "What happened?", "unsafe": "What happened?"}
"""What is asked after an answer that needs a reason."""


class PageOperator:
    """Puts every question where a page finds it, and listens to the terminal as well.

    Args:
        console: of the terminal.
        questions: where pages look.
        where: how to open the page, for people.
        robot: that trials move, for pages to look at.
    """

    def __init__(
        self, console: Console, questions: QuestionFile, where: str, robot: RobotAddress | None = None
    ) -> None:
        self._console, self._questions, self._where, self._robot = console, questions, where, robot
        self._listens = True
        self._question = ""  # that stands at the terminal

    def look(self, checks: Sequence[Check]) -> None:
        """Print the list, and where the page is."""
        self._questions.keep_robot(self._robot)
        print_checks(self._console, checks)
        self._console.print(literal(f"Answer here or in the page: {self._where}"), soft_wrap=True)

    def alarm(self, words: str) -> None:
        """Print it, and the question that stands once more; pages see the guardian's state for themselves."""
        print_alarm(self._console, words, self._question)

    def approve(
        self, trial: Trial, study: Study, before: Mapping[str, Any] | None, nearest: Nearest | None
    ) -> Decision:
        """Show the trial in both places, and wait."""
        card = proposal_card(trial, study, before, nearest)
        self._console.print(drawn_proposal(card))
        question = self._questions.ask("approve", trial.id, trial_hash(trial), asdict(card))
        given = self.wait(question, "Run this trial?", APPROVAL)
        words = f"{given.words} ({given.by})".strip()
        if given.answer == "yes":
            return Decision("run", words)
        return Decision("skip" if given.answer == "skip" else "stop", words)

    def judge(self, trial: Trial, study: Study, measurement: Measurement) -> Verdict:
        """Show what was measured in both places, and wait."""
        card = measured_card(trial, study, measurement)
        self._console.print(drawn_measurement(card))
        question = self._questions.ask("judge", trial.id, trial_hash(trial), asdict(card))
        given = self.wait(question, "Your verdict?", JUDGEMENT)
        words = f"{given.words} ({given.by})".strip()
        if given.answer == "accept":
            return Verdict("accepted", words)
        return Verdict("contaminated" if given.answer == "contaminated" else "unsafe", words)

    def resolve(self, trial: Trial, why: str, scorable: bool) -> Account:
        """Ask at the terminal, before the run goes on: whoever answers has looked at the robot."""
        return TerminalOperator(self._console).resolve(trial, why, scorable)

    def wait(self, question: Question, text: str, explained: Sequence[tuple[str, str]]) -> Answer:
        """The first answer that comes, from a page, another terminal or this one.

        Raises:
            InterruptedQuestionError: Ctrl-C was pressed.
        """
        answers = ANSWERS[question.kind]
        self._question = prompt = f"{text} ({' / '.join(answers)} / ?) "
        with _interruptible() as interrupted:
            if self._listens and drop_typed_ahead():
                self._console.print(TYPED_AHEAD)
            self._say(prompt)
            try:
                while True:
                    given = self._questions.take(question, VALID_S)
                    if given is not None:
                        if given.by != "terminal":
                            self._console.print(
                                literal(f"\n{given.by}: {given.answer} {given.words}".rstrip())
                            )
                        return given
                    if interrupted():
                        raise InterruptedQuestionError("interrupted at the question")
                    line = self._line()
                    if line is None:
                        continue
                    if not self._type(question, line.strip().lower(), explained, interrupted):
                        self._say(prompt)
            finally:
                self._question = ""
                self._questions.close_all()

    def _type(
        self,
        question: Question,
        line: str,
        explained: Sequence[tuple[str, str]],
        interrupted: Callable[[], bool],
    ) -> bool:
        """Whether what was typed at the terminal answers the question."""
        answers = ANSWERS[question.kind]
        if line in ("?", "help"):
            self._console.print(explanation(explained))
        elif line not in answers:
            self._console.print(
                f"Please type one of: {', '.join(answers)}, or ? for what they mean. Return alone decides nothing."
            )
        else:
            words = ""
            if line in REASONS:
                self._say(f"{REASONS[line]} ")
                said = None
                while said is None and self._listens and not interrupted():
                    said = self._line()
                words = (said or "").strip()
            try:
                self._questions.answer(question.id, question.hash, line, words, "terminal")
                return True
            except AnswerRefusedError as refused:
                self._console.print(literal(str(refused)))
        return False

    def _say(self, text: str) -> None:
        if self._listens:
            self._console.print(literal(text, "bold"), end="")

    def _line(self) -> str | None:
        """A line that was typed, None within a moment. A terminal that has ended is not listened to any more."""
        if not self._listens:
            threading.Event().wait(LOOK_S)
            return None
        try:
            ready, _, _ = select.select([sys.stdin], [], [], LOOK_S)
        except (OSError, ValueError):
            ready, self._listens = [], False
        if not ready:
            return None
        line = sys.stdin.readline()
        if not line:
            self._listens = False
            return None
        return line


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, or SIGTERM sent, while a question stands."""
    pressed = threading.Event()

    def press(number: int, frame: FrameType | None) -> None:
        pressed.set()

    with ending_signals_to(press):
        yield pressed.is_set
