"""Whether predictions of a run came true: one-step residuals, their distribution and how often intervals held.

With a right model the standardized one-step residual `z_t = (y_t - mean_(t-1)(x_t)) / std_t`, noise included, is
standard normal and independent of the ones before, however the trials were chosen. So its probability integral
transform `Phi(z_t)` is uniform (Dawid 1984), and a central interval of level p holds `p n` of n measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, ttest_1samp

FloatArray = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)

SIGNIFICANT = 0.01
"""Probability with which a right model is called too narrow or too wide, per function."""

WORTH_SAYING = 0.5
"""Mean residual, in predicted standard deviations, below which nothing is said of it."""

FEWEST = 10
"""Measurements under which nothing is said."""


@dataclass(frozen=True)
class Coverage:
    """How often one function's intervals held.

    Args:
        function: its name.
        count: measurements that were predicted.
        held: of `LEVELS`, how many measurements lay inside.
        verdict: one sentence.
    """

    function: str
    count: int
    held: tuple[int, ...]
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Percentages, one per level."""
        return tuple(f"{100.0 * held / self.count:.0f} %" if self.count else "-" for held in self.held)


def transform(residuals: FloatArray) -> FloatArray:
    """Probability integral transform of standardized residuals, `n` values in [0, 1]."""
    return np.asarray(norm.cdf(residuals), dtype=float)


def coverage(function: str, residuals: FloatArray) -> Coverage:
    """How often central intervals of every level held one function's measurements.

    Args:
        function: its name.
        residuals: standardized one-step residuals, `n`.
    """
    inside = [int((np.abs(residuals) <= norm.isf(0.5 * (1.0 - level))).sum()) for level in LEVELS]
    return Coverage(function, len(residuals), tuple(inside), _verdict(residuals, inside))


def _verdict(residuals: FloatArray, inside: Sequence[int]) -> str:
    n = len(residuals)
    if n < FEWEST:
        return f"{n} predicted measurements say nothing yet; {FEWEST} do."
    shift = float(residuals.mean())
    if abs(shift) > WORTH_SAYING and ttest_1samp(residuals, 0.0).pvalue < 0.5 * SIGNIFICANT:
        return f"Measurements lie {'above' if shift > 0 else 'below'} their predictions on the whole."
    # One level in the middle and one in the tails; with what is left of the probability.
    for level, held in ((LEVELS[1], inside[1]), (LEVELS[3], inside[3])):
        for tail, sentence in (
            (
                "less",
                "Intervals are too narrow: more noise, shorter lengthscales or a larger scale would fit.",
            ),
            (
                "greater",
                "Intervals are wider than they need be: less noise or longer lengthscales would fit.",
            ),
        ):
            if binomtest(held, n, level, alternative=tail).pvalue < 0.125 * SIGNIFICANT:
                return sentence
    return "Fits."


def coverage_table(residuals: Mapping[str, FloatArray]) -> tuple[Coverage, ...]:
    """One row per function that was predicted and measured."""
    return tuple(coverage(name, values) for name, values in residuals.items() if len(values))
