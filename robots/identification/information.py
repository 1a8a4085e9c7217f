"""What another walk would tell: expected Fisher information, and which of some walks tells most of what matters.

A walk that is not made yet is simulated on the plant as it is believed to be; how its windows depend on the parameters
is what it would tell (ASID, Memmel et al. 2024, arXiv 2404.12308, for robots; A-optimal design, Pukelsheim 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.identification.equations import LONG, LONG_SPREAD, Unknowns, linearise, normal_equations
from safebo.robots.identification.parameters import Family
from safebo.robots.identification.replay import Replayer
from safebo.robots.identification.walks import WalkLog
from safebo.robots.identification.windows import TICKS, cut, evenly, sensor_noise
from safebo.types import FloatArray

LOOKED_AT = 24
"""Windows of a simulated walk whose derivatives are taken; they stand for all."""
FITTED_SHARE = 1.0 / 3.0
"""Of a walk's windows, so many count as information: a fit takes no more, and what it says is inflated."""


def information(
    robot: RobotModel, family: Family, values: FloatArray, log: WalkLog, threads: int | None = None
) -> FloatArray:
    """Fisher information of a walk about the parameters, `p x p`, what it does not know itself eliminated.

    Args:
        robot: which one.
        family: of the parameters.
        values: parameters of the plant on which it was walked, `p`.
        log: the walk.
        threads: that compute.
    """
    replayer, windows = Replayer(robot, family, log.period, threads), cut([log], TICKS)
    share = FITTED_SHARE * len(windows) / min(len(windows), LOOKED_AT)
    windows = windows.some(evenly(len(windows), LOOKED_AT))
    at = Unknowns.at(values, windows).guessed(windows, replayer, 0)
    noise = sensor_noise([log])
    normal = normal_equations(linearise(replayer, windows, 0, at), windows, at, noise)
    p, whole = len(family), share * normal.matrix.sum(axis=0)
    offsets = whole[p:, p:] + np.diag(np.tile(LONG_SPREAD**-2, windows.walks))
    assert len(offsets) == windows.walks * len(LONG)
    return np.asarray(whole[:p, :p] - whole[:p, p:] @ np.linalg.solve(offsets, whole[p:, :p]))


def task_weight(
    family: Family, plants: FloatArray, steps: FloatArray, objective: Callable[[FloatArray], float]
) -> FloatArray:
    """What matters for a task: second moments of its objective's gradient by the parameters, `p x p`.

    Args:
        family: of the parameters.
        plants: at which the gradient is taken, `n x p`.
        steps: of its differences, `p`.
        objective: of a plant, `p`; not finite where the task fails.

    Raises:
        ValueError: the task fails on all of them.
    """
    gradients = []
    for values in plants:
        before = objective(values)
        moved = [family.clipped(values + step) for step in np.diag(steps)]
        change = np.array([objective(plant) - before for plant in moved])
        if np.isfinite(change).all():
            gradients.append(change / steps)
    if not gradients:
        raise ValueError(
            "the task fails on every plant that the robot could be: its objective has no gradient"
        )
    return np.asarray(np.mean([np.outer(g, g) for g in gradients], axis=0))


@dataclass(frozen=True)
class Suggestion:
    """Walks in the order of what they would leave unknown.

    Args:
        order: their names, the best first.
        left: of each, tr(W F^-1) after it over the same before it.
        shrinkage: of the best, by parameter: expected standard error after it over that before, `p`.
    """

    order: tuple[str, ...]
    left: Mapping[str, float]
    shrinkage: FloatArray


def suggest(known: FloatArray, walks: Mapping[str, FloatArray], weight: FloatArray) -> Suggestion:
    """Which walk leaves least unknown.

    Args:
        known: information so far, the prior's included, `p x p`.
        walks: what each would add, `p x p`, by name.
        weight: W, what of the parameters' covariance matters, `p x p`: in prior units, or second moments of a task's
            gradient.

    Raises:
        ValueError: no walks.
    """
    if not walks:
        raise ValueError("there is no walk to choose from")
    before = np.linalg.inv(known)
    after = {name: np.linalg.inv(known + added) for name, added in walks.items()}
    left = {name: float(np.trace(weight @ c) / np.trace(weight @ before)) for name, c in after.items()}
    order = tuple(sorted(left, key=lambda name: left[name]))
    shrinkage = np.sqrt(np.diag(after[order[0]]) / np.diag(before))
    return Suggestion(order, left, np.asarray(shrinkage))
