"""Benchmark tasks by name: published ones exactly, our own, and functions drawn from priors.

>>> task = task_named("valley")  # or "gp-1d-right-17": a name carries belief and seed
>>> x, y = task.initial(seed=0)  # safe points and their measurements
>>> y = task.measure(x[0], seed=0, trial=1)
"""

from __future__ import annotations

import re
from collections.abc import Callable

from safebo.errors import UnknownNameError
from safebo.experiments.tasks.analytic import camelback, gaussian10, hartmann
from safebo.experiments.tasks.boundary import boundary
from safebo.experiments.tasks.cartpole import cartpole
from safebo.experiments.tasks.furuta import furuta
from safebo.experiments.tasks.gp_samples import (
    BELIEFS,
    DIMENSIONS,
    calibrated_beta,
    gp_sample,
    safeopt_example,
)
from safebo.experiments.tasks.island import island
from safebo.experiments.tasks.linear_plants import aircraft, reactor
from safebo.experiments.tasks.motor import motor
from safebo.experiments.tasks.quadcopter import quadcopter
from safebo.experiments.tasks.task import UNCONSTRAINED, KernelSpec, Noise, Task
from safebo.experiments.tasks.valley import valley

TASKS: dict[str, Callable[[], Task]] = {
    "valley": valley,
    "island": island,
    "quadcopter": quadcopter,
    "boundary": boundary,
    "camelback": camelback,
    "hartmann6": hartmann,
    "gaussian10": gaussian10,
    "cartpole": cartpole,
    "furuta": furuta,
    "motor": motor,
    "reactor": reactor,
    "aircraft": aircraft,
}
"""Tasks without parameters."""

_DRAWN = re.compile(rf"gp-({'|'.join(map(str, DIMENSIONS))})d-({'|'.join(BELIEFS)})-(\d+)")
_EXAMPLE = re.compile(r"safeopt-([12])d-(\d+)")


def task_named(name: str) -> Task:
    """The task of that name: one of `TASKS`, `gp-<1|2|3|4|6|10>d-<belief>-<seed>` or `safeopt-<1|2>d-<seed>`.

    Raises:
        UnknownNameError: no task has that name.
    """
    if name in TASKS:
        return TASKS[name]()
    if drawn := _DRAWN.fullmatch(name):
        return gp_sample(int(drawn[1]), int(drawn[3]), BELIEFS[drawn[2]])
    if example := _EXAMPLE.fullmatch(name):
        return safeopt_example(int(example[1]), int(example[2]))
    patterns = [f"gp-1d-{belief}-0" for belief in BELIEFS] + [
        "gp-10d-right-0",
        "safeopt-1d-0",
        "safeopt-2d-0",
    ]
    raise UnknownNameError("task", name, [*TASKS, *patterns])


__all__ = [
    "BELIEFS",
    "DIMENSIONS",
    "TASKS",
    "UNCONSTRAINED",
    "KernelSpec",
    "Noise",
    "Task",
    "aircraft",
    "boundary",
    "calibrated_beta",
    "camelback",
    "cartpole",
    "furuta",
    "gaussian10",
    "gp_sample",
    "hartmann",
    "island",
    "motor",
    "quadcopter",
    "reactor",
    "safeopt_example",
    "task_named",
    "valley",
]
