"""Target spaces of transductive methods: which of given points a trial should teach about.

A space is a function from a `TargetView` to a mask of its points; `union` and `intersection` compose them.
Definitions of Huebotter et al., "Transductive Active Learning", NeurIPS 2024, section 5 and appendix K.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.base import Situation
from safebo.acquisition.joint import output_moments, sampling_factor
from safebo.acquisition.lite import f_lite, probability_of_feasibility
from safebo.errors import InputError
from safebo.models.botorch_model import SurrogateModel
from safebo.models.confidence import ConfidenceBounds, Prediction, confidence_bounds

THOMPSON_SAMPLES = 10
"""Functions drawn for Thompson-sampled maximizers in the paper's code."""


LARGEST_JOINT = 2000
"""Thompson samples are drawn jointly over at most so many points: those of the largest upper bounds."""


@dataclass(frozen=True)
class TargetView:
    """Bounds of a model over finite points, and what is certified there.

    Args:
        model: the model they come from.
        points: `n x d`.
        mean: of every output, `n x m`.
        std: of every output, without noise, `n x m`.
        bounds: confidence bounds of every output, `n x m` each.
        safe: points that are certified, `n`.
        possibly_safe: points whose every margin holds at its upper bound, `n`.
        thresholds: where the margins of `constraints` hold, `c`.
        constraints: outputs that are margins, `c` of them; one may be the objective.
        objective: output to maximise.
    """

    model: Any
    points: Float[Tensor, "n d"]
    mean: Float[Tensor, "n m"]
    std: Float[Tensor, "n m"]
    bounds: ConfidenceBounds
    safe: Bool[Tensor, " n"]
    possibly_safe: Bool[Tensor, " n"]
    thresholds: Float[Tensor, " c"]
    constraints: tuple[int, ...]
    objective: int = 0

    def lower(self) -> Float[Tensor, " n"]:
        """Lower bounds of the objective."""
        return self.bounds.lower[:, self.objective]

    def upper(self) -> Float[Tensor, " n"]:
        """Upper bounds of the objective."""
        return self.bounds.upper[:, self.objective]


def target_view(
    model: Any,
    points: Float[Tensor, "n d"],
    beta: float,
    constraints: tuple[int, ...],
    thresholds: Float[Tensor, " c"] | None = None,
    objective: int = 0,
) -> TargetView:
    """The view of a BoTorch model; thresholds are 0 when None."""
    outputs = model.num_outputs
    named = (*constraints, objective)
    if not all(0 <= i < outputs for i in named):
        raise InputError(f"outputs {named} are named: allowed are 0 to {outputs - 1}")
    if thresholds is None:
        thresholds = points.new_zeros(len(constraints))
    if len(thresholds) != len(constraints):
        raise InputError(f"{len(thresholds)} thresholds for {len(constraints)} constraints")
    with torch.no_grad():
        posterior = model.posterior(points.unsqueeze(-2))
        mean, variance = posterior.mean.squeeze(-2), posterior.variance.squeeze(-2)
    std = variance.clamp_min(0.0).sqrt()
    bounds = confidence_bounds(Prediction(mean, std), beta)
    chosen = list(constraints)
    safe = (bounds.lower[:, chosen] >= thresholds).all(-1)
    possible = (bounds.upper[:, chosen] >= thresholds).all(-1)
    return TargetView(
        model, points, mean, std, bounds, safe, possible, thresholds, tuple(constraints), objective
    )


def view_of_situation(situation: Situation) -> TargetView:
    """The view of a situation's pool, with its certificate and, for steering, its pending trials."""
    view, prediction = situation.pool_view, situation.pool_prediction
    return TargetView(
        model=SurrogateModel(situation.imagined, situation.context),
        points=situation.pool,
        mean=prediction.mean,
        std=prediction.std,
        bounds=view.certain,
        safe=situation.certified(view),
        possibly_safe=view.possible >= 0,
        thresholds=situation.thresholds,
        constraints=tuple(situation.constrained),
    )


TargetSpace = Callable[[TargetView], Tensor]
"""A view of n points to a mask of `n`."""


def whole_domain(view: TargetView) -> Bool[Tensor, " n"]:
    """Every point."""
    return torch.ones(len(view.points), dtype=torch.bool, device=view.points.device)


def potential_maximizers(view: TargetView) -> Bool[Tensor, " n"]:
    """Equation 5: possibly safe points whose upper bound reaches the best lower bound of the safe set.

    Every possibly safe point while nothing is certified.
    """
    safe = view.safe
    best = float(view.lower()[safe].max()) if bool(safe.any()) else -torch.inf
    return view.possibly_safe & (view.upper() >= best)


