"""Finite numbers out of whatever an evaluator returned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NO_NUMBER = (bool, np.bool_, str, bytes)
"""What `float()` would take, and no evaluator means."""


def number_of(value: Any) -> float | None:
    """A finite number as a float; None for everything else, booleans, texts and masked numbers included."""
    if isinstance(value, _NO_NUMBER) or value is None or np.ma.is_masked(value):
        return None
    try:
        value = value.item() if hasattr(value, "item") else value  # of numpy and torch
        if isinstance(value, _NO_NUMBER):
            return None
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def finite_array(value: Any) -> NDArray[np.float64] | None:
    """Finite numbers as an array of floats; None for everything else, an array with masked ones included."""
    if value is None or np.ma.is_masked(value):
        return None
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" and array.size:
            return None
        array = array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        return None
    return array if bool(np.isfinite(array).all()) else None
