"""The visited states that a measurement reports: what a distance between two counts, and which of a walk are kept."""

from __future__ import annotations

import numpy as np

from safebo.boundary.subset import kept_rows
from safebo.robots.simulation.recording import STATE_NAMES
from safebo.types import FloatArray, IntArray

STATE_SCALES: dict[str, tuple[str, float]] = {
    "roll": ("rad", 0.1),
    "pitch": ("rad", 0.1),
    "height": ("m", 0.03),
    "velocity": ("m/s", 0.3),
    "rate": ("rad/s", 1.0),
    "angle": ("rad", 0.2),
    "speed": ("rad/s", 3.0),
}
"""Unit, and change that counts as one unit of distance, by the first part of a state coordinate's name."""

SCALES: FloatArray = np.array([STATE_SCALES[name.split(".")[0]][1] for name in STATE_NAMES])
"""The change that counts as one unit of distance of every state coordinate, `33`."""

CANDIDATES = 5
"""Ticks from which one reported state is chosen: more cost time, and states 2 ms apart are hardly different."""


def reported_rows(states: FloatArray, every: int, informative: bool) -> IntArray:
    """Which states of a walk to report, at most one in `every` of them, in the order of time; the first always.

    Args:
        states: `n x 33`.
        every: at least 1.
        informative: those that say most about the walk (`safebo.boundary.subset`), instead of one in `every` ticks.

    Raises:
        ValueError: for states that are not finite, of which none says most.
    """
    even = np.arange(0, len(states), every)
    if not informative:
        return even
    step = max(1, every // CANDIDATES)
    return kept_rows(states[::step] / SCALES, len(even)) * step
