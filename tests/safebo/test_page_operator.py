"""Answers from a page or the terminal: the first counts, once, for exactly what was shown, and not for ever."""

from __future__ import annotations

import io
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from closed_form_runs import HashTuner
from rich.console import Console
from robot_in_tests import STUDY, WORLDS, World

from safebo.cli.robot_options import robot_options
from safebo.errors import InputError, RunStoppedError
from safebo.runs.page_operator import VALID_S, PageOperator
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.storage.questions import FILE, AnswerRefusedError, QuestionFile
from safebo.storage.trial_log import KIND
from safebo.study.reading import parse_study
from safebo.types import RobotAddress, Trial, trial_hash
from safebo.workers import worker

TRIAL = Trial(7, {"p": 2.0, "d": 1.0}, {}, "default", "local", 0, True)


@pytest.fixture
def world() -> World:
    WORLDS["it"] = World()
    return WORLDS["it"]


def tune(folder: Path, text: str = STUDY, **changes: object) -> str:
    """A run whose operator listens to a terminal that has ended, and to pages; what its screen showed."""
    worker._made = None
    screen = io.StringIO()
    operator = PageOperator(Console(file=screen, width=160), QuestionFile(folder), "safebo console here")
    with ThreadPoolExecutor(1) as executor:
        run(
            parse_study(text.replace("WORLD", "it")),
            folder,
            make_tuner=HashTuner,
            executor=executor,
            seed=3,
            operator=operator,
            **changes,  # type: ignore[arg-type]
        )
    return screen.getvalue()


