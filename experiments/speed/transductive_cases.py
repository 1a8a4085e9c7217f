"""Speed of ITL and VTL on a million candidates with all potential maximizers as targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from safebo.acquisition.transductive.scores import TransductiveGrid, TransductiveScores
from safebo.experiments.speed.grid_cases import hills, radial_kernel, square_grid
from safebo.experiments.speed.measure import SpeedCase
from safebo.models.gpytorch_kernels import fixed_kernel
from safebo.models.grid_posterior import GridPosterior
from safebo.models.posterior import Posterior

NOISE, BETA, THRESHOLD = 0.05, 2.0, 0.2
VARIANCE, LENGTHSCALES = 2.0, (1.0, 1.2)


class TransductiveRun:
    """A run of a transductive rule on a square grid: every call tells what was proposed last and asks once.

    Args:
        rule: `itl` or `vtl`.
        points: about how many candidates.
        observations: random ones around the middle that it starts with.
        options: of `TransductiveGrid`.
    """

    def __init__(self, rule: str, points: int, observations: int, **options: Any) -> None:
        self.rule = rule
        self.points = torch.as_tensor(square_grid(points))
        kernels = [fixed_kernel(radial_kernel(VARIANCE, scale), 2) for scale in LENGTHSCALES]
        self.posteriors = [Posterior.prior(kernel, 0.0, NOISE**2, 2) for kernel in kernels]
        self.marginals = [GridPosterior(self.points) for _ in kernels]
        self.grid = TransductiveGrid(self.points, **options)
        rng = np.random.default_rng(0)
        for x in rng.uniform(-2.5, 2.5, (observations, 2)):
            self.tell(torch.as_tensor(x), np.array(hills(x)) + NOISE * rng.normal(size=2))
        self.last = self.ask()

    def tell(self, x: Tensor, values: Any) -> None:
        """One more observation of both functions."""
        self.posteriors = [p.extended(x, float(v)) for p, v in zip(self.posteriors, values, strict=True)]

    def sets(self) -> tuple[Bool[Tensor, " N"], Bool[Tensor, " N"]]:
        """The certified points, and those that may be certified and the best."""
        for marginal, posterior in zip(self.marginals, self.posteriors, strict=True):
            marginal.update(posterior)
        (value, margin), (value_std, margin_std) = (
            [m.mean for m in self.marginals],
            [m.variance.sqrt() for m in self.marginals],
        )
        threshold = torch.tensor([THRESHOLD], dtype=torch.float64)
        safe = margin - BETA * margin_std > threshold
        best = (value - BETA * value_std)[safe].max()
        return safe, (margin + BETA * margin_std >= THRESHOLD) & (value + BETA * value_std >= best)

    def ask(self) -> TransductiveScores:
        """The scores now."""
        self.candidates, self.targets = self.sets()
        variances = torch.stack([m.variance for m in self.marginals], -1)
        return self.grid.scores(self.rule, self.posteriors, variances, self.candidates, self.targets)

    def __call__(self) -> TransductiveScores:
        """One step."""
        x = self.points[self.last.values.argmax()]
        self.tell(x, hills(x.numpy()))
        self.last = self.ask()
        return self.last


def counts(run: Any) -> str:
    """Candidates, targets and how the last ask was computed."""
    return (
        f"{int(run.candidates.sum()):,} candidates, {int(run.targets.sum()):,} targets, method {run.last.method}, "
        f"{run.last.scored:,} scored one by one"
    )


def _million(rule: str) -> Callable[[], Any]:
    return TransductiveRun(rule, 1_000_000, 197)


_STEP = "one ask after one tell at 200 observations, 2 functions with different kernels, 1,000,000 points"

CASES = (
    SpeedCase("itl_1m", f"ITL, {_STEP}", 4.0, partial(_million, "itl"), 5, 1, counts),
    SpeedCase("vtl_1m", f"VTL, {_STEP}", 4.0, partial(_million, "vtl"), 5, 1, counts),
)
