"""Whether a walk has shown enough, looked at once a stride."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from safebo.robots.evaluation.metrics import margins_over_time, objectives_over_time, walk_signals
from safebo.robots.evaluation.scoring import SeenWalk, WalkScoring
from safebo.robots.quadruped.gait import Gait
from safebo.robots.simulation.rollout import WalkRecording
from safebo.trial_length.stopping import half_width
from safebo.trial_length.variance import components
from safebo.types import EarlyEnd, FloatArray


def end_rule(rule: EarlyEnd, scoring: WalkScoring, gait: Gait) -> Callable[[WalkRecording, int], str]:
    """The rule as `rollout` asks it: `unsafe`, `dominated`, `settled`, or empty to walk on.

    Nothing ends before one whole stride after the ramp, nor before every margin that is a formula can be told: broken
    (the most that the whole walk could still reach is below 0), decided, or a minimum over what was walked. A stride
    counts once all its ticks are walked.

    Args:
        rule: of the trial.
        scoring: of its walk.
        gait: of its walk.
    """
    period, seconds, after = gait.stride_duration, scoring.seconds, scoring.after
    first = math.ceil(2.0 * scoring.ramp / period - 1e-9)
    means: list[float] = []
    lowest, total = math.inf, 0.0

    def end(record: WalkRecording, rows: int) -> str:
        nonlocal lowest, total
        number = first + len(means)
        begin, stop = (record.walk_start + round(i * period / record.period) for i in (number, number + 1))
        if rows < stop:
            return ""
        begin = record.walk_start if not means else begin  # a margin may have been broken in the start
        so_far = record.truncated(rows)
        walked = replace(so_far, walk_start=begin)
        seen = walk_signals(walked, False, scoring.command(gait), scoring.ramp)
        course = margins_over_time(seen, scoring.robot, scoring.limits)
        lowest = min([lowest, *(float(course[name].min()) for name in rule.margins if name in course)])
        whole = None
        if scoring.formulas or scoring.goal is not None:
            whole = scoring.seen(so_far, False, gait)
        terms: FloatArray | None
        if scoring.goal is None or whole is None:
            terms = objectives_over_time(seen, scoring.robot).get(scoring.objective)
        else:
            terms = scoring.goal.over_time(whole.trace)
            terms = None if terms is None else terms[begin - record.walk_start :]
        own = stop - (record.walk_start + round(number * period / record.period))
        means.append(math.nan if terms is None else float(terms[-own:].mean()))
        if terms is not None:
            total += float(terms[walked.time[begin:] >= after - 1e-9].sum())
        broken, decided = _formulas(rule, scoring, whole, round(seconds / record.period))
        if not decided:
            return ""
        if lowest < 0 or broken:
            return "unsafe"
        if len(means) * period < rule.least - 1e-9 or terms is None:
            return ""
        # Costs are never negative: the rest of the walk adds nothing to a perfect one's.
        dominated = rule.dominated is not None and scoring.only_costs
        if dominated and total * record.period / (seconds - after) < rule.dominated:  # type: ignore[operator]
            return "dominated"
        if rule.settled is None:
            return ""
        found = components([[np.array(means)]])
        if found is None:
            return ""
        std = math.sqrt(found.per_stride)
        return "settled" if half_width(len(means), std) <= rule.settled else ""

    return end


def _formulas(rule: EarlyEnd, scoring: WalkScoring, walk: SeenWalk | None, rows: int) -> tuple[bool, bool]:
    """Whether a formula among the rule's margins is broken, and whether the walk may end for all formulas."""
    if walk is None or not scoring.formulas:
        return False, True
    broken = any(f.upper(walk.trace, rows) < 0 for f in scoring.formulas if f.name in rule.margins)
    return broken, all(f.decided(walk.trace, rows) for f in scoring.formulas)
