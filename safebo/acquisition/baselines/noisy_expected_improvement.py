"""BoTorch's constrained qLogNEI over our posteriors. A baseline: it violates constraints."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective
from botorch.exceptions.warnings import BotorchWarning
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.sampling import manual_seed
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext
from safebo.acquisition.baselines.baseline import Baseline
from safebo.acquisition.registry import register

SAMPLES = 256
RESTARTS, RAW_SAMPLES, ITERATIONS = 6, 256, 60


@register("qlognei")
class LogNoisyExpectedImprovement(Baseline):
    """`log E[(f(x) - max_j f(x_j))_+ prod_i 1{c_i(x) >= h_i}]`, the maximum over feasible tried x_j.

    The expectation is over the joint posterior of x and of what was tried in the context: what is best so far
    is as uncertain as the rest. Indicators and maxima are smoothed, and 256 quasi-random samples taken, by
    `qLogNoisyExpectedImprovement`; all functions are divided by their prior standard deviations first, the
    scale that its smoothing constants presume. Pending and failed trials count as tried. Before the first
    measurement in the context a uniform point is proposed. In the box it is maximised by `optimize_acqf`.

    Source: Letham et al., Bayesian Analysis 2019; Ament et al., NeurIPS 2023. Guarantee: none about safety.

    Args:
        ctx: what to look at; `told` gives the tried parameters.
    """

    chunk = 512

    def __init__(self, ctx: AcquisitionContext) -> None:
        super().__init__(ctx)
        told = ctx.told
        if len(told.points) == 0:
            self.rule = self._nearness_to_draw
            return
        scale = ctx.surrogate.prior_std
        with _seeded(ctx.seed):
            self.rule = qLogNoisyExpectedImprovement(
                model=self.model,
                # A point tried twice would only make the joint covariance singular.
                X_baseline=told.points.unique(dim=0),
                X_pending=told.visited.unique(dim=0) if len(told.visited) else None,
                sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=ctx.seed),
                objective=GenericMCObjective(lambda samples, X=None: samples[..., 0] / scale[0]),
                constraints=[
                    partial(_shortfall, index=i, threshold=threshold, scale=scale[i])
                    for i, threshold in zip(ctx.constrained, ctx.thresholds, strict=True)
                ],
            )

    def _nearness_to_draw(self, X: Float[Tensor, "n 1 d"]) -> Float[Tensor, " n"]:
        """Minus the squared distance to the draw: what is valued before the first measurement."""
        return -(X.squeeze(-2) - self.ctx.draw).square().sum(-1)

    def candidates(
        self, rng: np.random.Generator, grid: Float[Tensor, "n d"] | None
    ) -> Float[Tensor, "k d"] | None:
        """Where the restarts of BoTorch's optimizer ended; None on a grid, of which every point is valued."""
        if grid is not None:
            return None
        if len(self.ctx.told.points) == 0:
            return self.ctx.draw.unsqueeze(0)
        seed = int(rng.integers(2**31))
        box = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, self.ctx.dimension)
        with _seeded(seed):
            found, _ = optimize_acqf(
                self.rule,
                bounds=box,
                q=1,
                num_restarts=RESTARTS,
                raw_samples=RAW_SAMPLES,
                options={"maxiter": ITERATIONS, "seed": seed, "sample_around_best": True},
                return_best_only=False,
            )
        return found.reshape(-1, self.ctx.dimension)


def _shortfall(samples: Tensor, index: int, threshold: Tensor, scale: Tensor) -> Tensor:
    """How far a constraint's samples lie below its threshold, in prior standard deviations."""
    return (threshold - samples[..., index]) / scale


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """BoTorch's draws seeded, and without its advice: that all is infeasible is this baseline's daily bread."""
    with manual_seed(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", BotorchWarning)
        yield
