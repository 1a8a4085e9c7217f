"""Points that are certified by their own measurements: the safe set's exceptions, as a statement of statistics.

GoSafeOpt (Sukhija et al. 2023) takes a global trial that ran safely as proof that its parameters are safe, whatever the
surrogate says of them: its lower bounds are lifted to 0. That is right where margins are measured without noise. With
noise one good measurement may be luck, so here (ours) such a point is certified by all its measurements together: of n
measurements of mean y and with noise s, a constraint's value has the posterior N(y, s^2 / n) under a flat prior, and

    the point is certified when y - beta s / sqrt(n) >= threshold for every constraint,

with the beta of every other bound of the study. No kernel and no prior mean enters. `s` is the declared noise, or the
standard deviation of the measurements where that is larger: repeats that scatter more than was declared are believed.
Of two measurements one of which is negative none certifies for any beta >= 1.

Guarantee: with Gaussian noise, no larger than declared, the statement at a given n fails with the probability of the
normal tail beyond beta, per constraint; a point is looked at after each of its few measurements (`MAX_REPEATS` in
`safebo.tuner.phases`), so that one which is unsafe by next to nothing is certified at some time with at most as many
times that probability.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from safebo.models.confidence import ConfidenceBounds, Prediction, confidence_bounds

SAME_POINT = 1e-12
"""Points of the unit cube closer than this in every coordinate are the same parameters, but for round-off."""


def no_points() -> Float[Tensor, "0 0"]:
    """An empty set of points."""
    return torch.zeros(0, 0, dtype=torch.float64)


def own_posterior(values: Float[Tensor, "n c"], noise_std: Float[Tensor, " c"]) -> Prediction:
    """What repeated measurements at one point say of the functions there, under a flat prior.

    Args:
        values: one row per measurement, NaN where a function was not measured.
        noise_std: of one measurement, as declared.

    Returns:
        Mean and standard deviation of every function's value, `1 x c`; -inf and inf where it was never measured.
    """
    known = ~values.isnan()
    count = known.sum(0).to(values)
    seen = count.clamp_min(1.0)
    mean = torch.where(known, values, 0.0).sum(0) / seen
    scatter = torch.where(known, values - mean, 0.0).square().sum(0) / (count - 1.0).clamp_min(1.0)
    std = torch.maximum(noise_std, scatter.sqrt()) / seen.sqrt()
    never = count == 0
    mean, std = mean.masked_fill(never, -torch.inf), std.masked_fill(never, torch.inf)
    return Prediction(mean.unsqueeze(0), std.unsqueeze(0))


@dataclass(frozen=True)
class MeasuredPoints:
    """Points that watched trials opened, and what all measurements at each of them say of the constraints there.

    Args:
        points: parameters in the unit cube, `g x d`, no two the same.
        posterior: of the constraints, on their warped scales, `g x c`.
    """

    points: Float[Tensor, "g d"] = field(default_factory=no_points)
    posterior: Prediction = field(default_factory=lambda: Prediction(no_points(), no_points()))

    def __len__(self) -> int:
        return len(self.points)

    def rows(self, X: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        """Which of the points each row of X is; -1 for none."""
        if len(self) == 0:
            return torch.full(X.shape[:-1], -1)
        same = ((X.unsqueeze(-2) - self.points).abs() <= SAME_POINT).all(-1)
        return torch.where(same.any(-1), same.int().argmax(-1), -1)

    def bounds(self, rows: Int[Tensor, " n"], beta: Float[Tensor, " c"]) -> ConfidenceBounds:
        """Confidence bounds of the constraints at some of the points, `n x c`."""
        return confidence_bounds(Prediction(self.posterior.mean[rows], self.posterior.std[rows]), beta)
