"""Rows of telemetry into a record: every tick by name, and fifty times a second where the robot is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from safebo.hardware.constants import CONTROL_RATE_HZ, POSE_RATE_HZ
from safebo.hardware.guardian.telemetry import COLUMNS, UNITS
from safebo.hardware.records.record_file import RecordFile
from safebo.hardware.records.row_format import RowFormat
from safebo.types import FloatArray

SCHEMA = "safebo/Telemetry"
TRIAL_ROWS = RowFormat(SCHEMA, COLUMNS, UNITS)
"""Rows of a trial."""

POSE_EVERY = round(CONTROL_RATE_HZ / POSE_RATE_HZ)
POSED = ("joint_position", "joint_velocity", "joint_torque")
HEIGHT = "watched.height"
"""Column of the trunk's height above its lowest foot, m, where what the guardian watches is there."""


def nanoseconds(seconds: float) -> int:
    """A time since 1970 as MCAP has it; before that and what is not finite: 0."""
    return max(0, round(seconds * 1e9)) if np.isfinite(seconds) else 0


def write_ticks(
    file: RecordFile,
    rows: FloatArray,
    columns: Sequence[str],
    walls: FloatArray,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Write rows, `n x columns`.

    Args:
        file: where to.
        rows: the ticks.
        columns: their names; `COLUMNS` and perhaps more.
        walls: when each was, s since 1970, `n`.
        between: called after every row.
    """
    at = {name: group(columns, name) for name in POSED}
    position, orientation = trunk_poses(rows, columns)
    for index, row in enumerate(rows.tolist()):
        time = nanoseconds(float(walls[index]))
        file.tick(row, time)
        if index % POSE_EVERY == 0:
            joints = tuple(rows[index, at[name]] for name in POSED)
            file.pose(position[index], orientation[index], (joints[0], joints[1], joints[2]), time)
        between()


def group(columns: Sequence[str], name: str) -> list[int]:
    """Where the columns of a group are: `joint_position` for `joint_position.fl.hip` and the like."""
    return [index for index, column in enumerate(columns) if column.split(".")[0] == name]


def trunk_poses(rows: FloatArray, columns: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Where the trunk is in every row, to be drawn: position, m, `n x 3`, and orientation, w first, `n x 4`.

    The controller's estimate while it walks. Where there is none the trunk is at its height above the lowest foot,
    turned as the inertial unit says, where it was estimated last.
    """
    position = rows[:, group(columns, "base_position")].copy()
    orientation = rows[:, group(columns, "base_orientation")].copy()
    blind = ~np.isfinite(np.hstack([position, orientation])).all(axis=1)
    if blind.any():
        orientation[blind] = rows[blind][:, group(columns, "orientation")]
        newest = np.maximum.accumulate(np.where(blind, -1, np.arange(len(rows))))
        position[blind, :2] = np.where(newest[blind, None] < 0, 0.0, position[newest[blind], :2])
        height = [index for index, column in enumerate(columns) if column == HEIGHT]
        position[blind, 2] = rows[blind, height[0]] if height else 0.0
    return position, orientation
