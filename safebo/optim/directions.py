"""Directions of the lines along which a proposal is searched.

Source: Kirschner et al. 2019 (LineBO: coordinate, random and descent lines), for maximisation here.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext
from safebo.study import LineSpec

FACE = 1e-3
"""A coordinate so close to a face of the cube counts as lying on it."""

SECANT = 0.02
"""Half the distance over which an unknown gradient is taken; a secant, as not every kernel has gradients."""

FLAT = 1e-9
"""Slopes below this, in prior standard deviations per unit of the cube, have no direction."""


def coordinate_directions(dimension: int, first: int, count: int) -> Float[Tensor, "L d"]:
    """Unit vectors of the coordinates `first`, `first + 1`, ... modulo the dimension."""
    chosen = torch.arange(first, first + count) % dimension
    return torch.eye(dimension, dtype=torch.float64)[chosen]


def random_directions(dimension: int, count: int, rng: np.random.Generator) -> Float[Tensor, "L d"]:
    """Unit vectors, uniform on the sphere."""
    return _normalised(torch.tensor(rng.standard_normal((count, dimension))))


def mean_gradient(ctx: AcquisitionContext, x: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Gradient of the objective's posterior mean at x."""
    with torch.enable_grad():
        point = x.detach().reshape(1, -1).requires_grad_(True)
        mean, _ = ctx.surrogate.posteriors[0].mean_variance(ctx.inputs(point))
        return torch.autograd.grad(mean.sum(), point)[0][0]


def drawn_gradients(
    ctx: AcquisitionContext, x: Float[Tensor, " d"], count: int, rng: np.random.Generator
) -> Float[Tensor, "L d"]:
    """Gradients of the objective at x drawn from the posterior, as central secants.

    The mean's gradient lies in the span of the data; a drawn one also points where nothing was measured, and
    turns into the true gradient as measurements around x come in.
    """
    d = len(x)
    steps = SECANT * torch.eye(d, dtype=torch.float64)
    mean, covariance = ctx.fantasized.posteriors[0].joint(ctx.inputs(torch.cat([x + steps, x - steps])))
    slope = (mean[:d] - mean[d:]) / (2 * SECANT)
    spread = covariance[:d, :d] + covariance[d:, d:] - covariance[:d, d:] - covariance[d:, :d]
    values, vectors = torch.linalg.eigh(0.5 * (spread + spread.T) / (2 * SECANT) ** 2)
    normal = torch.tensor(rng.standard_normal((count, d)))
    return slope + (normal * values.clamp_min(0.0).sqrt()) @ vectors.T


def ascent_directions(
    ctx: AcquisitionContext, x: Float[Tensor, " d"], number: int, count: int, rng: np.random.Generator
) -> Float[Tensor, "L d"]:
    """Directions in which the objective rises at x.

    The first of several lines follows the gradient of the posterior mean, the others gradients drawn from the
    posterior; where there is one line the two kinds take turns by `number`. A mean that is flat at x, as it is
    at the only point measured, gives a drawn gradient too.
    """
    found = drawn_gradients(ctx, x, count, rng)
    gradient = mean_gradient(ctx, x)
    turn = count > 1 or number % 2 == 0
    if turn and float(gradient.norm()) > FLAT * float(ctx.surrogate.prior_std[0]):
        found[0] = gradient
    return _normalised(found)


def inward(x: Float[Tensor, " d"], directions: Float[Tensor, "L d"]) -> Float[Tensor, "L d"]:
    """The directions without what points out of the cube on its faces; those that only do so are reversed.

    Without it a line through a point on several faces of the cube would have no length.
    """
    leaves = ((x <= FACE) & (directions < 0)) | ((x >= 1 - FACE) & (directions > 0))
    kept = torch.where(leaves, 0.0, directions)
    lost = kept.norm(dim=-1, keepdim=True) < 1e-6
    return _normalised(torch.where(lost, -directions, kept))


def directions(
    ctx: AcquisitionContext, x: Float[Tensor, " d"], spec: LineSpec, number: int, rng: np.random.Generator
) -> Float[Tensor, "L d"]:
    """Unit directions of the lines through x, of the bundle of that number, counted from 0.

    Coordinate lines are a function of the number alone; the others are drawn by `rng`.
    """
    if spec.direction == "coordinate":
        count = min(spec.count, len(x))
        return coordinate_directions(len(x), number * count, count)
    if spec.direction == "random":
        return inward(x, random_directions(len(x), spec.count, rng))
    return inward(x, ascent_directions(ctx, x, number, spec.count, rng))


def _normalised(v: Float[Tensor, "L d"]) -> Float[Tensor, "L d"]:
    return v / v.norm(dim=-1, keepdim=True).clamp_min(1e-300)
