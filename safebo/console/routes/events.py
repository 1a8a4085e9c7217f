"""What a page is told, several times a second, as long as it is open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from safebo.console.routes.common import console_of, reader_of, session_of
from safebo.errors import SafeboError
from safebo.text.printable import one_line

TICK_S = 0.2
"""Between two events to a page: it notices a lost connection by their absence."""

router = APIRouter()


@router.get("/runs/{name}/events")
async def events(request: Request, name: str) -> Response:
    """Server-sent events with `Console.event`."""
    console, session = console_of(request), session_of(request)
    reader = await run_in_threadpool(reader_of, request, name)

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
