"""A monitor of the margin to go for one robot and some backups, learned and calibrated in simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from safebo.boundary.margin_to_go import Episode, MarginModel, MarginMonitor, calibrated, features
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.switches import switched_walk
from safebo.robots.evaluation.visited import SCALES
from safebo.robots.evaluation.watching import RAMP_TICKS

LOST = -1.0
"""Margins under minus one unit count as minus one: how badly a switch goes wrong teaches nothing of where it does."""


def learn_monitor(
    evaluator: LeggedEvaluator,
    backups: Sequence[Mapping[str, float]],
    context: Mapping[str, float],
    gains: Callable[[int], Mapping[str, float]],
    margins: Mapping[str, float],
    fit: int = 20,
    calibration: int = 39,
    alpha: float = 0.05,
    horizon: float = 1.0,
    say: Callable[[str], None] | None = None,
) -> MarginMonitor:
    """Learn what becomes of the robot if a backup takes over, from walks with gains like those to be watched.

    The walks that learn and those that calibrate are different ones. The same arguments give the same monitor.

    Args:
        evaluator: the simulated robot; its bound holds for walks of this one.
        backups: gains that may take over.
        context: of all walks.
        gains: of a walk by its number, which is also the seed of its noise; drawn as those that will be watched.
        margins: names of those that count, with the change of each that counts as one unit.
        fit: walks to learn from, numbers 0 to `fit - 1`.
        calibration: walks to calibrate with, those after.
        alpha: share of episodes in which the bound may be above the margin.
        horizon: seconds that are walked after a switch.
        say: takes a line after every walk.

    Raises:
        ValueError: too few walks for alpha, margins that are no minimum over time, or a controller whose walks cannot
            be put back.
    """
    episodes = []
    for number in range(fit + calibration):
        walk = switched_walk(
            evaluator, gains(number), context, number, backups, list(margins), horizon=horizon
        )
        # A calibration is about what a monitor could see in time.
        n = len(walk.states) if number < fit else max(1, walk.kept)
        scaled = [walk.to_go[name][:n] / unit for name, unit in margins.items()]
        x = features(walk.states[:n], walk.phase[:n], SCALES)
        episodes.append(Episode(x, np.maximum(np.min(scaled, axis=0), LOST)))
        if say is not None:
            say(f"{number + 1} of {fit + calibration} walks with switches")
    delay = int(evaluator.settings.disturbance.control_delay)
    model = MarginModel.fit(episodes[:fit])
    bound = calibrated(model, episodes[fit:], alpha, delay)
    return MarginMonitor(model, bound, backups, SCALES, RAMP_TICKS)
