"""What makes a point certified: confidence bounds alone, or Lipschitz constants with bounds or measurements; and what
must certify it as well.

A certificate gives every point a slack per constraint, on the constraint's warped scale; the point is certified
when no slack is negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.confidence import ConfidenceBounds


class CertificateRule(Protocol):
    """A rule that certifies points of one context."""

    def margins(
        self, X: Float[Tensor, "n d"], lower: Float[Tensor, "n c"], thresholds: Float[Tensor, " c"]
    ) -> Float[Tensor, "n c"]:
        """How far every constraint is above what certifies it, `n x c`; certified where all are at least 0.

        Args:
            X: parameters in the unit cube.
            lower: lower confidence bounds of the constraints at X.
            thresholds: where the constraints' margins are 0.
        """


class BoundsCertificate:
    """Certified where every lower confidence bound holds: `l_n(x, i) >= h_i`, the kernel alone.

    The form of all practical codes and of Huebotter et al. 2024 (`S_n`). Guarantee: safe with the probability
    with which the bounds hold, which rests on kernel, noise and beta.
    """

    def margins(
        self, X: Float[Tensor, "n d"], lower: Float[Tensor, "n c"], thresholds: Float[Tensor, " c"]
    ) -> Float[Tensor, "n c"]:
        """Lower bounds above the thresholds."""
        return lower - thresholds


@dataclass(frozen=True)
class LipschitzCertificate:
    """Certified where `max_j (reference_ij - L_i ||x - x_j||) >= h_i` for every constraint i.

    With lower confidence bounds at tried points as reference this is equation 15 of Widmer et al. 2023 (Sui
    et al. 2015), its union taken over the points tried so far: the surrogate is trusted only where it has data.
    With measurements minus the largest possible noise, `y_ij - E_i`, it is the safe set of LoSBO (Fiedler et
    al. 2024), which trusts no surrogate at all. Guarantee: with true constants, safe with the probability with
    which the bounds hold at tried points, and for LoSBO always.

    Args:
        points: tried parameters of the context in the unit cube, `r x d`.
        reference: what the constraints are at least there, warped, `r x c`; -inf where unknown.
        lipschitz: constants on the warped scale per unit of distance in the cube, `c`.
    """

    points: Float[Tensor, "r d"]
    reference: Float[Tensor, "r c"]
    lipschitz: Float[Tensor, " c"]

    def margins(
        self, X: Float[Tensor, "n d"], lower: Float[Tensor, "n c"], thresholds: Float[Tensor, " c"]
    ) -> Float[Tensor, "n c"]:
        """The best that a tried point promises."""
        if len(self.points) == 0:
            return torch.full_like(lower, -torch.inf)
        distance = torch.cdist(X, self.points, compute_mode="donot_use_mm_for_euclid_dist")
        promised = self.reference.T - self.lipschitz[:, None] * distance[:, None, :]
        return promised.amax(-1) - thresholds


class Bounding(Protocol):
    """What gives confidence bounds of all functions at points of a context, and knows which are constraints."""

    @property
    def constrained(self) -> list[int]:
        """Indices of the constraints."""
        ...

    def certain_at(self, X: Float[Tensor, "n d"]) -> ConfidenceBounds:
        """Bounds of all functions at X from told data."""
        ...


@dataclass(frozen=True)
class StricterCertificate:
    """Certified where a rule certifies and the lower bounds of a further surrogate hold as well.

    Guarantee: that of either, whichever is right.

    Args:
        rule: from the surrogate that steers.
        also: safe set of the further surrogate.
    """

    rule: CertificateRule
    also: Bounding

    def margins(
        self, X: Float[Tensor, "n d"], lower: Float[Tensor, "n c"], thresholds: Float[Tensor, " c"]
    ) -> Float[Tensor, "n c"]:
        """The smaller of the two."""
        own = self.rule.margins(X, lower, thresholds)
        further = self.also.certain_at(X).lower[..., self.also.constrained] - thresholds
        return torch.minimum(own, further)