@contextmanager
def page(folder: Path, say: dict[str, tuple[str, str]]) -> Iterator[list[str]]:
    """Somebody at a page who answers every question of a kind in the same way."""
    done, seen = threading.Event(), list[str]()

    def look() -> None:
        questions = QuestionFile(folder)
        while not done.wait(0.01):
            question = questions.open_question()
            if question is not None:
                seen.append(f"{question.kind} {question.trial}")
                answer, words = say[question.kind]
                with suppress(AnswerRefusedError):  # what was answered between the two
                    questions.answer(question.id, question.hash, answer, words, "page")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal at its end."""
    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: SIM115  select needs a real one


def test_a_run_takes_its_answers_from_the_page(tmp_path: Path, world: World) -> None:
    with page(tmp_path, {"approve": ("yes", ""), "judge": ("accept", "fine")}) as seen:
        said = tune(tmp_path, trials=2)
    assert seen == ["approve 1", "judge 1", "approve 2", "judge 2"]
    assert [number for number, _ in world.motions] == [1, 2]
    with Journal.open(tmp_path, read_only=True) as journal:
        steps = {str(e.data["state"]): e.text for e in journal.events() if e.kind == KIND and e.trial == 2}
    assert steps["APPROVED"] == "(page)"
    assert steps["ACCEPTED"] == "fine (page)"
    assert "safebo console here" in said
    assert QuestionFile(tmp_path).open_question() is None


def test_what_is_skipped_moves_nothing_and_says_who_and_why(tmp_path: Path, world: World) -> None:
    with page(tmp_path, {"approve": ("skip", "a dog"), "judge": ("accept", "")}):
        tune(tmp_path, trials=1)
    assert world.motions == []
    with Journal.open(tmp_path, read_only=True) as journal:
        (record,) = journal.records()
    assert record.measurement is not None
    assert record.measurement.message == "skipped by the operator: a dog (page)"


def test_the_page_ends_the_run(tmp_path: Path, world: World) -> None:
    with (
        page(tmp_path, {"approve": ("stop", "rain")}),
        pytest.raises(RunStoppedError, match=r"rain \(page\)"),
    ):
        tune(tmp_path)
    assert world.motions == []


def test_the_terminal_answers_too(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = tmp_path / "typed"
    typed.write_text("maybe\n?\nyes\ncontaminated\nsomebody pushed it\n")
    with typed.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        said = tune(tmp_path / "run", trials=1)
    assert len(world.motions) == 1
    assert "Please type one of: yes, skip, stop" in said
    assert "the approval holds for these gains" in " ".join(said.split())
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        (record,) = journal.records()
    assert record.measurement is not None
    assert "somebody pushed it (terminal)" in record.measurement.message


# -- the questions' file ----------------------------------------------------------------------------------------


def test_an_answer_names_exactly_what_was_asked(tmp_path: Path) -> None:
    questions = QuestionFile(tmp_path)
    question = questions.ask("approve", 7, trial_hash(TRIAL), {"title": "x"})
    with pytest.raises(AnswerRefusedError, match="not what trial 7 proposes now"):
        questions.answer(question.id, "other", "yes", "", "page")
    assert questions.take(question, VALID_S) is None
    questions.answer(question.id, trial_hash(TRIAL), "yes", "", "page")
    found = questions.take(question, VALID_S)
    assert found is not None
    assert (found.answer, found.by) == ("yes", "page")


def test_the_first_answer_counts(tmp_path: Path) -> None:
    questions = QuestionFile(tmp_path)
    question = questions.ask("approve", 7, "h", {})
    questions.answer(question.id, "h", "skip", "why", "terminal")
    with pytest.raises(AnswerRefusedError, match="Already answered: 'skip' by terminal"):
        questions.answer(question.id, "h", "yes", "", "page")
    assert questions.open_question() is None


def test_of_many_at_once_one_counts(tmp_path: Path) -> None:
    questions = QuestionFile(tmp_path)
    question = questions.ask("approve", 7, "h", {})

    def answer(i: int) -> bool:
        try:
            QuestionFile(tmp_path).answer(question.id, "h", "yes", "", f"page {i}")
        except AnswerRefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(answer, range(16))) == 1


def test_a_newer_question_closes_the_older_one(tmp_path: Path) -> None:
    questions = QuestionFile(tmp_path)
    old = questions.ask("approve", 7, "h", {})
    new = questions.ask("approve", 8, "i", {})
    assert questions.open_question() == new
    with pytest.raises(AnswerRefusedError, match="not asked any more"):
        questions.answer(old.id, "h", "yes", "", "page")
    questions.close_all()
    with pytest.raises(AnswerRefusedError, match="not asked any more"):
        questions.answer(new.id, "i", "yes", "", "page")


def test_an_answer_to_a_run_that_was_frozen_expires(tmp_path: Path) -> None:
    questions = QuestionFile(tmp_path)
    question = questions.ask("approve", 7, "h", {})
    questions.answer(question.id, "h", "yes", "", "page")
    old = (datetime.now(UTC) - timedelta(seconds=VALID_S + 1)).isoformat()
    with sqlite3.connect(tmp_path / FILE) as base:
        base.execute("UPDATE answers SET at = ?", (old,))
    assert questions.take(question, VALID_S) is None
    assert questions.open_question() == question  # it is asked still
    assert "expired" in questions.acts()[-1].what


def test_looking_makes_no_file(tmp_path: Path) -> None:
    questions = QuestionFile(tmp_path)
    assert (questions.open_question(), questions.acts(), questions.robot()) == (None, [], None)
    questions.close_all()
    assert list(tmp_path.iterdir()) == []


def test_the_robot_of_a_run_is_known(tmp_path: Path) -> None:
    questions = QuestionFile(tmp_path)
    questions.keep_robot(RobotAddress("10.0.0.3", 4750, "k", "S1"))
    assert questions.robot() == RobotAddress("10.0.0.3", 4750, "k", "S1")
    questions.keep_robot(None)
    assert questions.robot() is None


# -- options ------------------------------------------------------------------------------------------------------


def test_the_page_belongs_to_trials_that_a_person_approves(tmp_path: Path) -> None:
    given = {"physical": None, "key": None, "global_trials": False}
    with pytest.raises(InputError, match="asks a person"):
        robot_options("h:1", approve_all=True, dry_run=False, console=True, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="A simulated run asks nobody"):
        robot_options(None, approve_all=False, dry_run=False, console=True, **given)  # type: ignore[arg-type]
    options = robot_options("h:1", approve_all=False, dry_run=False, console=True, **given)  # type: ignore[arg-type]
    assert options.words() == ["--robot", "h:1", "--console"]
    assert isinstance(options.operator(Console(), tmp_path), PageOperator)
