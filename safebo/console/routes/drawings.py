"""What takes a while to draw: slices of the surrogate, and videos of trials."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from safebo.console.replays import ReplayDrawer
from safebo.console.routes.common import console_of, html, reader_of, session_of
from safebo.console.slices import SliceDrawer
from safebo.study import MAX_TRIALS

router = APIRouter()


@router.get("/runs/{name}/slices")
def slices(request: Request, name: str, begun: bool = False) -> Response:
    """Slices of the surrogate; while they are being drawn 202, and a page asks again with `begun`."""
    console, reader = console_of(request), reader_of(request, name)
    with console.lock:
        drawer = console.slices.setdefault(name, SliceDrawer(reader.folder))
    drawn = drawer.draw(reader.snapshot(), begun)
    if drawn is None:
        return Response(status_code=202)
    return html("part_slices.html", note=drawn[0], slices=drawn[1])


@router.get("/runs/{name}/replay")
def replay(request: Request, name: str, trial: Annotated[int, Query(ge=1, le=MAX_TRIALS)]) -> Response:
    """A trial's video."""
    session_of(request)
    console, reader = console_of(request), reader_of(request, name)
    if console.robot(reader) is not None and reader.running():
        raise HTTPException(
            409, "While a run moves a robot no video is drawn: the machine has other things to do."
        )
    with console.lock:
        drawer = console.replays.setdefault(name, ReplayDrawer(reader.folder))
    if not console.drawings.acquire(blocking=False):
        raise HTTPException(503, "Other videos are being drawn: ask again once they are there.")
    try:
        return FileResponse(drawer.video(trial), media_type="video/mp4")
    finally:
        console.drawings.release()
