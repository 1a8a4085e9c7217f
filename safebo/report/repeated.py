"""Scatter of what trials of the same gains measured."""

from __future__ import annotations

import math

import numpy as np

from safebo.evaluators.outcome import margin_of
from safebo.report.data import RunView, objective_of
from safebo.study import FunctionSpec
from safebo.study.space import WarpMap


def repeated_noise(run: RunView, spec: FunctionSpec) -> tuple[float, int, float] | None:
    """Scatter of a function over completed trials of the same gains.

    Returns:
        Its standard deviation on the modelled scale, degrees of freedom, and a typical value in the function's unit;
        None where no gains were tried twice.
    """
    warp, groups = WarpMap(spec.warp, spec.name), dict[tuple[object, ...], list[float]]()
    for e in run.records:
        if e.measurement is None or e.measurement.outcome != "completed" or e.measurement.ended:
            continue
        objective = spec.name == run.study.objective.name
        value = objective_of(e) if objective else margin_of(e.measurement, spec)
        if value is not None and math.isfinite(value):
            place = (
                e.trial.context_name,
                *e.trial.context.values(),
                *e.trial.parameters.values(),
                *e.trial.scenarios,
            )
            groups.setdefault(place, []).append(value)
    repeated = [np.asarray(warp.forward(np.array(values))) for values in groups.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in repeated)
    if not freedom:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in repeated)
    typical = float(np.median([value for values in groups.values() for value in values]))
    return math.sqrt(squares / freedom), freedom, typical


def in_unit(spec: FunctionSpec, at: float, std: float) -> float:
    """Half the interval of one standard deviation to either side, in the function's own unit."""
    warp = WarpMap(spec.warp, spec.name)
    middle = float(warp.forward(at))
    low, high = warp.inverse(np.array([middle - std, middle + std]))
    return 0.5 * float(high - low)
