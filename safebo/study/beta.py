"""Beta before any observation, in closed form: what a study's prior alone would certify. Loads no torch."""

from __future__ import annotations

import math
from statistics import NormalDist

from safebo.study.axis import levels_between, step_of
from safebo.study.methods import configured
from safebo.study.model import Study


def beta_without_observations(study: Study, function: int) -> float:
    """Multiplier of a function's prior standard deviation, by the formulas of `safebo.models.schedules` at n = 0.

    There the information gain is 0, and a schedule is a number of delta, the norm and the noise alone.

    Args:
        study: the study; its method exists.
        function: index, the objective first.
    """
    tuner, functions = configured(study.tuner), (study.objective, *study.constraints)
    spec = tuner.confidence
    delta = spec.delta / len(functions)  # the functions share delta equally
    # R / sqrt(lambda): the noise bound over the noise's standard deviation in the surrogate
    ratio = 1.0 if spec.noise_bound is None else spec.noise_bound / functions[function].noise_std
    if spec.schedule == "constant":
        return tuner.beta
    if spec.schedule == "posterior":
        return -NormalDist().inv_cdf(6.0 * delta / math.pi**2)
    if spec.schedule == "srinivas2010":
        return math.sqrt(2.0 * math.log(max(domain_size(study) or 1, 1) * math.pi**2 / (6.0 * delta)))
    if spec.schedule == "sui2015":
        return math.sqrt(2.0) * spec.norm
    if spec.schedule == "chowdhury2017":
        return spec.norm + ratio * math.sqrt(2.0 * (1.0 - math.log(delta)))
    if spec.schedule == "fiedler2024":
        return spec.norm + ratio * math.sqrt(-2.0 * math.log(delta))
    return 0.0  # logarithmic: 2 ln(0 + 1)


def domain_size(study: Study) -> int | None:
    """Number of points of a finite domain, those that break a linear constraint included; None for a box."""
    search = study.tuner.search
    if search.domain == "continuous":
        return None
    return len(search.pool) if search.domain == "pool" else math.prod(grid_sizes(study))


def grid_sizes(study: Study) -> list[int]:
    """The most values that a grid has of every parameter: `grid_points`, or all of a discrete one."""
    sizes = []
    for p in study.parameters:
        count, step = study.tuner.search.grid_points, step_of(p)
        if p.choices:
            count = len(p.choices)
        elif step is not None:
            count = min(count, levels_between(*p.bounds, step))
        sizes.append(count)
    return sizes
