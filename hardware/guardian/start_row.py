"""The first row of a guardian's log: what guards which robot, with which limits, baseline gains and key."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Sequence
from typing import Any

from safebo.hardware.guardian.limits import LIMITS, Limit
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.link.frame import VERSION
from safebo.hardware.link.key import fingerprint
from safebo.robots.controllers.controller_file import ControllerFile

PACKAGES = ("safebo", "numpy", "numba", "mujoco", "pin", "daqp", "cyclonedds")
"""Whose versions decide what the guardian does."""


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
    limits, table = guardian.watch.limits, guardian.controller.table
    kind = "virtual" if identity.virtual else "PHYSICAL"
    changes = changed(limits)
    data: dict[str, Any] = {
        "versions": versions(),
        "robot": {
            "name": identity.robot,
            "serial": identity.serial,
            "virtual": bool(identity.virtual),
            "at": robot_at,
        },
        "listens": listens,
        "key": fingerprint(key),
        "limits": {limit.name: limit.threshold for limit in limits},
        "loosened": [limit.name for limit, shipped in changes if shipped.looser(limit.threshold)],
        "controller": "built-in" if controller is None else controller.name,
        "baseline": table.mapping(table.baseline),
    }
    message = f"guarding a {kind} {identity.robot}, serial {identity.serial}"
    words = "; ".join(change_words(changes)) or "limits as shipped"
    return EventRow(time.monotonic(), "start", f"{message}; {words}", data)


def changed(limits: Sequence[Limit]) -> list[tuple[Limit, Limit]]:
    """Limits with another threshold than the shipped one, each with the shipped one."""
    pairs = zip(limits, LIMITS, strict=True)
    return [(limit, shipped) for limit, shipped in pairs if limit.threshold != shipped.threshold]


def change_words(changes: Sequence[tuple[Limit, Limit]]) -> list[str]:
    """Changed limits for people; the loosened ones first, and loud."""
    told = sorted(changes, key=lambda pair: not pair[1].looser(pair[0].threshold))
    return [
        f"{'LOOSENED' if shipped.looser(limit.threshold) else 'tightened'} {limit.name}: "
        f"{limit.amount(limit.threshold)} (shipped {shipped.amount(shipped.threshold)})"
        for limit, shipped in told
    ]


def versions() -> dict[str, str]:
    """Versions of the project, of the protocol and of what else decides what a guardian does."""
    found = {"protocol": str(VERSION), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
