"""Target spaces of transductive methods: which of given points a trial should teach about.

A space is a function from a `TargetBounds` to a mask of its points.
Definitions of Huebotter et al., "Transductive Active Learning", NeurIPS 2024, section 5 and appendix K.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext
from safebo.acquisition.joint import output_moments, sampling_factor
from safebo.acquisition.lite import f_lite, probability_of_feasibility
from safebo.errors import InputError
from safebo.models.botorch_model import SurrogateModel
from safebo.models.confidence import ConfidenceBounds, Prediction, confidence_bounds
from safebo.safety.safe_set import certified, smallest

THOMPSON_SAMPLES = 10
"""Functions drawn for Thompson-sampled maximizers in the paper's code."""


MAX_JOINT_POINTS = 2000
"""Thompson samples are drawn jointly over at most so many points: those of the largest upper bounds."""


@dataclass(frozen=True)
class TargetBounds:
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


def target_bounds(
    model: Any,
    points: Float[Tensor, "n d"],
    beta: float,
    constraints: tuple[int, ...],
    thresholds: Float[Tensor, " c"] | None = None,
    objective: int = 0,
) -> TargetBounds:
    """Bounds of a BoTorch model; thresholds are 0 when None."""
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
    safe = certified(smallest(bounds.lower[:, chosen] - thresholds))
    possible = smallest(bounds.upper[:, chosen] - thresholds) >= 0
    return TargetBounds(
        model, points, mean, std, bounds, safe, possible, thresholds, tuple(constraints), objective
    )


def target_bounds_of(ctx: AcquisitionContext) -> TargetBounds:
    """Bounds at a context's pool, with its certificate and, for steering, its pending trials."""
    at, prediction = ctx.pool_bounds, ctx.pool_prediction
    return TargetBounds(
        model=SurrogateModel(ctx.fantasized, ctx.context),
        points=ctx.pool,
        mean=prediction.mean,
        std=prediction.std,
        bounds=at.certain,
        safe=ctx.certified(at),
        possibly_safe=at.possible >= 0,
        thresholds=ctx.thresholds,
        constraints=tuple(ctx.constrained),
    )


TargetSpace = Callable[[TargetBounds], Tensor]
"""Bounds at n points to a mask of `n`."""


def whole_domain(at: TargetBounds) -> Bool[Tensor, " n"]:
    """Every point."""
    return torch.ones(len(at.points), dtype=torch.bool, device=at.points.device)


def potential_maximizers(at: TargetBounds) -> Bool[Tensor, " n"]:
    """Equation 5: possibly safe points whose upper bound reaches the best lower bound of the safe set.

    Every possibly safe point while nothing is certified.
    """
    safe = at.safe
    best = float(at.lower()[safe].max()) if bool(safe.any()) else -torch.inf
    return at.possibly_safe & (at.upper() >= best)


def potential_expanders(at: TargetBounds) -> Bool[Tensor, " n"]:
    """Equation 27: possibly safe points that are not certified."""
    return at.possibly_safe & ~at.safe


def optimistic_point(at: TargetBounds) -> Bool[Tensor, " n"]:
    """The possibly safe point with the largest upper bound of the objective (the first of several)."""
    upper = torch.where(at.possibly_safe, at.upper(), -torch.inf)
    mask = torch.zeros_like(at.safe)
    if bool(torch.isfinite(upper).any()):
        mask[upper.argmax()] = True
    return mask


def region(lower: Float[Tensor, " d"], upper: Float[Tensor, " d"]) -> TargetSpace:
    """The points of a fixed box, bounds included."""
    return lambda at: ((at.points >= lower) & (at.points <= upper)).all(-1)


def thompson_maximizers(
    generator: torch.Generator, count: int = THOMPSON_SAMPLES, jitter: float = 1e-10
) -> TargetSpace:
    """Equation 47: where feasible maxima of joint posterior samples lie; exact, `O(n^3)`.

    Samples are drawn over the possibly safe points, of more than `MAX_JOINT_POINTS` those of the largest upper
    bounds. A sample without a feasible point names none.

    Args:
        generator: of the random numbers.
        count: number of samples.
        jitter: added to the covariances, relative to their largest diagonal entry.
    """

    def space(at: TargetBounds) -> Tensor:
        with torch.no_grad():
            rows = torch.nonzero(at.possibly_safe).squeeze(-1)
            if len(rows) > MAX_JOINT_POINTS:
                rows = rows[torch.topk(at.upper()[rows], MAX_JOINT_POINTS).indices].sort().values
            mask = torch.zeros_like(at.safe)
            if len(rows) == 0:
                return mask
            mean, covariance = output_moments(at.model, at.points[rows])
            factor = sampling_factor(covariance, jitter)
            draws = torch.randn(*mean.shape, count, dtype=mean.dtype, generator=generator, device="cpu").to(
                mean.device
            )
            samples = mean.unsqueeze(-1) + factor @ draws
            feasible = (samples[list(at.constraints)] >= at.thresholds[:, None, None]).all(0)
            values = torch.where(feasible, samples[at.objective], -torch.inf)
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

    def space(at: TargetBounds) -> Tensor:
        chosen = list(at.constraints)
        feasibility = probability_of_feasibility(at.mean[:, chosen], at.std[:, chosen], at.thresholds)
        p = f_lite(at.mean[:, at.objective], at.std[:, at.objective], feasibility)
        mask = torch.zeros_like(at.safe)
        mask[torch.multinomial(p.cpu(), count, replacement=True, generator=generator)] = True
        return mask

    return space


def targets_of(space: TargetSpace, at: TargetBounds) -> Float[Tensor, "k d"]:
    """The points of a space, in the order given.

    Raises:
        InputError: when the space is empty, so that there is nothing to learn about.
    """
    points = at.points[space(at)]
    if len(points) == 0:
        raise InputError(f"the target space holds none of the {len(at.points)} points")
    return points


def named_space(ctx: AcquisitionContext) -> TargetSpace:
    """The target space that a study names."""
    spec = ctx.transductive
    name = spec.targets
    if name == "thompson":
        return thompson_maximizers(ctx.generator(), spec.samples)
    if name == "lite":
        return lite_maximizers(ctx.generator(), spec.samples)
    if name == "region":
        if ctx.region is None:
            raise InputError("targets: region needs the bounds of a region")
        return region(*ctx.region)
    return {
        "potential_maximizers": potential_maximizers,
        "potential_expanders": potential_expanders,
        "optimistic": optimistic_point,
        "domain": whole_domain,
    }[name]
