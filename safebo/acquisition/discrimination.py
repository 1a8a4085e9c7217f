"""Trials that tell a declared prior from the cautious one that certifies in its place.

A method that has settled, or whose trials lie where both priors predict the same, brings no evidence: a prior that is
right is then never earned, and the safe set stays as small as caution makes it. So a run may spend a few trials on
evidence. However the trials are chosen, the evidence stays a martingale if the cautious prior is the truth
(`safebo.models.trust`), so that what it may certify is not touched.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.models.discrimination import divergence
from safebo.safety.safe_set import PointBounds

MOST_TRIALS = 10
"""Of a run that are chosen for the evidence."""

LEAST_EVIDENCE = 0.02
"""Nats that the best trial must be expected to bring; a promotion takes 3.7 with one constraint."""

CANDIDATES = 2000
"""Among which that trial is sought."""

SHARE = 0.5
"""Of the most evidence within reach: a trial that is expected to bring so much is left as its method chose it."""


@register("model_discrimination")
class ModelDiscrimination(SafeAcquisition):
    """`argmax over S_n(z) of sum_i D_i(theta, z)`: the expected evidence for priors that are not earned yet.

    Source: Box and Hill 1967 (Technometrics 9); see `safebo.models.discrimination`. Every proposal is certified.
    """

    pool_kind = "near"

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """Expected evidence, in nats."""
        inputs, total = self.ctx.inputs(X), X.new_zeros(len(X))
        for over, under in self.ctx.rivals:
            total = total + divergence(over, under, inputs)
        return total


def worth_a_trial(chosen: float, most: float) -> bool:
    """Whether the trial with the most expected evidence is made instead of one that a method chose.

    Args:
        chosen: expected evidence at the method's choice, nats.
        most: the most within reach.
    """
    return most > LEAST_EVIDENCE and chosen < SHARE * most


def thinned(count: int) -> list[int]:
    """Which of so many candidates are looked at, evenly spaced."""
    return list(range(0, count, max(1, -(-count // CANDIDATES))))
