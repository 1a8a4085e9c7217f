"""What would become of a walk if backup gains took over: the margin to go, by simulated switches.

In the ticks of a plan the simulated robot is saved, backups take over in turn, and the robot is put back. What is found
is true of the simulation, for its disturbance and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from safebo.robots.evaluation.scoring import WalkScoring, capped
from safebo.robots.evaluation.shown import shown_margins
from safebo.robots.evaluation.watching import phases
from safebo.robots.quadruped.gait import Gait
from safebo.robots.simulation.rollout import Walk, WalkRecording
from safebo.types import SwitchedTrial, SwitchPlan

LOOK_EVERY = 10
"""Ticks between two looks at whether the walk's own gains have broken a margin."""


def tried_switches(
    walk: Walk, gait: Gait, scoring: WalkScoring, plan: SwitchPlan, steps: Sequence[Sequence[Any]]
) -> SwitchedTrial:
    """Walk on, and try what the plan says on the way.

    Ends when the robot falls, time is up, a margin of the plan was negative, or nothing is left to try.

    Args:
        walk: before its first tick.
        gait: of the walk.
        scoring: of its margins, all of them minima over time, in the walk's world.
        plan: what to try.
        steps: of every backup the full gains of every tick from the switch on, of which the last stay.

    Raises:
        ValueError: a controller whose walks cannot be put back.
    """
    start, period = walk.record.walk_start, walk.record.period
    due: dict[int, list[int]] = {}
    for place, (tick, _) in enumerate(plan.tried):
        due.setdefault(tick, []).append(place)
    last, seen = max(due, default=walk.rows), start
    found = {name: np.full(len(plan.tried), np.nan) for name in plan.margins}
    while walk.row < walk.rows:
        tick = walk.row - start
        if places := due.get(tick):
            scores = walk.switched(
                [list(steps[plan.tried[place][1]]) for place in places],
                max(1, round(plan.horizon / period)),
                lambda record: _smallest(record, scoring, gait, plan.margins),
            )
            for place, smallest in zip(places, scores, strict=True):
                for name, value in smallest.items():
                    found[name][place] = value
        if tick >= last or not walk.tick():
            break
        if not plan.tried and walk.row - seen >= LOOK_EVERY and walk.row > start:
            since = replace(walk.record.truncated(walk.row), walk_start=seen)
            seen = walk.row
            if min(_smallest(since, scoring, gait, plan.margins).values()) < 0.0:
                break
    record = walk.record.truncated(walk.row)
    n = len(record) - start
    course = scoring.margins_over_time(scoring.seen(record, False, gait), n)
    return SwitchedTrial(
        states=record.states[start:].copy(),
        margins={name: course[name].copy() for name in plan.margins},
        to_go=found,
        period=period,
        phase=phases(n, period, gait.stride_duration),
        fell=record.fell,
        ramp=max(map(len, steps), default=1),
        shown=shown_margins(course, plan.margins, scoring),
    )


def _smallest(
    record: WalkRecording, scoring: WalkScoring, gait: Gait, names: Sequence[str]
) -> dict[str, float]:
    """Some margins of a recording from its start on; of a fall as a trial reports it."""
    walk = scoring.seen(record, False, gait)
    course = scoring.margins_over_time(walk, len(record) - record.walk_start)
    found = {name: float(np.min(course[name], initial=np.inf)) for name in names}
    ceiling = scoring.fallen()
    return capped(found, {name: ceiling[name] for name in names}) if record.fell else found
