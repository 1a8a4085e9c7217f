"""A closed-form problem of two gains, quick enough to be run and killed many times."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np


def evaluate(
    parameters: Mapping[str, float],
    context: Mapping[str, float],
    seed: int = 0,
    pause: float = 0.0,
    child: bool = False,
) -> dict[str, Any]:
    """Objective with one peak near the edge of what is safe; margin falls with the first gain.

    Args:
        parameters: `stiffness` in [0, 10] N/m and `damping` in [0.1, 10] N s/m.
        context: not used.
        seed: of the sensor noise.
        pause: seconds that the trial takes.
        child: whether it starts a process that would outlive it by a minute.
    """
    if child:
        os.posix_spawnp("sleep", ["sleep", "60"], os.environ, setsid=True)
    time.sleep(pause)
    stiffness, damping = parameters["stiffness"], parameters["damping"]
    noise = 0.01 * np.random.default_rng(seed).standard_normal(2)
    objective = -((stiffness - 6.0) ** 2) / 10.0 - math.log(damping) ** 2
    margin = (8.0 - stiffness) / 4.0
    return {
        "objective": objective + noise[0],
        "margins": {"height": margin + noise[1]},
        "true_objective": objective,
        "true_margins": {"height": margin},
    }
