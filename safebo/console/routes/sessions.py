"""Who a browser is: links that open a session, the page's sign of life, and who is in control."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse, Response

from safebo.console.routes.common import console_of, html, session_of

router = APIRouter()


@router.get("/enter")
def entrance() -> Response:
    """The page that sends a link's token."""
    return html("enter.html", session=None)


@router.post("/enter")
def enter(request: Request, token: Annotated[str, Body(embed=True, max_length=200)]) -> Response:
    """Open a session by a link's token."""
    where = request.client.host if request.client else "unknown"
    _, secret = console_of(request).access.enter(token, where)
    return JSONResponse({"text": "entered"}, headers={"set-cookie": request.app.state.cookie(secret)})


@router.get("/session")
def session_now(request: Request) -> dict[str, str]:
    """What every change has to carry."""
    return {"csrf": session_of(request).csrf}


@router.post("/alive")
def alive(request: Request) -> dict[str, str]:
    """The page lives."""
    console_of(request).access.alive(session_of(request))
    return {}


@router.post("/owner")
def owner(request: Request, take: Annotated[bool, Body(embed=True)]) -> dict[str, str]:
    """Take control, or give it up."""
    access, session = console_of(request).access, session_of(request)
    access.alive(session)
    if take:
        access.take(session)
        return {"text": "You are in control."}
    access.release(session)
    return {"text": "You gave up control."}
