"""What would become of a walk if backup gains took over: the margin to go, by simulated switches.

At every tick of a grid the simulated robot is saved, every backup takes over in turn, and the robot is put back. What
is found is true of the simulation, for its disturbance and seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from safebo.robots.evaluation.evaluator import PERIOD, LeggedEvaluator
from safebo.robots.evaluation.scoring import WalkScoring, capped
from safebo.robots.evaluation.watching import phases, ramped
from safebo.robots.quadruped.gait import Gait
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import FloatArray


@dataclass(frozen=True)
class SwitchedWalk:
    """A walk, and what backups would have made of it.

    Args:
        states: what a monitor sees, of every tick of the walk, `n x 33`.
        phase: share of the stride that had passed, `n`.
        own: value of every margin in every tick under the walk's own gains, by name, `n` each.
        fell: whether it fell.
        to_go: by margin, smallest value from a tick on if a backup takes over in it; nan where none was tried, `n x p`.
    """

    states: FloatArray
    phase: FloatArray
    own: Mapping[str, FloatArray]
    fell: bool
    to_go: Mapping[str, FloatArray]

    @property
    def kept(self) -> int:
        """Ticks before a margin of the walk's own was negative; all of them where none was."""
        broken = np.flatnonzero(np.min(list(self.own.values()), axis=0) < 0.0)
        return int(broken[0]) if len(broken) else len(self.states)

    @property
    def tried(self) -> NDArray[np.int64]:
        """Ticks in which switches were tried."""
        first = next(iter(self.to_go.values()))
        return np.flatnonzero(np.isfinite(first).all(axis=1))


def switched_walk(
    evaluator: LeggedEvaluator,
    parameters: Mapping[str, float],
    context: Mapping[str, float],
    seed: int,
    backups: Sequence[Mapping[str, float]],
    margins: Sequence[str],
    every: int = 10,
    horizon: float = 1.0,
    beyond: float = 0.1,
) -> SwitchedWalk:
    """Walk with some gains, and try every backup on the way, until the robot falls or time is up, and at most `beyond`
    seconds after a margin was negative.

    Args:
        evaluator: whose robot, disturbance and margins.
        parameters: of the walk.
        context: of the walk and of the backups.
        seed: of the sensors' noise.
        backups: gains to switch to.
        margins: names of those that count.
        every: ticks between two switches that are tried.
        horizon: seconds that are walked after a switch. A backup that kept its margins so long is taken to keep them.
        beyond: seconds to go on after the walk's own gains broke a margin, for a model to learn what is too late.

    Raises:
        ValueError: a controller whose walks cannot be saved, or margins that are no minimum over time.
    """
    if not evaluator.scoring.over_time:
        raise ValueError("margins to go need margins that are a minimum over time")
    gait, walk = evaluator.gait(context), evaluator.begin(parameters, context, seed)
    scoring = evaluator.scoring.under(evaluator.world({}, context))
    own = evaluator.full_gains(parameters)
    steps = [[evaluator.full_gains(step) for step in ramped(own, b)] for b in backups]
    start, ticks = walk.record.walk_start, round(horizon / PERIOD)
    found = {name: np.full((walk.rows - start, len(backups)), np.nan) for name in margins}
    seen, last = start, walk.rows
    while walk.row < last:
        walked = walk.row - start
        if walked >= 0 and walked % every == 0:
            since = replace(walk.recording(), walk_start=seen)
            if last == walk.rows and min(_smallest(since, scoring, gait, margins).values()) < 0.0:
                last = min(walk.rows - 1, walk.row + round(beyond / PERIOD))
            seen = walk.row
            tried = walk.switched(steps, ticks, lambda record: _smallest(record, scoring, gait, margins))
            for backup, smallest in enumerate(tried):
                for name, value in smallest.items():
                    found[name][walked, backup] = value
        if not walk.tick():
            break
    record = walk.recording()
    n = len(record) - start
    course = scoring.margins_over_time(scoring.seen(record, False, gait), n)
    return SwitchedWalk(
        record.states[start:].copy(),
        phases(n, PERIOD, gait.stride_duration),
        {name: course[name].copy() for name in margins},
        record.fell,
        {name: values[:n] for name, values in found.items()},
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
