"""A walk, stride by stride."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from safebo.types import FloatArray, Strides


def strides_of(
    objective: FloatArray | None, margins: Mapping[str, FloatArray], tick: float, period: float, ramp: float
) -> Strides | None:
    """Mean objective and least margins of every whole stride after the ramp; None where there is none.

    Args:
        objective: in every tick of the walk what the objective is the mean of, `n`; None where it is no mean.
        margins: in every tick, `n` each.
        tick: time between two of them, s.
        period: of a stride, s.
        ramp: time until the command no longer changes, s. Strides are counted from the start of the walk, and the
            first that is kept begins at the ramp's end or after it.
    """
    count = len(next(iter(margins.values())))
    first = math.ceil(ramp / period - 1e-9)
    # Strides whose ticks were all walked: stride i has the ticks from round(i period / tick) on.
    ends = np.rint(np.arange(first, math.floor(count * tick / period + 1e-9) + 1) * (period / tick)).astype(
        int
    )
    ends = ends[ends <= count]
    if len(ends) < 2 or bool((np.diff(ends) < 1).any()):
        return None
    least = {
        name: tuple(np.minimum.reduceat(v[: ends[-1]], ends[:-1]).tolist()) for name, v in margins.items()
    }
    means: tuple[float, ...] = ()
    if objective is not None:
        means = tuple((np.add.reduceat(objective[: ends[-1]], ends[:-1]) / np.diff(ends)).tolist())
    return Strides(period, first * period, means, least)
