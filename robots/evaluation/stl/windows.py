"""Least and largest values in moving windows, and `until`, in time that grows hardly or not with the window."""

from __future__ import annotations

import numpy as np

from safebo.types import FloatArray


def moving_minimum(x: FloatArray, width: int) -> FloatArray:
    """Minimum of every `width` neighbours, `n -> n - width + 1`, three comparisons an element.

    Blocks as long as the window, with running minima from both ends: a window is the end of one block and the
    beginning of the next (van Herk 1992; Gil and Werman 1993).
    """
    count = len(x) - width + 1
    if width == 1:
        return x.copy()
    if count == 1:
        return x.min(keepdims=True)
    blocks = -(-len(x) // width)
    padded = np.full(blocks * width, np.inf)
    padded[: len(x)] = x
    grid = padded.reshape(blocks, width)
    begun = np.minimum.accumulate(grid, axis=1).ravel()
    left = np.minimum.accumulate(grid[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.minimum(left[:count], begun[width - 1 : width - 1 + count])


def suffix_minimum(x: FloatArray) -> FloatArray:
    """Minimum from every element on, `n -> n`."""
    return np.minimum.accumulate(x[::-1])[::-1]


def until_ever(left: FloatArray, right: FloatArray) -> FloatArray:
    """`u_i = max(right_i, min(left_i, u_{i+1}))`, the last one `right`: left until right, within what is there.

    Every step is a clamp `x -> max(p, min(q, x))`, and clamps after each other are one clamp, so the recursion is
    done by doubling: after k rounds every element stands for 2^k steps.
    """
    low, high = right.copy(), np.maximum(left, right)
    step = 1
    while step < len(low):
        here, there = slice(None, -step), slice(step, None)
        new_low = np.maximum(low[here], np.minimum(high[here], low[there]))
        new_high = np.maximum(low[here], np.minimum(high[here], high[there]))
        low[here], high[here] = new_low, new_high
        step *= 2
    return low
