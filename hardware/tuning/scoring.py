"""From the raw record of a trial to a measurement, as the simulation's evaluator would score the same walk.

Everything comes from the file: what the robot's sensors said and what the controller believed. Ticks without a new
state hold the last one, so that time counts, not the number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from safebo.hardware.constants import MAX_MISSING_SHARE
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.scoring import capped
from safebo.robots.quadruped.interface import BaseState, SensorReading
from safebo.robots.simulation.rollout import WalkRecording, monitored_state
from safebo.types import Ended, FloatArray, Measurement

ROBOT_CAUSES = frozenset(
    {
        "tilt",
        "body_rate",
        "height",
        "joint_range",
        "joint_speed",
        "overspeed",
        "joint_torque",
        "tracking",
        "reach",
        "controller",
    }
)
"""Limits that gains can make a robot cross: the trial was unsafe."""

PERSON_CAUSES = frozenset({"remote_stop"})
"""The person beside the robot stopped it: the trial was unsafe, by that person's judgement."""

FALLS = frozenset({"tilt", "height", "body_rate"})
"""Limits that only a falling robot crosses."""

NAMES: Mapping[int, str] = {limit.number: limit.name for limit in LIMITS}
_AT = {name: index for index, name in enumerate(COLUMNS)}


def _columns(rows: FloatArray, name: str) -> FloatArray:
    return rows[:, [i for i, column in enumerate(COLUMNS) if column.split(".")[0] == name]]


def walk_times(rows: FloatArray) -> FloatArray:
    """Seconds since the walk began, by row of telemetry (`n x columns`); negative while the robot settles."""
    return np.asarray(rows[:, _AT["walk_time"]])


def fill(record: WalkRecording, first: int, rows: FloatArray, torque_limit: FloatArray) -> None:
    """Write telemetry (`n x columns`) into a recording from row `first` on, as the robot itself saw it.

    What only a simulation knows, the true states, is filled with what was measured; what a monitor sees is left out.
    """
    at = slice(first, first + len(rows))
    position, velocity = _columns(rows, "joint_position"), _columns(rows, "joint_velocity")
    target, speed = _columns(rows, "target_position"), _columns(rows, "target_velocity")
    record.time[at] = walk_times(rows)
    record.joint_position[at] = record.measured_position[at] = position
    record.joint_velocity[at] = record.measured_velocity[at] = velocity
    record.desired_position[at], record.desired_velocity[at] = target, speed
    record.base_position[at] = record.estimated_position[at] = _columns(rows, "base_position")
    record.base_orientation[at] = record.estimated_orientation[at] = _columns(rows, "base_orientation")
    record.base_velocity[at] = record.estimated_velocity[at] = _columns(rows, "base_velocity")
    record.base_rate[at] = record.estimated_rate[at] = _columns(rows, "base_rate")
    torque = _columns(rows, "feed_forward") + _columns(rows, "kp") * (target - position)
    torque += _columns(rows, "kd") * (speed - velocity)
    record.commanded_torque[at] = np.clip(torque, -torque_limit, torque_limit)
    record.applied_torque[at] = _columns(rows, "joint_torque")


def recording_of(rows: FloatArray, torque_limit: FloatArray, period: float) -> WalkRecording:
    """The walk in a trial's telemetry (`n x columns`), as the robot itself saw it; see `fill`."""
    time = walk_times(rows)
    walk_start = int(np.argmax(time >= -1e-9)) if (time >= -1e-9).any() else len(rows)
    record = WalkRecording.allocate(len(rows), walk_start, period)
    fill(record, 0, rows, torque_limit)
    position, velocity = record.measured_position, record.measured_velocity
    reading = SensorReading()
    for row in range(len(rows)):
        base = BaseState(
            record.base_position[row],
            record.base_orientation[row],
            record.base_velocity[row],
            record.base_rate[row],
        )
        reading.joint_position, reading.joint_velocity = position[row], velocity[row]
        monitored_state(base, reading, record.states[row])
    backup = rows[:, _AT["backup"]]
    switched = np.flatnonzero(backup >= 0)
    if len(switched):
        record.backup, record.backup_row = int(backup[switched[0]]), int(switched[0])
    return record


def measure(
    rows: FloatArray,
    evaluator: LeggedEvaluator,
    context: Mapping[str, float],
    outcome: int,
    cause: str,
    message: str,
    period: float,
    ended: Ended = "",
) -> Measurement:
    """What a trial shows.

    Args:
        rows: telemetry, `n x columns`.
        evaluator: the study's evaluator, which knows its objective, limits and gait.
        context: of the trial.
        outcome: how the guardian ended it: 1 completed, 2 on request, 3 by trouble.
        cause: name of the limit that was crossed; empty without one.
        message: the guardian's, for people.
        period: control period, s.
        ended: why the trial's own rule ended it on request; empty where it did not (`safebo.types.EarlyEnd`).
    """
    robot = evaluator.robot
    record = recording_of(rows, robot.torque_limit, period)
    fell = cause in FALLS
    unsafe = cause in ROBOT_CAUSES | PERSON_CAUSES
    record.fell = fell
    early = ended if outcome == 2 else ""
    record.ended = early
    seen = evaluator.measure(record, context)
    walked = rows[record.walk_start :]
    missing = float(1.0 - walked[:, _AT["fresh"]].mean()) if len(walked) else 1.0
    extra = {**seen.extra, "missing_states": missing}
    seen = replace(
        seen, true_objective=None, true_margins=None, extra=extra, message="" if early else message
    )
    if unsafe:
        # The guardian ended it for a reason that gains answer for, so no margin may say that it was safe.
        margins = capped(seen.margins, evaluator.scoring.fallen())
        return replace(
            seen,
            outcome="aborted",
            objective=None,
            margins=margins,
            margins_to_go=None,
            strides=None,
            fell=fell,
        )
    if outcome == 3:
        return _failed(seen, f"ended by trouble that says nothing about the gains: {message}")
    if outcome == 2 and not early:
        return _failed(seen, "ended on request before its time")
    if missing > MAX_MISSING_SHARE:
        return _failed(seen, f"{100 * missing:.0f} % of the robot's states never came")
    return seen


def _failed(seen: Measurement, message: str) -> Measurement:
    return replace(
        seen,
        outcome="failed",
        objective=None,
        margins={},
        margins_to_go=None,
        states=None,
        strides=None,
        message=message,
    )
