"""Asking a guardian what it is: versions, robot, limits, baseline gains, telemetry's columns."""

from __future__ import annotations

import json
from typing import Any

from safebo.hardware.errors import LinkError
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.messages import PIECE, Describe


def describe(client: GuardianClient) -> dict[str, Any]:
    """What the guardian says of itself (`safebo.hardware.guardian.description`). Needs no lease.

    Raises:
        LinkError: no answer, as from a guardian that is older than this request, or none that can be read.
    """
    total = client.ask(Describe()).value
    pieces = client.ask_all(Describe(offset=at, length=PIECE) for at in range(0, total, PIECE))
    try:
        return dict(json.loads(b"".join(reply.data for reply in pieces)))
    except (ValueError, TypeError) as error:
        raise LinkError(f"what the guardian says of itself cannot be read: {error}") from None
