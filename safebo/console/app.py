"""The page's routes. What may be asked at all is judged before, in `safebo.console.guard`."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from safebo.console.access import (
    CARD_VALID_S,
    PAIR_VALID_S,
    TAKE_OVER_S,
    Access,
    RefusedError,
    Session,
)
from safebo.console.parts import audit_part, charts_part, filters_of, now_part, robot_part, trials_part
from safebo.console.reading import RunReader, Runs
from safebo.console.replays import ReplayDrawer
from safebo.console.resolving import resolve, unknown_trial
from safebo.console.robots import MakeWatch, Robot, bridge_watch
from safebo.console.run_view import trial_data
from safebo.console.slices import SliceDrawer
from safebo.errors import SafeboError
from safebo.report.html import page_environment
from safebo.runs.page_operator import ANSWERS, REASONS
from safebo.storage.questions import AnswerRefusedError, Question
from safebo.study import MAX_TRIALS
from safebo.text.printable import one_line
from safebo.types import RobotAddress, RobotView

TICK_S = 0.2
"""Between two events to a page: it notices a lost connection by their absence."""

MAX_WORDS = 500
"""Characters of a reason."""


@dataclass
class Console:
    """What the routes share.

    Args:
        runs: that are shown.
        access: sessions.
        address: of a robot's guardian, instead of the one that a run's tuner names.
        find: how to look at a robot of an evaluator.
    """

    runs: Runs
    access: Access
    address: RobotAddress | None = None
    find: Callable[[str], MakeWatch] = bridge_watch
    robots: dict[tuple[str, int], Robot] = field(default_factory=dict)
    slices: dict[str, SliceDrawer] = field(default_factory=dict)
    replays: dict[str, ReplayDrawer] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def load_robots(self) -> None:
        """Load the bridges of robots now: whoever opens a page may want to stop one at once."""
        for reader in self.runs.all():
            with suppress(SafeboError):  # a run that cannot be read says so on its page
                self.robot(reader)

    def robot(self, reader: RunReader) -> Robot | None:
        """The robot of a run that goes on, or the one that was named; None for a simulation."""
        address = self.address or (reader.questions.robot() if reader.running() else None)
        if address is None:
            return None
        key = (address.host, address.port)
        with self.lock:
            if key not in self.robots:
                evaluator = reader.snapshot().run.study.evaluator.name
                self.robots[key] = Robot(evaluator, address, self.find)
            return self.robots[key]

    def event(self, reader: RunReader, session: Session) -> dict[str, Any]:
        """What a page is told five times a second."""
        state, question = reader.state(), reader.question()
        robot = self.robot(reader)
        seen, trouble = (None, "") if robot is None else robot.look()
        silent = self.access.owner_silent()
        owner = "you" if self.access.owns(session) else "none" if silent is None else "other"
        if owner == "other" and silent is not None and silent >= TAKE_OVER_S:
            owner = "silent"
        return {
            "state": state.kind,
            "text": state.text,
            "version": reader.snapshot().version,
            "question": None if question is None else question.id,
            "unknown": unknown_trial(reader),
            "owner": owner,
            "may_own": session.role == "owner",
            "has_robot": robot is not None,
            "robot": None if seen is None else robot_part(seen),
            "robot_trouble": trouble,
        }

    def close(self) -> None:
        """Look at no robot any more, and draw nothing."""
        for robot in self.robots.values():
            robot.close()
        for slices in self.slices.values():
            slices.close()
        for replays in self.replays.values():
            replays.close()


def make_app(console: Console, cookie: Callable[[str], str]) -> FastAPI:
    """The application, without its guard.

    Args:
        console: what it shows.
        cookie: the header that keeps a session's secret (`Guard.set_cookie`).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        console.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    pages = _templates()
    access = console.access

    def html(name: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(pages.get_template(f"templates/{name}").render(**values), status)

    def session_of(request: Request) -> Session:
        session: Session | None = request.scope["state"]["session"]
        if session is None:
            raise RefusedError("This browser's session is over: open the page again.", 401)
        return session

    def reader_of(name: str) -> RunReader:
        reader = console.runs.get(name)
        if reader is None:
            raise HTTPException(404, "There is no run of this name in the folder.")
        return reader

    def who(session: Session) -> str:
        return f"{'owner' if access.owns(session) else 'viewer'} {session.id} at {session.where}"

    def failed(request: Request, text: str, status: int) -> Response:
        if request.method == "POST" or "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"error": text}, status)
        title = "Not found" if status == 404 else "That did not work"
        return html("message.html", status, title=title, text=text, session=None)

    @app.exception_handler(SafeboError)
    def _ours(request: Request, error: SafeboError) -> Response:
        return failed(request, str(error), error.status if isinstance(error, RefusedError) else 409)

    @app.exception_handler(HTTPException)
    def _theirs(request: Request, error: HTTPException) -> Response:
        text = "There is nothing at this address." if error.detail == "Not Found" else str(error.detail)
        return failed(request, text, error.status_code)

    @app.exception_handler(RequestValidationError)
    def _malformed(request: Request, error: RequestValidationError) -> Response:
        return failed(request, "What was sent cannot be read: open the page again.", 422)

    # -- looking -----------------------------------------------------------------------------------------

    @app.get("/enter")
    def entrance() -> Response:
        return html("enter.html", session=None)

    @app.get("/session")
    def session_now(request: Request) -> dict[str, str]:
        return {"csrf": session_of(request).csrf}

    @app.get("/")
    def all_runs(request: Request) -> Response:
        readers = console.runs.all()
        if console.runs.single:
            return RedirectResponse(f"/runs/{readers[0].name}", 303)
        rows = [_overview(reader) for reader in readers]
        return html("runs.html", session=session_of(request), folder=str(console.runs.folder), rows=rows)

    @app.get("/runs/{name}")
    def one_run(request: Request, name: str) -> Response:
        reader, session = reader_of(name), session_of(request)
        seen = reader.snapshot()
        values: dict[str, Any] = {}
        for part in ("now", "trials", "charts", "audit"):
            values |= part_values(reader, part, {})
        return html(
            "run.html",
            session=session,
            reader=reader,
            run=seen.run,
            state=reader.state(),
            single=console.runs.single,
            **values,
        )

    def part_values(reader: RunReader, part: str, query: dict[str, str]) -> dict[str, Any]:
        seen = reader.snapshot()
        if part == "now":
            question = reader.question()
            ticket = "" if question is None else access.ticket(question.id, question.hash)
            return now_part(question, ticket, card_valid(question), unknown_trial(reader))
        if part == "trials":
            page = query.get("page", "1")
            filters = filters_of(query, seen.run.study)
            return trials_part(seen, filters, int(page) if page.isdecimal() and len(page) < 9 else 1)
        return charts_part(seen) if part == "charts" else audit_part(seen, reader)

    @app.get("/runs/{name}/part/{part}")
    def one_part(request: Request, name: str, part: str) -> Response:
        if part not in ("now", "trials", "charts", "audit"):
            raise HTTPException(404, "The page has no such part.")
        session_of(request)
        reader = reader_of(name)
        values = part_values(reader, part, dict(request.query_params))
        return html(f"part_{part}.html", reader=reader, **values)

    @app.get("/runs/{name}/slices")
    def slices(request: Request, name: str) -> Response:
        reader = reader_of(name)
        with console.lock:
            drawer = console.slices.setdefault(name, SliceDrawer(reader.folder))
        note, drawn = drawer.draw(reader.snapshot())
        return html("part_slices.html", note=note, slices=drawn)

    @app.get("/runs/{name}/replay")
    def replay(request: Request, name: str, trial: Annotated[int, Query(ge=1, le=MAX_TRIALS)]) -> Response:
        session_of(request)
        reader = reader_of(name)
        if console.robot(reader) is not None and reader.running():
            raise HTTPException(
                409, "While a run moves a robot no video is drawn: the machine has other things to do."
            )
        with console.lock:
            drawer = console.replays.setdefault(name, ReplayDrawer(reader.folder))
        return FileResponse(drawer.video(trial), media_type="video/mp4")

    @app.get("/runs/{name}/events")
    async def events(request: Request, name: str) -> Response:
        session, reader = session_of(request), await run_in_threadpool(reader_of, name)

        async def stream() -> AsyncIterator[str]:
            yield "retry: 500\n\n"
            while not await request.is_disconnected():
                began = time.monotonic()
                try:
                    told = await run_in_threadpool(console.event, reader, session)
                    yield f"data: {json.dumps(told)}\n\n"
                except SafeboError as error:
                    yield f": {one_line(str(error))}\n\n"
                await asyncio.sleep(max(0.02, TICK_S - (time.monotonic() - began)))

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.get("/runs/{name}/export.json")
    def export_json(name: str) -> Response:
        reader = reader_of(name)
        seen = reader.snapshot()
        data = {
            "study": seen.run.name,
            "seed": seen.run.seed,
            "trials": [trial_data(record, seen.run.study) for record in seen.records],
            "events": [
                {
                    "at": e.at.isoformat(),
                    "kind": e.kind,
                    "trial": e.trial,
                    "text": e.text,
                    "data": dict(e.data),
                }
                for e in seen.events
            ],
            "acts": [
                {"at": act.at.isoformat(), "who": act.who, "what": act.what}
                for act in reader.questions.acts()
            ],
        }
        return _download(json.dumps(data, indent=1), "application/json")

    @app.get("/runs/{name}/export.csv")
    def export_csv(name: str) -> Response:
        seen = reader_of(name).snapshot()
        return _download(_csv([trial_data(r, seen.run.study) for r in seen.records]), "text/csv")

    @app.get("/runs/{name}/study.yaml")
    def study(name: str) -> Response:
        return _download(reader_of(name).snapshot().run.study_text, "application/yaml")

    # -- changing ----------------------------------------------------------------------------------------

    @app.post("/enter")
    def enter(request: Request, token: Annotated[str, Body(embed=True, max_length=200)]) -> Response:
        where = request.client.host if request.client else "unknown"
        _, secret = access.enter(token, where)
        return JSONResponse({"text": "entered"}, headers={"set-cookie": cookie(secret)})

    @app.post("/alive")
    def alive(request: Request) -> dict[str, str]:
        access.alive(session_of(request))
        return {}

    @app.post("/owner")
    def owner(request: Request, take: Annotated[bool, Body(embed=True)]) -> dict[str, str]:
        session = session_of(request)
        access.alive(session)
        if take:
            access.take(session)
            return {"text": "You are in control."}
        access.release(session)
        return {"text": "You gave up control."}

    @app.post("/runs/{name}/answer")
    def answer(
        request: Request,
        name: str,
        ticket: Annotated[str, Body(max_length=400)],
        answer: Annotated[str, Body(max_length=20)],
        words: Annotated[str, Body(max_length=MAX_WORDS)] = "",
    ) -> dict[str, str]:
        session, reader = session_of(request), reader_of(name)
        access.need_owner(session)
        question = reader.question()
        number, hash = access.open_ticket(ticket, card_valid(question))
        if question is None or question.id != number:
            raise AnswerRefusedError("This is not asked any more. Nothing was done.")
        if answer not in ANSWERS[question.kind]:
            raise RefusedError(f"This may be answered: {', '.join(ANSWERS[question.kind])}.", 422)
        if answer in REASONS and not words.strip():
            raise RefusedError("Please say why. Nothing was done.", 422)
        reader.questions.answer(number, hash, answer, one_line(words.strip()), f"page, {who(session)}")
        if question.kind == "prefer":
            return {"text": f"Question {question.card['number']}: {answer}."}
        return {"text": f"Trial {question.trial}: {answer}."}

    @app.post("/runs/{name}/resolve")
    def resolved(
        request: Request,
        name: str,
        trial: Annotated[int, Body()],
        account: Annotated[str, Body(max_length=20)],
        words: Annotated[str, Body(max_length=MAX_WORDS)] = "",
    ) -> dict[str, str]:
        session, reader = session_of(request), reader_of(name)
        access.need_owner(session)
        said = resolve(reader, trial, account, words, f"page, {who(session)}")
        _note(reader, who(session), f"trial {trial} resolved as {account}: {one_line(words.strip())}")
        return {"text": said}

    def act(request: Request, name: str, what: str, do: Callable[[RobotView], str | None]) -> dict[str, str]:
        """Do something to the robot first; the log, and its disk, come after."""
        session, reader = session_of(request), reader_of(name)
        robot = console.robot(reader)
        if robot is None:
            raise RefusedError("No robot belongs to this run now: there is nothing to stop.", 409)
        try:
            said = do(robot.watch()) or ""
        except Exception as error:  # a bridge is another package's, with errors of its own
            _note(reader, who(session), f"{what}: FAILED: {error}")
            raise error if isinstance(error, SafeboError) else SafeboError(str(error)) from error
        _note(reader, who(session), f"{what}{f': {said}' if said else ''}")
        return {"text": said or f"{what.capitalize()}."}

    @app.post("/runs/{name}/stop")
    def stop(request: Request, name: str) -> dict[str, str]:
        return act(request, name, "stop", lambda watch: watch.stop(f"page, {who(session_of(request))}"))

    @app.post("/runs/{name}/baseline")
    def baseline(request: Request, name: str) -> dict[str, str]:
        access.need_owner(session_of(request))
        reason = f"page, {who(session_of(request))}"
        return act(request, name, "back to baseline gains", lambda watch: watch.baseline(reason))

    @app.post("/runs/{name}/acknowledge")
    def acknowledge(request: Request, name: str, latch: Annotated[int, Body(embed=True)]) -> dict[str, str]:
        access.need_owner(session_of(request))
        return act(request, name, f"acknowledged latch {latch}", lambda watch: watch.acknowledge(latch))

    @app.post("/runs/{name}/clear")
    def clear(request: Request, name: str) -> dict[str, str]:
        access.need_owner(session_of(request))
        return act(request, name, "latch cleared", lambda watch: watch.clear())

    return app


def card_valid(question: Question | None) -> float:
    """For how many seconds what was shown of a question may be answered."""
    return PAIR_VALID_S if question is not None and question.kind == "prefer" else CARD_VALID_S


@cache
def _templates() -> Environment:
    return page_environment("safebo.console")


def _note(reader: RunReader, who: str, what: str) -> None:
    """Keep what was done, in the background: nobody who stops a robot waits for a disk."""

    def keep() -> None:
        try:
            reader.questions.note(who, what)
        except SafeboError:
            return  # a full disk must not hide what was done

    threading.Thread(target=keep, name="audit", daemon=True).start()


def _overview(reader: RunReader) -> dict[str, Any]:
    try:
        seen, state = reader.snapshot(), reader.state()
    except SafeboError as error:
        return {"name": reader.name, "error": str(error)}
    return {
        "name": reader.name,
        "error": "",
        "study": seen.run.name,
        "told": sum(record.status == "told" for record in seen.records),
        "planned": seen.run.trials,
        "state": state,
        "begun": f"{seen.run.created_at.astimezone():%Y-%m-%d %H:%M}",
    }


def _download(text: str, kind: str) -> Response:
    return Response(text, media_type=kind, headers={"content-disposition": "attachment"})


def _csv(trials: list[dict[str, Any]]) -> str:
    """Trials as a table: a column for each value; what a spreadsheet would take for a formula is marked as text."""
    rows: list[dict[str, Any]] = []
    for trial in trials:
        row: dict[str, Any] = {}
        for key, value in trial.items():
            if key in ("parameters", "margins"):
                row |= {f"{key[:-1]} {name}": v for name, v in value.items()}
            elif not isinstance(value, (dict, list)):
                row[key] = value
        rows.append(row)
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, [_plain(name) for name in names])
    writer.writeheader()
    writer.writerows({_plain(name): _plain(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
