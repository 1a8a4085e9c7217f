"""The page asks what became of a trial whose end was never recorded; what a person says is in the journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
    wait,
)

from safebo.runs.manual import resolve_trial
from safebo.runs.operators import Account
from safebo.storage.journal import Journal
from safebo.storage.records import Record
from safebo.storage.trial_log import KIND

pytest_plugins = ("browser_tab",)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A run that stands still; nobody knows how its trials 4 and 5 ended."""
    folder = tmp_path / "monday"
    make_run(folder)
    with Journal.open(folder) as journal:
        last = journal.records(states=False)[-1].trial
        for trial in (4, 5):
            journal.ask(replace(last, id=trial), 9)
            journal.mark_unknown(trial, "the process was killed")
    with console_page(folder, robot=False, held=False) as found, served(found):
        yield found


def record(page: Page, trial: int = 4) -> Record:
    with Journal.open(page.folder, read_only=True) as journal:
        return next(r for r in journal.records(states=False) if r.trial.id == trial)


def say(tab: Any, button: str, words: str = "") -> None:
    tab.get_by_label("What you saw").fill(words)
    tab.get_by_role("button", name=button).click()


def test_it_is_asked_once_for_each_trial_and_kept_with_who_said_it(page: Page, tab: Any) -> None:
    tab.get_by_role("heading", name="Trial 4: what became of it?").wait_for()
    say(tab, "It fell")
    tab.get_by_text("Please say what you saw").wait_for()
    assert record(page).status == "unknown"
    assert tab.evaluate("() => document.activeElement.id") == "words"
    say(tab, "It fell", "on its left side")
    tab.get_by_text("Trial 4 is recorded as aborted (it fell).").wait_for()
    found = record(page).measurement
    assert found is not None
    assert found.fell
    assert "on its left side (page, owner" in found.message
    tab.get_by_role("heading", name="Trial 5: what became of it?").wait_for()
    assert tab.get_by_label("What you saw").input_value() == ""
    say(tab, "It was not safe", "it hit the wall")
    tab.get_by_text("Trial 5 is recorded as").wait_for()
    api.expect(tab.locator(".resolution")).to_have_count(0)
    five = record(page, 5).measurement
    assert five is not None
    assert not five.fell
    assert all(margin < 0 for margin in five.margins.values())
    # The rest of the page follows.
    api.expect(tab.locator("#trials tr.bad")).to_have_count(2)
    assert "it hit the wall" in tab.locator("#audit").inner_text()


def test_that_it_walked_to_its_end_is_offered_where_a_raw_file_shows_it(page: Page, tab: Any) -> None:
    tab.get_by_text("cannot be said: no raw file of its whole walk was kept").wait_for()
    api.expect(tab.locator(".account")).to_have_count(3)
    with Journal.open(page.folder) as journal:
        journal.note(KIND, "ended", 5, data={"state": "ENDED", "raw": "trial-5.npz"})
    say(tab, "It says nothing of its gains", "the battery was empty")
    tab.get_by_role("heading", name="Trial 5").wait_for()
    say(tab, "It walked to its end", "as ever")
    tab.get_by_text("Trial 5 is scored from its raw file, and judged, when the run goes on").wait_for()
    assert record(page, 5).status != "told"


def test_what_is_being_typed_outlives_a_refresh(page: Page, tab: Any) -> None:
    api.expect(tab.get_by_label("What you saw")).to_be_enabled()
    tab.get_by_label("What you saw").click()
    tab.keyboard.type("it fell ")
    tab.evaluate("() => refresh('now')")
    tab.keyboard.type("on its side")
    assert tab.get_by_label("What you saw").input_value() == "it fell on its side"


def test_what_was_said_elsewhere_stands(page: Page, tab: Any) -> None:
    # A tab that has not heard yet.
    tab.evaluate("() => { refresh = async () => {}; }")
    resolve_trial(page.folder, 4, Account("failed", "the battery was empty"))
    say(tab, "It was not safe", "it hit the wall")
    tab.locator("#said.bad").get_by_text("not asked any more").wait_for()
    found = record(page).measurement
    assert found is not None
    assert found.outcome == "failed"
    assert record(page, 5).status == "unknown"


def test_the_keyboard_alone(page: Page, tab: Any) -> None:
    api.expect(tab.get_by_label("What you saw")).to_be_enabled()
    tab.get_by_role("link", name="To the content").focus()
    reached = []
    while "failed" not in reached:
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate("() => document.activeElement.dataset.account ?? document.activeElement.id")
        )
        assert len(reached) < 20
        if reached[-1] == "words":
            tab.keyboard.type("the battery was empty")
    assert reached[-4:] == ["words", "fell", "unsafe", "failed"]
    tab.keyboard.press("Enter")
    wait(lambda: record(page).status == "told")
    tab.get_by_role("heading", name="Trial 5").wait_for()


def test_a_viewer_reads_the_question_and_answers_nothing(chromium: Any, page: Page) -> None:
    with Opened(chromium, page, None) as tab:
        tab.get_by_text("Read only").wait_for()
        assert tab.get_by_label("What you saw").is_disabled()
        for button in tab.locator(".account").all():
            assert button.is_disabled()
        assert tab.locator(".account").count() == 3


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_fits_and_can_be_read(chromium: Any, page: Page, size: Any, tmp_path: Path) -> None:
    with Opened(chromium, page, "owner", size) as tab:
        tab.get_by_label("What you saw").wait_for()
        tab.wait_for_timeout(300)
        tab.screenshot(path=tmp_path / f"lost-{size['width']}.png")
        for button in tab.locator(".account").all():
            assert button.bounding_box()["height"] >= 44
        readable_and_fits(tab)
