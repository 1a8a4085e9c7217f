"""Whether a walk has shown enough, looked at once a stride."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.evaluation.metrics import Limits, margins_over_time, objectives_over_time, walk_signals
from safebo.robots.simulation.rollout import WalkRecording
from safebo.trial_length.stopping import half_width
from safebo.trial_length.variance import components
from safebo.types import EarlyEnd, FloatArray


def end_rule(
    rule: EarlyEnd,
    robot: RobotModel,
    limits: Limits,
    objective: str,
    command: FloatArray,
    ramp: float,
    period: float,
    seconds: float,
    after: float,
) -> Callable[[WalkRecording, int], str]:
    """The rule as `rollout` asks it: `unsafe`, `dominated`, `settled`, or empty to walk on.

    Nothing ends before one whole stride after the ramp. A stride counts once all its ticks are walked.

    Args:
        rule: of the trial.
        robot: the robot.
        limits: of the margins.
        objective: name of the objective.
        command: forward and leftward velocity at the end of the ramp, m/s, 2.
        ramp: time until the robot is at speed, s.
        period: of a stride, s.
        seconds: of the whole walk.
        after: seconds at its start that the objective leaves out.
    """
    first = math.ceil(ramp / period - 1e-9)
    means: list[float] = []
    lowest, total = math.inf, 0.0

    def end(record: WalkRecording, rows: int) -> str:
        nonlocal lowest, total
        number = first + len(means)
        begin, stop = (record.walk_start + round(i * period / record.period) for i in (number, number + 1))
        if rows < stop:
            return ""
        begin = record.walk_start if not means else begin  # a margin may have been broken in the start
        walked = replace(record.truncated(rows), walk_start=begin)
        seen = walk_signals(walked, False, command, 0.5 * ramp)
        course = margins_over_time(seen, robot, limits)
        lowest = min(lowest, *(float(course[name].min()) for name in rule.margins if name in course))
        terms = objectives_over_time(seen, robot).get(objective)
        own = stop - (record.walk_start + round(number * period / record.period))
        means.append(math.nan if terms is None else float(terms[-own:].mean()))
        if terms is not None:
            total += float(terms[walked.time[begin:] >= after - 1e-9].sum())
        if lowest < 0:
            return "unsafe"
        if len(means) * period < rule.least - 1e-9 or terms is None:
            return ""
        # Costs are never negative: the rest of the walk adds nothing to a perfect one's.
        if rule.dominated is not None and total * record.period / (seconds - after) < rule.dominated:
            return "dominated"
        if rule.settled is None:
            return ""
        found = components([[np.array(means)]])
        if found is None:
            return ""
        std = math.sqrt(found.per_stride)
        return "settled" if half_width(len(means), std) <= rule.settled else ""

    return end
