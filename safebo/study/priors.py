"""Whether a function's declared prior can be right, from one measurement. Loads no torch."""

from __future__ import annotations

import math

from safebo.study import FunctionSpec
from safebo.study.space import WarpMap

IMPOSSIBLE = 6.0
"""Standard deviations from the prior mean beyond which a prior is wrong, not unlucky: 1 in 500 million (ours)."""


def modelled(function: FunctionSpec, value: float) -> float | None:
    """A value on the scale on which a function is modelled; None where it is clipped there and says nothing."""
    warp = WarpMap(function.warp, function.name)
    warped = float(warp.forward(value))
    return None if warp.clipped(warped) else warped


def prior_distance(function: FunctionSpec, warped: float) -> float:
    """How many standard deviations one measurement lies above what its prior expects of it, noise included."""
    return (warped - function.prior_mean) / math.hypot(function.prior_std, function.noise_std)


def impossible(distance: float, objective: bool) -> bool:
    """Whether a prior is wrong by what it says of a first measurement; an objective may be better than expected."""
    return abs(distance) > IMPOSSIBLE and not (objective and distance > 0)


def fitting_std(function: FunctionSpec, warped: float) -> float:
    """A `prior_std` under which a value lies two standard deviations from the prior mean, in two digits."""
    return float(f"{max(abs(warped - function.prior_mean), function.noise_std) / 2.0:.2g}")
