"""Margins too good to be believed: what a lucky outlier counts as where it certifies."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.posterior import Posterior

LARGEST_SURPRISE = 3.0
"""Standard deviations of the one-step prediction by which a margin counts as better than predicted, at most."""


def disbelief(
    cautious: Posterior, measured: Float[Tensor, " k"], more: Float[Tensor, " k"] | None = None
) -> tuple[float, ...]:
    """By how much less than measured margins count, so that none is far better than predicted.

    A lucky outlier must not certify its neighbourhood: no observation counts as more than `LARGEST_SURPRISE` standard
    deviations above the one-step prediction, where that rests on data (at most half of the prior variance is left):
    elsewhere the prior is wrong, not the measurement. What is worse than predicted counts as it is. With `A = L^-1` and
    the values `y'` that count, the standardized residual of observation t is

        r_t = sum_(s < t) A_ts (y'_s - mean) + A_tt (y_t - mean)

    Args:
        cautious: posterior of the most cautious prior, whose last k rows are these observations as measured.
        measured: their values.
        more: variance with which they count beyond their noise there, as outliers (`safebo.models.student_noise`): the
            limit is that of a prediction without it. None where none does.

    Returns:
        `y_t - y'_t` of every observation; empty where all count as measured.
    """
    first = cautious.count - len(measured)
    factor, inputs = cautious.inverse_factor[first:, first:], cautious.inputs[first:]
    # The pivot's square is the variance of the prediction, noise included.
    largest = 0.5 * cautious.kernel.diagonal(inputs) + cautious.noise_variances[first:]
    known = factor.diagonal().square().reciprocal() <= largest
    residual = cautious.whitened_residual()[first:]
    limit = torch.full_like(residual, LARGEST_SURPRISE)
    if more is not None:
        limit = limit * (1.0 - more * factor.diagonal().square()).clamp_min(0.0).sqrt()
    if not bool((known & (residual > limit)).any()):
        return ()
    deviation = measured - cautious.prior_mean
    earlier = residual - factor @ deviation  # what rows before the first contribute
    less = [0.0] * len(measured)
    for t in range(len(measured)):
        excess = float(earlier[t] + factor[t, : t + 1] @ deviation[: t + 1] - limit[t])
        if excess > 0.0 and known[t]:
            std = 1.0 / float(factor[t, t])
            # A power of two, far below the noise: a run that is restored finds the same values, bit for bit.
            grain = 2.0 ** (math.floor(math.log2(std)) - 24)
            less[t] = grain * math.ceil(excess * std / grain)
            deviation[t] -= less[t]
    return tuple(less)
