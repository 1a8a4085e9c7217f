"""Acting on a run's robot: the stop, which everybody has, and what only the owner may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Body, Request

from safebo.console.access import RefusedError
from safebo.console.routes.common import console_of, need_owner, note, reader_of, who
from safebo.errors import SafeboError
from safebo.types import RobotView

router = APIRouter()


@router.post("/runs/{name}/stop")
def stop(request: Request, name: str) -> dict[str, str]:
    """Stop the robot; every session may."""
    return _act(request, name, "stop", lambda watch: watch.stop(f"page, {who(request)}"))


@router.post("/runs/{name}/baseline")
def baseline(request: Request, name: str) -> dict[str, str]:
    """Back to baseline gains."""
    need_owner(request)
    reason = f"page, {who(request)}"
    return _act(request, name, "back to baseline gains", lambda watch: watch.baseline(reason))


@router.post("/runs/{name}/acknowledge")
def acknowledge(request: Request, name: str, latch: Annotated[int, Body(embed=True)]) -> dict[str, str]:
    """A latch was seen."""
    need_owner(request)
    return _act(request, name, f"acknowledged latch {latch}", lambda watch: watch.acknowledge(latch))


@router.post("/runs/{name}/clear")
def clear(request: Request, name: str) -> dict[str, str]:
    """Clear the latch."""
    need_owner(request)
    return _act(request, name, "latch cleared", lambda watch: watch.clear())


def _act(request: Request, name: str, what: str, do: Callable[[RobotView], str | None]) -> dict[str, str]:
    """Do something to the robot first; the log, and its disk, come after."""
    by, reader = who(request), reader_of(request, name)
    robot = console_of(request).robot(reader)
    if robot is None:
        raise RefusedError("No robot belongs to this run now: there is nothing to stop.", 409)
    try:
        said = do(robot.watch()) or ""
    except Exception as error:  # a bridge is another package's, with errors of its own
        note(reader, by, f"{what}: FAILED: {error}")
        raise error if isinstance(error, SafeboError) else SafeboError(str(error)) from error
    note(reader, by, f"{what}{f': {said}' if said else ''}")
    return {"text": said or f"{what.capitalize()}."}
