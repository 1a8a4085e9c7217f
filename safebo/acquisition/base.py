"""What every acquisition shares: the context it looks at, and its value as BoTorch has it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.allowed import AllowedPoints
from safebo.acquisition.joint import one_point_each
from safebo.errors import InputError
from safebo.models.botorch_model import SurrogateModel
from safebo.models.confidence import ConfidenceBounds, Prediction, confidence_bounds
from safebo.models.discrimination import Rivals
from safebo.models.finite_domain import FiniteDomain
from safebo.models.kernels import StationaryKernel
from safebo.models.surrogate import Surrogate
from safebo.safety.measured_points import no_points
from safebo.safety.safe_set import PointBounds, SafeSet, certified
from safebo.safety.sets import ExpanderRule
from safebo.study import TransductiveSpec

PoolKind = Literal["none", "near", "wide"]

UNCERTIFIED_PENALTY = 1e6
"""How far below every certified value an uncertified point's value lies in `forward`."""


@dataclass(frozen=True)
class Told:
    """What was tried in one context, parameters in the unit cube.

    Args:
        points: measured ones, `n x d`.
        values: warped measurements there, `n x m`; NaN where a function was not measured.
        visited: pending and failed ones, `v x d`.
    """

    points: Float[Tensor, "n d"] = field(default_factory=no_points)
    values: Float[Tensor, "n m"] = field(default_factory=no_points)
    visited: Float[Tensor, "v d"] = field(default_factory=no_points)


