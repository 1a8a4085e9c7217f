"""Recorded trajectories, read by one convention that any evaluator can follow.

A Parquet file with a column `time` in seconds. A column `X` is a tracked signal when its desired value is
recorded too: in `X_desired`, or for a name with a dot, `group.part`, in `group_desired.part`
(`joint_position.FL_hip_joint` and `joint_position_desired.FL_hip_joint`). Units stand in the fields' metadata
under the key `unit`. Other columns are left alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from safebo.report.data import Recording, Signal

TIME = "time"


class TelemetryError(ValueError):
    """A recorded trajectory that cannot be read; the message names the file and what is wrong."""


def desired_name(column: str) -> tuple[str, ...]:
    """The names under which the desired value of a column may be recorded."""
    group, dot, part = column.partition(".")
    return (f"{group}_desired.{part}", f"{column}_desired") if dot else (f"{column}_desired",)


def read_recording(path: Path, trial: int) -> Recording:
    """Read the tracked signals of one trial.

    Args:
        path: the Parquet file.
        trial: id of the trial that it records.

    Raises:
        TelemetryError: the file is missing, is no Parquet file, or lacks `time` or any tracked signal.
    """
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError as error:
        raise TelemetryError(f"the trajectory {path} does not exist") from error
    except (OSError, pa.ArrowException) as error:
        raise TelemetryError(f"the trajectory {path} is no readable Parquet file: {error}") from error
    names = set(schema.names)
    pairs = {
        name: next((partner for partner in desired_name(name) if partner in names), None)
        for name in schema.names
    }
    tracked = {name: partner for name, partner in pairs.items() if partner is not None}
    if TIME not in names:
        raise TelemetryError(f"the trajectory {path} has no column {TIME!r}")
    if not tracked:
        raise TelemetryError(f"the trajectory {path} has no column with a partner named ..._desired")
    try:
        table = pq.read_table(path, columns=[TIME, *tracked, *tracked.values()])
    except (OSError, pa.ArrowException) as error:
        raise TelemetryError(f"the trajectory {path} is no readable Parquet file: {error}") from error
    time = _column(table, TIME)
    if time.size < 2:
        raise TelemetryError(f"the trajectory {path} has fewer than two samples")
    signals = tuple(
        Signal(name, _unit(schema, name), _column(table, name), _column(table, partner))
        for name, partner in tracked.items()
    )
    return Recording(trial, time, signals)


def _column(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _unit(schema: pa.Schema, name: str) -> str:
    metadata = schema.field(name).metadata or {}
    return str(metadata.get(b"unit", b"").decode("utf-8"))
