"""Margins that a monitor is shown while a robot walks: the built-in ones that count, as far as they are known then.

Everything is known when the monitor is asked but what the present command does, so of the torque it sees the tick
before. Margins by formulas are not shown: they look back over windows, too long for a control tick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from safebo.robots.evaluation.metrics import MARGINS, margins_over_time
from safebo.robots.evaluation.scoring import WalkScoring
from safebo.robots.quadruped.gait import Gait
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import FloatArray

LATE = "torque"
"""The margin that is known one tick later."""


def shown_margins(
    course: Mapping[str, FloatArray], names: Sequence[str], scoring: WalkScoring
) -> dict[str, FloatArray]:
    """Of some margins those that are shown, in every tick of a walk from its first, `n` each.

    Args:
        course: margins over time.
        names: of those that count.
        scoring: of the walk.
    """
    shown = {name: course[name].copy() for name in names if name in MARGINS}
    if LATE in shown:
        rest = scoring.limits.torque * float(np.min(scoring.robot.torque_limit))
        shown[LATE] = np.concatenate([[rest], course[LATE][:-1]])
    return shown


@dataclass(frozen=True)
class PresentMargins:
    """What a monitor is shown in one tick.

    Args:
        scoring: of the walk, in its world.
        gait: of the walk.
        names: of the margins, built-in ones.
    """

    scoring: WalkScoring
    gait: Gait
    names: Sequence[str]

    def __call__(self, record: WalkRecording, row: int) -> FloatArray:
        """The margins, `q`, of a recording whose rows up to this one are there, but for its torques."""
        world = self.scoring.world
        # The time since the last change of a command is not in the present rows.
        whole = world is not None and bool(world.segments)
        first = record.walk_start if whole else max(record.walk_start, row - 1)
        lately = replace(record.truncated(row + 1), walk_start=first)
        signals = self.scoring.seen(lately, False, self.gait).signals
        course = margins_over_time(signals, self.scoring.robot, self.scoring.limits)
        shown = shown_margins(course, self.names, self.scoring)
        return np.array([shown[name][-1] for name in self.names])
