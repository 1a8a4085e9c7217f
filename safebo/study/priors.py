"""Whether a function's declared prior can be right, from one measurement. Loads no torch."""

from __future__ import annotations

import math

from safebo.study import FunctionSpec
from safebo.study.space import WarpMap

IMPOSSIBLE = 6.0
"""Standard deviations from the prior mean beyond which a prior is wrong, not unlucky: 1 in 500 million (ours)."""


def prior_distance(function: FunctionSpec, value: float) -> float | None:
    """How many standard deviations of a measurement under the prior, noise included, a value lies above its mean.

    None where the modelled value is clipped and says nothing.
    """
    warped = float(WarpMap(function.warp, function.name).forward(value))
    if abs(warped) >= function.warp.clip:
        return None
    return (warped - function.prior_mean) / math.hypot(function.prior_std, function.noise_std)


def fitting_std(function: FunctionSpec, value: float) -> float:
    """A `prior_std` under which a value lies two standard deviations from the prior mean, in two digits."""
    warped = float(WarpMap(function.warp, function.name).forward(value))
    return float(f"{max(abs(warped - function.prior_mean), function.noise_std) / 2.0:.2g}")
