"""What a walk left behind: named columns with units, in a Parquet file.

A target column is named after the measured one, `joint_position_desired.FL_hip_joint` beside
`joint_position.FL_hip_joint`, so that a reader can pair them without knowing robots. The unit of a column is
in its field metadata under `unit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import FloatArray

_XYZ = ("x", "y", "z")
_WXYZ = ("w", "x", "y", "z")

# column group, field of the recording, unit, part names (None: the robot's joints or legs)
_JOINT_GROUPS = (
    ("joint_position", "joint_position", "rad"),
    ("joint_velocity", "joint_velocity", "rad/s"),
    ("joint_position_desired", "desired_position", "rad"),
    ("joint_velocity_desired", "desired_velocity", "rad/s"),
    ("joint_position_measured", "measured_position", "rad"),
    ("joint_velocity_measured", "measured_velocity", "rad/s"),
    ("joint_torque_commanded", "commanded_torque", "N m"),
    ("joint_torque_applied", "applied_torque", "N m"),
)
_BASE_GROUPS = (
    ("base_position", "base_position", "m", _XYZ),
    ("base_orientation", "base_orientation", "", _WXYZ),
    ("base_velocity", "base_velocity", "m/s", _XYZ),
    ("base_rate", "base_rate", "rad/s", _XYZ),
    ("base_position_estimated", "estimated_position", "m", _XYZ),
    ("base_orientation_estimated", "estimated_orientation", "", _WXYZ),
    ("base_velocity_estimated", "estimated_velocity", "m/s", _XYZ),
    ("base_rate_estimated", "estimated_rate", "rad/s", _XYZ),
)

_LATER = ("velocity_command", "foot_force")
"""Groups that older files lack."""


def _groups(joint_names: Sequence[str], legs: Sequence[str]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Column group, field of the recording, unit and part names of all that is kept."""
    groups = [(group, name, unit, tuple(joint_names)) for group, name, unit in _JOINT_GROUPS]
    groups += list(_BASE_GROUPS)
    return [
        *groups,
        ("contact", "contact", "", tuple(legs)),
        ("contact_planned", "planned_contact", "", tuple(legs)),
        ("velocity_command", "command", "m/s", ("forward", "leftward")),
        ("foot_force", "foot_force", "N", tuple(legs)),
    ]


@dataclass(frozen=True)
class Trajectory:
    """Named columns of equal length, one row per control tick.

    Args:
        columns: name to values, `n` each; `time` is in seconds since the walk started.
        units: unit of every column; empty where there is none.
    """

    columns: dict[str, FloatArray]
    units: dict[str, str]

    def __len__(self) -> int:
        return len(self.columns["time"])

    @classmethod
    def from_recording(
        cls, record: WalkRecording, joint_names: Sequence[str], legs: Sequence[str]
    ) -> Trajectory:
        """Columns of a recorded walk; joints and legs are named as on the robot."""
        columns: dict[str, FloatArray] = {"time": record.time}
        units = {"time": "s"}
        for group, name, unit, parts in _groups(joint_names, legs):
            values = np.asarray(getattr(record, name), dtype=float)
            for column, part in enumerate(parts):
                columns[f"{group}.{part}"] = values[:, column]
                units[f"{group}.{part}"] = unit
        columns["yaw_rate_command"], units["yaw_rate_command"] = record.command[:, 2], "rad/s"
        return cls(columns, units)

    def recording(self, joint_names: Sequence[str], legs: Sequence[str]) -> WalkRecording:
        """The walk that these columns are of; what monitors saw is not kept.

        Raises:
            ValueError: a column is missing; names it.
        """
        if "time" not in self.columns or len(self) < 2:
            raise ValueError("has no column 'time' with two samples or more")
        time = self.columns["time"]
        start = int(np.searchsorted(time, -1e-9))
        record = WalkRecording.allocate(len(time), start, float(np.median(np.diff(time))))
        record.time[:] = time
        for group, name, _, parts in _groups(joint_names, legs):
            for column, part in enumerate(parts):
                full = f"{group}.{part}"
                if full in self.columns:
                    getattr(record, name)[:, column] = self.columns[full]
                elif group not in _LATER:
                    raise ValueError(f"has no column {full!r}: it is no walk of this robot")
        record.command[:, 2] = self.columns.get("yaw_rate_command", 0.0)
        return record

    def save(self, path: str | Path) -> None:
        """Write a Parquet file, values in single precision; it is there whole or not at all."""
        path = Path(path)
        fields = [
            pa.field(
                name, pa.float64() if name == "time" else pa.float32(), metadata={"unit": self.units[name]}
            )
            for name in self.columns
        ]
        table = pa.table(
            [pa.array(v, type=f.type) for v, f in zip(self.columns.values(), fields, strict=True)],
            schema=pa.schema(fields),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        try:
            # measured numbers hardly repeat: a dictionary of them would cost two thirds of the time, and room
            pq.write_table(table, partial, compression="zstd", use_dictionary=False)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read what `save` wrote."""
        table = pq.read_table(path)
        columns = {
            name: table.column(name).to_numpy().astype(float, copy=False) for name in table.column_names
        }
        units = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in table.schema}
        return cls(columns, units)
