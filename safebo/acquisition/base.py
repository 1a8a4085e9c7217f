"""What every acquisition shares: the situation it looks at, and certification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.botorch_model import SurrogateModel
from safebo.confidence import ConfidenceBounds, confidence_bounds
from safebo.sets import ExpanderRule
from safebo.surrogate import Surrogate

UNCERTIFIED_PENALTY = 1e6
"""How far below every certified value an uncertified point's value lies in `forward`."""


def _empty() -> Tensor:
    return torch.zeros(0, 0, dtype=torch.float64)


@dataclass(frozen=True)
class Told:
    """What was tried in one context, parameters in the unit cube.

    Args:
        points: measured ones, `n x d`.
        values: warped measurements there, `n x m`; NaN where a function was not measured.
        visited: pending and failed ones, `v x d`.
    """

    points: Float[Tensor, "n d"]
    values: Float[Tensor, "n m"]
    visited: Float[Tensor, "v d"]


def _nothing_told() -> Told:
    return Told(_empty(), _empty(), _empty())


@dataclass(frozen=True)
class Situation:
    """Everything an acquisition may look at when a trial is proposed in one context.

    Args:
        surrogate: posteriors given the told measurements; the only one that certifies.
        imagined: the same means with variances reduced by pending, failed and backed-up trials.
        context: `c`, in the unit cube.
        dimension: number of parameters d.
        thresholds: where the constraints' margins are 0 on their warped scales.
        beta: confidence multiplier (of the standard deviation).
        optimism: multiple of the objective's standard deviation that upper-bound rules add to its mean. It
            decides nothing about safety.
        incumbent: the best lower bound of the objective known within the safe set; -inf when it is empty.
        targets: uncertified parameters near the safe set, `p x d`, for expander tests.
        rule: which constraints an expander must satisfy.
        lipschitz: Lipschitz constants of the constraints, `c`; None for the hallucinated expander test.
        draw: a point of the unit cube drawn for this trial, `d`, for random methods.
        told: what was tried in this context, for rules that look at measurements themselves.
        seed: of everything else that is drawn for this trial.
    """

    surrogate: Surrogate
    imagined: Surrogate
    context: Float[Tensor, " c"]
    dimension: int
    thresholds: Float[Tensor, " m"]
    beta: float
    optimism: float
    incumbent: float = -float("inf")
    targets: Float[Tensor, "p d"] = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))
    rule: ExpanderRule = "all"
    lipschitz: Float[Tensor, " m"] | None = None
    draw: Float[Tensor, " d"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    told: Told = field(default_factory=_nothing_told)
    seed: int = 0

    def inputs(self, X: Float[Tensor, "n d"]) -> Float[Tensor, "n D"]:
        """Parameters with the context appended."""
        return torch.cat([X, self.context.expand(*X.shape[:-1], -1)], -1)

    def view(self, X: Float[Tensor, "n d"]) -> View:
        """Bounds of all functions at X."""
        inputs = self.inputs(X)
        bounds = confidence_bounds(self.surrogate.predict(inputs), self.beta)
        if self.imagined is self.surrogate:
            return View(bounds, bounds)
        return View(bounds, confidence_bounds(self.imagined.predict(inputs), self.beta))

    def optimistic(self, view: View) -> Float[Tensor, " n"]:
        """The objective's mean plus `optimism` standard deviations, pending trials counted."""
        lower, upper = view.imagined.lower[..., 0], view.imagined.upper[..., 0]
        return 0.5 * (lower + upper) + self.optimism / self.beta * 0.5 * (upper - lower)

    def slack(self, bounds: ConfidenceBounds) -> Float[Tensor, " n"]:
        """Smallest lower bound of a margin, in prior standard deviations; certified when at least 0."""
        margins = (bounds.lower[..., 1:] - self.thresholds) / self.surrogate.prior_std[1:]
        return margins.min(-1).values


@dataclass(frozen=True)
class View:
    """Bounds at the same points: `certain` from told data alone, `imagined` with pending trials as well."""

    certain: ConfidenceBounds
    imagined: ConfidenceBounds


class SafeAcquisition(AcquisitionFunction):
    """An acquisition over the parameters of one context, for BoTorch's optimizers and for our own search.

    Subclasses give `score`, the value to maximise, and, where it has one, `admits`, the set they search.

    Args:
        situation: what to look at.
    """

    certified_only: ClassVar[bool] = True
    """Whether proposals must lie in the certified safe set."""

    falls_are_worst: ClassVar[bool] = False
    """Whether a trial without an objective (a fall) enters as the worst objective seen."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(model=SurrogateModel(situation.surrogate, situation.context))
        self.situation = situation

    def score(self, X: Float[Tensor, "n d"], view: View) -> Float[Tensor, " n"]:
        """The value to maximise at X."""
        raise NotImplementedError

    def admits(self, X: Float[Tensor, "n d"], view: View) -> Bool[Tensor, " n"]:
        """Which points the method considers, certification aside."""
        return torch.ones(len(X), dtype=torch.bool)

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

    def evaluate(
        self, X: Float[Tensor, "n d"], admission: bool = True
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Score (-inf where not admitted) and slack (+inf for methods that do not certify) at X."""
        view = self.situation.view(X)
        score = self.score(X, view)
        if admission:
            score = torch.where(self.admits(X, view), score, -torch.inf)
        if not self.certified_only:
            return score, torch.full_like(score, torch.inf)
        return score, self.situation.slack(view.certain)

    def forward(self, X: Float[Tensor, "b 1 d"]) -> Float[Tensor, " b"]:
        """The score; outside the admitted or certified set a value far below it that rises towards that set.

        Raises:
            ValueError: when more than one point is asked for at once.
        """
        if X.shape[-2] != 1:
            raise ValueError(f"{type(self).__name__} proposes one point at a time, got q = {X.shape[-2]}")
        points = X.squeeze(-2).reshape(-1, X.shape[-1])
        score, slack = self.evaluate(points)
        outside = torch.clamp_max(slack, 0.0) - UNCERTIFIED_PENALTY
        return torch.where((slack >= 0) & torch.isfinite(score), score, outside).reshape(X.shape[:-2])
