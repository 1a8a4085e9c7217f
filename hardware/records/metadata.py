"""What a record is about, as MCAP keeps it: texts by name, in metadata with names of their own."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.records.record_file import LAYOUT

Metadata = dict[str, dict[str, Any]]
_UNITS = {limit.name: limit.unit for limit in LIMITS}


def record_metadata(kind: str, described: Mapping[str, Any]) -> Metadata:
    """Metadata that every record has.

    Args:
        kind: of record: `trial` or `latch`.
        described: what the guardian says of itself (`safebo.hardware.guardian.description`).
    """
    limits = described["limits"].items()
    return {
        "safebo": {"version": importlib.metadata.version("safebo"), "layout": LAYOUT, "record": kind},
        "robot": dict(described["robot"]),
        "guardian": {**described["versions"], "loosened": ", ".join(described["loosened"]) or "no limit"},
        "limits": {name: f"{value!r} {_UNITS.get(name, '')}".rstrip() for name, value in limits},
        "baseline": dict(described["baseline"]),
    }
