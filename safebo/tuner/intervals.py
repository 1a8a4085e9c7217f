"""Every function's interval from what a tuner was told: at many points, and what that at one point consists of."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safebo.acquisition import AcquisitionContext
from safebo.evaluators.repeats import trial_noise
from safebo.models.interval_split import IntervalSplit
from safebo.models.surrogate import Surrogate
from safebo.study.scenarios import walks_chosen
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.state import TunerState

CHUNK = 4096
"""Points at a time: memory is needed for each with every observation."""


def intervals_at(state: TunerState, rows: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Lower bound, mean and upper bound of every function at raw rows (`n x d`) in a context, `n x m x 3`, in the
    functions' own units.
    """
    with torch.no_grad():
        ctx = state.acquisition_context(name)
        parts = state.encoding.unit(rows).split(CHUNK)
        return np.concatenate([_raw_bounds(state.encoding, ctx, part) for part in parts])


def _raw_bounds(encoding: StudyEncoding, ctx: AcquisitionContext, points: Tensor) -> NDArray[np.float64]:
    if ctx.past_betas is not None or walks_chosen(encoding.study):
        return encoding.raw_bounds(ctx, ctx.bounds_at(points))
    prediction = ctx.surrogate.predict(ctx.inputs(points))
    certain = ctx.surrogate.bounds(ctx.inputs(points), ctx.beta, prediction)
    return encoding.raw_bounds(ctx, ctx.bounds_from(points, certain, certain), prediction.mean)


def interval_splits(state: TunerState, row: NDArray[np.float64], name: str) -> tuple[IntervalSplit, ...]:
    """What every function's interval at a raw row (`d`) in a context consists of, the objective first, by the present
    posteriors; see `safebo.models.interval_split`.

    Doubt about the prior is by how much the widest interval of those that certify is wider than that of the declared
    prior, in standard deviations squared.
    """
    encoding, rows = state.encoding, state.observations()
    declared, further = state.models_now().declared_surrogate(rows), state.models_now().stricter(rows)
    ctx = state.acquisition_context(name)
    inputs = ctx.inputs(encoding.unit(row[None]))
    beta = torch.where(ctx.beta > 0, ctx.beta, torch.ones_like(ctx.beta))
    own, plain = _variance(ctx.surrogate, inputs, beta), _variance(declared, inputs, beta)
    widest = own if further is None else torch.maximum(own, _variance(further, inputs, beta))
    with torch.no_grad():
        means = ctx.surrogate.mean(inputs)[0].tolist()
    rule, evidence = state.models.rule, state.evidence()
    found = []
    for i, spec in enumerate(encoding.functions):
        noise = float(declared.posteriors[i].noise_variance)
        found.append(
            IntervalSplit(
                spec.name,
                spec.unit,
                encoding.warps[i],
                means[i],
                float(torch.minimum(plain, widest)[i]),
                float((widest - plain).clamp_min(0.0)[i]),
                trial_noise(state.history.told(), state.study, spec, noise),
                noise,
                float(ctx.beta[i]),
                evidence.get(spec.name),
                torch.inf if rule is None else rule.evidence,
            )
        )
    return tuple(found)


def _variance(surrogate: Surrogate, inputs: Tensor, beta: Tensor) -> Tensor:
    """By function, the variance of which an interval of the mean at one input is `beta` standard deviations."""
    with torch.no_grad():
        bounds = surrogate.bounds(inputs, beta)
    return (0.5 * (bounds.upper - bounds.lower)[0] / beta).square()
