"""When a running trial has shown enough (rules R1 to R3, looked at once a stride)."""

from __future__ import annotations

import math

RATIO = 0.5
"""r of Robbins' mixture: strides after which the sequence is about as narrow as it can be are 1 / r^2."""

LEVEL = 0.05
"""Probability that the sequence ever leaves the mean out."""


def half_width(strides: int, std: float, level: float = LEVEL) -> float:
    """Half the width of a confidence sequence for the mean of strides, valid at every number of them at once.

    Robbins' mixture (Robbins 1970): `s sqrt(2 (n r^2 + 1) / (n^2 r^2) ln(sqrt(n r^2 + 1) / alpha))`.

    Args:
        strides: n, at least 1.
        std: of one stride.
        level: alpha.
    """
    scaled = strides * RATIO**2 + 1.0
    return std * math.sqrt(2.0 * scaled / (strides * RATIO) ** 2 * math.log(math.sqrt(scaled) / level))
