"""Looking: the list of runs, one run's page, and the parts of it that are drawn again when something happens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from safebo.console.access import Access, card_valid
from safebo.console.parts import audit_part, charts_part, filters_of, now_part, trials_part
from safebo.console.reading import RunReader
from safebo.console.resolving import may_be_said, unknown_trial
from safebo.console.routes.common import console_of, html, reader_of, session_of
from safebo.errors import SafeboError

PARTS = ("now", "trials", "charts", "audit")
"""Of a run's page."""

router = APIRouter()


@router.get("/")
def all_runs(request: Request) -> Response:
    """The runs in the folder; a single one at once."""
    runs = console_of(request).runs
    readers = runs.all()
    if runs.single:
        return RedirectResponse(f"/runs/{readers[0].name}", 303)
    rows = [_overview(reader) for reader in readers]
    return html("runs.html", session=session_of(request), folder=str(runs.folder), rows=rows)


@router.get("/runs/{name}")
def one_run(request: Request, name: str) -> Response:
    """A run's page, with all its parts."""
    reader, session, console = reader_of(request, name), session_of(request), console_of(request)
    seen = reader.snapshot()
    values: dict[str, Any] = {}
    for part in PARTS:
        values |= _part_values(console.access, reader, part, {})
    return html(
        "run.html",
        session=session,
        reader=reader,
        run=seen.run,
        state=reader.state(),
        single=console.runs.single,
        **values,
    )


@router.get("/runs/{name}/part/{part}")
def one_part(request: Request, name: str, part: str) -> Response:
    """One part of a run's page."""
    if part not in PARTS:
        raise HTTPException(404, "The page has no such part.")
    session_of(request)
    reader = reader_of(request, name)
    values = _part_values(console_of(request).access, reader, part, dict(request.query_params))
    return html(f"part_{part}.html", reader=reader, **values)


def _part_values(access: Access, reader: RunReader, part: str, query: dict[str, str]) -> dict[str, Any]:
    seen = reader.snapshot()
    if part == "now":
        question = reader.question()
        ticket = "" if question is None else access.ticket(question.id, question.hash)
        unknown = unknown_trial(reader)
        return now_part(question, ticket, card_valid(question), unknown, may_be_said(reader, unknown))
    if part == "trials":
        page = query.get("page", "1")
        filters = filters_of(query, seen.run.study)
        return trials_part(seen, filters, int(page) if page.isdecimal() and len(page) < 9 else 1)
    return charts_part(seen) if part == "charts" else audit_part(seen, reader)


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
