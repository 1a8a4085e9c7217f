"""Finite numbers out of whatever an evaluator returned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def number_of(value: Any) -> float | None:
    """A finite number as a float; None for everything else, booleans and texts included."""
    if isinstance(value, bool | np.bool_ | str | bytes) or value is None:
        return None
    try:
        value = value.item() if hasattr(value, "item") else value  # of numpy and torch
        if isinstance(value, bool):
            return None
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def finite_array(value: Any) -> NDArray[np.float64] | None:
    """Finite numbers as an array of floats; None for everything else."""
    if value is None:
        return None
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" and array.size:
            return None
        array = array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        return None
    return array if bool(np.isfinite(array).all()) else None
