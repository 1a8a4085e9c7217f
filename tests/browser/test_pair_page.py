"""Two walks side by side, compared with buttons and keys; whose answer counts, and that it is the journal's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from opened_page import (
    DESK,
    PHONE,
    Opened,
    Page,
    api,
    console_page,
    make_run,
    readable_and_fits,
    served,
    taken,
)
from rich.console import Console

from safebo.runs.opened import open_run
from safebo.runs.preference_cards import preference_card
from safebo.runs.preferences import PageJudge, question_hash
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.storage.questions import Question, QuestionFile
from safebo.types import PreferenceQuestion

pytest_plugins = ("browser_tab",)
STUDY = """\
name: bowl
evaluator: {name: "closed_form_runs:bowl", options: {repeatable: true}}
parameters: [{name: p, unit: N, bounds: [0, 10]}, {name: d, unit: s, bounds: [0.1, 10], scale: log}]
objective: {name: look, kind: preference, repeats: 0}
constraints: [{name: height, unit: m, prior_std: 3}]
seeds: [{parameters: {p: 2, d: 1}}]
tuner: {search: {swarm_size: 16, swarm_iterations: 2, restarts: 1}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "monday"
    make_run(folder, 4)
    return folder


@pytest.fixture
def page(made: Path) -> Iterator[Page]:
    with console_page(made, robot=False) as found, served(found):
        yield found
        found.questions.close_all()


def ask(page: Page, left: int = 1, right: int = 2) -> Question:
    """The question that a run puts about two walks of this one."""
    with Journal.open(page.folder, read_only=True) as journal:
        records = {r.trial.id: r for r in journal.records(states=False)}
        study = journal.run.study
    a, b = records[left], records[right]
    card = preference_card(PreferenceQuestion(1, left, right, "default"), study, a, b)
    return page.questions.ask("prefer", max(left, right), question_hash(a, b), asdict(card))


def ready(tab: Any) -> None:
    """The buttons may be pressed."""
    api.expect(tab.get_by_role("button", name="Left is better")).to_be_enabled()


@pytest.mark.parametrize(
    ("button", "key", "word"),
    [
        ("Left is better", "ArrowLeft", "left"),
        ("Right is better", "ArrowRight", "right"),
        ("They look the same", "s", "same"),
        ("Neither is acceptable", "u", "unacceptable"),
    ],
)
def test_buttons_and_keys(page: Page, tab: Any, button: str, key: str, word: str) -> None:
    first = ask(page)
    ready(tab)
    tab.get_by_role("button", name=button).click()
    answer = taken(page, first)
    assert (answer.answer, answer.by.startswith("page, owner")) == (word, True)
    api.expect(tab.locator(".card")).to_have_count(0)
    for pressed in {key, key.upper() if len(key) == 1 else key}:  # Caps Lock is no other answer
        second = ask(page)
        ready(tab)
        tab.keyboard.press(pressed)
        assert taken(page, second).answer == word
        api.expect(tab.locator(".card")).to_have_count(0)


def test_both_walks_are_shown_and_neither_is_called_the_new_one(chromium: Any, page: Page) -> None:
    ask(page, left=3, right=1)
    with Opened(chromium, page, "owner", videos=True) as tab:
        ready(tab)
        left, right = (tab.get_by_role("region", name=side, exact=True) for side in ("left", "right"))
        assert "trial 3" in left.inner_text()
        assert "trial 1" in right.inner_text()
        a, b = left.bounding_box(), right.bounding_box()
        assert a["y"] == b["y"]
        assert a["x"] + a["width"] <= b["x"]
        right.get_by_text("drawn after the other one").wait_for()
        for side in (left, right):
            assert {"p", "d", "height"} <= set(side.locator("tbody th").all_inner_texts())
            # A closed form has no video, and says so.
            side.get_by_text("cannot be drawn").wait_for(timeout=100_000)


def test_the_answer_of_a_question_that_was_replaced_counts_for_nothing(page: Page, tab: Any) -> None:
    ask(page)
    ready(tab)
    tab.evaluate("() => { refresh = async () => {}; }")  # a tab that has not heard yet
    second = ask(page, 2, 1)
    tab.keyboard.press("ArrowLeft")
    tab.locator("#said.bad").get_by_text("not asked any more").wait_for()
    assert page.questions.take(second, 60.0) is None


def test_a_key_that_scrolls_a_table_answers_nothing(chromium: Any, page: Page) -> None:
    question = ask(page)
    with Opened(chromium, page, "owner", {"width": 120, "height": 800}) as tab:
        ready(tab)
        table = tab.get_by_role("region", name="Left walk")
        assert table.evaluate("(e) => e.scrollWidth > e.clientWidth")
        table.focus()
        tab.keyboard.press("ArrowRight")
        tab.wait_for_function("() => document.activeElement.scrollLeft > 0")
        at = table.evaluate("(e) => e.scrollLeft")
        tab.evaluate("() => refresh('now')")  # as any news of the run does
        focused, left = table.evaluate("(e) => [document.activeElement === e, e.scrollLeft]")
        assert focused
        assert left >= at  # a smooth scroll goes on
        tab.keyboard.press("ArrowRight")
        tab.wait_for_timeout(200)
        assert page.questions.take(question, 60.0) is None


def test_the_keyboard_alone(page: Page, tab: Any) -> None:
    question = ask(page)
    ready(tab)
    tab.get_by_role("link", name="To the content").focus()
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("() => document.activeElement.dataset.answer") == "same":
            break
    assert tab.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("Enter")
    assert taken(page, question).answer == "same"


def test_a_viewer_looks_and_answers_nothing(chromium: Any, page: Page) -> None:
    question = ask(page)
    with Opened(chromium, page, None) as tab:
        tab.get_by_text("Read only").wait_for()
        tab.get_by_text("Left: trial 1").wait_for()
        for button in tab.locator(".answer").all():
            assert button.is_disabled()
        for key in ("ArrowLeft", "ArrowRight", "s", "u"):
            tab.keyboard.press(key)
        tab.wait_for_timeout(300)
        assert page.questions.take(question, 60.0) is None
        assert tab.locator("#said").inner_text() == ""


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_fits_and_can_be_read(chromium: Any, page: Page, size: Any, tmp_path: Path) -> None:
    ask(page)
    with Opened(chromium, page, "owner", size) as tab:
        ready(tab)
        tab.wait_for_timeout(300)
        tab.screenshot(path=tmp_path / f"pair-{size['width']}.png")
        for button in tab.locator(".answer").all():
            assert button.bounding_box()["height"] >= 44
        readable_and_fits(tab)


def test_a_run_waits_for_the_page_and_keeps_its_answer(chromium: Any, tmp_path: Path) -> None:
    file, folder = tmp_path / "bowl.yaml", tmp_path / "monday"
    file.write_text(STUDY)
    run(file, folder, trials=1)
    judge = PageJudge(Console(quiet=True), QuestionFile(folder), folder, waits=True)
    works = threading.Thread(
        target=lambda: run(file, folder, trials=2, resume=True, judge=judge), daemon=True
    )
    with console_page(folder, robot=False, held=False) as found, served(found):
        works.start()
        with Opened(chromium, found, "owner") as tab:
            tab.get_by_role("heading", name="Question 1: which of two walks is better?").wait_for(
                timeout=60_000
            )
            ready(tab)
            tab.keyboard.press("ArrowRight")
            tab.get_by_text("Question 1: right.").wait_for()
            works.join(60)
            assert not works.is_alive()
    kept = open_run(folder).answers
    assert [(k.answer.word, k.by.startswith("page, owner")) for k in kept] == [("right", True)]
