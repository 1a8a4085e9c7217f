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

from safebo.acquisition.joint import output_moments
from safebo.acquisition.lite import f_lite, probability_of_feasibility
from safebo.errors import InputError

THOMPSON_SAMPLES = 10
"""Functions drawn for Thompson-sampled maximizers in the paper's code."""


@dataclass(frozen=True)
class TargetView:
    """Marginals of a model over finite points, and what is certified there.

    Args:
        model: the model they come from.
        points: `n x d`.
        mean: of every output, `n x m`.
        std: of every output, without noise, `n x m`.
        beta: confidence multiplier of the standard deviation.
        thresholds: where the margins of `constraints` hold, `c`.
        constraints: outputs that are margins, `c` of them; one may be the objective.
        objective: output to maximise.
    """

    model: Any
    points: Float[Tensor, "n d"]
    mean: Float[Tensor, "n m"]
    std: Float[Tensor, "n m"]
    beta: float
    thresholds: Float[Tensor, " c"]
    constraints: tuple[int, ...]
    objective: int = 0

    @property
    def safe(self) -> Bool[Tensor, " n"]:
        """Points whose every margin holds at its lower bound."""
        return (self._bound(-1.0)[:, self.constraints] >= self.thresholds).all(-1)

    @property
    def possibly_safe(self) -> Bool[Tensor, " n"]:
        """Points whose every margin holds at its upper bound."""
        return (self._bound(1.0)[:, self.constraints] >= self.thresholds).all(-1)

    def _bound(self, side: float) -> Float[Tensor, "n m"]:
        """Lower (-1) or upper (1) bounds."""
        return self.mean + side * self.beta * self.std

    def lower(self) -> Float[Tensor, " n"]:
        """Lower bounds of the objective."""
        return self._bound(-1.0)[:, self.objective]

    def upper(self) -> Float[Tensor, " n"]:
        """Upper bounds of the objective."""
        return self._bound(1.0)[:, self.objective]


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
    return TargetView(model, points, mean, std, beta, thresholds, tuple(constraints), objective)


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

    A sample without a feasible point names none.

    Args:
        generator: of the random numbers.
        count: number of samples.
        jitter: added to the covariances, relative to their largest diagonal entry.
    """

    def space(view: TargetView) -> Tensor:
        with torch.no_grad():
            mean, covariance = output_moments(view.model, view.points)
            largest = covariance.diagonal(dim1=-2, dim2=-1).amax(-1).clamp_min(1e-300)
            eye = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
            factor, failed = torch.linalg.cholesky_ex(covariance + (jitter * largest)[:, None, None] * eye)
            if bool(failed.any()):
                raise InputError(
                    f"{mean.shape[-1]} points are too close for a jitter of {jitter:g}: use a larger one"
                )
            draws = torch.randn(*mean.shape, count, dtype=mean.dtype, generator=generator).to(mean.device)
            samples = mean.unsqueeze(-1) + factor @ draws
            feasible = (samples[list(view.constraints)] >= view.thresholds[:, None, None]).all(0)
            values = torch.where(feasible, samples[view.objective], -torch.inf)
            named = values.argmax(0)[feasible.any(0)]
        mask = torch.zeros_like(view.safe)
        mask[named] = True
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
