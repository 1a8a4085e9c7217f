"""What a guardian says of itself: in the first row of its log, over the link, and in every record."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from typing import Any

from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.limits import LIMITS, Limit
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link.frame import VERSION
from safebo.hardware.link.messages import Welcome

PACKAGES = ("safebo", "numpy", "numba", "mujoco", "pin", "daqp", "cyclonedds")
"""Whose versions decide what the guardian does."""


def description(limits: Sequence[Limit], table: ControllerGains, identity: Welcome) -> dict[str, Any]:
    """Versions, robot, limits, baseline gains, and what a row of telemetry holds; as JSON has it."""
    changes = changed(limits)
    return {
        "versions": versions(),
        "robot": {"name": identity.robot, "serial": identity.serial, "virtual": bool(identity.virtual)},
        "limits": {limit.name: limit.threshold for limit in limits},
        "loosened": [limit.name for limit, shipped in changes if shipped.looser(limit.threshold)],
        "baseline": table.mapping(table.baseline),
        "columns": list(COLUMNS),
    }


def changed(limits: Sequence[Limit]) -> list[tuple[Limit, Limit]]:
    """Limits with another threshold than the shipped one, each with the shipped one."""
    pairs = zip(limits, LIMITS, strict=True)
    return [(limit, shipped) for limit, shipped in pairs if limit.threshold != shipped.threshold]


def versions() -> dict[str, str]:
    """Versions of the project, of the protocol and of what else decides what a guardian does."""
    found = {"protocol": str(VERSION), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
