"""A console's page opened in Debian's Chromium, driven by Playwright (`make test-browser`)."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
uvicorn = pytest.importorskip("uvicorn", reason="the page needs the extra `console`")
pytest.importorskip("console_pages", reason="`make test-browser` has tests/safebo on its path")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium here", allow_module_level=True)

from console_pages import HOST, ORIGIN, Page, console_page, make_run  # noqa: E402, F401

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


@contextmanager
def served(page: Page) -> Iterator[Page]:
    """A console that browsers reach."""
    host, _, port = HOST.partition(":")
    config = uvicorn.Config(
        page.app,
        host=host,
        port=int(port),
        log_level="error",
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    page.server = uvicorn.Server(config)  # type: ignore[attr-defined]
    thread = threading.Thread(target=page.server.run, daemon=True)  # type: ignore[attr-defined]
    thread.start()
    while not page.server.started:  # type: ignore[attr-defined]
        time.sleep(0.02)
    try:
        yield page
    finally:
        page.server.should_exit = True  # type: ignore[attr-defined]
        thread.join(10)


class Opened:
    """A tab on the run's page. Without `videos` none is asked of the console: each starts a process of its own."""

    def __init__(
        self, chromium: Any, page: Page, role: str | None, size: Any = None, videos: bool = False
    ) -> None:
        self.context = chromium.new_context(viewport=size or DESK)
        if not videos:
            self.context.route("**/replay?*", lambda r: r.fulfill(status=409, json={"error": "not drawn"}))
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


def readable_and_fits(tab: Any) -> None:
    """Nothing wider than the window, and every text with enough contrast (WCAG 2.1, 1.4.3)."""
    wide = tab.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    assert tab.evaluate(CONTRAST) == []
