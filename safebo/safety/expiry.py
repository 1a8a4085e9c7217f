"""How long a certificate holds while nothing more is measured, where knowledge grows old.

With `k = k_x exp(-|t - t'| / T)` and all measurements in the past, a delay D multiplies every covariance with them by
`w = exp(-D / T)`: with prior mean m0 and variance s^2, present posterior mean mu and variance v,

    l(D) = m0 + (mu - m0) w - beta sqrt(s^2 (1 - w^2) + v w^2)

which is found here from the posterior itself, so that it holds for several functions, priors and certificates at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

STEPS = 32
"""Of w, from 1 down, at which a certificate is looked at: l is convex in w, so that it can fail and hold again."""

LEAST = 1e-6
"""The last of them: nothing but the prior is left."""

BISECTIONS = 14


def remaining_validity(holds: Callable[[float], bool], memory: float) -> float | None:
    """Seconds until a certificate ends: the first time at which it does not hold, from below.

    Args:
        holds: whether it holds after so many seconds.
        memory: T, s; of several the longest.

    Returns:
        None where it never ends (the prior certifies by itself), and where it does not hold now.
    """
    if not holds(0.0):
        return None
    before = 0.0
    for i in range(1, STEPS + 1):
        delay = -memory * math.log(1.0 - i / STEPS if i < STEPS else LEAST)
        if not holds(delay):
            break
        before = delay
    else:
        return None
    for _ in range(BISECTIONS):
        middle = 0.5 * (before + delay)
        before, delay = (middle, delay) if holds(middle) else (before, middle)
    return before
