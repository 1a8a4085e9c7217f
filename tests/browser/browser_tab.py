"""The browser, and its owner's tab on the console that a test serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from opened_page import CHROMIUM, api

    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any, page: Any) -> Iterator[Any]:
    """The owner's tab, which must log no error and ask nobody else for anything."""
    from opened_page import Opened

    with Opened(chromium, page, "owner") as found:
        yield found
