"""The page asks what became of a trial whose result is not known, and records what a person says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra `console`")

from console_pages import Browser, Page, console_page, make_run

from safebo.errors import SafeboError
from safebo.storage.journal import Journal
from safebo.storage.records import Record
from safebo.storage.run_lock import run_lock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that stands still; nobody knows how its trial 4 ended."""
    folder = tmp_path / "monday"
    make_run(folder)
    with Journal.open(folder) as journal:
        last = journal.records(states=False)[-1].trial
        journal.ask(replace(last, id=4), 9)
        journal.mark_unknown(4, "the process was killed")
    return folder


@pytest.fixture
def page(folder: Path) -> Iterator[Page]:
    with console_page(folder, robot=False, held=False) as found:
        yield found


def record(folder: Path) -> Record:
    with Journal.open(folder, read_only=True) as journal:
        return journal.records(states=False)[-1]


def said(browser: Browser, account: str, words: str = "on its left side", trial: int = 4) -> tuple[int, str]:
    answer = browser.act("resolve", {"trial": trial, "account": account, "words": words})
    return answer.status_code, str(answer.json().get("text") or answer.json()["error"])


def test_what_a_person_says_is_recorded_with_who_said_it(page: Page, folder: Path) -> None:
    owner = page.browser("owner")
    text, _ = owner.card()
    assert 'data-trial="4"' in text
    assert said(owner, "fell") == (200, "Trial 4 is recorded as aborted (it fell).")
    found = record(folder)
    assert found.status == "told"
    assert found.measurement is not None
    assert found.measurement.fell
    assert all(margin < 0 for margin in found.measurement.margins.values())
    assert "on its left side (page, owner" in found.measurement.message
    assert "resolution" not in owner.card()[0]
    status, words = said(owner, "unsafe")
    assert (status, "not asked any more" in words) == (409, True)


@pytest.mark.parametrize(
    ("account", "words", "trial", "status", "why"),
    [
        ("fell", "  ", 4, 422, "what you saw"),
        ("later", "x", 4, 422, "fell, unsafe, failed, completed"),
        ("fell", "x", 3, 409, "not asked any more"),
        ("completed", "x", 4, 409, "no raw file"),
    ],
)
def test_what_is_not_enough_changes_nothing(
    page: Page, folder: Path, account: str, words: str, trial: int, status: int, why: str
) -> None:
    got = said(page.browser("owner"), account, words, trial)
    assert (got[0], why in got[1]) == (status, True), got
    assert record(folder).status == "unknown"


@pytest.mark.parametrize("kind", [SafeboError, RuntimeError])
def test_a_bridges_own_errors_reach_the_page_as_words(folder: Path, kind: type[Exception]) -> None:
    # such as a guardian that is not heard, or does not confirm a stop
    def fails(*_: object) -> None:
        raise kind("nothing was heard of the guardian for 0.6 s")

    with console_page(folder) as going:
        owner = going.browser("owner")
        robot = going.console.robot(going.console.runs.all()[0])
        assert robot is not None
        robot.watch()
        going.watched.look = fails  # type: ignore[method-assign, assignment]
        going.watched.stop = fails  # type: ignore[method-assign, assignment]
        assert robot.look() == (None, "nothing was heard of the guardian for 0.6 s")
        answer = owner.act("stop")
        assert (answer.status_code, answer.json()["error"]) == (
            409,
            "nothing was heard of the guardian for 0.6 s",
        )


def test_a_robot_whose_tuner_is_gone_is_stopped_until_it_is_seen_at_rest(folder: Path) -> None:
    with console_page(folder, held=False) as page:
        viewer, reader = page.browser("viewer"), page.console.runs.all()[0]
        assert viewer.act("stop").json()["error"].startswith("No robot belongs to this run now")
        with run_lock(folder):
            robot = page.console.robot(reader)
            assert robot is not None
            robot.watch()
            session = page.console.access.look("somewhere")[0]
            assert page.console.event(reader, session)["robot"] is not None
        assert page.console.event(reader, session)["has_robot"]  # killed: the robot walks on, for a moment
        page.watched.trouble = "nothing was heard of the guardian for 0.6 s"
        assert page.console.event(reader, session)["robot_trouble"] == page.watched.trouble
        page.watched.trouble = ""
        assert viewer.act("stop").status_code == 200
        page.watched.rest()
        assert page.console.event(reader, session)["robot"]["latched"]  # somebody may clear it here
        page.watched.clear()
        page.watched.rest()
        assert not page.console.event(reader, session)["has_robot"]


def test_a_guardian_that_ends_with_its_run_is_no_trouble(folder: Path) -> None:
    with console_page(folder, held=False) as page:
        reader = page.console.runs.all()[0]
        session = page.console.access.look("somewhere")[0]
        with run_lock(folder):
            robot = page.console.robot(reader)
            assert robot is not None
            robot.watch()
            page.watched.rest()
            page.console.event(reader, session)
        page.watched.trouble = "nothing was heard of the guardian for 0.6 s"  # as after --dry-run
        assert not page.console.event(reader, session)["has_robot"]


def test_only_the_owner_says_it(page: Page, folder: Path) -> None:
    viewer = page.browser("viewer")
    assert said(viewer, "fell")[0] == 403
    assert record(folder).status == "unknown"


def test_a_run_that_goes_on_asks_at_its_terminal(folder: Path) -> None:
    with console_page(folder) as going:
        owner = going.browser("owner")
        assert "resolution" not in owner.card()[0]
        assert said(owner, "fell")[0] == 409
    assert record(folder).status == "unknown"
