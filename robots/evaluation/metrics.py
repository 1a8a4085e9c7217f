"""From a recorded walk to numbers: objectives (to be maximised) and margins (safe when >= 0).

Everything is computed twice: from what the sensors and the estimator say, which is what a robot would report,
and from the plant's true states. A margin is the minimum over the walk, never an average (Widmer et al. 2023,
equation 12 and Assumption 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import FloatArray

WALKING_SCALES = {"velocity": 0.1, "tilt": 0.05, "height": 0.02, "tilt_rate": 0.5}
"""What counts as one unit of cost in `walking`: m/s, rad, m, rad/s (ours)."""

OBJECTIVES: dict[str, tuple[str, str]] = {
    "tracking": (
        "rad^2 + rad^2/s^2",
        "minus the mean over time of the squared joint angle error plus the squared joint speed error",
    ),
    "tracking_sum": (
        "rad^2 + rad^2/s^2",
        "the same, summed over control ticks as in Widmer et al. 2023, equation 12",
    ),
    "tracking_angle": (
        "rad^2 + rad^2/s^2",
        "their hardware form, mean over time: minus squared angle error minus half the squared joint speed",
    ),
    "walking": (
        "1",
        "minus the mean over time of squared errors of body velocity (per 0.1 m/s), roll and pitch (per 0.05 "
        "rad), height (per 0.02 m) and roll and pitch rate (per 0.5 rad/s)",
    ),
}
"""Unit and description of every objective."""

MARGINS: dict[str, tuple[str, str]] = {
    "tracking": ("rad^2", "limit minus the largest sum of squared joint angle errors"),
    "attitude": ("rad", "limit minus the largest roll or pitch"),
    "height": ("m", "smallest height of the trunk minus its limit"),
    "torque": ("N m", "share of the torque limit minus the largest commanded torque, worst joint"),
    "speed": ("rad/s", "share of the speed limit minus the largest joint speed, worst joint"),
    "velocity": ("m/s", "limit minus the largest error of the body's horizontal velocity once at speed"),
}
"""Unit and description of every margin."""


@dataclass(frozen=True)
class Limits:
    """Where the margins are zero. The paper's threshold is unpublished; these are this project's.

    Args:
        tracking: largest allowed sum over the 12 joints of squared angle errors, rad^2.
        attitude: largest allowed roll or pitch, rad.
        height: lowest allowed trunk, m.
        torque: share of the motors' torque limit that may be commanded.
        speed: share of the motors' speed limit that may be reached.
        velocity: largest allowed error of the horizontal body velocity, m/s.
    """

    tracking: float = 0.1
    attitude: float = 0.4
    height: float = 0.18
    torque: float = 0.95
    speed: float = 0.95
    velocity: float = 0.5

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Limits:
        """Limits by name.

        Raises:
            ValueError: names the key, what was wrong and what is allowed.
        """
        known = [item.name for item in fields(cls)]
        for key, value in values.items():
            if key not in known:
                raise ValueError(f"limits: unknown key {key!r}; known: {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < np.inf:
                raise ValueError(f"limits: {key} must be a number > 0, got {value!r}")
        return cls(**{key: float(value) for key, value in values.items()})

    def fallen(self, robot: RobotModel) -> dict[str, float]:
        """Largest margins that a trial which fell may report: far enough under zero to be unmistakable."""
        return {
            "tracking": -49.0 * self.tracking,
            "attitude": -self.attitude,
            "height": -0.5 * self.height,
            "torque": -self.torque * float(np.min(robot.torque_limit)),
            "speed": -self.speed * float(np.min(robot.speed_limit)),
            "velocity": -2.0 * self.velocity,
        }


@dataclass(frozen=True)
class WalkSignals:
    """A walk as somebody sees it: the sensors and the estimator, or the plant itself.

    Args:
        angle, speed: joint angles and speeds, rad and rad/s, `n x 12`.
        desired_angle, desired_speed: their targets, `n x 12`.
        tilt: roll and pitch, rad, `n x 2`.
        tilt_rate: rates about the trunk's x and y, rad/s, `n x 2`.
        height: of the trunk, m, `n`.
        velocity: of the trunk in the heading frame, m/s, `n x 3`.
        command: commanded velocity in the heading frame, m/s, `n x 2`.
        torque: commanded joint torque, N m, `n x 12`.
        at_speed: rows after the speed ramp.
    """

    angle: FloatArray
    speed: FloatArray
    desired_angle: FloatArray
    desired_speed: FloatArray
    tilt: FloatArray
    tilt_rate: FloatArray
    height: FloatArray
    velocity: FloatArray
    command: FloatArray
    torque: FloatArray
    at_speed: NDArray[np.bool_] = field(repr=False)


def walk_signals(record: WalkRecording, true: bool, command: FloatArray, ramp: float) -> WalkSignals:
    """The walk (settling left out) as the plant (`true`) or as the robot itself saw it.

    Args:
        record: the walk.
        true: the plant's own states instead of sensors and estimate.
        command: forward and leftward velocity at the end of the ramp, m/s, 2.
        ramp: seconds over which it grows from zero.
    """
    rows = slice(record.walk_start, None)
    prefix = "base" if true else "estimated"
    orientation = getattr(record, f"{prefix}_orientation")[rows]
    velocity = getattr(record, f"{prefix}_velocity")[rows]
    w, x, y, z = orientation.T
    roll = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2 * (w * y - z * x), -1.0, 1.0))
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    c, s = np.cos(yaw), np.sin(yaw)
    heading = np.stack(
        [c * velocity[:, 0] + s * velocity[:, 1], c * velocity[:, 1] - s * velocity[:, 0], velocity[:, 2]],
        axis=1,
    )
    time = record.time[rows]
    share = np.clip(time / ramp, 0.0, 1.0) if ramp > 0 else np.ones_like(time)
    return WalkSignals(
        angle=(record.joint_position if true else record.measured_position)[rows],
        speed=(record.joint_velocity if true else record.measured_velocity)[rows],
        desired_angle=record.desired_position[rows],
        desired_speed=record.desired_velocity[rows],
        tilt=np.stack([roll, pitch], axis=1),
        tilt_rate=getattr(record, f"{prefix}_rate")[rows, :2],
        height=getattr(record, f"{prefix}_position")[rows, 2],
        velocity=heading,
        command=share[:, None] * command,
        torque=record.commanded_torque[rows],
        at_speed=time >= 2.0 * ramp,
    )


def objectives_over_time(signals: WalkSignals, robot: RobotModel) -> dict[str, FloatArray]:
    """In every tick what the objectives are means of, minus a cost, `n` each; one that is a sum is left out."""
    angle = ((signals.desired_angle - signals.angle) ** 2).sum(axis=1)
    speed = ((signals.desired_speed - signals.speed) ** 2).sum(axis=1)
    unit = WALKING_SCALES
    error = np.concatenate([signals.velocity[:, :2] - signals.command, signals.velocity[:, 2:]], axis=1)
    walking = (
        (error**2).sum(axis=1) / unit["velocity"] ** 2
        + (signals.tilt**2).sum(axis=1) / unit["tilt"] ** 2
        + (signals.height - robot.nominal_height) ** 2 / unit["height"] ** 2
        + (signals.tilt_rate**2).sum(axis=1) / unit["tilt_rate"] ** 2
    )
    return {
        "tracking": -(angle + speed),
        "tracking_angle": -(angle + 0.5 * (signals.speed**2).sum(axis=1)),
        "walking": -walking,
    }


def tick_weights(walked: int, rows: int, steady: int) -> FloatArray:
    """What every tick of a walk stands for in a mean, where more ticks were to come: each of the steady part for some.

    Args:
        walked: ticks.
        rows: ticks of the whole walk.
        steady: tick from which on what is missing is taken to go on as what was walked.
    """
    weight = np.ones(walked)
    if rows > walked > steady:
        weight[steady:] = (rows - steady) / (walked - steady)
    return weight


def objectives(
    signals: WalkSignals, robot: RobotModel, rows: int | None = None, steady: int = 0, first: int = 0
) -> dict[str, float]:
    """Every objective of a walk, to be maximised.

    Args:
        signals: of the walk.
        robot: the robot.
        rows: ticks of the whole walk, where this is its beginning: what is missing is taken to go on as from the tick
            `steady` on, so that a start which costs more does not weigh more in a shorter walk.
        steady: see `rows`.
        first: ticks at the start that are left out.
    """
    course = {name: values[first:] for name, values in objectives_over_time(signals, robot).items()}
    walked, steady = len(signals.height) - first, max(0, steady - first)
    rows = None if rows is None else rows - first
    if rows is not None and rows > walked > steady:
        weight = tick_weights(walked, rows, steady)
        course = {name: values * weight for name, values in course.items()}
        means = {name: float(values.sum()) / rows for name, values in course.items()}
    else:
        means = {name: float(values.mean()) for name, values in course.items()}
    return {
        "tracking": means["tracking"],
        "tracking_sum": float(course["tracking"].sum()),
        "tracking_angle": means["tracking_angle"],
        "walking": means["walking"],
    }


def margins_over_time(signals: WalkSignals, robot: RobotModel, limits: Limits) -> dict[str, FloatArray]:
    """Every margin in every tick of a walk, `n` each, safe when >= 0."""
    angle = ((signals.desired_angle - signals.angle) ** 2).sum(axis=1)
    lateral = np.linalg.norm(signals.velocity[:, :2] - signals.command, axis=1)
    return {
        "tracking": limits.tracking - angle,
        "attitude": limits.attitude - np.abs(signals.tilt).max(axis=1),
        "height": signals.height - limits.height,
        "torque": (limits.torque * robot.torque_limit - np.abs(signals.torque)).min(axis=1),
        "speed": (limits.speed * robot.speed_limit - np.abs(signals.speed)).min(axis=1),
        "velocity": limits.velocity - np.where(signals.at_speed, lateral, 0.0),
    }


def margins(signals: WalkSignals, robot: RobotModel, limits: Limits) -> dict[str, float]:
    """Every margin of a walk: the minimum over time, safe when >= 0."""
    return {name: float(values.min()) for name, values in margins_over_time(signals, robot, limits).items()}
