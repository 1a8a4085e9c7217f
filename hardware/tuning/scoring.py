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
from safebo.robots.evaluation.evaluator import LeggedEvaluator, capped
from safebo.robots.quadruped.interface import BaseState, SensorReading
from safebo.robots.simulation.rollout import WalkRecording, monitored_state
from safebo.types import FloatArray, Measurement

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


def recording_of(rows: FloatArray, torque_limit: FloatArray, period: float) -> WalkRecording:
    """The walk in a trial's telemetry (`n x columns`), as the robot itself saw it.

    What only a simulation knows, the true states, is filled with what was measured.
    """
    time = rows[:, _AT["walk_time"]]
    walk_start = int(np.argmax(time >= -1e-9)) if (time >= -1e-9).any() else len(rows)
    record = WalkRecording.allocate(len(rows), walk_start, period)
    record.time[:] = time
    position, velocity = _columns(rows, "joint_position"), _columns(rows, "joint_velocity")
    target, speed = _columns(rows, "target_position"), _columns(rows, "target_velocity")
    record.joint_position[:] = record.measured_position[:] = position
    record.joint_velocity[:] = record.measured_velocity[:] = velocity
    record.desired_position[:], record.desired_velocity[:] = target, speed
    record.base_position[:] = record.estimated_position[:] = _columns(rows, "base_position")
    record.base_orientation[:] = record.estimated_orientation[:] = _columns(rows, "base_orientation")
    record.base_velocity[:] = record.estimated_velocity[:] = _columns(rows, "base_velocity")
    record.base_rate[:] = record.estimated_rate[:] = _columns(rows, "base_rate")
    torque = _columns(rows, "feed_forward") + _columns(rows, "kp") * (target - position)
    torque += _columns(rows, "kd") * (speed - velocity)
    record.commanded_torque[:] = np.clip(torque, -torque_limit, torque_limit)
    record.applied_torque[:] = _columns(rows, "joint_torque")
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
    """
    robot = evaluator.robot
    record = recording_of(rows, robot.torque_limit, period)
    fell = cause in FALLS
    unsafe = cause in ROBOT_CAUSES | PERSON_CAUSES
    record.fell = fell
    seen = evaluator.measure(record, context)
    walked = rows[record.walk_start :]
    missing = float(1.0 - walked[:, _AT["fresh"]].mean()) if len(walked) else 1.0
    extra = {**seen.extra, "missing_states": missing}
    seen = replace(seen, true_objective=None, true_margins=None, extra=extra, message=message)
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
    if outcome == 2:
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
