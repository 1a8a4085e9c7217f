"""Gains between a seed and the tuned ones, which the robot will try on its way.

The robot reaches the tuned gains over gains that are certified on it, and the simulated run widens its steps as soon
as the robot's trials have refuted that both have little to do with each other (`safebo.models.correlations`). A trial
brings evidence for a high correlation where the simulation predicts it more narrowly than the robot's own trials do.
Between the seed and what a search found nothing was simulated, so its predictions are wide there and the trials of the
way prove nothing: with gains simulated all along it, ten trials reach what fifteen do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from safebo.study import Study
from safebo.study.space import Space

APART = 0.05
"""Largest distance of neighbours in the unit cube: an eighth of the lengthscale that first certifies `go1-trot`."""


def between(study: Study, start: Mapping[str, Any], end: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gains on the straight line in the unit cube, both ends left out, in their order.

    Those that a linear constraint of the study forbids are left out too.
    """
    space = Space.of_parameters(study)
    first, last = (space.to_unit(space.vector(gains, within=False)) for gains in (start, end))
    steps = math.ceil(float(np.linalg.norm(last - first)) / APART)
    shares = np.arange(1, steps)[:, None] / max(1, steps)
    rows = space.proposals(first + shares * (last - first))
    named = [space.named(row) for row in rows[space.keep(rows)]]
    return [g for i, g in enumerate(named) if g not in (dict(start), dict(end), *named[:i])]
