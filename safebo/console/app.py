"""The page's application: its routes by topic, and errors in words.

What may be asked at all is judged before, in `safebo.console.guard`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from safebo.console.access import RefusedError
from safebo.console.console import Console
from safebo.console.routes import answers, downloads, drawings, pages, robot, sessions, state
from safebo.console.routes.common import html
from safebo.errors import SafeboError


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
    app.state.console, app.state.cookie = console, cookie
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    for topic in (pages, drawings, state, downloads, sessions, answers, robot):
        app.include_router(topic.router)

    @app.exception_handler(SafeboError)
    def _ours(request: Request, error: SafeboError) -> Response:
        return _failed(request, str(error), error.status if isinstance(error, RefusedError) else 409)

    @app.exception_handler(HTTPException)
    def _theirs(request: Request, error: HTTPException) -> Response:
        text = "There is nothing at this address." if error.detail == "Not Found" else str(error.detail)
        return _failed(request, text, error.status_code)

    @app.exception_handler(RequestValidationError)
    def _malformed(request: Request, error: RequestValidationError) -> Response:
        return _failed(request, "What was sent cannot be read: open the page again.", 422)

    return app


def _failed(request: Request, text: str, status: int) -> Response:
    if request.method == "POST" or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"error": text}, status)
    title = "Not found" if status == 404 else "That did not work"
    return html("message.html", status, title=title, text=text, session=None)
