"""The page in a real browser: trials that are approved and judged, the stop, who is in control."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
    wait,
)

pytest_plugins = ("browser_tab",)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "monday"
    make_run(folder, 8)
    return folder


@pytest.fixture
def page(made: Path) -> Iterator[Page]:
    with console_page(made) as found, served(found):
        yield found
        found.questions.close_all()


def test_a_trial_is_approved(page: Page, tab: Any) -> None:
    question = page.ask()
    tab.get_by_role("button", name="Run this trial").click()
    answer = taken(page, question)
    assert (answer.answer, answer.by.startswith("page, owner")) == ("yes", True)
    tab.wait_for_selector(".card", state="detached")


def test_a_skip_needs_a_reason(page: Page, tab: Any) -> None:
    question = page.ask()
    tab.get_by_role("button", name="Skip it").click()
    tab.get_by_text("Please say why").wait_for()
    assert page.questions.take(question, 60.0) is None
    tab.get_by_label("Reason").fill("a dog in the way")
    tab.get_by_role("button", name="Skip it").click()
    assert taken(page, question).words == "a dog in the way"


def test_a_verdict(page: Page, tab: Any) -> None:
    question = page.ask("judge")
    tab.get_by_label("Reason").fill("it stumbled")
    tab.get_by_role("button", name="It was unsafe").click()
    assert (taken(page, question).answer) == "unsafe"


@pytest.mark.parametrize("how", ["button", "Escape", "Space"])
def test_stop(page: Page, tab: Any, how: str) -> None:
    stop = tab.locator("#stop")
    stop.wait_for()
    if how == "button":
        stop.click()
    else:
        tab.keyboard.press(how)
    wait(lambda: page.watched.done)
    assert page.watched.done[0].startswith("stop: page, owner")
    tab.get_by_text("NOT yet seen at rest").wait_for()
    assert stop.get_attribute("class") == "asked"
    page.watched.rest()
    tab.get_by_text("STOPPED: seen at rest").wait_for()
    assert stop.get_attribute("class") == "seen"


def test_a_stop_arrives_from_a_browser_whose_pages_hold_all_its_connections(page: Page, tab: Any) -> None:
    more = [tab.context.new_page() for _ in range(5)]  # a browser opens six to one console
    for one in more:
        one.goto(tab.url)
    tab.locator("#stop").click()
    wait(lambda: page.watched.done)
    api.expect(tab.locator("#said")).to_contain_text("has confirmed the stop")


def test_a_stop_that_nobody_answers_is_said_to_be_none(page: Page, tab: Any) -> None:
    tab.route("**/stop", lambda route: None)  # it stays on its way
    tab.locator("#stop").click()
    api.expect(tab.locator("#said")).to_contain_text("NOT confirmed yet. Use the robot's remote")
    assert tab.locator("#stop").text_content() == "STOP NOT CONFIRMED: use the remote"


def test_a_text_field_keeps_the_space_bar_and_not_escape(page: Page, tab: Any) -> None:
    page.ask()
    tab.get_by_label("Reason").click()
    tab.keyboard.type("a b")
    assert tab.get_by_label("Reason").input_value() == "a b"
    assert page.watched.done == []
    tab.keyboard.press("Escape")
    wait(lambda: page.watched.done)


def test_the_space_bar_on_a_button_stops_and_approves_nothing(page: Page, tab: Any) -> None:
    question = page.ask()
    tab.get_by_role("button", name="Run this trial").focus()
    tab.keyboard.press("Space")
    wait(lambda: page.watched.done)
    time.sleep(0.2)
    assert page.questions.take(question, 60.0) is None


def test_a_latch_is_cleared_in_two_steps(page: Page, tab: Any) -> None:
    tab.keyboard.press("Escape")
    first, second = tab.locator("#acknowledge"), tab.locator("#clear")
    first.wait_for()
    assert second.is_disabled()
    first.click()
    api.expect(second).to_be_enabled()
    second.click()
    wait(lambda: page.watched.done[-2:] == ["acknowledge 1", "clear"])


def test_a_viewer_reads_only_and_may_stop(chromium: Any, page: Page) -> None:
    page.ask()
    with Opened(chromium, page, None) as tab:
        tab.get_by_text("Read only").wait_for()
        tab.get_by_role("button", name="Run this trial").wait_for()
        assert tab.get_by_role("button", name="Run this trial").is_disabled()
        assert tab.locator("#take").is_hidden()
        tab.keyboard.press("Space")
        wait(lambda: page.watched.done)
        assert "viewer" in page.watched.done[0]


def test_a_card_that_is_too_old_has_to_be_looked_at_again(
    page: Page, tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safebo.console.access.CARD_VALID_S", 1.0)
    question = page.ask()
    tab.get_by_text("too old to be answered").wait_for()
    assert tab.get_by_role("button", name="Run this trial").is_disabled()
    monkeypatch.undo()
    tab.get_by_role("button", name="Look again").click()
    tab.get_by_role("button", name="Run this trial").click()
    assert taken(page, question).answer == "yes"


def test_a_lost_connection_is_shown_within_a_second(page: Page, tab: Any) -> None:
    page.watched.rest()
    tab.get_by_text("STOPPED: seen at rest").wait_for()
    # A network that carries nothing, in either direction.
    tab.route("**/state", lambda route: None)
    tab.evaluate("() => { window.began = performance.now(); }")
    tab.get_by_text("Connection lost").wait_for()
    assert tab.evaluate("() => performance.now() - window.began") < 1000
    assert tab.locator("#stop").get_attribute("class") != "seen"


def test_keyboard_alone(page: Page, tab: Any) -> None:
    question = page.ask()
    tab.get_by_role("button", name="Run this trial").wait_for()
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("() => document.activeElement.dataset.answer") == "yes":
            break
    assert tab.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("Enter")
    assert taken(page, question).answer == "yes"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_fits_and_can_be_read(chromium: Any, page: Page, size: Any, tmp_path: Path) -> None:
    page.ask()
    with Opened(chromium, page, "owner", size) as tab:
        tab.get_by_role("button", name="Run this trial").wait_for()
        tab.wait_for_selector("#strips svg")
        tab.wait_for_timeout(500)
        tab.screenshot(path=tmp_path / f"console-{size['width']}.png")
        box = tab.locator("#stop").bounding_box()
        assert box["y"] + box["height"] <= size["height"]
        assert box["height"] >= 60
        readable_and_fits(tab)
