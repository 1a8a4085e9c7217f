"""What a page asks for several times a second, as long as it is seen.

A page asks and is answered, and holds no connection in between: a browser has six to one console, and pages that
listened to a stream would leave none to a stop.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from safebo.console.routes.common import console_of, reader_of, session_of

router = APIRouter()


@router.get("/runs/{name}/state")
def state(request: Request, name: str) -> dict[str, Any]:
    """`Console.event`."""
    return console_of(request).event(reader_of(request, name), session_of(request))
