"""Margins over time, shared by all robots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_go(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest margin from every tick to the end of the trial, `n -> n`."""
    return np.minimum.accumulate(margins[::-1])[::-1].copy()