@dataclass(frozen=True, kw_only=True)
class AcquisitionContext(SafeSet):
    """Everything an acquisition may look at when a trial is proposed in one context: its safe set, and what steers.

    Args:
        fantasized: the surrogate's means with variances reduced by pending, failed and backed-up trials.
        dimension: number of parameters d.
        optimism: multiple of the objective's standard deviation that upper-bound rules add to its mean; None for
            the upper bound itself. It decides nothing about safety.
        incumbent: the best lower bound of the objective known within the safe set; -inf when it is empty.
        pool: points that stand for the box where a rule needs a finite set, `p x d`: the whole grid, or a sample.
        domain: the grid, where the search is over one.
        rule: which constraints an expander must satisfy.
        lipschitz: Lipschitz constants of the constraints, `c`; None for the hallucinated expander test.
        epsilon: widths under it, in prior standard deviations, count as known.
        minimal_width: no expander is sought on a grid where every function's interval of one standard deviation to
            either side is narrower.
        expanding: whether a staged method is in its expanding stage.
        transductive: what transductive rules learn about.
        region: corners of a fixed target region in the unit cube, `d` each.
        draw: a point of the unit cube drawn for this trial, `d`, for random methods.
        seed: of everything else that is drawn for this trial.
        ties: seed of the choice among points of a grid whose scores are equal (`safebo.acquisition.ties`); None for
            the lowest row.
        told: what was tried in this context, for rules that look at measurements themselves.
        allowed: the points of the cube that may be tried; a search looks at no others.
        exact: the context of the surrogate itself where this one approximates it for a search; else None.
        rivals: posteriors between which the evidence has not decided yet.
    """

    fantasized: Surrogate
    dimension: int
    optimism: float | None = None
    incumbent: float = -float("inf")
    pool: Float[Tensor, "p d"] = field(default_factory=no_points)
    domain: FiniteDomain | None = None
    rule: ExpanderRule = "all"
    lipschitz: Float[Tensor, " c"] | None = None
    epsilon: float = 0.0
    minimal_width: float = 0.0
    expanding: bool = True
    transductive: TransductiveSpec = field(default_factory=TransductiveSpec)
    region: tuple[Float[Tensor, " d"], Float[Tensor, " d"]] | None = None
    draw: Float[Tensor, " d"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    seed: int = 0
    ties: int | None = None
    told: Told = field(default_factory=Told)
    allowed: AllowedPoints = field(default_factory=AllowedPoints)
    exact: AcquisitionContext | None = None
    rivals: Rivals = ()

    def exactly(self) -> AcquisitionContext:
        """The same context of the surrogate itself."""
        if self.exact is None:
            return self
        names = ("surrogate", "fantasized", "past_betas", "certificate", "exact")
        return replace(self, **{name: getattr(self.exact, name) for name in names})

    def generator(self) -> torch.Generator:
        """A new generator of the numbers drawn for this trial."""
        return torch.Generator().manual_seed(self.seed)

    def bounds_at(self, X: Float[Tensor, "n d"]) -> PointBounds:
        """Bounds of all functions at X, pending trials counted apart."""
        certain = self.certain_at(X)
        if self.fantasized is self.surrogate:
            return self.bounds_from(X, certain, certain)
        fantasized = self.fantasized.bounds(self.inputs(X), self.beta)
        if self.past_betas is not None:
            fantasized = narrowed(fantasized, certain)
        return self.bounds_from(X, certain, fantasized)

    @cached_property
    def pool_bounds(self) -> PointBounds:
        """Bounds at the pool; over a grid from its cached posteriors."""
        with torch.no_grad():
            if self.domain is None or self.past_betas is not None or self.surrogate.averaged:
                return self.bounds_at(self.pool)
            bounds = confidence_bounds(self.domain.predict(self.context, self.surrogate), self.beta)
            if self.fantasized is self.surrogate:
                return self.bounds_from(self.pool, bounds, bounds)
            return self.bounds_from(self.pool, bounds, confidence_bounds(self.pool_prediction, self.beta))

    @cached_property
    def pool_prediction(self) -> Prediction:
        """Means and standard deviations at the pool, pending trials counted."""
        with torch.no_grad():
            if self.domain is None or self.fantasized.averaged:
                return self.fantasized.predict(self.inputs(self.pool))
            if self.fantasized is self.surrogate:
                return self.domain.predict(self.context, self.surrogate)
            return self.domain.predict_beyond(self.context, self.surrogate, self.fantasized)

    def optimistic(self, bounds: PointBounds) -> Float[Tensor, " n"]:
        """The objective's mean plus `optimism` standard deviations, pending trials counted."""
        lower, upper = bounds.fantasized.lower[..., 0], bounds.fantasized.upper[..., 0]
        if self.optimism is None:
            return upper
        middle = 0.5 * (lower + upper)
        if float(self.beta[0]) == 0.0:
            # A schedule may start at 0, where widths say nothing.
            return middle + self.optimism * self.fantasized.predict(self.inputs(bounds.points)).std[..., 0]
        return middle + self.optimism / self.beta[0] * 0.5 * (upper - lower)

    def prior_scale(self, X: Float[Tensor, "n d"]) -> Float[Tensor, "*n m"]:
        """Prior standard deviations of all functions: `m` where they are the same everywhere, else `n x m`."""
        kernels = [p.kernel for p in self.surrogate.posteriors]
        if all(isinstance(kernel, StationaryKernel) for kernel in kernels):
            return self.surrogate.prior_std
        inputs = self.inputs(X)
        return torch.stack([k.diagonal(inputs) for k in kernels], -1).clamp_min(1e-300).sqrt()

    def scaled_width(self, bounds: PointBounds) -> Float[Tensor, " n"]:
        """Largest width of an interval over the functions, in prior standard deviations, pending trials counted."""
        return (bounds.fantasized.width / self.prior_scale(bounds.points)).amax(-1)


def narrowed(fantasized: ConfidenceBounds, certain: ConfidenceBounds) -> ConfidenceBounds:
    """Fantasized intervals inside the certain ones."""
    lower = torch.maximum(fantasized.lower, certain.lower)
    upper = torch.minimum(fantasized.upper, certain.upper)
    return ConfidenceBounds(torch.minimum(lower, upper), torch.maximum(lower, upper))


class SafeAcquisition(AcquisitionFunction):
    """An acquisition over the parameters of one context, for BoTorch's optimizers and for our own search.

    Subclasses give `score`, the value to maximise, and, where it has one, `admits`, the set they search.

    Args:
        ctx: what to look at.
    """

    certified_only: ClassVar[bool] = True
    """Whether proposals must lie in the certified safe set."""

    pool_kind: ClassVar[PoolKind] = "none"
    """Which finite sample of a continuous box the rule needs: none, around the safe set, or of the whole box."""

    needs_told: ClassVar[bool] = False
    """Whether the rule looks at what was tried in the context (`AcquisitionContext.told`)."""

    falls_are_worst: ClassVar[bool] = False
    """Whether a trial without an objective (a fall) enters as the worst objective seen."""

    def __init__(self, ctx: AcquisitionContext) -> None:
        super().__init__(model=SurrogateModel(ctx.surrogate, ctx.context))
        self.ctx = ctx

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The value to maximise at X."""
        raise NotImplementedError

    def admits(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Bool[Tensor, " n"]:
        """Which points the method considers, certification aside."""
        return X.new_ones(len(X), dtype=torch.bool)

    def candidates(
        self, rng: np.random.Generator, grid: Float[Tensor, "n d"] | None
    ) -> Float[Tensor, "k d"] | None:
        """The points among which the method itself prescribes to choose; None for the study's search.

        They are scored in one call of `evaluate`.

        Args:
            rng: of this search.
            grid: the points a study on a grid may ask; None in the continuous box.
        """
        return None

    def grid_scores(self) -> Float[Tensor, " p"]:
        """Scores of the whole pool, -inf where a point is not certified (for methods that certify) or admitted.

        On a grid this is the exact choice; rules with something faster than point by point replace it.
        """
        bounds = self.ctx.pool_bounds
        allowed = self.admits(bounds.points, bounds)
        if self.certified_only:
            allowed = allowed & self.ctx.certified(bounds)
        scores = torch.where(allowed, self._score(bounds.points, bounds), -torch.inf)
        if scores.isnan().any():
            raise InputError(
                f"{type(self).__name__}.score is NaN at {int(scores.isnan().sum())} of {len(scores)} inputs"
            )
        return scores

    def starts(self, count: int) -> Float[Tensor, "k 1 d"]:
        """The best points of the pool, for `batch_initial_conditions` of BoTorch's `optimize_acqf`.

        Rules that admit little (expanders towards one goal) have no slope elsewhere by which it could be found.
        """
        with torch.no_grad():
            scores = self.grid_scores()
        rows = torch.nonzero(torch.isfinite(scores)).squeeze(-1)
        order = torch.argsort(scores[rows], descending=True, stable=True)[:count]
        return self.ctx.pool[rows[order]].unsqueeze(1)

    def evaluate(
        self, X: Float[Tensor, "n d"], admission: bool = True
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Score (-inf where not admitted) and slack (+inf for methods that do not certify) at X."""
        bounds = self.ctx.bounds_at(X)
        score = self._score(X, bounds)
        if admission:
            score = torch.where(self.admits(X, bounds), score, -torch.inf)
        return score, bounds.slack if self.certified_only else torch.full_like(score, torch.inf)

    def _score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The rule's own `score`, which anyone may have written.

        Raises:
            InputError: it is anything but one number per input, or NaN for all, which would look like no safe point.
        """
        score: object = self.score(X, bounds)
        wanted = f"{type(self).__name__}.score must give a tensor of one number per input, {len(X)} here; got"
        if not isinstance(score, Tensor):
            raise InputError(f"{wanted} {type(score).__name__}")
        if score.shape != (len(X),):
            raise InputError(f"{wanted} the shape {tuple(score.shape)}")
        if len(X) > 1 and score.isnan().all():
            raise InputError(f"{wanted} NaN for all")
        return score

    def forward(self, X: Float[Tensor, "b 1 d"]) -> Float[Tensor, " b"]:
        """The score; outside the admitted or certified set a value far below it that rises towards that set.

        Raises:
            InputError: when more than one point is asked for at once.
        """
        score, slack = self.evaluate(one_point_each(self, X))
        outside = torch.clamp_max(slack, 0.0) - UNCERTIFIED_PENALTY
        return torch.where(
            certified(slack, strict=self.ctx.strict) & torch.isfinite(score), score, outside
        ).reshape(X.shape[:-2])