def potential_expanders(view: TargetView) -> Bool[Tensor, " n"]:
    """Equation 27: possibly safe points that are not certified."""
    return view.possibly_safe & ~view.safe


def optimistic_point(view: TargetView) -> Bool[Tensor, " n"]:
    """The possibly safe point with the largest upper bound of the objective (the first of several)."""
    upper = torch.where(view.possibly_safe, view.upper(), -torch.inf)
    mask = torch.zeros_like(view.safe)
    if bool(torch.isfinite(upper).any()):
        mask[upper.argmax()] = True
    return mask


def region(lower: Float[Tensor, " d"], upper: Float[Tensor, " d"]) -> TargetSpace:
    """The points of a fixed box, bounds included."""
    return lambda view: ((view.points >= lower) & (view.points <= upper)).all(-1)


def thompson_maximizers(
    generator: torch.Generator, count: int = THOMPSON_SAMPLES, jitter: float = 1e-10
) -> TargetSpace:
    """Equation 47: where feasible maxima of joint posterior samples lie; exact, `O(n^3)`.

    Samples are drawn over the possibly safe points, of more than `LARGEST_JOINT` those of the largest upper
    bounds. A sample without a feasible point names none.

    Args:
        generator: of the random numbers.
        count: number of samples.
        jitter: added to the covariances, relative to their largest diagonal entry.
    """

    def space(view: TargetView) -> Tensor:
        with torch.no_grad():
            rows = torch.nonzero(view.possibly_safe).squeeze(-1)
            if len(rows) > LARGEST_JOINT:
                rows = rows[torch.topk(view.upper()[rows], LARGEST_JOINT).indices].sort().values
            mask = torch.zeros_like(view.safe)
            if len(rows) == 0:
                return mask
            mean, covariance = output_moments(view.model, view.points[rows])
            factor = sampling_factor(covariance, jitter)
            draws = torch.randn(*mean.shape, count, dtype=mean.dtype, generator=generator, device="cpu").to(
                mean.device
            )
            samples = mean.unsqueeze(-1) + factor @ draws
            feasible = (samples[list(view.constraints)] >= view.thresholds[:, None, None]).all(0)
            values = torch.where(feasible, samples[view.objective], -torch.inf)
            mask[rows[values.argmax(0)[feasible.any(0)]]] = True
        return mask

    return space


def lite_maximizers(generator: torch.Generator, count: int = THOMPSON_SAMPLES) -> TargetSpace:
    """Points drawn by F-LITE's probability of being the feasible maximum: near-linear where Thompson sampling
    is cubic, with values and margins taken as independent (ours).

    Args:
        generator: of the random numbers.
        count: draws, with replacement.
    """

    def space(view: TargetView) -> Tensor:
        chosen = list(view.constraints)
        feasibility = probability_of_feasibility(view.mean[:, chosen], view.std[:, chosen], view.thresholds)
        p = f_lite(view.mean[:, view.objective], view.std[:, view.objective], feasibility)
        mask = torch.zeros_like(view.safe)
        mask[torch.multinomial(p.cpu(), count, replacement=True, generator=generator)] = True
        return mask

    return space


def union(*spaces: TargetSpace) -> TargetSpace:
    """Points in any of the spaces."""
    return lambda view: torch.stack([space(view) for space in spaces]).any(0)


def intersection(*spaces: TargetSpace) -> TargetSpace:
    """Points in all of the spaces."""
    return lambda view: torch.stack([space(view) for space in spaces]).all(0)


def targets_of(space: TargetSpace, view: TargetView) -> Float[Tensor, "k d"]:
    """The points of a space, in the view's order.

    Raises:
        InputError: when the space is empty, so that there is nothing to learn about.
    """
    points = view.points[space(view)]
    if len(points) == 0:
        raise InputError(f"the target space holds none of the {len(view.points)} points")
    return points


def named_space(situation: Situation) -> TargetSpace:
    """The target space that a study names."""
    spec = situation.transductive
    name = spec.targets
    if name == "thompson":
        return thompson_maximizers(situation.generator(), spec.samples)
    if name == "lite":
        return lite_maximizers(situation.generator(), spec.samples)
    if name == "region":
        if situation.region is None:
            raise InputError("targets: region needs the bounds of a region")
        return region(*situation.region)
    return {
        "potential_maximizers": potential_maximizers,
        "potential_expanders": potential_expanders,
        "optimistic": optimistic_point,
        "domain": whole_domain,
    }[name]
