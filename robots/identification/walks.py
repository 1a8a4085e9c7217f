"""A recorded walk as identification takes it: what was measured and which torques were commanded, tick by tick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import BoolArray, FloatArray

MIN_SECONDS = 1.0
"""Of a walk from which anything is identified."""


@dataclass(frozen=True)
class WalkLog:
    """One walk, a row per control tick.

    Args:
        name: for messages.
        period: s between two ticks.
        stride: s of a stride; errors of one stride count as one.
        joint_position, joint_velocity: measured, rad and rad/s, `n x 12`.
        orientation: of the trunk, as estimated, w first, `n x 4`.
        rate: of the trunk, measured, rad/s in its frame, `n x 3`.
        velocity: of the trunk, estimated, world, m/s, `n x 3`.
        height: of the trunk, estimated, m, `n`.
        torque: of the joint law within its limits, in every tick, N m, `n x 12`.
        whole: whether a tick is new and comes one period after the one before, `n`.
    """

    name: str
    period: float
    stride: float
    joint_position: FloatArray
    joint_velocity: FloatArray
    orientation: FloatArray
    rate: FloatArray
    velocity: FloatArray
    height: FloatArray
    torque: FloatArray
    whole: BoolArray

    def __len__(self) -> int:
        return len(self.height)

    @classmethod
    def of(cls, record: WalkRecording, name: str, stride: float, whole: BoolArray | None = None) -> WalkLog:
        """A walk from its recording: what sensors and estimator said, never the plant's true state.

        Args:
            record: the walk.
            name: for messages.
            stride: s of a stride.
            whole: which ticks are new, `n`; None: all.

        Raises:
            ValueError: the robot fell, or the walk is too short or not finite.
        """
        if record.fell:
            raise ValueError(
                f"{name}: the robot fell ({record.stop_reason}); a fall tells little of the plant"
            )
        if (len(record) - record.walk_start) * record.period < MIN_SECONDS:
            raise ValueError(f"{name}: walked for less than {MIN_SECONDS:g} s")
        parts = (
            record.measured_position,
            record.measured_velocity,
            record.estimated_orientation,
            record.estimated_rate,
            record.estimated_velocity,
            record.estimated_position[:, 2],
            record.commanded_torque,
        )
        arrays = [np.ascontiguousarray(part, dtype=float) for part in parts]
        sound = np.all([np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in arrays], axis=0)
        sound &= np.linalg.norm(arrays[2], axis=1) > 0.5
        if sound.mean() < 0.5:
            raise ValueError(f"{name}: most of its ticks hold numbers that are not finite")
        for values, what in ((arrays[6], "commanded torques"), (arrays[5], "estimated height")):
            if not np.any(values[sound]):
                raise ValueError(f"{name}: holds no {what.removeprefix('an ')}: identification needs {what}")
        whole = sound if whole is None else sound & whole
        angles, speeds, orientation, rate, velocity, height, torque = arrays
        return cls(
            name, record.period, stride, angles, speeds, orientation, rate, velocity, height, torque, whole
        )
