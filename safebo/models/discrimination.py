"""Where one more measurement tells two priors of a function apart: model discrimination (Box and Hill 1967).

If `p` is the truth, the logarithm of the likelihood ratio `p / q` of a measurement at x is expected to grow by the
Kullback-Leibler divergence of the two predictive densities there, both normal, with variances `v` of the measurement:

    D(x) = 1/2 (v_p / v_q - 1 - log(v_p / v_q) + (mean_p - mean_q)^2 / v_q)
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from safebo.models.mixture import MixturePosterior
from safebo.models.posterior import Posterior

Rivals = tuple[tuple[Posterior, Posterior], ...]
"""Posteriors of the same measurements under two priors: the one that would be earned next, and the one that certifies
now; for every function of which it is open."""


def divergence(over: Posterior, under: Posterior, X: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
    """Kullback-Leibler divergence of the predictive density of a measurement at X under one prior from the other's.

    The evidence for `over` against `under` that a trial there is expected to bring if `over` is right, in nats.
    """
    mean, variance = over.mean_variance(X)
    other_mean, other_variance = under.mean_variance(X)
    other = other_variance + under.noise_variance
    ratio = (variance + over.noise_variance) / other
    return 0.5 * (ratio - 1.0 - ratio.log() + (mean - other_mean).square() / other)


def comparable(found: Sequence[tuple[Posterior, Posterior]]) -> Rivals:
    """Pairs that can be compared so; averages over hyperparameters or correlations have no normal densities."""
    return tuple(pair for pair in found if not any(isinstance(p, MixturePosterior) for p in pair))
