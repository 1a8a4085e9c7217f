"""What routes take from a request, and how they answer with a page."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from starlette.exceptions import HTTPException

from safebo.console.access import RefusedError, Session
from safebo.console.console import Console
from safebo.console.reading import RunReader
from safebo.errors import SafeboError
from safebo.report.html import page_environment


def console_of(request: Request) -> Console:
    """What all routes share."""
    console: Console = request.app.state.console
    return console


def session_of(request: Request) -> Session:
    """The session that a request belongs to; the guard found it.

    Raises:
        RefusedError: there is none any more.
    """
    session: Session | None = request.scope["state"]["session"]
    if session is None:
        raise RefusedError("This browser's session is over: open the page again.", 401)
    return session


def need_owner(request: Request) -> None:
    """Refuse a request that only the owner may make.

    Raises:
        RefusedError: the session is not the owner's, or there is none any more.
    """
    console_of(request).access.need_owner(session_of(request))


def reader_of(request: Request, name: str) -> RunReader:
    """The run of this name.

    Raises:
        HTTPException: there is none.
    """
    reader = console_of(request).runs.get(name)
    if reader is None:
        raise HTTPException(404, "There is no run of this name in the folder.")
    return reader


def who(request: Request) -> str:
    """Who asks, for the log."""
    session = session_of(request)
    role = "owner" if console_of(request).access.owns(session) else "viewer"
    return f"{role} {session.id} at {session.where}"


def html(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template with these values."""
    return HTMLResponse(_templates().get_template(f"templates/{name}").render(**values), status)


@cache
def _templates() -> Environment:
    return page_environment("safebo.console")


def note(reader: RunReader, who: str, what: str) -> None:
    """Keep what was done, in the background: nobody who stops a robot waits for a disk."""

    def keep() -> None:
        try:
            reader.questions.note(who, what)
        except SafeboError:
            return  # a full disk must not hide what was done

    threading.Thread(target=keep, name="audit", daemon=True).start()
