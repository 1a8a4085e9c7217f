"""The page's rules, one test each: who is let in, from where a change counts, and what an answer allows a browser."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra `console`")

from console_pages import HOST, ORIGIN, Browser, Page, console_page, make_run
from starlette.requests import ClientDisconnect
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from safebo.console.access import CARD_VALID_S, TAKE_OVER_S, Access, RefusedError
from safebo.console.console import MAX_DRAWINGS
from safebo.console.guard import MAX_BODY, check_public, hosts_of
from safebo.console.replays import ReplayDrawer
from safebo.console.serve import Listening
from safebo.errors import InputError, SafeboError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "monday"
    make_run(folder)
    return folder


@pytest.fixture
def page(made: Path) -> Iterator[Page]:
    with console_page(made) as found:
        yield found
        found.questions.close_all()


@pytest.fixture
def owner(page: Page) -> Browser:
    return page.browser("owner")


# -- where it is served -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_this_machines_own_address_needs_nothing(host: str) -> None:
    check_public(host, tls=False, unencrypted=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot.lab", "8.8.8.8"])
def test_another_address_needs_tls_or_a_flag_in_words(host: str) -> None:
    with pytest.raises(InputError, match="--unencrypted-on-this-network"):
        check_public(host, tls=False, unencrypted=False)
    check_public(host, tls=True, unencrypted=False)
    check_public(host, tls=False, unencrypted=True)


def test_what_belongs_together_is_asked_for_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="go together"):
        Listening(certificate=tmp_path / "c.pem").check()
    with pytest.raises(InputError, match="no such file"):
        Listening(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem").check()
    with pytest.raises(InputError, match="--name"):
        Listening(host="0.0.0.0", unencrypted=True).check()


# -- Host, origin, CSRF, method, body ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example:8770", "127.0.0.1", "127.0.0.1:8771", "127.0.0.1:8770.evil.example", ""]
)
def test_a_name_that_is_not_the_pages_is_refused(page: Page, host: str) -> None:
    answer = page.browser().get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "safebo-" not in answer.headers.get("set-cookie", "")


def test_hosts_are_those_that_are_served() -> None:
    assert HOST in hosts_of("127.0.0.1", 8770)
    assert hosts_of("10.0.0.2", 8770, ["Robot.lab"]) == {"10.0.0.2:8770", "robot.lab:8770"}


@pytest.mark.parametrize(
    "origin",
    ["", "null", "http://evil.example", f"https://{HOST}", f"{ORIGIN}.evil.example", "http://127.0.0.1:8771"],
)
@pytest.mark.parametrize("what", ["stop", "answer", "clear", "resolve"])
def test_a_change_from_another_origin_is_refused(owner: Browser, origin: str, what: str) -> None:
    answer = owner.act(what, origin=origin)
    assert (answer.status_code, "another page" in answer.json()["error"]) == (403, True)
    assert owner.page.watched.done == []


@pytest.mark.parametrize("token", ["", "x", "stolen-from-another-page"])
@pytest.mark.parametrize("what", ["stop", "answer", "baseline", "resolve"])
def test_a_change_without_the_pages_token_is_refused(owner: Browser, token: str, what: str) -> None:
    answer = owner.act(what, x_safebo_csrf=token)
    assert (answer.status_code, "token" in answer.json()["error"]) == (403, True)
    assert owner.page.watched.done == []


def test_a_token_belongs_to_one_session(page: Page, owner: Browser) -> None:
    viewer = page.browser()
    viewer.open()
    assert viewer.csrf != owner.csrf
    assert owner.act("stop", x_safebo_csrf=viewer.csrf).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_reads_nothing(owner: Browser, site: str) -> None:
    answer = owner.get("/runs/monday/part/now", headers={"sec-fetch-site": site, "sec-fetch-mode": "no-cors"})
    assert answer.status_code == 403


def test_a_link_from_elsewhere_opens_the_page(page: Page) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert page.browser().get("/runs/monday", headers=headers).status_code == 200
    framed = {**headers, "sec-fetch-dest": "iframe"}
    assert page.browser().get("/runs/monday", headers=framed).status_code == 403


def test_only_json_changes_anything(owner: Browser) -> None:
    headers = {"origin": ORIGIN, "x-safebo-csrf": owner.csrf, "content-type": "text/plain"}
    answer = owner.post("/runs/monday/stop", content="{}", headers=headers)
    assert (answer.status_code, owner.page.watched.done) == (415, [])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_get_and_post_are_spoken(owner: Browser, method: str) -> None:
    assert owner.request(method, "/runs/monday/stop").status_code == 405


def test_a_get_changes_nothing(owner: Browser) -> None:
    for what in ("stop", "answer", "clear", "baseline", "acknowledge", "resolve"):
        assert owner.get(f"/runs/monday/{what}").status_code in (404, 405)
    assert owner.page.watched.done == []


def test_a_large_body_is_refused(owner: Browser) -> None:
    assert owner.act("answer", {"words": "x" * MAX_BODY}).status_code == 413


def test_a_body_that_is_larger_than_it_said_is_cut_off(page: Page) -> None:
    browser = page.browser("owner")
    sent = iter([{"type": "http.request", "body": b"x" * MAX_BODY, "more_body": True}] * 3)
    answered: list[Any] = []

    async def receive() -> Any:
        return next(sent)

    async def send(message: Any) -> None:
        answered.append(message)

    (cookie,) = (f"{c.name}={c.value}" for c in browser.cookies.jar)
    headers = {"host": HOST, "origin": ORIGIN, "x-safebo-csrf": browser.csrf, "cookie": cookie}
    headers |= {"content-type": "application/json"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/runs/monday/answer",
        "headers": raw,
        "query_string": b"",
    }
    scope |= {
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8770),
    }

    async def ask() -> None:
        await page.app(scope, receive, send)

    with contextlib.suppress(ClientDisconnect):
        asyncio.run(ask())
    assert [m["status"] for m in answered if "status" in m] in ([], [400], [500])
    assert page.watched.done == []


def test_no_websocket_is_spoken(owner: Browser) -> None:
    for headers in ({}, {"origin": "http://evil.example"}, {"origin": ORIGIN}):
        with (
            pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)),
            owner.websocket_connect("/runs/monday/state", headers=headers),
        ):
            pass


# -- sessions, links, roles -------------------------------------------------------------------------------------


def test_the_cookie_is_strict(page: Page) -> None:
    header = page.browser().get("/runs/monday").headers["set-cookie"]
    assert header.startswith("safebo-8770=")
    for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert word in header
    assert "Secure" not in header


def test_with_tls_the_cookie_is_never_sent_without(made: Path) -> None:
    # TLS itself is the server's; here only what follows from it.
    with console_page(made, certificate=made / "c", key=made / "k") as page:
        browser = page.browser()
        browser.base_url = f"https://{HOST}"
        assert "; Secure" in browser.get("/", follow_redirects=False).headers["set-cookie"]
        browser.open()
        assert browser.act("stop").status_code == 403  # the origin is http
        assert browser.act("stop", origin=f"https://{HOST}").status_code == 200


def test_a_network_address_shows_nothing_without_a_link(made: Path) -> None:
    with console_page(made, host="10.0.0.2", unencrypted=True) as page:
        browser = Browser(page)
        browser.base_url = "http://10.0.0.2:8770"
        for path in (
            "/",
            "/runs/monday",
            "/runs/monday/part/now",
            "/runs/monday/state",
            "/runs/monday/export.csv",
        ):
            assert browser.get(path).status_code == 401
        origin = {"origin": "http://10.0.0.2:8770"}
        assert browser.post("/runs/monday/stop", json={}, headers=origin).status_code == 401
        sent = browser.get("/", headers={"accept": "text/html"}, follow_redirects=False)
        assert (sent.status_code, sent.headers["location"]) == (303, "/enter")
        token = page.link("viewer")
        assert browser.post("/enter", json={"token": token}, headers=origin).status_code == 200
        assert browser.get("/runs/monday").status_code == 200


def test_a_link_opens_one_browser(page: Page) -> None:
    token = page.link()
    assert page.browser().enter(token).status_code == 200
    again = page.browser().enter(token)
    assert (again.status_code, "used already" in again.json()["error"]) == (403, True)
    assert page.link() != token  # another one was printed


@pytest.mark.parametrize("token", ["", "x", "é", "a" * 32])
def test_an_unknown_link_opens_nothing(page: Page, token: str) -> None:
    answer = page.browser().post("/enter", json={"token": token}, headers={"origin": ORIGIN})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_link_is_not_used_from_another_page(page: Page) -> None:
    token = page.link()
    for origin in ({}, {"origin": "http://evil.example"}):
        assert page.browser().post("/enter", json={"token": token}, headers=origin).status_code == 403
    assert page.link() == token


def test_an_unknown_cookie_is_nobodys(page: Page) -> None:
    browser = page.browser()
    browser.cookies.set("safebo-8770", "guessed")
    assert browser.post("/runs/monday/stop", json={}, headers={"origin": ORIGIN}).status_code == 401


CHANGES = {
    "answer": {"ticket": "x", "answer": "yes"},
    "baseline": {},
    "acknowledge": {"latch": 1},
    "clear": {},
    "resolve": {"trial": 2, "account": "fell", "words": "it lies"},
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("role", [None, "viewer"])
def test_a_viewer_only_looks(page: Page, what: str, role: str | None) -> None:
    viewer = page.browser(role)
    viewer.open()
    answer = viewer.act(what, CHANGES[what])
    assert (answer.status_code, "read only" in answer.json()["error"]) == (403, True)
    assert page.watched.done == []
    assert viewer.change("/owner", {"take": True}).status_code == 403


def test_every_viewer_stops(page: Page) -> None:
    viewer = page.browser()
    viewer.open()
    answer = viewer.act("stop")
    assert (answer.status_code, answer.json()["text"]) == (200, "state 9, cause 1: a stop was asked for")
    assert len(page.watched.done) == 1
    assert "viewer" in page.watched.done[0]


def test_there_is_one_owner(page: Page, owner: Browser) -> None:
    second = page.browser("owner")
    assert second.act("baseline").status_code == 403
    refused = second.change("/owner", {"take": True})
    assert (refused.status_code, "alive" in refused.json()["error"]) == (403, True)
    owner.change("/owner", {"take": False})
    assert second.change("/owner", {"take": True}).status_code == 200
    assert second.act("baseline").status_code == 200
    assert owner.act("baseline").status_code == 403


def test_a_silent_owner_is_taken_over() -> None:
    now = [0.0]
    access = Access(True, clock=lambda: now[0])
    first, _ = access.enter(access.token("owner"), "here")
    second, _ = access.enter(access.token("owner"), "there")
    now[0] = TAKE_OVER_S - 0.1
    with pytest.raises(RefusedError):
        access.take(second)
    access.alive(first)
    now[0] += 0.2
    with pytest.raises(RefusedError):
        access.take(second)
    now[0] += TAKE_OVER_S
    access.take(second)
    assert (access.owns(first), access.owns(second)) == (False, True)


def test_a_session_ends() -> None:
    now = [0.0]
    access = Access(True, clock=lambda: now[0])
    _, secret = access.enter(access.token("owner"), "here")
    assert access.find(secret) is not None
    now[0] = 13 * 3600.0
    assert access.find(secret) is None


def test_many_viewers_do_not_push_the_owner_out() -> None:
    access = Access(True)
    session, secret = access.enter(access.token("owner"), "here")
    for _ in range(300):
        access.look("there")
    assert access.find(secret) is session


# -- cards --------------------------------------------------------------------------------------------------------


def test_a_ticket_is_of_one_question_and_one_set_of_gains() -> None:
    access, other = Access(True), Access(True)
    ticket = access.ticket(7, "a" * 64)
    assert access.open_ticket(ticket) == (7, "a" * 64)
    spoiled = [
        ticket.replace("a" * 64, "b" * 64),
        "8" + ticket[1:],
        other.ticket(7, "a" * 64),
        "",
        "x.y.z.w",
        "é",
    ]
    for one in spoiled:
        with pytest.raises(RefusedError, match="no card"):
            access.open_ticket(one)


def test_a_ticket_expires() -> None:
    now = [100.0]
    access = Access(True, clock=lambda: now[0])
    ticket = access.ticket(7, "a")
    now[0] += CARD_VALID_S + 1
    with pytest.raises(RefusedError, match="expired"):
        access.open_ticket(ticket)


# -- what a browser may do with an answer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/enter",
        "/runs/monday",
        "/runs/monday/part/now",
        "/static/console.js",
        "/nothing",
        "/runs/monday/export.csv",
    ],
)
def test_every_answer_allows_only_our_own_files(owner: Browser, path: str) -> None:
    headers = owner.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_pages_have_no_script_or_style_inline_and_nothing_from_elsewhere(owner: Browser) -> None:
    owner.page.ask()
    for text in (owner.open(), owner.get("/enter").text, owner.card()[0]):
        assert "<script>" not in text
        assert " style=" not in text
        assert " onclick=" not in text
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").split("<body")[0]


def test_what_others_wrote_is_shown_as_text(owner: Browser) -> None:
    evil = "<img src=x onerror=alert(1)>\x1b[2J"
    card = {"title": evil, "rows": [], "message": evil}
    owner.page.questions.ask("judge", 4, "a" * 64, card)
    text = owner.card()[0]
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("name", ["..", "%2e%2e", "../monday", "nothing", "monday%2f..", "."])
def test_no_name_leads_out_of_the_folder(owner: Browser, name: str) -> None:
    assert owner.get(f"/runs/{name}/part/now").status_code in (404, 421)
    assert owner.get("/static/../app.py").status_code == 404
    assert owner.get("/static/%2e%2e/app.py").status_code == 404


def test_errors_are_sentences(owner: Browser) -> None:
    assert owner.get("/nothing").json()["error"] == "There is nothing at this address."
    assert "cannot be read" in owner.act("acknowledge", {"latch": "x"}).json()["error"]
    text = owner.get("/nothing", headers={"accept": "text/html"}).text
    assert "There is nothing at this address." in text
    assert "Traceback" not in text


# -- videos -----------------------------------------------------------------------------------------------------


def test_a_video_is_drawn_beside_no_robot_that_a_run_moves(page: Page, owner: Browser) -> None:
    said = owner.get("/runs/monday/replay?trial=1")
    assert said.status_code == 409
    assert "While a run moves a robot" in said.text


@pytest.mark.parametrize(("trial", "status"), [("0", 422), ("x", 422), ("99999999999", 422), ("", 422)])
def test_a_video_is_of_a_trial_by_its_number(owner: Browser, trial: str, status: int) -> None:
    assert owner.get(f"/runs/monday/replay?trial={trial}").status_code == status


def test_videos_leave_threads_to_a_stop(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def slow(drawer: ReplayDrawer, trial: int) -> Path:
        begun.release()
        assert go_on.wait(30.0)
        raise SafeboError("not drawn")

    monkeypatch.setattr(ReplayDrawer, "video", slow)
    with console_page(made, robot=False, held=False) as page, ThreadPoolExecutor(MAX_DRAWINGS) as viewers:
        asked = [
            viewers.submit(page.browser("viewer").get, "/runs/monday/replay?trial=1")
            for _ in range(MAX_DRAWINGS)
        ]
        for _ in asked:
            assert begun.acquire(timeout=30.0)
        refused = page.browser("viewer").get("/runs/monday/replay?trial=2")
        go_on.set()
        assert (refused.status_code, "Other videos are being drawn" in refused.text) == (503, True)
        assert [one.result().status_code for one in asked] == [409] * MAX_DRAWINGS
        assert (
            page.browser("viewer").get("/runs/monday/replay?trial=2").status_code == 409
        )  # and they come back


def test_why_a_trial_cannot_be_drawn_is_said_in_words(made: Path) -> None:
    drawer = ReplayDrawer(made)
    with pytest.raises(SafeboError, match=r"trial 1 cannot be drawn: .*evaluator"):
        drawer.video(1)
    drawer.close()


# -- two walks that are compared --------------------------------------------------------------------------------


def test_two_walks_stand_side_by_side_and_one_of_four_words_answers(page: Page, owner: Browser) -> None:
    walks = {
        side: {
            "trial": number,
            "gains": [["<p>", "2.5", "N"]],
            "margins": [["height", "0.3", "m"]],
            "telemetry": "",
        }
        for side, number in (("left", 4), ("right", 2))
    }
    card = {"number": 3, "context": "default", "title": "Question 3: which of two walks is better?", **walks}
    asked = page.questions.ask("prefer", 4, "b" * 64, card)
    text, ticket = owner.card()
    assert text.index('data-trial="4"') < text.index('data-trial="2"')
    assert "&lt;p&gt;" in text
    assert re.findall(r'data-answer="(\w+)"[^>]*data-key="(\w+)"', text) == [
        ("left", "ArrowLeft"),
        ("right", "ArrowRight"),
        ("same", "s"),
        ("unacceptable", "u"),
    ]
    assert 'id="words"' not in text
    assert "which of two walks is better?" in owner.open()
    assert owner.answer("yes", ticket=ticket).status_code == 422
    assert owner.answer("right", ticket=ticket).json() == {"text": "Question 3: right."}
    given = page.questions.take(asked, 60.0)
    assert given is not None
    assert (given.answer, given.by.startswith("page, owner")) == ("right", True)
