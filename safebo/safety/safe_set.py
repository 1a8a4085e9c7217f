"""The safe set of one context: bounds at points, and the one criterion that says whether a point is certified.

    slack(x) = min over constraints i of (margin_i(x) / s_i),    certified when slack(x) >= reserve

with `margin_i` what the certificate's rule promises of constraint i and `s_i` its prior standard deviation. The
exceptions are data of the set: in a context known from another run alone nothing is certified, and parameters that
ran safely in a watched trial are, as long as all that was measured there says so (`safebo.safety.measured_points`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from safebo.models.confidence import ConfidenceBounds, intersected_bounds
from safebo.models.surrogate import Surrogate
from safebo.safety.certificates import BoundsCertificate, CertificateRule
from safebo.safety.measured_points import MeasuredPoints

PROPOSAL_RESERVE = 1e-7
"""A proposal's slack is at least this, so that whoever computes it again in another order of operations finds it
positive too."""

SEARCH_RESERVE = 1e-4
"""Slack from which a search calls a point feasible: rounding a proposal to the digits in which it is printed must not
lose its certificate."""


def certified(slack: Float[Tensor, " n"], reserve: float = 0.0, strict: bool = False) -> Bool[Tensor, " n"]:
    """Which points are certified: the one criterion, for every caller.

    Args:
        slack: smallest margin over the constraints in prior standard deviations, exceptions included.
        reserve: how much of it there must be: 0, `PROPOSAL_RESERVE` or `SEARCH_RESERVE`.
        strict: it must exceed the reserve.
    """
    return slack > reserve if strict else slack >= reserve


def smallest(margins: Float[Tensor, "*n c"], scale: Float[Tensor, " c"] | float = 1.0) -> Float[Tensor, "*n"]:
    """The smallest margin over the constraints, in units of `scale`; +inf where there are none."""
    if margins.shape[-1] == 0:
        return margins.new_full(margins.shape[:-1], torch.inf)
    return (margins / scale).amin(-1)


@dataclass(frozen=True)
class PointBounds:
    """Bounds at the same points: `certain` from told data alone, `fantasized` with pending trials as well.

    Args:
        points: parameters, `n x d`.
        certain: bounds that certify.
        fantasized: bounds that steer the search.
        margins: how far every constraint's bound is above its threshold, by the statement that certifies the point;
            by the certificate's rule where none does, `n x c`.
        slack: smallest of them in prior standard deviations, `n`; what `certified` decides by. 0 for exceptions of the
            safe set: they are certified alone, with no reserve on which a search could rest.
        possible: smallest upper bound of a margin, in prior standard deviations, `n`; when it is below 0 the
            point is unsafe as surely as certified ones are safe.
        exceptions: which of the safe set's measured points certifies the point by its own measurements, because the
            surrogate does not, `n`; -1 for none of them. None where there are no exceptions.
    """

    points: Float[Tensor, "n d"]
    certain: ConfidenceBounds
    fantasized: ConfidenceBounds
    margins: Float[Tensor, "n c"]
    slack: Float[Tensor, " n"]
    possible: Float[Tensor, " n"]
    exceptions: Int[Tensor, " n"] | None = None


@dataclass(frozen=True, kw_only=True)
class SafeSet:
    """What is certified in one context, `S_n(z)`.

    Args:
        surrogate: posteriors given the told measurements; the only one that certifies.
        context: `c`, in the unit cube.
        thresholds: where the constraints' margins are 0 on their warped scales.
        beta: confidence multiplier of the standard deviation, one per function, `m`.
        constraints: which functions are constraints; None for all after the first.
        certificate: the rule that turns lower bounds into margins.
        past_betas: beta of every function after 0, 1, ... of its observations, where intervals are intersected;
            None where the present ones count alone.
        strict: lower bounds must lie above the thresholds, not on them.
        measured: points that watched trials opened: each is certified where its own measurements say so.
        void: nothing may be certified: nothing was measured here by this run, or the priors were shown to be wrong.
    """

    surrogate: Surrogate
    context: Float[Tensor, " c"]
    thresholds: Float[Tensor, " c"]
    beta: Float[Tensor, " m"]
    constraints: tuple[int, ...] | None = None
    certificate: CertificateRule = field(default_factory=BoundsCertificate)
    past_betas: Sequence[Float[Tensor, " k"]] | None = None
    strict: bool = False
    measured: MeasuredPoints = field(default_factory=MeasuredPoints)
    void: bool = False

    @cached_property
    def constrained(self) -> list[int]:
        """Indices of the functions that are constraints."""
        if self.constraints is None:
            return list(range(1, self.surrogate.functions))
        return list(self.constraints)

    @cached_property
    def constraint_scale(self) -> Float[Tensor, " c"]:
        """Prior standard deviations of the constraints."""
        return self.surrogate.prior_std[self.constrained]

    def inputs(self, X: Float[Tensor, "n d"]) -> Float[Tensor, "n D"]:
        """Parameters with the context appended."""
        return torch.cat([X, self.context.expand(*X.shape[:-1], -1)], -1)

    def certain_at(self, X: Float[Tensor, "n d"]) -> ConfidenceBounds:
        """Confidence bounds of all functions at X from told data."""
        inputs = self.inputs(X)
        if self.past_betas is None:
            return self.surrogate.bounds(inputs, self.beta)
        return intersected_bounds(self.surrogate.posteriors, inputs, self.past_betas)

    def mean_at(self, X: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Posterior means of all functions at X."""
        return self.surrogate.mean(self.inputs(X))

    def bounds_at(self, X: Float[Tensor, "n d"]) -> PointBounds:
        """Bounds of all functions at X, and what they certify."""
        certain = self.certain_at(X)
        return self.bounds_from(X, certain, certain)

    def bounds_from(
        self, X: Float[Tensor, "n d"], certain: ConfidenceBounds, fantasized: ConfidenceBounds
    ) -> PointBounds:
        """Bounds at X that are known already, and what they certify."""
        chosen = self.constrained
        margins = self.certificate.margins(X, certain.lower[..., chosen], self.thresholds)
        slack = smallest(margins, self.constraint_scale)
        exceptions = None
        if self.void:
            slack = torch.full_like(slack, -torch.inf)
        elif len(self.measured):
            rows = self.measured.rows(X)
            own = self.own_bounds(rows).lower - self.thresholds
            holds = (rows >= 0) & (slack < 0) & (smallest(own) >= 0)
            exceptions = torch.where(holds, rows, -1)
            margins = torch.where(holds.unsqueeze(-1), own, margins)
            slack = torch.where(holds, 0.0, slack)
        possible = smallest(certain.upper[..., chosen] - self.thresholds, self.constraint_scale)
        return PointBounds(X, certain, fantasized, margins, slack, possible, exceptions)

    def own_bounds(self, rows: Int[Tensor, " n"]) -> ConfidenceBounds:
        """Bounds of the constraints at some of the measured points, from the measurements there alone, `n x c`."""
        return self.measured.bounds(rows, self.beta[self.constrained])

    def certified(self, bounds: PointBounds, reserve: float = 0.0) -> Bool[Tensor, " n"]:
        """Which points are certified, with a reserve in prior standard deviations."""
        return certified(bounds.slack, reserve, self.strict)
