"""The page in a real browser: Debian's Chromium, driven by Playwright (`make test-browser`)."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
uvicorn = pytest.importorskip("uvicorn", reason="the page needs the extra `console`")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium here", allow_module_level=True)

from console_pages import ORIGIN, Page, console_page, make_run  # noqa: E402

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CONTRAST = """() => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest("svg") || element.disabled) continue;
    let under = element, back = [0, 0, 0, 0];
    while (under && (back[3] ?? 1) === 0) {
      back = colour(getComputedStyle(under).backgroundColor);
      under = under.parentElement;
    }
    if ((back[3] ?? 1) === 0) back = [255, 255, 255];
    const style = getComputedStyle(element), [a, b] = [light(colour(style.color)), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    const words = element.textContent.trim().slice(0, 30);
    if (ratio < (large ? 3 : 4.5)) found.push(`${element.tagName} ${words} ${ratio.toFixed(2)}`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "monday"
    make_run(folder, 8)
    return folder


@pytest.fixture
def page(made: Path) -> Iterator[Page]:
    with console_page(made) as found:
        config = uvicorn.Config(
            found.app, host="127.0.0.1", port=8770, log_level="error", ws="none", lifespan="off"
        )
        found.server = uvicorn.Server(config)  # type: ignore[attr-defined]
        config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=found.server.run, daemon=True)  # type: ignore[attr-defined]
        thread.start()
        while not found.server.started:  # type: ignore[attr-defined]
            time.sleep(0.02)
        yield found
        found.server.should_exit = True  # type: ignore[attr-defined]
        thread.join(10)
        found.questions.close_all()


@pytest.fixture
def tab(chromium: Any, page: Page) -> Iterator[Any]:
    """The owner's tab, which must log no error and ask nobody else for anything."""
    with Opened(chromium, page, "owner") as found:
        yield found


class Opened:
    def __init__(self, chromium: Any, page: Page, role: str | None, size: Any = None) -> None:
        self.context = chromium.new_context(viewport=size or DESK)
        self.page, self.role = page, role
        self.errors: list[str] = []
        self.asked: list[str] = []

    def __enter__(self) -> Any:
        tab = self.context.new_page()
        tab.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda e: self.errors.append(str(e)))
        tab.on("request", lambda r: self.asked.append(r.url))
        tab.errors = self.errors
        if self.role is None:
            tab.goto(ORIGIN)
        else:
            tab.goto(f"{ORIGIN}/enter#{self.page.link(self.role)}")
        tab.wait_for_url("**/runs/monday")
        api.expect(tab.locator("#ownership")).not_to_be_empty()
        return tab

    def __exit__(self, *unused: object) -> None:
        self.context.close()
        assert [e for e in self.errors if "ERR_CONNECTION" not in e and "status of 4" not in e] == []
        assert [url for url in self.asked if not url.startswith(ORIGIN)] == []


def wait(what: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def taken(page: Page, question: Any) -> Any:
    end = time.monotonic() + 5.0
    while (found := page.questions.take(question, 60.0)) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


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
    tab.evaluate("() => { window.began = performance.now(); source.close(); }")
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
        wide = tab.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0
        box = tab.locator("#stop").bounding_box()
        assert box["y"] + box["height"] <= size["height"]
        assert box["height"] >= 60
        assert tab.evaluate(CONTRAST) == []
