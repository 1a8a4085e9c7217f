"""The first row of a guardian's log: what guards which robot, with which limits, baseline gains and key."""

from __future__ import annotations

import time
from collections.abc import Sequence

from safebo.hardware.guardian.description import changed, description
from safebo.hardware.guardian.limits import Limit
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.link.key import fingerprint
from safebo.robots.controllers.controller_file import ControllerFile


def start_row(
    service: GuardianService, key: bytes, listens: str, robot_at: str, controller: ControllerFile | None
) -> EventRow:
    """The row, at this moment.

    Args:
        service: ready to guard.
        key: shared with the tuners; only its fingerprint is kept.
        listens: host and port where tuners are heard.
        robot_at: where the robot is, for people.
        controller: of the user's own; None for the built-in one.
    """
    guardian, identity = service.guardian, service.link.identity
    limits = guardian.watch.limits
    kind = "virtual" if identity.virtual else "PHYSICAL"
    changes = changed(limits)
    variant = guardian.controller.table.variant
    told = description(limits, guardian.controller.table, identity)
    data = {
        **told,
        "robot": {**told["robot"], "at": robot_at},
        "listens": listens,
        "key": fingerprint(key),
        "controller": ", ".join(filter(None, ("built-in", variant)))
        if controller is None
        else controller.name,
    }
    message = f"guarding a {kind} {identity.robot}, serial {identity.serial}"
    words = "; ".join(change_words(changes)) or "limits as shipped"
    return EventRow(time.monotonic(), "start", f"{message}; {words}", data)


def change_words(changes: Sequence[tuple[Limit, Limit]]) -> list[str]:
    """Changed limits for people; the loosened ones first, and loud."""
    told = sorted(changes, key=lambda pair: not pair[1].looser(pair[0].threshold))
    return [
        f"{'LOOSENED' if shipped.looser(limit.threshold) else 'tightened'} {limit.name}: "
        f"{limit.amount(limit.threshold)} (shipped {shipped.amount(shipped.threshold)})"
        for limit, shipped in told
    ]
