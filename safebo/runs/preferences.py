"""Asking a person which of two walks is better, and keeping the answer before the tuner hears of it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from safebo.errors import InputError, InterruptedRunError, RunStoppedError
from safebo.files.problems import did_you_mean
from safebo.runs.operators import InterruptedQuestionError
from safebo.runs.page_operator import PageOperator
from safebo.runs.preference_cards import PreferenceCard, drawn_question, preference_card
from safebo.runs.prior_run import tuner_of
from safebo.runs.progress import Progress
from safebo.runs.recommendation import is_default, keep_best, origin
from safebo.storage.journal import Journal
from safebo.storage.questions import QuestionFile
from safebo.storage.run_lock import is_held, run_lock
from safebo.study import Study
from safebo.study.preference_checks import prefers
from safebo.text.screen import literal
from safebo.types import (
    PREFERENCE_WORDS,
    PreferenceAnswer,
    PreferenceQuestion,
    PreferenceWord,
    TrialRecord,
    trial_hash,
)

EXPLAINED = tuple(PREFERENCE_WORDS.items())
"""What answers mean, for `?`."""


class Judge(Protocol):
    """Who says which of two walks is better."""

    def prefer(
        self, question: PreferenceQuestion, study: Study, left: TrialRecord, right: TrialRecord
    ) -> tuple[PreferenceWord, str]:
        """The answer, and who gave it.

        Raises:
            RunStoppedError: nobody answers. InterruptedQuestionError: Ctrl-C.
        """
        ...


class PageJudge:
    """Asks at the terminal, at the run's page and by `safebo answer`: whoever is first decides.

    Args:
        console: of the terminal.
        questions: where pages and other terminals look.
        folder: the run's, for people.
        waits: whether somebody may answer from elsewhere although this terminal has no end that answers.
    """

    def __init__(self, console: Console, questions: QuestionFile, folder: Path, waits: bool = False) -> None:
        self._operator = PageOperator(console, questions, f"safebo console {folder}")
        self._console, self._questions, self._folder, self._waits = console, questions, folder, waits

    def prefer(
        self, question: PreferenceQuestion, study: Study, left: TrialRecord, right: TrialRecord
    ) -> tuple[PreferenceWord, str]:
        """Show both walks, and wait."""
        if not (self._waits or sys.stdin.isatty()):
            raise RunStoppedError(nobody(question, self._folder))
        card = preference_card(question, study, left, right)
        self._console.print(drawn_question(card))
        asked = self._questions.ask(
            "prefer", max(question.left, question.right), question_hash(left, right), asdict(card)
        )
        self._console.print(
            literal(
                f"Answer here, by `safebo answer {self._folder} WORD`, or in `safebo console {self._folder}`"
            ),
            soft_wrap=True,
        )
        given = self._operator.wait(asked, "Which walk is better?", EXPLAINED)
        word: PreferenceWord = given.answer  # type: ignore[assignment]  # one of the question's own
        return word, given.by


class Comparisons:
    """The questions of one run.

    Args:
        folder: the run's.
        journal: of the run.
        tuner: that is told.
        progress: is told.
        judge: who answers; None where nobody does.
    """

    def __init__(
        self, folder: Path, journal: Journal, tuner: Any, progress: Progress, judge: Judge | None
    ) -> None:
        self.folder, self.journal, self.tuner = folder, journal, tuner
        self.progress, self.judge = progress, judge

    def ask_all(self) -> None:
        """Ask until no question is left; nothing is done for a measured objective.

        Raises:
            RunStoppedError: nobody answers; what was answered is kept.
            InterruptedRunError: Ctrl-C at the question.
        """
        study = self.journal.run.study
        if not prefers(study):
            return
        while (question := self.tuner.question()) is not None:
            if self.judge is None:
                raise RunStoppedError(nobody(question, self.folder))
            records = {r.trial.id: r for r in self.journal.records(states=False)}
            try:
                with self.progress.asking():
                    word, by = self.judge.prefer(
                        question, study, records[question.left], records[question.right]
                    )
            except InterruptedQuestionError as error:
                raise InterruptedRunError(
                    f"{waiting(question)}: {error}; go on with --resume, which asks again"
                ) from error
            self.journal.answer(PreferenceAnswer(question, checked_word(word)), by)
            self.tuner.tell_preference(question, word)


def answer_question(folder: str | Path, word: str, by: str = "safebo answer") -> PreferenceQuestion:
    """Answer the question that a run waits with, whether a process works on it or it stands still.

    Args:
        folder: the run's folder.
        word: `left`, `right`, `same` or `unacceptable`.
        by: who answers.

    Returns:
        The question that was answered.

    Raises:
        InputError: no run there, its objective is measured, no question waits, or no such word.
        AnswerRefusedError: somebody else was first.
        RunLockedError: a process works on the run and has not asked yet.
    """
    folder, found = Path(folder), checked_word(word)
    _refuse_measured(folder)
    questions = QuestionFile(folder)
    asked = questions.open_question()
    if asked is not None and asked.kind == "prefer" and is_held(folder):
        questions.answer(asked.id, asked.hash, found, "", by)
        card = asked.card
        return PreferenceQuestion(
            card["number"], card["left"]["trial"], card["right"]["trial"], card["context"]
        )
    with run_lock(folder), Journal.open(folder) as journal:
        tuner, question = _waits(folder, journal)
        journal.answer(PreferenceAnswer(question, found), by)
        tuner.tell_preference(question, found)
        contexts = list(dict.fromkeys(r.trial.context_name for r in journal.records(states=False)))
        computed_from = origin(journal) if is_default(tuner) else ""
        keep_best(tuner, folder, journal.run.study, contexts, computed_from)
    return question


def waiting_card(folder: str | Path) -> PreferenceCard:
    """What a run that stands still waits with; see `answer_question` for errors."""
    folder = Path(folder)
    _refuse_measured(folder)
    with Journal.open(folder, read_only=True) as journal:
        _, question = _waits(folder, journal)
        records = {r.trial.id: r for r in journal.records(states=False)}
        return preference_card(question, journal.run.study, records[question.left], records[question.right])


def _refuse_measured(folder: Path) -> None:
    with Journal.open(folder, read_only=True) as journal:
        if not prefers(journal.run.study):
            raise InputError(f"{folder}: the objective of this run is measured: nobody is asked about walks")


def _waits(folder: Path, journal: Journal) -> tuple[Any, PreferenceQuestion]:
    """The tuner of a run, and the question that it waits with."""
    from safebo.tuner import Tuner  # it brings torch

    tuner: Any = tuner_of(journal, Tuner)
    tuner.restore([(r.trial, r.measurement) for r in journal.records()])
    question: PreferenceQuestion | None = tuner.question()
    if question is None:
        raise InputError(f"{folder}: no two walks wait to be compared now")
    return tuner, question


def checked_word(word: str) -> PreferenceWord:
    """An answer that exists.

    Raises:
        InputError: it does not.
    """
    for known in PREFERENCE_WORDS:
        if word == known:
            return known
    raise InputError(f"answer {word!r} does not exist{did_you_mean(word, PREFERENCE_WORDS)}")


def waiting(question: PreferenceQuestion) -> str:
    """That a question waits, in words."""
    return f"question {question.number}: whether trial {question.left} (left) or {question.right} (right) is better"


def nobody(question: PreferenceQuestion, folder: Path) -> str:
    """What to say where nobody is there to answer."""
    return (
        f"{waiting(question)} is for a person to say, and nobody is at this terminal; no answer is made up. Look at "
        f"both (`safebo replay {folder} {question.left}` where the evaluator can draw), say `safebo answer {folder} "
        f"WORD` with one of {', '.join(PREFERENCE_WORDS)}, then go on with --resume; or tune with --console, which "
        "waits for the page"
    )


def question_hash(left: TrialRecord, right: TrialRecord) -> str:
    """Of exactly the two walks that are compared, sides included."""
    both = f"{trial_hash(left.trial)} {trial_hash(right.trial)}"
    return hashlib.sha256(both.encode()).hexdigest()
