"""Recorded trajectories, read by one convention that any evaluator can follow.

A Parquet file, or one of a kind that an installed reader knows, with a column `time` in seconds. A column `X` is a
tracked signal when its desired value is recorded too: in `X_desired`, or for a name with a dot, `group.part`, in
`group_desired.part` (`joint_position.FL_hip_joint` and `joint_position_desired.FL_hip_joint`). A Parquet file's units
stand in the fields' metadata under the key `unit`. Other columns are left alone.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from safebo.report.data import Recording, Signal

FloatArray = NDArray[np.float64]

TIME = "time"
PARQUET = ".parquet"

MAX_PATH = 300
"""Characters of a path in a message."""

READERS = "safebo.recordings"
"""Entry points, by the ending of a file's name: functions of a path that give columns and units by name; they raise
`OSError` or `ValueError` in words for people."""


class TelemetryError(ValueError):
    """A recorded trajectory that cannot be read; the message names the file and what is wrong."""


def desired_name(column: str) -> tuple[str, ...]:
    """The names under which the desired value of a column may be recorded."""
    group, dot, part = column.partition(".")
    return (f"{group}_desired.{part}", f"{column}_desired") if dot else (f"{column}_desired",)


def read_recording(path: Path, trial: int) -> Recording:
    """Read the tracked signals of one trial.

    Args:
        path: the file.
        trial: id of the trial that it records.

    Raises:
        TelemetryError: the file is missing, cannot be read, or lacks `time` or any tracked signal.
    """
    try:
        there = path.is_file()
    except (
        OSError,
        ValueError,
    ) as error:  # no path at all, as one that is too long or holds a null character
        raise TelemetryError(f"the trajectory {_named(path)} cannot be looked for: {_why(error)}") from error
    if not there:
        raise TelemetryError(f"the trajectory {_named(path)} does not exist")
    columns, units = _parquet(path) if path.suffix == PARQUET else _other(path)
    partners = {name: next((p for p in desired_name(name) if p in columns), None) for name in columns}
    tracked = {name: partner for name, partner in partners.items() if partner is not None}
    if TIME not in columns:
        raise TelemetryError(f"the trajectory {_named(path)} has no column {TIME!r}")
    if not tracked:
        raise TelemetryError(f"the trajectory {_named(path)} has no column with a partner named ..._desired")
    time = columns[TIME]
    if time.size < 2:
        raise TelemetryError(f"the trajectory {_named(path)} has fewer than two samples")
    signals = tuple(
        Signal(name, units.get(name, ""), columns[name], columns[partner])
        for name, partner in tracked.items()
    )
    return Recording(trial, time, signals)


def _parquet(path: Path) -> tuple[Mapping[str, FloatArray], Mapping[str, str]]:
    """Time and tracked columns of a Parquet file, and the units of its columns."""
    try:
        schema = pq.read_schema(path)
        names = set(schema.names)
        wanted = {TIME} & names
        for name in schema.names:
            partner = next((p for p in desired_name(name) if p in names), None)
            wanted |= {name, partner} if partner is not None else set()
        table = pq.read_table(path, columns=[name for name in schema.names if name in wanted])
        columns = {name: _numbers(table.column(name)) for name in table.column_names}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise TelemetryError(f"the trajectory {_named(path)} is no readable Parquet file: {error}") from error
    return columns, {f.name: (f.metadata or {}).get(b"unit", b"").decode("utf-8", "replace") for f in schema}


def _other(path: Path) -> tuple[Mapping[str, FloatArray], Mapping[str, str]]:
    """Columns and units as an installed reader of this kind of file gives them."""
    kind = path.suffix.removeprefix(".")
    points = importlib.metadata.entry_points(group=READERS)
    point = next((p for p in points if p.name == kind), None)
    if point is None:
        known = ", ".join(sorted({PARQUET, *(f".{p.name}" for p in points)}))
        raise TelemetryError(
            f"the trajectory {_named(path)} is of no kind that can be read (those that can: {known})"
        )
    try:
        columns, units = point.load()(path)
    except ImportError as error:
        raise TelemetryError(
            f"the trajectory {_named(path)} cannot be read here, its reader lacks a package: {error}"
        ) from error
    except (OSError, ValueError) as error:
        raise TelemetryError(f"the trajectory cannot be read: {error}") from error
    return columns, units


def _named(path: Path) -> str:
    """A path as a message holds it, whatever an evaluator gave as one."""
    text = str(path)
    return text if len(text) <= MAX_PATH else f"{text[:MAX_PATH]}…"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
